"""Credentials: the places searched, their order, and the messages without any."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.buckets import Bucket, Container, GoogleBucket
from tests.servers.identity import Tokens, certificate, service_account, tokens
from tests.servers.object_faults import Exchange, Relay, answer, relay
from tests.servers.objects import ACCOUNT, AZURITE, KEY, NO_AZURITE
from tests.servers.objects import azurite as azurite_with
from tests.servers.ports import free_port

from mfc.config import Config
from mfc.errors import BadSetting

from .conftest import filesystem

SERVICE = "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT"
#: Variables of this machine that affect no test.
KEPT = ("PATH", "TMPDIR", "SSL_CERT_FILE", "PYTHONPATH")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start as a user without configuration, on a machine without an identity."""
    for name in os.environ:
        if name not in KEPT and not name.startswith(("COV", "PYTEST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def identity() -> Iterator[Tokens]:
    with tokens() as made:
        yield made


class Amazon:
    """A bucket with a file, behind a relay that notes the signer of each request."""

    def __init__(self, bucket: Bucket, made: Relay) -> None:
        self.bucket, self.relay = bucket, made
        self.path = f"{bucket.name}/some/root/file"
        self.signed: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        made.breaks(self._note)

    def _note(self, exchange: Exchange) -> None:
        headers = exchange.handler.headers
        signature = headers["Authorization"]
        key = signature.split("Credential=")[1].split("/")[0] if signature else None
        self.signed.append(key)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        exchange.send()

    def read(self, **settings: Any) -> str | None:
        """Read the file; return the key that signed the request."""
        told = {"S3_ENDPOINT_URL": self.relay.url, "MFC_READ_TIMEOUT": 5, **settings}
        assert filesystem("s3", Config(told)).cat_file(self.path) == b"it"
        return self.signed[-1]


@pytest.fixture
def amazon(moto: str) -> Iterator[Amazon]:
    bucket = Bucket(moto)
    bucket.put("file", b"it")
    bucket.open("file")
    with relay(moto) as made:
        yield Amazon(bucket, made)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestAmazon:
    def test_keys_of_the_environment_are_used(
        self, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert amazon.read() == "environment"

    def test_client_parameters_take_precedence(
        self, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        keys = {"aws_access_key_id": "given", "aws_secret_access_key": "secret"}
        assert amazon.read(DATATOOLS_CLIENT_PARAMS=keys) == "given"
        monkeypatch.setenv("METAFLOW_DATATOOLS_CLIENT_PARAMS", json.dumps(keys))
        assert amazon.read() == "given"

    def test_the_shared_file_is_used(
        self, amazon: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = "aws_access_key_id = {}\naws_secret_access_key = secret\n"
        file = f"[default]\n{keys.format('usual')}[other]\n{keys.format('chosen')}"
        write(tmp_path / ".aws/credentials", file)
        assert amazon.read() == "usual"
        monkeypatch.setenv("AWS_PROFILE", "other")
        assert amazon.read() == "chosen"
        monkeypatch.setenv("AWS_PROFILE", "absent")
        with pytest.raises(PermissionError, match="AWS_PROFILE is 'absent'"):
            amazon.read()

    def test_a_profile_with_a_program_is_used(self, amazon: Amazon, tmp_path: Path) -> None:
        keys = {"Version": 1, "AccessKeyId": "program", "SecretAccessKey": "secret"}
        write(tmp_path / "keys.json", json.dumps(keys))
        write(
            tmp_path / ".aws/config", f"[default]\ncredential_process = cat {tmp_path}/keys.json\n"
        )
        assert amazon.read() == "program"

    def test_a_profile_with_a_role_is_used(
        self, amazon: Amazon, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
        monkeypatch.setenv("AWS_PROFILE", "reader")
        write(
            tmp_path / ".aws/config",
            "[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/reader\n"
            "source_profile = base\nregion = eu-west-1\n[profile base]\n"
            "aws_access_key_id = base\naws_secret_access_key = secret\n",
        )
        signed = amazon.read()
        assert signed is not None
        assert signed.startswith("ASIA")  # from moto's token service
        assert "/eu-west-1/s3/" in amazon.headers[-1]["authorization"]

    def test_session_variables_are_used(self, amazon: Amazon, tmp_path: Path) -> None:
        keys = "aws_access_key_id = session\naws_secret_access_key = secret\n"
        write(tmp_path / ".aws/credentials", f"[other]\n{keys}")
        variables = {"profile": [None, None, "other", None]}
        assert amazon.read(DATATOOLS_SESSION_VARS=variables) == "session"

    def test_the_role_of_a_machine_is_used(
        self, amazon: Amazon, identity: Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", identity.url)
        assert amazon.read() == "ASIAROLE"
        assert amazon.headers[-1]["x-amz-security-token"] == "session"

    def test_the_role_of_a_container_is_used(
        self, amazon: Amazon, identity: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "token", "token")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{identity.url}/container")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        assert amazon.read() == "ASIAROLE"

    def test_a_web_identity_is_used(
        self, amazon: Amazon, ministack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader")
        monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "tests")
        files = certificate(tmp_path)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(files[0]))
        with relay(ministack, files) as secure:  # obstore requests tokens only over TLS
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", secure.url)
            signed = amazon.read()
        assert signed is not None
        assert signed.startswith("ASIA")

    def test_requests_can_be_unsigned(
        self, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert amazon.read(MFC_S3_OPTIONS={"skip_signature": True}) is None
        unsigned = {"config": {"signature_version": "unsigned"}}
        assert amazon.read(DATATOOLS_CLIENT_PARAMS=unsigned) is None
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")  # obstore's own, ignored here
        with pytest.raises(PermissionError, match="No credentials for S3"):
            amazon.read()

    def test_missing_credentials_are_reported(self, amazon: Amazon) -> None:
        with pytest.raises(PermissionError, match="No credentials for S3: neither in METAFLOW_"):
            amazon.read()

    def test_the_requester_pays_option_is_sent(
        self, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        amazon.read(MFC_S3_OPTIONS={"request_payer": True})
        assert amazon.headers[-1]["x-amz-request-payer"] == "requester"

    def test_an_unknown_option_is_named(self, amazon: Amazon) -> None:
        options = {"skip_signature": True, "nonsense": "1"}
        with pytest.raises(PermissionError, match="cannot be opened as it is configured.*nonsense"):
            amazon.read(MFC_S3_OPTIONS=options)

    def test_an_invalid_endpoint_is_reported(self, amazon: Amazon) -> None:
        with pytest.raises(BadSetting, match="METAFLOW_S3_ENDPOINT_URL is 'minio:9000'"):
            amazon.read(S3_ENDPOINT_URL="minio:9000")

    @pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect", ""])
    def test_a_bucket_in_another_region_is_read(self, amazon: Amazon, code: str) -> None:
        """As Amazon answers: 400 with the region to a signer for another one, whose name is in a header."""
        region = "<Region>eu-central-1</Region>" if code == "AuthorizationHeaderMalformed" else ""
        status = 301 if code == "PermanentRedirect" else 400
        wrong = answer(
            status, code, f"</Message>{region}<Message>", x_amz_bucket_region="eu-central-1"
        )

        def elsewhere(exchange: Exchange) -> None:
            signature = exchange.handler.headers["Authorization"] or ""
            (amazon._note if "/eu-central-1/s3/" in signature else wrong)(exchange)

        amazon.relay.breaks(elsewhere)
        keys = {"aws_access_key_id": "given", "aws_secret_access_key": "secret"}
        assert amazon.read(DATATOOLS_CLIENT_PARAMS=keys) == "given"
        config = Config({"S3_ENDPOINT_URL": amazon.relay.url, "DATATOOLS_CLIENT_PARAMS": keys})
        assert filesystem("s3", config).size(amazon.path) == 2


class TestGoogle:
    def read(self, url: str, bucket: GoogleBucket) -> list[str | None]:
        """Read a file; return the credential of the request."""
        seen: list[str | None] = []

        def note(exchange: Exchange) -> None:
            seen.append(exchange.handler.headers["Authorization"])
            exchange.send()

        bucket.put("file", b"it")
        with relay(url) as made:
            made.breaks(note)
            options = {"base_url": made.url, "skip_signature": False}
            files = filesystem("gs", Config({"MFC_GS_OPTIONS": options, "MFC_READ_TIMEOUT": 5}))
            assert files.cat_file(f"{bucket.name}/some/root/file") == b"it"
        return seen

    def test_a_service_account_is_used(
        self, fake_gcs: str, identity: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = service_account(tmp_path, identity.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        read = self.read(fake_gcs, GoogleBucket(fake_gcs))
        assert str(read[-1]).startswith("Bearer ")

    def test_an_emulator_is_used(self, fake_gcs: str, monkeypatch: pytest.MonkeyPatch) -> None:
        bucket = GoogleBucket(fake_gcs)
        bucket.put("file", b"it")
        for host in (fake_gcs, fake_gcs.removeprefix("http://")):
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
            assert filesystem("gs", Config()).size(f"{bucket.name}/some/root/file") == 2

    def test_missing_credentials_are_reported(self) -> None:
        with pytest.raises(
            PermissionError, match="No credentials for Google Cloud Storage .*not found"
        ):
            filesystem("gs", Config()).cat_file("bucket/file")

    @pytest.mark.parametrize("text", ["{", "{}", "[]"])
    def test_an_invalid_file_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        write(tmp_path / "account.json", text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        with pytest.raises(
            PermissionError, match="No credentials for Google.*GOOGLE_APPLICATION_CREDENTIALS"
        ):
            filesystem("gs", Config()).cat_file("bucket/file")


class TestAzure:
    @pytest.fixture
    def container(self, azurite: str) -> Container:
        made = Container(azurite)
        made.put("file", b"it")
        return made

    def read(self, container: Container, **settings: Any) -> None:
        config = Config({"MFC_READ_TIMEOUT": 5, **settings})
        path = f"{container.name}/some/root/file"
        assert filesystem("azure", config).cat_file(path) == b"it"

    def test_a_connection_string_is_used(
        self, container: Container, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={container.url};"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        self.read(container)
        self.read(container, AZURE_STORAGE_BLOB_SERVICE_ENDPOINT=container.url)
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "nonsense")
        with pytest.raises(BadSetting, match="AccountName"):
            self.read(container)

    @pytest.mark.parametrize("name", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"])
    def test_a_key_is_used(
        self, container: Container, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, KEY)
        self.read(container, AZURE_STORAGE_BLOB_SERVICE_ENDPOINT=container.url)

    @pytest.mark.parametrize("mark", ["", "?"])
    def test_a_signature_is_used(
        self, container: Container, monkeypatch: pytest.MonkeyPatch, mark: str
    ) -> None:
        signature = signed(container)
        place = {"AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": container.url}
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"{mark}{signature}")
        self.read(container, **place)
        files = filesystem("azure", Config(place))
        with pytest.raises(FileNotFoundError) as missing:
            files.cat_file(f"{container.name}/absent")
        assert "sig=" not in f"{missing.value}{missing.value.__cause__}"
        monkeypatch.delenv("AZURE_STORAGE_SAS_TOKEN")
        self.read(container, AZURE_STORAGE_BLOB_SERVICE_ENDPOINT=f"{container.url}/?{signature}")

    def test_a_managed_identity_is_used_through_azure_identity(
        self, identity: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not AZURITE.exists():
            pytest.skip(NO_AZURITE)
        files = certificate(tmp_path)
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{identity.url}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files[0]))
        with azurite_with(tmp_path, *files) as url:
            store = filesystem("azure", Config({"AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": url}))
            with pytest.raises(FileNotFoundError, match="ContainerNotFound"):
                store.cat_file("absent/file")
        assert [asked for asked in identity.asked if "/msi" in asked]

    def test_missing_credentials_are_reported(self) -> None:
        endpoint = "https://account.blob.core.windows.net"
        with pytest.raises(
            PermissionError, match="No credentials for Azure, neither AZURE_STORAGE"
        ):
            filesystem("azure", Config({SERVICE: endpoint})).cat_file("container/file")

    def test_tokens_are_sent_over_tls_only(self, container: Container) -> None:
        with pytest.raises(PermissionError, match="over https:// alone"):
            self.read(container, AZURE_STORAGE_BLOB_SERVICE_ENDPOINT=container.url)
        with pytest.raises(PermissionError, match="over https:// alone"):
            self.read(container, **{SERVICE: container.url, "MFC_AZURE_OPTIONS": {"token": "t"}})

    def test_a_missing_account_is_reported(self, container: Container) -> None:
        with pytest.raises(PermissionError, match="No account of Azure: set METAFLOW_AZURE_"):
            self.read(container)
        with pytest.raises(BadSetting, match="expected a URL, https://HOST"):
            self.read(container, AZURE_STORAGE_BLOB_SERVICE_ENDPOINT="devstoreaccount1")


def signed(container: Container) -> str:
    """Return a signature with which the container may be read for an hour."""
    import datetime as dt

    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        ACCOUNT,
        container.name,
        account_key=KEY,
        permission=ContainerSasPermissions(read=True),
        expiry=dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1),
    )
