"""New buckets of real servers, written by each cloud's own means, without mfc."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import boto3
import requests
from azure.storage.blob import BlobServiceClient
from tests.servers.objects import KEY

from mfc.config import Config
from mfc.hookspecs import Filesystem

AMAZON = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "region_name": "us-east-1",
}
_numbers = itertools.count()


class Bucket:
    """A bucket of S3.

    Args:
        url: of the server.
    """

    ds_type = "s3"

    def __init__(self, url: str) -> None:
        self.url, self.name = url, f"bucket-{next(_numbers)}"
        self._client = boto3.client("s3", endpoint_url=url, **AMAZON)
        self._client.create_bucket(Bucket=self.name)
        self.root = f"s3://{self.name}/some/root"

    def settings(self, url: str) -> dict[str, Any]:
        """Return a client's settings for reaching it at `url`."""
        return {"S3_ENDPOINT_URL": url, "DATATOOLS_CLIENT_PARAMS": AMAZON}

    def filesystem(self) -> Filesystem:
        from mfc_s3 import mfc_filesystem

        made = mfc_filesystem("s3", Config(self.settings(self.url)))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=f"some/root/{path}", Body=content)

    def open(self, path: str) -> None:
        """Make a file public."""
        self._client.put_object_acl(Bucket=self.name, Key=f"some/root/{path}", ACL="public-read")


class GoogleBucket:
    """A bucket of Google Cloud Storage.

    Args:
        url: of the server.
    """

    ds_type = "gs"

    def __init__(self, url: str) -> None:
        self.url, self.name = url, f"bucket-{next(_numbers)}"
        made = requests.post(f"{url}/storage/v1/b", json={"name": self.name}, timeout=30)
        made.raise_for_status()
        self.root = f"gs://{self.name}/some/root"

    def settings(self, url: str) -> dict[str, Any]:
        """Return a client's settings for reaching it at `url`."""
        return {"MFC_GS_OPTIONS": {"base_url": url}}

    def filesystem(self) -> Filesystem:
        from mfc_gcs import mfc_filesystem

        made = mfc_filesystem("gs", Config(self.settings(self.url)))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        name = quote(f"some/root/{path}", safe="")
        url = f"{self.url}/upload/storage/v1/b/{self.name}/o?uploadType=media&name={name}"
        headers = {"Content-Type": "application/octet-stream"}
        requests.post(url, data=content, headers=headers, timeout=30).raise_for_status()


class Container:
    """A container of Azure.

    Args:
        url: of the account at the server.
    """

    ds_type = "azure"

    def __init__(self, url: str) -> None:
        self.url, self.name = url, f"container-{next(_numbers)}"
        self._client = BlobServiceClient(url, credential=KEY).create_container(self.name)
        self.root = f"{self.name}/some/root"

    def settings(self, url: str) -> dict[str, Any]:
        """Return a client's settings for reaching it at `url`."""
        return {
            "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": url,
            "MFC_AZURE_OPTIONS": {"account_key": KEY},
        }

    def filesystem(self) -> Filesystem:
        from mfc_azure import mfc_filesystem

        made = mfc_filesystem("azure", Config(self.settings(self.url)))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        self._client.upload_blob(f"some/root/{path}", content, overwrite=True)
