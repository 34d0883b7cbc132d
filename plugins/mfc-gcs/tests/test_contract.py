from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote

import pytest
import requests

from mfc.config import Config
from mfc.hookspecs import Filesystem
from mfc.testing import FilesystemTests, Store
from mfc_gcs import mfc_filesystem

_numbers = itertools.count()


class Bucket:
    """A new bucket of a real server."""

    ds_type = "gs"

    def __init__(self, url: str) -> None:
        self._url, self._name = url, f"bucket-{next(_numbers)}"
        made = requests.post(f"{url}/storage/v1/b", json={"name": self._name}, timeout=30)
        made.raise_for_status()
        self.root = f"gs://{self._name}/some/root"

    def filesystem(self) -> Filesystem:
        made = mfc_filesystem("gs", Config({"MFC_GS_OPTIONS": {"base_url": self._url}}))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        name = quote(f"some/root/{path}", safe="")
        url = f"{self._url}/upload/storage/v1/b/{self._name}/o?uploadType=media&name={name}"
        headers = {"Content-Type": "application/octet-stream"}
        requests.post(url, data=content, headers=headers, timeout=30).raise_for_status()


class TestFakeGcs(FilesystemTests):
    module = "mfc_gcs"
    #: Metaflow writes no such names; `test_names` has all others.
    known_gaps: ClassVar = {
        "file-names": "obstore takes no keys with control characters, such as tab and newline"
    }

    @pytest.fixture
    def new_store(self, fake_gcs: str) -> Callable[[], Store]:
        return lambda: Bucket(fake_gcs)
