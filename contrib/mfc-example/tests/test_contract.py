"""The plugin fulfils the contract, of providers and of filesystems."""

from __future__ import annotations

import json

import pytest

from mfc_example import mfc_filesystem, mfc_metadata_provider
from mfc_testing import FilesystemTests, ProviderTests, fields


class Place:
    """A directory into which records are written."""

    ds_type = "example"

    def __init__(self, directory):
        self.root, self.file = str(directory), directory / "records.jsonl"
        self.file.touch()

    def provider(self, meter):
        return mfc_metadata_provider(f"example@{self.root}", meter)

    def filesystem(self):
        return mfc_filesystem("example")

    def put(self, history):
        with self.file.open("a", encoding="utf-8") as file:
            for record in (*history.records, *history.artifacts, *history.metadata):
                file.write(json.dumps({"is": type(record).__name__, **fields(record)}) + "\n")


class Files(Place):
    def put(self, path, content):
        (self.file.parent / path).parent.mkdir(parents=True, exist_ok=True)
        (self.file.parent / path).write_bytes(content)


class TestProvider(ProviderTests):
    module = "mfc_example"

    @pytest.fixture
    def new_backend(self, tmp_path_factory):
        return lambda: Place(tmp_path_factory.mktemp("records"))


class TestFilesystem(FilesystemTests):
    @pytest.fixture
    def new_store(self, tmp_path_factory):
        return lambda: Files(tmp_path_factory.mktemp("files"))
