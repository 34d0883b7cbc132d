"""Credentials and endpoint for Google Cloud Storage in each environment: as its own library chooses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.cloud import storage
from tests.servers.identity import pem, private_key
from tests.servers.recorder import Recorder, Seen

from .vendors import UNSET, Environment, outcome, read_by_mfc

E = Environment
KEY = pem(private_key()).decode()
GCLOUD = ".config/gcloud/application_default_credentials.json"
VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


def account(**given: Any) -> dict[str, Any]:
    """Return the file of a service account; None removes a field."""
    usual = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": KEY,
        "client_email": "tests@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return {name: value for name, value in {**usual, **given}.items() if value is not None}


def user(**given: Any) -> dict[str, Any]:
    """Return gcloud's file of a user."""
    usual = {"type": "authorized_user", "client_id": "id", "client_secret": "a-secret"}
    return {**usual, "refresh_token": "refresh", **given}


def federated(source: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return the file of a federated identity."""
    usual = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    }
    return {**usual, **given}


IMPERSONATION = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/other@x.iam.gserviceaccount.com:generateAccessToken"


def given(
    name: str, content: dict[str, Any] | str, files: dict[str, str] | None = None, **variables: str
) -> Environment:
    """Return an environment whose variable names a file."""
    text = content if isinstance(content, str) else json.dumps(content)
    return E(
        name,
        {"account.json": text, **(files or {})},
        {VARIABLE: "{home}/account.json", **variables},
    )


USER = E("user of gcloud", {GCLOUD: json.dumps(user())})
ACCOUNT = given("service account", account())
WHO = [
    ACCOUNT,
    USER,
    USER + ACCOUNT,
    USER + E("empty variable", {}, {VARIABLE: ""}),
    E("absent file", {}, {VARIABLE: "{home}/absent.json"}),
    USER + E("absent file", {}, {VARIABLE: "{home}/absent.json"}),
    E("a folder", {}, {VARIABLE: "{home}"}),
    E("gcloud elsewhere", {"x/application_default_credentials.json": json.dumps(user(refresh_token="other"))}, {"CLOUDSDK_CONFIG": "{home}/x"}),
    given("without private_key_id", account(private_key_id=None)),
    given("without client_id", account(client_id=None)),
    given("without project", account(project_id=None)),
    given("without email", account(client_email=None)),
    given("without key", account(private_key=None)),
    given("without token_uri", account(token_uri=None)),
    given("other token_uri", account(token_uri="https://tokens.example.com/token")),
    given("key on one line", account(private_key=KEY.replace("\n", "\\n"))),
    given("key that is none", account(private_key="-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n")),
    given("quota project", account(quota_project_id="payer")),
    given("quota project of a variable", account(), GOOGLE_CLOUD_QUOTA_PROJECT="payer"),
    given("two quota projects", account(quota_project_id="payer"), GOOGLE_CLOUD_QUOTA_PROJECT="other-payer"),
    given("user in a variable's file", user(refresh_token="mine")),
    given("user with quota project", user(quota_project_id="payer")),
    given("user with an account", user(account="me@example.com")),
    given("user without token", {"type": "authorized_user", "client_id": "id", "client_secret": "s"}),
    given("other universe", account(universe_domain="other.example.com")),
    given("this universe", account(universe_domain="googleapis.com")),
    given("not JSON", "{"),
    given("no object", "[]"),
    given("empty object", "{}"),
    given("empty", ""),
    given("unknown type", {"type": "nonsense"}),
    given("not UTF-8 alone", "\ufeff{}"),
    given("federated by a file", federated({"file": "{home}/token"}), {"token": "subject"}),
    given("federated by a file of JSON", federated({"file": "{home}/token", "format": {"type": "json", "subject_token_field_name": "t"}}), {"token": '{"t": "subject"}'}),
    given("federated by an absent file", federated({"file": "{home}/absent"})),
    given("federated by a URL", federated({"url": "http://tokens.example.com/token-of-mine"})),
    given("federated and impersonated", federated({"file": "{home}/token"}, service_account_impersonation_url=IMPERSONATION), {"token": "subject"}),
    given("federated with quota", federated({"file": "{home}/token"}, quota_project_id="payer"), {"token": "subject"}),
    given("federated by a program that may not run", federated({"executable": {"command": "cat {home}/answer"}})),
    given("federated by a program", federated({"executable": {"command": "cat {home}/answer"}}),
          {"answer": '{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": "subject", "expiration_time": 4000000000}'},
          GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES="1"),
    given("federated by an absent program", federated({"executable": {"command": "{home}/absent"}}), GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES="1"),
    given("federated by nothing", federated({})),
    given("federated of a user", {"type": "external_account_authorized_user", "audience": "a", "client_id": "id", "client_secret": "s", "refresh_token": "federated-refresh", "token_url": "https://sts.googleapis.com/v1/oauthtoken", "token_info_url": "https://sts.googleapis.com/v1/introspect"}),
    given("impersonated", {"type": "impersonated_service_account", "service_account_impersonation_url": IMPERSONATION, "source_credentials": user(), "delegates": []}),
    given("impersonated with quota", {"type": "impersonated_service_account", "service_account_impersonation_url": IMPERSONATION, "source_credentials": user(), "quota_project_id": "payer"}),
    given("impersonated by an account", {"type": "impersonated_service_account", "service_account_impersonation_url": IMPERSONATION, "source_credentials": account()}),
    E("machine", {}, {"NO_GCE_CHECK": UNSET, "GCE_METADATA_HOST": "metadata.example.com", "GCE_METADATA_IP": "metadata.example.com"}),
    E("no one", {}, {}),
    E("an API key", {}, {"GOOGLE_API_KEY": "a-key"}),
]  # fmt: skip


def where(name: str, settings: dict[str, Any] | None = None, **variables: str) -> Environment:
    return E(name, {}, variables, settings or {})


OBSTORES = {
    "GOOGLE_BASE_URL": "https://evil.example.com",
    "GOOGLE_BEARER_TOKEN": "evil",
    "GOOGLE_SKIP_SIGNATURE": "true",
    "GOOGLE_SERVICE_ACCOUNT": "/absent.json",
    "GOOGLE_SERVICE_ACCOUNT_KEY": "{}",
    "GOOGLE_SERVICE_ACCOUNT_PATH": "/absent.json",
    "GOOGLE_BUCKET": "evil",
    "GOOGLE_BUCKET_NAME": "evil",
    "GOOGLE_ALLOW_HTTP": "no!",
    "GOOGLE_PROXY_URL": "http://127.0.0.1:9",
    "SERVICE_ACCOUNT": "/absent.json",
}
WHERE = [
    where("usual"),
    *(where(name, **{name: value}) for name, value in OBSTORES.items()),
    where("override", API_ENDPOINT_OVERRIDE="https://store.example.com"),
    where("override with a path", API_ENDPOINT_OVERRIDE="https://store.example.com/some"),
    where("override of http", API_ENDPOINT_OVERRIDE="http://store.example.com"),
    where("override of the version", API_VERSION_OVERRIDE="v2"),
    where("a project", GOOGLE_CLOUD_PROJECT="project"),
    where("universe of a variable", GOOGLE_CLOUD_UNIVERSE_DOMAIN="other.example.com"),
    where("mTLS always", GOOGLE_API_USE_MTLS_ENDPOINT="always"),
    where("mTLS never", GOOGLE_API_USE_MTLS_ENDPOINT="never"),
    where("no client certificate", GOOGLE_API_USE_CLIENT_CERTIFICATE="false"),
    where("certificates of curl", REQUESTS_CA_BUNDLE=UNSET, CURL_CA_BUNDLE="{home}/../authority.pem"),
    where("certificates that are not there", REQUESTS_CA_BUNDLE="{home}/absent"),
    where("proxy for one", HTTPS_PROXY="http://127.0.0.1:9", https_proxy="{recorder}"),
    where("proxy of all", HTTPS_PROXY=UNSET, HTTP_PROXY=UNSET, ALL_PROXY="{recorder}"),
    where("proxy without scheme", HTTPS_PROXY="{bare}", HTTP_PROXY="{bare}"),
]  # fmt: skip
CASES = [
    *WHO,
    *(ACCOUNT + place for place in WHERE),
    *(USER + place for place in WHERE),
]


def told(seen: Seen) -> tuple[str, ...]:
    """Return the target of a request, its identity, and the billed project."""
    return (
        f"{seen.scheme}://{seen.host}",
        seen.headers.get("authorization", "unsigned"),
        seen.headers.get("x-goog-user-project", ""),
    )


def read_by_google() -> None:
    """Read an object as Metaflow does."""
    credentials, project = google.auth.default(scopes=storage.Client.SCOPE)
    client = storage.Client(credentials=credentials, project=project or "none")
    client.bucket("bucket").blob("an-object").download_as_bytes(retry=None)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let google-auth not wait between tries, nor run gcloud for the name of a project."""
    from google.auth import _cloud_sdk, _exponential_backoff

    monkeypatch.setattr(_cloud_sdk, "get_project_id", lambda: None)
    monkeypatch.setattr(_exponential_backoff.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("environment", CASES, ids=[case.name for case in CASES])
def test_as_google_cloud_storage(
    recorder: Recorder, environment: Environment, tmp_path: Path, kept_environment: None
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "authority.pem").write_bytes(recorder.authority.read_bytes())
    (E("", {}, {"NO_GCE_CHECK": "true"}) + environment).enter(home, recorder)
    right = outcome(recorder, read_by_google, told)
    ours = outcome(
        recorder, lambda: read_by_mfc("gs", "bucket/an-object", environment.settings), told
    )
    assert ours == right, (ours.error, right.error)
    assert ours.error is None or isinstance(ours.error, (OSError, ValueError))
    assert (ours.error is None) == (right.error is None), (ours.error, right.error)
