from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mfc.config import Config
from mfc.hookspecs import MetadataProvider, Meter
from mfc.model import Level, Pathspec
from mfc_local import mfc_filesystem, mfc_metadata_provider
from mfc_local._files import LocalFiles
from mfc_testing import Backend, FilesystemTests, History, ProviderTests, Store, fields

from .conftest import Tree


class Directory:
    """A directory of results, written as Metaflow writes it."""

    def __init__(self, home: Path) -> None:
        self.tree = Tree(home)

    def provider(self, meter: Meter) -> MetadataProvider:
        made = mfc_metadata_provider(f"local@{self.tree.home}", Config(), meter)
        assert made is not None
        return made

    def put(self, history: History) -> None:
        for record in history.records:
            self._write(record.path, "_self.json", fields(record))
        for artifact in history.artifacts:
            name = f"{artifact.attempt}_artifact_{artifact.path.name}.json"
            self._write(artifact.path.parent, name, fields(artifact))
        for noted in history.metadata:
            name = f"sysmeta_{noted.name}_{noted.created}.json"
            self._write(noted.task, name, fields(noted))

    def damage(self, path: Pathspec) -> None:
        (self.tree.meta(str(path)) / "_self.json").write_text('{"ts_epoch": 17')

    def _write(self, path: Pathspec, name: str, made: dict[str, object]) -> None:
        assert path.level > Level.ROOT
        (self.tree.meta(str(path)) / name).write_text(json.dumps(made), encoding="utf-8")


class TestLocalProvider(ProviderTests):
    module = "mfc_local"

    @pytest.fixture
    def new_backend(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Backend]:
        return lambda: Directory(tmp_path_factory.mktemp("results"))


class Folder:
    """A datastore in a folder."""

    ds_type = "local"

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def filesystem(self) -> LocalFiles:
        found = mfc_filesystem(self.ds_type, Config())
        assert found is not None
        return found

    def put(self, path: str, content: bytes) -> None:
        file = Path(self.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


class TestLocalFiles(FilesystemTests):
    module = "mfc_local"

    @pytest.fixture
    def new_store(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
        return lambda: Folder(tmp_path_factory.mktemp("store"))
