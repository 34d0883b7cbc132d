"""mfc's built-in implementations keep the contract as well."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfc._plugins.defaults import any_fsspec, metaflow_events, metaflow_namespaces, pickles
from mfc.config import Config
from mfc.hookspecs import Capabilities, Event, Filesystem, Support
from mfc.model import Pathspec, Record
from mfc_testing import (
    ArtifactDecoderTests,
    Backend,
    FilesystemTests,
    MemoryBackend,
    MemoryProvider,
    NamespacePolicyTests,
    ProviderTests,
    Store,
    TriggerDecoderTests,
)
from mfc_testing.decoder import Trap


class MemoryTests(ProviderTests):
    metered = False
    shared_by_processes = False
    capabilities = Capabilities()

    @pytest.fixture
    def new_backend(self) -> Callable[[], Backend]:
        return lambda: MemoryBackend(MemoryProvider(capabilities=self.capabilities))


class TestMemoryThatDoesNothing(MemoryTests):
    capabilities = Capabilities(
        order=Support.UNSUPPORTED, attempts=Support.UNSUPPORTED, bulk=Support.UNSUPPORTED
    )


class TestMemoryAsItIs(MemoryTests):
    capabilities = MemoryProvider().capabilities


class TestMemoryThatDoesAll(MemoryTests):
    capabilities = Capabilities(
        **dict.fromkeys(
            ("tags", "since", "until", "user", "names", "metadata", "limit", "bulk", "retag"),
            Support.FULL,
        )
    )


class TestMemoryOfSomeVersions(MemoryTests):
    capabilities = Capabilities(
        tags=Support.VERSIONED,
        since=Support.PARTIAL,
        names=Support.FULL,
        limit=Support.FULL,
        bulk=Support.VERSIONED,
        retag=Support.FULL,
    )


class FsspecStore:
    """Files behind one of fsspec's own filesystems."""

    _numbers = itertools.count()

    def __init__(self, ds_type: str, root: str) -> None:
        self.ds_type, self.root = ds_type, f"{ds_type}://{root}/{next(self._numbers)}"

    def filesystem(self) -> Filesystem:
        found = any_fsspec.mfc_filesystem(self.ds_type, Config())
        assert found is not None
        return found

    def put(self, path: str, content: bytes) -> None:
        files: Any = self.filesystem()
        full = f"{self.root}/{path}"
        files.makedirs(full.rpartition("/")[0], exist_ok=True)
        with files.open(full, "wb") as file:
            file.write(content)


class TestMemoryFiles(FilesystemTests):
    module = "mfc._plugins.defaults.any_fsspec"
    known_gaps = {"file-open-twice": "fsspec's memory:// opens a file that is open as the same one"}  # noqa: RUF012

    @pytest.fixture
    def new_store(self) -> Callable[[], Store]:
        return lambda: FsspecStore("memory", "kit")


class TestFsspecsLocalFiles(FilesystemTests):
    module = "mfc._plugins.defaults.any_fsspec"

    @pytest.fixture
    def new_store(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: FsspecStore("file", str(tmp_path))


class TestTagNamespaces(NamespacePolicyTests):
    module = "mfc._plugins.defaults.metaflow_namespaces"

    @pytest.fixture
    def policy(self) -> metaflow_namespaces.TagNamespaces:
        return metaflow_namespaces.mfc_namespace_policy(Config({"USER": "ada"}))

    @pytest.fixture
    def visible(self) -> list[tuple[str, Record]]:
        return [("user:ada", RUN), ("blue", RUN), ("runtime:dev", RUN)]

    @pytest.fixture
    def hidden(self) -> list[tuple[str, Record]]:
        return [("user:bob", RUN), ("ada", RUN), ("user:ada", BARE), ("user:Ada", RUN), ("", RUN)]


RUN = Record(
    Pathspec(("F", "1")), 1, "ada", frozenset({"blue"}), frozenset({"user:ada", "runtime:dev"})
)
BARE = Record(Pathspec(("F", "2")), 2, "ada")


class TestMetaflowEvents(TriggerDecoderTests):
    module = "mfc._plugins.defaults.metaflow_events"

    @pytest.fixture
    def plugin(self) -> object:
        return metaflow_events

    @pytest.fixture
    def samples(self) -> list[tuple[dict[str, str], list[Event]]]:
        sale = {"timestamp": 1_700_000_000, "id": "a-1", "name": "sale", "type": "event"}
        run = {"timestamp": 1_700_000_009, "id": "F/1/end/2", "name": "metaflow.F.end"}
        recorded = json.dumps([sale, {**run, "type": "run"}])
        events = [
            Event("sale", "a-1", 1_700_000_000, "event"),
            Event("metaflow.F.end", "F/1/end/2", 1_700_000_009, "run"),
        ]
        return [
            ({"execution-triggers": recorded, "attempt": "0"}, events),
            ({"execution-triggers": json.dumps([{}])}, [Event()]),
        ]

    @pytest.fixture
    def without(self) -> list[dict[str, str]]:
        return [{"execution-triggers": "[]"}, {"execution-triggers": "null"}]


class TestPickles(ArtifactDecoderTests):
    module = "mfc._plugins.defaults.pickles"
    known_gaps = {"decoder-trailing": "a pickle ends at its stop, and is read so by Metaflow"}  # noqa: RUF012

    @pytest.fixture
    def plugin(self) -> object:
        return pickles

    @pytest.fixture(params=["pickle-v4", "gzip+pickle-v4", "pickle-v2", "gzip+pickle-v2"])
    def encoding(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def samples(self, encoding: str) -> list[tuple[bytes, object]]:
        values = (None, True, 5, "größe", [1, [2]], {"a": (1, 2.5)}, {1, 2}, b"bytes", "x" * 300)
        protocol = int(encoding[-1])
        return [(pickle.dumps(value, protocol), value) for value in values]

    @pytest.fixture
    def unsafe(self) -> list[bytes]:
        return [pickle.dumps(Trap(), 4), pickle.dumps([{"deep": Trap()}], 2)]
