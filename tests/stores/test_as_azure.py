"""Credentials and endpoint for Azure in each environment: as azure-identity and azure-storage-blob choose them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient
from tests.servers.identity import certificate
from tests.servers.objects import KEY as EMULATOR
from tests.servers.recorder import Recorder, Seen

from .vendors import UNSET, Environment, outcome, read_by_mfc

E = Environment
KEY = base64.b64encode(b"key of the account").decode()
OTHER_KEY = base64.b64encode(b"another key").decode()
SAS = "sv=2022-11-02&ss=b&srt=sco&sp=rl&se=2099-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D"
HOST = "https://ours.blob.core.windows.net"
SERVICE = "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT"
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
TENANT = "11111111-1111-1111-1111-111111111111"
PLACE = {SERVICE: HOST}
CLI = json.dumps(
    {
        "accessToken": "token-of-cli",
        "expiresOn": "2099-01-01 00:00:00.000000",
        "expires_on": 4070908800,
        "subscription": "s",
        "tenant": "t",
        "tokenType": "Bearer",
    }
)


def application(**given: str) -> dict[str, str]:
    """Return the variables of an application; an empty value removes one."""
    usual = {
        "AZURE_CLIENT_ID": "application",
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_SECRET": "a-secret",
    }
    return {name: value for name, value in {**usual, **given}.items() if value}


def who(name: str, files: dict[str, str] | None = None, **variables: str) -> Environment:
    return E(name, files or {}, variables, PLACE)


WHO = [
    who("no one"),
    who("application", **application()),
    who("application of another authority", **application(AZURE_AUTHORITY_HOST="login.microsoftonline.us")),
    who("application of an authority with https", **application(AZURE_AUTHORITY_HOST="https://login.example.com/")),
    who("application of an authority by http", **application(AZURE_AUTHORITY_HOST="http://login.example.com")),
    who("application with a line break in the authority", **application(AZURE_AUTHORITY_HOST="login.microsoftonline.com\n")),
    who("application of an odd tenant", **application(AZURE_TENANT_ID="a b")),
    who("application of a tenant with a line break", **application(AZURE_TENANT_ID=f"{TENANT}\n")),
    who("application of a named tenant", **application(AZURE_TENANT_ID="ours.onmicrosoft.com")),
    who("application without tenant", **application(AZURE_TENANT_ID="")),
    who("application without secret", **application(AZURE_CLIENT_SECRET="")),
    who("application with a certificate", {}, **application(AZURE_CLIENT_SECRET="", AZURE_CLIENT_CERTIFICATE_PATH="{home}/../both.pem")),
    who("application with an absent certificate", **application(AZURE_CLIENT_SECRET="", AZURE_CLIENT_CERTIFICATE_PATH="{home}/absent")),
    who("application with a file that is no certificate", {"bad.pem": "bad"}, **application(AZURE_CLIENT_SECRET="", AZURE_CLIENT_CERTIFICATE_PATH="{home}/bad.pem")),
    who("a user with a password", **application(AZURE_CLIENT_SECRET="", AZURE_USERNAME="me", AZURE_PASSWORD="a-password")),
    who("workload", {"token": "ey.subject"}, AZURE_CLIENT_ID="workload", AZURE_TENANT_ID=TENANT, AZURE_FEDERATED_TOKEN_FILE="{home}/token"),
    who("workload of another authority", {"token": "ey.subject"}, AZURE_CLIENT_ID="workload", AZURE_TENANT_ID=TENANT, AZURE_FEDERATED_TOKEN_FILE="{home}/token", AZURE_AUTHORITY_HOST="https://login.partner.microsoftonline.cn/"),
    who("workload without file", AZURE_CLIENT_ID="workload", AZURE_TENANT_ID=TENANT, AZURE_FEDERATED_TOKEN_FILE="{home}/token"),
    who("workload and application", {"token": "ey.subject"}, **application(AZURE_FEDERATED_TOKEN_FILE="{home}/token")),
    who("App Service", IDENTITY_ENDPOINT="{recorder}/msi", IDENTITY_HEADER="x"),
    who("App Service of a user's identity", IDENTITY_ENDPOINT="{recorder}/msi", IDENTITY_HEADER="x", AZURE_CLIENT_ID="user-assigned"),
    who("IDENTITY_ENDPOINT without header", IDENTITY_ENDPOINT="{recorder}/msi"),
    who("MSI_ENDPOINT", MSI_ENDPOINT="{recorder}/msi"),
    who("MSI_ENDPOINT of a user's identity", MSI_ENDPOINT="{recorder}/msi", AZURE_CLIENT_ID="user-assigned"),
    who("MSI_ENDPOINT with a secret", MSI_ENDPOINT="{recorder}/msi", MSI_SECRET="x"),
    who("Service Fabric", IDENTITY_ENDPOINT="{recorder}/msi", IDENTITY_HEADER="x", IDENTITY_SERVER_THUMBPRINT="t"),
    who("machine", AZURE_POD_IDENTITY_AUTHORITY_HOST="{recorder}"),
    who("machine of a user's identity", AZURE_POD_IDENTITY_AUTHORITY_HOST="{recorder}", AZURE_CLIENT_ID="user-assigned"),
    who("application and App Service", **application(IDENTITY_ENDPOINT="{recorder}/msi", IDENTITY_HEADER="x")),
    who("az login", {"bin/az": f"#!/bin/sh\necho '{CLI}'\n"}, PATH="{home}/bin:/usr/bin:/bin"),
    who("az that fails", {"bin/az": "#!/bin/sh\necho a-secret >&2; exit 3\n"}, PATH="{home}/bin:/usr/bin:/bin"),
    who("az that says nonsense", {"bin/az": "#!/bin/sh\necho a-secret\n"}, PATH="{home}/bin:/usr/bin:/bin"),
    who("az and application", {"bin/az": f"#!/bin/sh\necho '{CLI}'\n"}, **application(PATH="{home}/bin:/usr/bin:/bin")),
    who("credentials of production alone", {"bin/az": f"#!/bin/sh\necho '{CLI}'\n"}, PATH="{home}/bin:/usr/bin:/bin", AZURE_TOKEN_CREDENTIALS="prod"),
    who("credentials of development alone", {"bin/az": f"#!/bin/sh\necho '{CLI}'\n"}, **application(PATH="{home}/bin:/usr/bin:/bin", AZURE_TOKEN_CREDENTIALS="dev")),
    who("one credential by name", **application(AZURE_TOKEN_CREDENTIALS="EnvironmentCredential")),
    who("credentials of another word", **application(AZURE_TOKEN_CREDENTIALS="nonsense")),
]  # fmt: skip
OBSTORES = {
    "AZURE_STORAGE_TOKEN": "evil",
    "AZURE_STORAGE_ENDPOINT": "https://evil.example.com",
    "AZURE_ENDPOINT": "https://evil.example.com",
    "AZURE_STORAGE_USE_EMULATOR": "true",
    "AZURE_USE_FABRIC_ENDPOINT": "true",
    "AZURE_SKIP_SIGNATURE": "true",
    "AZURE_CONTAINER_NAME": "evil",
    "AZURE_STORAGE_CLIENT_ID": "evil",
    "AZURE_STORAGE_CLIENT_SECRET": "evil",
    "AZURE_STORAGE_TENANT_ID": "evil",
    "AZURE_STORAGE_AUTHORITY_HOST": "https://evil.example.com",
    "AZURE_MSI_ENDPOINT": "http://evil.example.com",
    "AZURE_USE_AZURE_CLI": "true",
    "AZURE_DISABLE_TAGGING": "no!",
    "AZURE_CREDENTIAL_TYPE": "access_key",
    "AZURE_PROXY_URL": "http://127.0.0.1:9",
    "AZURE_ALLOW_HTTP": "no!",
}
APPLICATION = WHO[1]
WHERE = [
    *(E(name, {}, {name: value}) for name, value in OBSTORES.items()),
    *(E(f"at {url}", {}, {}, {SERVICE: url}) for url in (
        f"{HOST}/", "https://ours-secondary.blob.core.windows.net", "https://ours.blob.core.chinacloudapi.cn",
        "https://ours.blob.core.usgovcloudapi.net", "https://ours.z1.blob.storage.azure.net", "https://data.example.com",
        "https://data.example.com/some/path", "https://ours.blob.core.windows.net:8443", "http://ours.blob.core.windows.net",
        f"{HOST}/?{SAS}", f"{HOST}?{SAS}", "https://ours-ipv6.blob.core.windows.net")),
    E("certificates of curl", {}, {"REQUESTS_CA_BUNDLE": UNSET, "CURL_CA_BUNDLE": "{home}/../authority.pem"}),
    E("certificates that are not there", {}, {"REQUESTS_CA_BUNDLE": "{home}/absent"}),
    E("proxy of all", {}, {"HTTPS_PROXY": UNSET, "HTTP_PROXY": UNSET, "ALL_PROXY": "{recorder}"}),
]  # fmt: skip


def connected(name: str, text: str, **settings: str) -> Environment:
    return E(name, {}, {CONNECTION: text}, settings)


ACCOUNT = f"AccountName=ours;AccountKey={KEY}"
CONNECTED = [
    connected("account and key", ACCOUNT),
    connected("with https", f"DefaultEndpointsProtocol=https;{ACCOUNT};EndpointSuffix=core.windows.net"),
    connected("with http", f"DefaultEndpointsProtocol=http;{ACCOUNT};EndpointSuffix=core.windows.net"),
    connected("with http and no suffix", f"DefaultEndpointsProtocol=http;{ACCOUNT}"),
    connected("with a suffix", f"{ACCOUNT};EndpointSuffix=core.chinacloudapi.cn"),
    connected("with a semicolon", f"{ACCOUNT};"),
    connected("in capitals", f"ACCOUNTNAME=ours;ACCOUNTKEY={KEY}"),
    connected("with an endpoint", f"{ACCOUNT};BlobEndpoint=https://data.example.com/"),
    connected("with an endpoint and a path", f"{ACCOUNT};BlobEndpoint=https://data.example.com/ours"),
    connected("with an endpoint and a signature", f"BlobEndpoint={HOST};SharedAccessSignature={SAS}"),
    connected("with an endpoint elsewhere and a signature", f"BlobEndpoint=https://data.example.com;SharedAccessSignature={SAS}"),
    connected("with a signature in the endpoint", f"BlobEndpoint={HOST}/?{SAS}"),
    connected("with name and signature", f"AccountName=ours;SharedAccessSignature={SAS}"),
    connected("with a question mark", f"AccountName=ours;SharedAccessSignature=?{SAS}"),
    connected("with key and signature", f"{ACCOUNT};SharedAccessSignature={SAS}"),
    connected("with a secondary", f"{ACCOUNT};BlobEndpoint={HOST};BlobSecondaryEndpoint=https://ours-secondary.blob.core.windows.net"),
    connected("with a secondary alone", f"{ACCOUNT};BlobSecondaryEndpoint=https://x.example.com"),
    connected("with other services", f"{ACCOUNT};QueueEndpoint=https://q.example.com"),
    connected("of the emulator", "UseDevelopmentStorage=true"),
    connected("without a name", f"AccountKey={KEY}"),
    connected("of nonsense", "nonsense"),
    connected("with half a field", f"{ACCOUNT};x"),
    connected("with a key that is none", "AccountName=ours;AccountKey=k%y"),
    connected("empty name", f"AccountName=;AccountKey={KEY}"),
]  # fmt: skip


def chosen(name: str, settings: dict[str, Any] | None = None, **variables: str) -> Environment:
    """Return an environment with a credential that Metaflow's own settings cannot express."""
    return E(name, {}, variables, {**PLACE, **(settings or {})})


