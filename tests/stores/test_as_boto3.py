"""Credentials and endpoint for S3 in each environment: as boto3 chooses them."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.credentials import Credentials
from botocore.session import Session
from tests.servers.recorder import Recorder, Seen

from .vendors import UNSET, Environment, outcome, read_by_mfc


def keys(name: str, token: str = "") -> str:
    """Return the lines of a profile with keys."""
    text = f"aws_access_key_id = {name}\naws_secret_access_key = secret-of-{name}\n"
    return f"{text}aws_session_token = {token}\n" if token else text


def variables(name: str, token: str = "") -> dict[str, str]:
    """Return variables with keys."""
    found = {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": f"secret-of-{name}"}
    return {**found, "AWS_SESSION_TOKEN": token} if token else found


CREDENTIALS, CONFIG = ".aws/credentials", ".aws/config"
PROGRAM = json.dumps(
    {"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "secret-of-PROGRAM"}
)
PROFILES = f"[default]\n{keys('USUAL')}[other]\n{keys('OTHER', 'of-other')}[third]\n{keys('THIRD')}"
ROLE = "role_arn = arn:aws:iam::123456789012:role/reader\n"
SSO_URL = "https://ours.awsapps.com/start"
SSO_TOKEN = json.dumps(
    {
        "accessToken": "sso-token",
        "expiresAt": "2099-01-01T00:00:00Z",
        "startUrl": SSO_URL,
        "region": "eu-west-1",
    }
)
SSO = f"sso_start_url = {SSO_URL}\nsso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = reader\n"
SSO_SESSION = f"sso_session = ours\nsso_account_id = 1\nsso_role_name = reader\n[sso-session ours]\nsso_start_url = {SSO_URL}\nsso_region = eu-west-1\nsso_registration_scopes = sso:account:access\n"


def cached(text: str) -> str:
    return f".aws/sso/cache/{hashlib.sha1(text.encode()).hexdigest()}.json"


E = Environment
FILE = E("file", {CREDENTIALS: PROFILES})
PLAIN = E("variables", {}, variables("PLAIN"))
WHO = [
    PLAIN,
    E("variables with token", {}, variables("PLAIN", "a-token")),
    FILE,
    FILE + E("stray token", {}, {"AWS_SESSION_TOKEN": "stray"}),
    FILE + PLAIN,
    E("keys in the configuration", {CONFIG: f"[default]\n{keys('CONFIG')}"}),
    E("both files", {CONFIG: f"[default]\n{keys('CONFIG')}region = eu-west-3\n", CREDENTIALS: PROFILES}),
    FILE + E("AWS_PROFILE", {}, {"AWS_PROFILE": "other"}),
    FILE + E("AWS_DEFAULT_PROFILE", {}, {"AWS_DEFAULT_PROFILE": "other"}),
    FILE + E("two profiles", {}, {"AWS_PROFILE": "other", "AWS_DEFAULT_PROFILE": "third"}),
    FILE + E("a profile and keys", {}, {"AWS_PROFILE": "other", **variables("PLAIN")}),
    FILE + E("empty profile", {}, {"AWS_PROFILE": ""}),
    FILE + E("absent profile", {}, {"AWS_PROFILE": "absent"}),
    E("key without secret", {}, {"AWS_ACCESS_KEY_ID": "PLAIN"}),
    FILE + E("key without secret", {}, {"AWS_ACCESS_KEY_ID": "PLAIN"}),
    E("secret without key", {}, {"AWS_SECRET_ACCESS_KEY": "secret-of-PLAIN"}),
    E("half a profile", {CREDENTIALS: "[default]\naws_access_key_id = HALF\n"}),
    E("capitals", {CREDENTIALS: f"[default]\n{keys('CAPITALS').upper().replace('SECRET-OF', 'secret-of')}"}),
    E("no section", {CREDENTIALS: keys("LOST")}),
    E("half a line", {CREDENTIALS: "[default]\naws_access_key_id\n"}),
    E("not text", {CONFIG: "[default\n\x00"}),
    E("files elsewhere", {"x": PROFILES, "y": "[profile other]\nregion = eu-west-3\n"},
      {"AWS_SHARED_CREDENTIALS_FILE": "~/x", "AWS_CONFIG_FILE": "{home}/y", "AWS_PROFILE": "other"}),
    E("absent files", {}, {"AWS_SHARED_CREDENTIALS_FILE": "{home}/x", "AWS_CONFIG_FILE": "{home}/y"}),
    E("program", {CONFIG: "[default]\ncredential_process = cat {home}/keys\n", "keys": PROGRAM}),
    E("absent program", {CONFIG: "[default]\ncredential_process = {home}/absent\n"}),
    E("failing program", {CONFIG: "[default]\ncredential_process = ls {home}/absent\n"}),
    E("role", {CONFIG: f"[default]\n{ROLE}source_profile = base\n[profile base]\n{keys('BASE')}"}),
    E("role of variables", {CONFIG: f"[default]\n{ROLE}credential_source = Environment\n"},
      {**variables("PLAIN"), "AWS_PROFILE": "default"}),
    E("role and keys", {CONFIG: f"[default]\n{ROLE}source_profile = base\n[profile base]\n{keys('BASE')}"},
      variables("PLAIN")),
    E("role of no one", {CONFIG: f"[default]\n{ROLE}source_profile = absent\n"}),
    E("web identity", {"token": "a.b.c"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
      "AWS_ROLE_ARN": "arn:aws:iam::1:role/web", "AWS_ROLE_SESSION_NAME": "tests"}),
    E("web identity without role", {"token": "a.b.c"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}),
    E("web identity without file", {}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
      "AWS_ROLE_ARN": "arn:aws:iam::1:role/web"}),
    E("web identity in a profile", {CONFIG: f"[default]\n{ROLE}web_identity_token_file = {{home}}/token\n",
      "token": "a.b.c"}),
    E("container", {"token": "t"}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{recorder}/container",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token"}),
    E("container with a word", {}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{recorder}/container",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "word"}),
    E("container elsewhere", {}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example.com/container"}),
    E("machine", {}, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{recorder}", "AWS_EC2_METADATA_DISABLED": UNSET}),
    E("machine in the configuration", {CONFIG: "[default]\nec2_metadata_service_endpoint = {recorder}\n"},
      {"AWS_EC2_METADATA_DISABLED": UNSET}),
    E("no one", {}, {}),
    E("SSO", {CONFIG: f"[default]\n{SSO}", cached(SSO_URL): SSO_TOKEN}),
    E("SSO of a session", {CONFIG: f"[default]\n{SSO_SESSION}", cached("ours"): SSO_TOKEN}),
    E("SSO without a token", {CONFIG: f"[default]\n{SSO}"}),
    E("arguments", {}, {}, {"DATATOOLS_CLIENT_PARAMS": {
      "aws_access_key_id": "GIVEN", "aws_secret_access_key": "secret-of-GIVEN"}}),
    FILE + PLAIN + E("arguments", {}, {"AWS_SESSION_TOKEN": "stray"}, {"DATATOOLS_CLIENT_PARAMS": {
      "aws_access_key_id": "GIVEN", "aws_secret_access_key": "secret-of-GIVEN"}}),
    E("half of the arguments", {}, variables("PLAIN"), {"DATATOOLS_CLIENT_PARAMS": {
      "aws_access_key_id": "GIVEN"}}),
    E("unknown argument", {}, variables("PLAIN"), {"DATATOOLS_CLIENT_PARAMS": {"nonsense": 1}}),
    E("unsigned", {}, {}, {"DATATOOLS_CLIENT_PARAMS": {"config": {"signature_version": "unsigned"}}}),
]  # fmt: skip


def where(
    name: str, settings: dict[str, Any] | None = None, config: str = "", **given: str
) -> Environment:
    """Return the settings of the endpoint; `config` is of the default profile."""
    files = {CONFIG: f"[default]\n{config}"} if config else {}
    return E(name, files, given, settings or {})


def arguments(**given: Any) -> dict[str, Any]:
    return {"DATATOOLS_CLIENT_PARAMS": given}


OBSTORES = {
    "AWS_ENDPOINT": "https://evil.example.com",
    "AWS_BUCKET": "evil",
    "AWS_TOKEN": "evil",
    "AWS_REQUEST_PAYER": "true",
    "AWS_S3_EXPRESS": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_ALLOW_HTTP": "no",
    "AWS_PROXY_URL": "http://127.0.0.1:9",
    "AWS_METADATA_ENDPOINT": "\n",
    "AWS_SSE_CUSTOMER_KEY_BASE64": "x",
    "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
    "AWS_CONDITIONAL_PUT": "no",
    "AWS_COPY_IF_NOT_EXISTS": "no",
    "AWS_CHECKSUM_ALGORITHM": "no",
    "AWS_DISABLE_TAGGING": "no!",
    "AWS_IMDSV1_FALLBACK": "no!",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
STORE = "https://store.example.com"
SERVICES = f"services = ours\n[services ours]\ns3 =\n  endpoint_url = {STORE}\n"
WHERE = [
    where("nowhere"),
    where("region", AWS_DEFAULT_REGION="eu-west-1"),
    where("AWS_REGION", AWS_REGION="eu-west-1"),
    where("two regions", AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="ap-south-1"),
    where("region of the profile", config="region = eu-north-1\n"),
    where("region of an argument", arguments(region_name="sa-east-1"), AWS_DEFAULT_REGION="eu-west-1"),
    where("empty region", AWS_DEFAULT_REGION=""),
    where("us-east-1", AWS_DEFAULT_REGION="us-east-1"),
    where("aws-global", AWS_DEFAULT_REGION="aws-global"),
    where("no region", AWS_DEFAULT_REGION="eu west"),
    where("line break", AWS_DEFAULT_REGION="eu-west-1\n"),
    where("quote", AWS_DEFAULT_REGION='eu"west'),
    *(where(name, AWS_DEFAULT_REGION=name) for name in
      ("us-iso-east-1", "us-isob-east-1", "eusc-de-east-1", "cn-north-1", "us-gov-west-1", "eu-new-9")),
    where("regional", AWS_DEFAULT_REGION="us-east-1", AWS_S3_US_EAST_1_REGIONAL_ENDPOINT="regional"),
    where("Metaflow's endpoint", {"S3_ENDPOINT_URL": STORE}),
    where("Metaflow's endpoint over boto3's", {"S3_ENDPOINT_URL": STORE}, AWS_ENDPOINT_URL_S3="https://evil.example.com"),
    where("endpoint with a path", {"S3_ENDPOINT_URL": f"{STORE}/some/path/"}),
    where("endpoint with a port", {"S3_ENDPOINT_URL": f"{STORE}:9000"}),
    where("endpoint of http", {"S3_ENDPOINT_URL": "http://store.example.com"}),
    where("endpoint of an argument", {**arguments(endpoint_url=STORE), "S3_ENDPOINT_URL": "https://evil.example.com"}),
    where("AWS_ENDPOINT_URL", AWS_ENDPOINT_URL=STORE),
    where("AWS_ENDPOINT_URL_S3", AWS_ENDPOINT_URL_S3=STORE, AWS_ENDPOINT_URL="https://evil.example.com"),
    where("ignored endpoints", AWS_ENDPOINT_URL=STORE, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true"),
    where("ignored endpoints in the profile", config="ignore_configured_endpoint_urls = true\n", AWS_ENDPOINT_URL=STORE),
    where("endpoint_url", config=f"endpoint_url = {STORE}\n"),
    where("services", config=SERVICES),
    where("endpoint that is none", AWS_ENDPOINT_URL="store.example.com"),
    where("endpoint with blanks", AWS_ENDPOINT_URL=f"{STORE}/a b"),
    where("endpoint with a bad port", AWS_ENDPOINT_URL=f"{STORE}:x"),
    where("FIPS", AWS_USE_FIPS_ENDPOINT="true", AWS_DEFAULT_REGION="us-west-2"),
    where("FIPS in the profile", config="use_fips_endpoint = true\nregion = us-west-2\n"),
    where("dual stack", AWS_USE_DUALSTACK_ENDPOINT="true", AWS_DEFAULT_REGION="eu-west-1"),
    where("dual stack of s3", config="s3 =\n  use_dualstack_endpoint = true\n", AWS_DEFAULT_REGION="eu-west-1"),
    where("virtual", {**arguments(config={"s3": {"addressing_style": "virtual"}}), "S3_ENDPOINT_URL": STORE}),
    where("path", arguments(config={"s3": {"addressing_style": "path"}}), AWS_DEFAULT_REGION="eu-west-1"),
    where("path in the profile", config="s3 =\n  addressing_style = path\n", AWS_DEFAULT_REGION="eu-west-1"),
    where("accelerated", arguments(config={"s3": {"use_accelerate_endpoint": True}})),
    where("region of the configuration", arguments(config={"region_name": "eu-west-2"})),
    where("obstore's own variables", **OBSTORES),
    where("no proxy is needed", {"S3_ENDPOINT_URL": "{recorder}"}, NO_PROXY="*"),
    where("no proxy for one", {"S3_ENDPOINT_URL": "{recorder}"}, NO_PROXY="127.0.0.1"),
    where("certificates of requests", AWS_CA_BUNDLE=UNSET),
    where("certificates of the profile", config="ca_bundle = {home}/../authority.pem\n", AWS_CA_BUNDLE=UNSET,
          REQUESTS_CA_BUNDLE=UNSET),
    where("certificates that are not there", AWS_CA_BUNDLE="{home}/absent"),
    where("no certificates", arguments(verify=False), AWS_CA_BUNDLE=UNSET, REQUESTS_CA_BUNDLE=UNSET),
    where("proxy of an argument", arguments(config={"proxies": {"https": "{recorder}"}}), HTTPS_PROXY="http://127.0.0.1:9"),
]  # fmt: skip
BUCKETS = ("dotted.bucket", "Capital-Bucket", "under_score", "ends-s3alias",
           "arn:aws:s3:us-west-2:123456789012:accesspoint:mine")  # fmt: skip

CASES = [
    *((who + WHERE[1], "bucket") for who in WHO),
    *((PLAIN + place, "bucket") for place in WHERE),
    *((place + E("and a file", {CREDENTIALS: PROFILES}), "bucket") for place in WHERE[::2]),
    *((PLAIN + WHERE[1], name) for name in BUCKETS),
    *((PLAIN + WHERE[20], name) for name in BUCKETS[:4]),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    read_once(monkeypatch)


def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 read each of its own data files once."""
    original = botocore.loaders.JSONFileLoader.load_file
    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "load_file", _remembered(original))


