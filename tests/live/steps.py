"""The writes of recorded runs, one after the other, into three places: a directory, a service, memory."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Protocol

from mfc import Client
from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider
from mfc_testing.history import History

ROOT = Path(__file__).parents[2]
META = "_meta"


class Place(Protocol):
    """The place that records are written to, and read from."""

    def write(self, name: str, content: bytes) -> None:
        """Write one file of a recorded tree, or its meaning."""

    def client(self) -> Client:
        """Return a client that reads there."""


class Directory:
    """A `.metaflow` directory that grows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / ".metaflow").mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def client(self) -> Client:
        return Client(f"local@{self._folder}", namespace=None)


class Records:
    """Records in a backend of the kit's, with a datastore in a directory beside it."""

    def __init__(self, folder: Path, put: Any, provider: Any) -> None:
        self._store, self._put, self._provider = Directory(folder), put, provider

    def write(self, name: str, content: bytes) -> None:
        history = meaning(name, content)
        if history is None:
            self._store.write(name, content)
        else:
            self._put(history)

    def put(self, history: History) -> None:
        """Write records."""
        self._put(history)

    def client(self) -> Client:
        provider: MetadataProvider = self._provider()
        return Client(provider, namespace=None)


def memory(folder: Path) -> Records:
    """Return a place in memory."""
    provider = MemoryProvider()
    return Records(folder, provider.put, lambda: provider)


def service(folder: Path, hub: Any) -> Records:
    """Return a service with an empty database."""
    spec = importlib.util.spec_from_file_location(
        "kit_backend_of_the_service", ROOT / "plugins/mfc-service/tests/backend.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    backend = module.Service(*hub.new())
    # Rows may come before those that the kit requires first: artifacts before `attempt-done`.
    backend.recordable = lambda history: history
    return Records(folder, backend.put, lambda: f"service@{backend.url}")


def meaning(name: str, content: bytes) -> History | None:
    """Return the meaning of a file for a metadata provider; None for files of the datastore."""
    *above, file = name.removeprefix(".metaflow/").split("/")
    if not above or above[-1] != META:
        return None
    fields, path = json.loads(content), Pathspec(tuple(above[:-1]))
    if file == "_self.json":
        return History([Record.of_json(path, fields)])
    if file.startswith("sysmeta_"):
        if not isinstance(fields["value"], str):
            fields["value"] = json.dumps(fields["value"])
        return History(metadata=[MetadataRecord.of_json(path, fields)])
    if "_artifact_" in file:
        return History(artifacts=[ArtifactRecord.of_json(path.child(fields["name"]), fields)])
    return None