CHOSEN = [
    (chosen("key", AZURE_STORAGE_KEY=KEY), KEY),
    (chosen("key and application", AZURE_STORAGE_KEY=KEY, **application()), KEY),
    (chosen("key of the account", AZURE_STORAGE_KEY=KEY, AZURE_STORAGE_ACCOUNT="ours"), KEY),
    (chosen("key of adlfs", AZURE_STORAGE_ACCOUNT_KEY=KEY), KEY),
    (chosen("signature", AZURE_STORAGE_SAS_TOKEN=SAS), SAS),
    (chosen("signature with a question mark", AZURE_STORAGE_SAS_TOKEN=f"?{SAS}"), SAS),
    (chosen("signature with a line break", AZURE_STORAGE_SAS_TOKEN=f"{SAS}\n"), SAS),
    (chosen("signature and application", AZURE_STORAGE_SAS_TOKEN=SAS, **application()), SAS),
    (chosen("connection string of this account", **{CONNECTION: ACCOUNT}), KEY),
    (chosen("option over all", {"MFC_AZURE_OPTIONS": {"account_key": KEY}}, AZURE_STORAGE_KEY=OTHER_KEY, **application()), KEY),
    (chosen("signature as option", {"MFC_AZURE_OPTIONS": {"sas_key": SAS}}, AZURE_STORAGE_KEY=OTHER_KEY, **application()), SAS),
    (chosen("signature and environment", {SERVICE: f"{HOST}/?{SAS}"}, AZURE_STORAGE_KEY=OTHER_KEY), SAS),
]  # fmt: skip
LEFT_ASIDE = [
    chosen("connection string of another account", **{CONNECTION: f"AccountName=other;AccountKey={OTHER_KEY}"}, **application()),
    chosen("key of another account", AZURE_STORAGE_KEY=OTHER_KEY, AZURE_STORAGE_ACCOUNT="other", **application()),
    chosen("connection string without a key", **{CONNECTION: "AccountName=ours"}, **application()),
]  # fmt: skip


