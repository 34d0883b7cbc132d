"""Metaflow's records as lines of JSON, values beside them: the smallest plugin, to be copied."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from mfc.errors import BadAddress, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import Capabilities, Meter, TagChange, hookimpl
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query

__version__ = "0.1.0"

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1
_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
Names = Collection[str] | None


@hookimpl
def mfc_metadata_provider(address: str, meter: Meter) -> ExampleProvider | None:
    """Return the provider for `example@DIR`."""
    kind, _, directory = address.partition("@")
    if kind != "example":
        return None
    if not os.path.isfile(f"{directory}/records.jsonl"):
        raise BadAddress(f"No records.jsonl in {directory!r}; expected example@DIR")
    return ExampleProvider(os.path.abspath(directory), meter)


@hookimpl
def mfc_filesystem(ds_type: str) -> Any:
    """Return the filesystem for `example`: plain files, as Metaflow lays them out."""
    import fsspec  # only readers of values need it

    return fsspec.filesystem("file") if ds_type == "example" else None


class ExampleProvider:
    """The records of one directory, to which other processes may write meanwhile."""

    #: All parts of a query are left to the client, and tags cannot be changed.
    capabilities = Capabilities()

    def __init__(self, directory: str, meter: Meter) -> None:
        self.address, self._directory, self._meter = f"example@{directory}", directory, meter

    def root(self, ds_type: str) -> str | None:
        return self._directory if ds_type == "example" else None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        if path.level is Level.ARTIFACT:
            return next(self.artifacts(path.parent, (path.name,), attempt), None)
        return next((record for record in self._objects() if record.path == path), None)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        return _by_age(r for r in self._objects() if r.path.parent == path)

    def metadata(self, path: Pathspec, names: Names = None) -> Iterator[MetadataRecord]:
        lines = self._lines("MetadataRecord")
        found = (MetadataRecord.of_json(at, line) for at, line in lines if at == path)
        return _by_age((r for r in found if names is None or r.name in names), newest_first=False)

    def artifacts(
        self, path: Pathspec, names: Names = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        done = [str(record.value) for record in self.metadata(path, ("attempt-done",))]
        wanted = str(attempt) if attempt is not None else "".join(done[-1:])
        lines, run = self._lines("ArtifactRecord"), self.get(path.up(Level.RUN))
        found = (ArtifactRecord.of_json(at, line, run) for at, line in lines if at.parent == path)
        named = (r for r in found if names is None or r.path.name in names)
        return _by_age(r for r in named if str(r.attempt) == wanted)

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        raise MetaflowTaggingError(f"{self.address} is read only")

    def _objects(self) -> Iterator[Record]:
        """Yield flows, runs, steps and tasks; of several lines on one object the last counts."""
        objects = dict(self._lines("Record"))
        for path, found in objects.items():
            run = Record.of_json(path, objects.get(path.up(Level.RUN), found))
            yield Record.of_json(path, found, run)

    def _lines(self, kind: str) -> Iterator[tuple[Pathspec, dict[str, Any]]]:
        self._meter.add(reads=1)
        try:
            with open(f"{self._directory}/records.jsonl", encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
        except (OSError, ValueError) as cause:
            raise UnreadableRecord(self.address, str(cause)) from cause
        for found in (line for line in lines if line["is"] == kind):
            yield Pathspec(tuple(found[name] for name in _NAMES if name in found)), found


def _by_age(records: Iterable[Any], *, newest_first: bool = True) -> Iterator[Any]:
    return iter(sorted(records, key=lambda record: record.created, reverse=newest_first))