@functools.cache
def _remembered(original: Any) -> Any:
    found: dict[str, Any] = {}

    def load_file(self: Any, path: str) -> Any:
        if path not in found:
            found[path] = original(self, path)
        return found[path]

    return load_file


def told(seen: Seen) -> tuple[str, ...]:
    """Return the target of a request, and its signer and scope."""
    signature = seen.headers.get("authorization", "")
    scope = signature.partition("Credential=")[2].partition(",")[0].split("/")
    return (
        f"{seen.scheme}://{seen.host}{seen.path}",
        "/".join([*scope[:1], *scope[2:]]),
        signed_rightly(seen, scope[0]) if signature else "unsigned",
        seen.headers.get("x-amz-security-token", ""),
        seen.headers.get("x-amz-request-payer", ""),
        seen.headers.get("x-amz-server-side-encryption-customer-algorithm", ""),
    )


def signed_rightly(seen: Seen, name: str) -> str:
    """Tell whether a request was signed with the secret that belongs to the key."""
    fields = dict(
        p.strip().split("=", 1) for p in seen.headers["authorization"].split(" ", 1)[1].split(",")
    )
    headers = {name: seen.headers[name] for name in fields["SignedHeaders"].split(";")}
    request = AWSRequest(seen.method, f"{seen.scheme}://{seen.host}{seen.target}", headers)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    _, _, region, service, _ = fields["Credential"].rsplit("/", 4)
    signer = S3SigV4Auth(Credentials(name, f"secret-of-{name}"), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return "right" if signer.signature(text, request) == fields["Signature"] else "wrong"


def read_by_boto3(bucket: str, settings: dict[str, Any]) -> None:
    """Read an object as Metaflow does."""
    given = dict(settings.get("DATATOOLS_CLIENT_PARAMS", {}))
    if "S3_ENDPOINT_URL" in settings:
        given.setdefault("endpoint_url", settings["S3_ENDPOINT_URL"])
    config = dict(given.pop("config", {}))
    if config.get("signature_version") == "unsigned":
        config["signature_version"] = botocore.UNSIGNED
    given["config"] = ClientConfig(**config, retries={"total_max_attempts": 1})
    session = boto3.session.Session(botocore_session=Session())
    session.client("s3", **given).get_object(Bucket=bucket, Key="an-object")["Body"].read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize(
    ("environment", "bucket"), CASES, ids=[f"{case[0].name} · {case[1]}" for case in CASES]
)
def test_as_boto3(
    recorder: Recorder,
    environment: Environment,
    bucket: str,
    tmp_path: Path,
    kept_environment: None,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "authority.pem").write_bytes(recorder.authority.read_bytes())
    imds = E("", {}, {"AWS_EC2_METADATA_DISABLED": "true"})
    (imds + environment).enter(home, recorder)
    settings = json.loads(json.dumps(environment.settings).replace("{recorder}", recorder.url))
    right = outcome(recorder, lambda: read_by_boto3(bucket, settings), told)
    ours = outcome(recorder, lambda: read_by_mfc("s3", f"{bucket}/an-object", settings), told)
    assert ours == right, (ours.error, right.error)
    assert ours.error is None or isinstance(ours.error, (OSError, ValueError))
    assert (ours.error is None) == (right.error is None), (ours.error, right.error)


def test_an_old_signature_is_refused(
    recorder: Recorder, tmp_path: Path, kept_environment: None
) -> None:
    PLAIN.enter(tmp_path, recorder)
    recorder.seen.clear()
    with pytest.raises(PermissionError, match="signature 's3', which is not supported"):
        read_by_mfc("s3", "bucket/key", arguments(config={"signature_version": "s3"}))
    assert recorder.seen == []
