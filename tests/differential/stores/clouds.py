"""The servers that stand for the clouds, and each client's settings for them."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
from tests.servers import identity, objects

AMAZON = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip


@dataclass(frozen=True)
class Cloud:
    """A store with one empty bucket."""

    ds_type: str
    root: str
    #: variables for both clients: the settings that Metaflow's users have
    environment: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def amazon(folder: Path) -> Iterator[Cloud]:
    """Run a server of S3."""
    with objects.ministack(folder) as url:
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="results")
        yield Cloud("s3", "s3://results/some/root", {**AMAZON, "METAFLOW_S3_ENDPOINT_URL": url})


@contextlib.contextmanager
def google(folder: Path) -> Iterator[Cloud]:
    """Run a server of Google Cloud Storage, with a service account."""
    with objects.fake_gcs(folder) as url, identity.tokens() as tokens:
        made = requests.post(f"{url}/storage/v1/b", json={"name": "results"}, timeout=30)
        made.raise_for_status()
        account = identity.service_account(folder, tokens.url)
        environment = {
            "STORAGE_EMULATOR_HOST": url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(account),
        }
        yield Cloud("gs", "gs://results/some/root", environment)


@contextlib.contextmanager
def azure(folder: Path) -> Iterator[Cloud]:
    """Run a server of Azure over TLS, for tokens of a managed identity, the only kind that Metaflow uses."""
    certificate, key = identity.certificate(folder)
    usual = ssl.get_default_verify_paths().cafile
    trusted = folder / "trusted.pem"
    known = Path(usual).read_bytes() if usual else b""
    trusted.write_bytes(known + certificate.read_bytes())
    with objects.azurite(folder, certificate, key) as url, identity.tokens() as tokens:
        from azure.storage.blob import BlobServiceClient

        service = BlobServiceClient(url, credential=objects.KEY, connection_verify=str(certificate))
        service.create_container("results")
        service.close()
        environment = {
            "METAFLOW_AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": url,
            "IDENTITY_ENDPOINT": f"{tokens.url}/msi",
            "IDENTITY_HEADER": "x",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "REQUESTS_CA_BUNDLE": str(trusted),
        }
        yield Cloud("azure", "results/some/root", environment)


CLOUDS = {"s3": amazon, "gs": google, "azure": azure}
