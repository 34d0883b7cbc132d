"""Messages of a filesystem reach the reader; the location of included files."""

from __future__ import annotations

import gzip
import io
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from mfc import Client
from mfc._pickle import IncludedFile
from mfc._recorded._included_file import included_file
from mfc.errors import MetaflowDataMissing, UnreadableBlob
from mfc.hookspecs import hookimpl
from mfc_testing import MemoryProvider


class Files:
    """Files in a dictionary, some of which are errors."""

    def __init__(self, content: dict[str, bytes | OSError]) -> None:
        self._content = content

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        found = self._content.get(path, FileNotFoundError(f"no {path} in the bucket"))
        if isinstance(found, OSError):
            raise found
        return found[start:end]

    def size(self, path: str) -> int:
        return len(self.cat_file(path))

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        return io.BytesIO(self.cat_file(path))


def client_of(provider: MemoryProvider, ds_type: str, files: Files) -> Client:
    @hookimpl
    def mfc_filesystem(ds_type: str) -> Files | None:
        return files if ds_type == wanted else None

    wanted = ds_type
    plugin = SimpleNamespace(mfc_filesystem=mfc_filesystem, __name__="files")
    return Client(provider, namespace=None, plugins=["local", plugin])


def included(provider: MemoryProvider, url: str, content: dict[str, bytes | OSError]) -> object:
    client = client_of(provider, url.partition("://")[0], Files(content))
    note = IncludedFile({"type": "uploader-v2", "sub-type": "uploaded", "url": url})
    return included_file(client.task("Train/2/end/2")._scope, note, "subject")


@pytest.mark.parametrize("path", ["cont/cont/root/F/key", "cont/root/F/key"])
def test_a_file_included_in_azure_is_found_under_its_doubled_container(
    provider: MemoryProvider, path: str
) -> None:
    found = included(provider, "azure://cont/root/F/key", {path: gzip.compress(b"it")})
    assert found == b"it"


def test_other_stores_have_no_doubled_container(provider: MemoryProvider) -> None:
    with pytest.raises(MetaflowDataMissing, match="recorded \\(b/root/F/key\\)") as missing:
        included(provider, "s3://b/root/F/key", {"b/b/root/F/key": gzip.compress(b"it")})
    assert "no b/root/F/key in the bucket" in str(missing.value.__cause__)


@pytest.mark.parametrize("kind", [PermissionError, OSError, TimeoutError])
def test_a_message_of_the_store_is_passed_on(provider: MemoryProvider, kind: type[OSError]) -> None:
    error = kind("the clock is wrong")
    with pytest.raises(UnreadableBlob, match="^subject: the clock is wrong \\(") as failed:
        included(provider, "s3://b/root/F/key", {"b/root/F/key": error})
    assert failed.value.__cause__ is error


def test_an_error_of_the_system_is_explained(provider: MemoryProvider) -> None:
    error = PermissionError(13, "Permission denied")
    with pytest.raises(UnreadableBlob, match="mode 0600"):
        included(provider, "s3://b/root/F/key", {"b/root/F/key": error})