KEYS = {"ours": KEY, "other": OTHER_KEY, "emulator": EMULATOR}


def told(seen: Seen) -> tuple[str, ...]:
    """Return the target of a request, and its identity."""
    authorization = seen.headers.get("authorization", "")
    if authorization.startswith("SharedKey "):
        authorization = f"SharedKey {authorization[10:].partition(':')[0]} {signed_by(seen)}"
    query = sorted((name, value) for name, value in seen.query.items() if name != "timeout")
    if any(name == "sig" for name, _ in query):
        authorization = ""  # Metaflow also sends a token, which Azure ignores
    return f"{seen.scheme}://{seen.host}{seen.path}", authorization, str(query)


def signed_by(seen: Seen, keys: Mapping[str, str] = KEYS) -> str:
    """Tell which of the keys signed a request.

    Source:
        Azure, authorize with Shared Key, version 2009-09-19 and later.
    """
    signer = seen.headers["authorization"][10:].partition(":")[0]
    usual = ("content-encoding", "content-language", "content-length", "content-md5", "content-type",
             "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")  # fmt: skip
    length = seen.headers.get("content-length", "0")
    known = {**seen.headers, "content-length": "" if length == "0" else length}
    marks = sorted(
        (name, value) for name, value in seen.headers.items() if name.startswith("x-ms-")
    )
    for date in (known.get("date", ""), ""):
        lines = [seen.method, *(date if name == "date" else known.get(name, "") for name in usual)]
        lines += [f"{name}:{value}" for name, value in marks]
        lines += [f"/{signer}{seen.path}", *(f"{k}:{v}" for k, v in sorted(seen.query.items()))]
        for name, key in keys.items():
            code = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256)
            if seen.headers["authorization"].endswith(base64.b64encode(code.digest()).decode()):
                return name
    return "unknown"


