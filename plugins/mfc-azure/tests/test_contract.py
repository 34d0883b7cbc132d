from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from azure.storage.blob import BlobServiceClient
from tests.servers.objects import KEY

from mfc.config import Config
from mfc.hookspecs import Filesystem
from mfc.testing import FilesystemTests, Store
from mfc_azure import mfc_filesystem

_numbers = itertools.count()


class Container:
    """A new container of a real server."""

    ds_type = "azure"

    def __init__(self, url: str) -> None:
        self.settings: dict[str, Any] = {
            "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": url,
            "MFC_AZURE_OPTIONS": {"account_key": KEY},
        }
        name = f"container-{next(_numbers)}"
        self._client = BlobServiceClient(url, credential=KEY).create_container(name)
        self.root = f"{name}/some/root"

    def filesystem(self) -> Filesystem:
        made = mfc_filesystem("azure", Config(self.settings))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        self._client.upload_blob(f"some/root/{path}", content, overwrite=True)


class TestAzurite(FilesystemTests):
    module = "mfc_azure"
    #: Metaflow writes no such names; `test_names` has all others.
    known_gaps: ClassVar = {
        "file-names": "obstore takes no keys with control characters, such as tab and newline"
    }

    @pytest.fixture
    def new_store(self, azurite: str) -> Callable[[], Store]:
        return lambda: Container(azurite)
