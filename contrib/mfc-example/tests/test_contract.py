"""The plugin fulfils the contract, both of providers and of filesystems."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mfc.model import Level
from mfc.testing import FilesystemTests, ProviderTests
from mfc_example import SCHEMA, ExampleProvider, mfc_filesystem

OF_ARTIFACTS = ("attempt", "sha", "ds_type", "location", "encoding")


class Place:
    """A directory that somebody records in."""

    ds_type = "example"

    def __init__(self, directory):
        self.root = str(directory)
        with self._opened() as database:
            database.executescript(SCHEMA)

    def _opened(self):
        return closing(sqlite3.connect(f"{self.root}/records.sqlite"))

    def provider(self, meter):
        return ExampleProvider(self.root, meter)

    def filesystem(self):
        return mfc_filesystem(self.ds_type)


class Records(Place):
    def put(self, history):
        with self._opened() as database, database:
            for record in (*history.records, *history.artifacts):
                at = str(record.path.parent), record.path.name
                row = (
                    *at,
                    record.created,
                    record.user,
                    *(getattr(record, n, None) for n in OF_ARTIFACTS),
                )
                known = "parent = ? AND name = ? AND attempt IS ?"
                database.execute(f"DELETE FROM record WHERE {known}", (*at, row[4]))
                database.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                if record.path.level is Level.RUN:
                    run = str(record.path)
                    tags = [(run, tag, 0) for tag in record.tags]
                    tags += [(run, tag, 1) for tag in record.system_tags]
                    database.execute("DELETE FROM tag WHERE run = ?", (run,))
                    database.executemany("INSERT INTO tag VALUES (?, ?, ?)", tags)
            for m in history.metadata:
                row = str(m.task), m.name, json.dumps(m.value), m.type, m.created, m.attempt
                database.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?, ?)", row)


class Files(Place):
    def put(self, path, content):
        file = Path(self.root, path)
        os.makedirs(file.parent, exist_ok=True)
        file.write_bytes(content)


class TestProvider(ProviderTests):
    module = "mfc_example"

    @pytest.fixture
    def new_backend(self, tmp_path_factory):
        return lambda: Records(tmp_path_factory.mktemp("records"))


class TestFilesystem(FilesystemTests):
    module = "mfc_example"

    @pytest.fixture
    def new_store(self, tmp_path_factory):
        return lambda: Files(tmp_path_factory.mktemp("files"))