def read_by_azure(environment: Environment) -> None:
    """Read an object as Metaflow does, or as Azure's library does by a connection string."""
    given: dict[str, Any] = {"retry_total": 0}
    text = environment.variables.get(CONNECTION)
    if text is not None:
        client = BlobServiceClient.from_connection_string(text, **given)
    else:
        url = environment.settings[SERVICE]
        client = BlobServiceClient(url, credential=DefaultAzureCredential(), **given)
    client.get_blob_client("box", "an-object").download_blob().readall()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let azure-core not wait between tries."""
    from azure.core.pipeline.transport import RequestsTransport

    monkeypatch.setattr(RequestsTransport, "sleep", lambda self, seconds: None)
    caplog.set_level(logging.CRITICAL)


def entered(environment: Environment, recorder: Recorder, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "authority.pem").write_bytes(recorder.authority.read_bytes())
    files = certificate(tmp_path)
    (tmp_path / "both.pem").write_bytes(b"".join(file.read_bytes() for file in files))
    nowhere = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1",
               "PATH": "{home}/bin"}  # fmt: skip
    (E("", {}, nowhere) + environment).enter(home, recorder)
    for file in home.glob("bin/*"):
        file.chmod(0o700)


CASES = [*WHO, *(APPLICATION + place for place in WHERE), *CONNECTED]


@pytest.mark.parametrize("environment", CASES, ids=[case.name for case in CASES])
def test_as_azure_storage_blob(
    recorder: Recorder, environment: Environment, tmp_path: Path, kept_environment: None
) -> None:
    entered(environment, recorder, tmp_path)
    right = outcome(recorder, lambda: read_by_azure(environment), told)
    ours = outcome(
        recorder, lambda: read_by_mfc("azure", "box/an-object", environment.settings), told
    )
    assert ours == right, (ours.error, right.error)
    assert ours.error is None or isinstance(ours.error, (OSError, ValueError))
    assert (ours.error is None) == (right.error is None), (ours.error, right.error)


@pytest.mark.parametrize(("environment", "credential"), CHOSEN, ids=[c[0].name for c in CHOSEN])
def test_a_chosen_credential_is_used(
    recorder: Recorder,
    environment: Environment,
    credential: str,
    tmp_path: Path,
    kept_environment: None,
) -> None:
    """The credential is used as Azure's library uses that key or signature."""
    entered(environment, recorder, tmp_path)

    def given() -> None:
        signature = credential if credential == SAS else None
        client = BlobServiceClient(HOST, credential=signature or KEY)
        client.get_blob_client("box", "an-object").download_blob().readall()

    right = outcome(recorder, given, told)
    ours = outcome(
        recorder, lambda: read_by_mfc("azure", "box/an-object", environment.settings), told
    )
    assert ours.error is None
    assert ours == right


@pytest.mark.parametrize("environment", LEFT_ASIDE, ids=[case.name for case in LEFT_ASIDE])
def test_credentials_of_another_account_are_ignored(
    recorder: Recorder, environment: Environment, tmp_path: Path, kept_environment: None
) -> None:
    entered(environment, recorder, tmp_path)
    read_by_mfc("azure", "box/an-object", environment.settings)
    assert recorder.objects[-1].headers["authorization"].startswith("Bearer ")
