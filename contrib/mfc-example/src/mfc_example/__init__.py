"""Metaflow's records in a SQLite file, values beside it: the smallest plugin. Copy this folder."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any

from mfc.errors import BadAddress, MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import Capabilities, Meter, Support, TagChange, hookimpl
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query

__version__ = "0.1.0"

#: The version of the plugin contract that this is written for.
MFC_CONTRACT = 1
#: All parts of a query are left to the client.
MFC_CAPABILITIES = Capabilities(retag=Support.FULL)
#: What the file holds; whoever records makes it. Flows to tasks have no attempt.
SCHEMA = """
CREATE TABLE record (parent TEXT, name TEXT, created INT, user TEXT,
                     attempt INT, sha TEXT, ds_type TEXT, location TEXT, encoding TEXT);
CREATE TABLE metadata (task TEXT, name TEXT, value TEXT CHECK (json_valid(value)),
                       type TEXT, created INT, attempt INT);
CREATE TABLE tag (run TEXT, tag TEXT, system BOOL);
"""
_FOUND = "SELECT created, user FROM record WHERE parent = ? AND name = ? AND attempt IS NULL"
_LISTED = "SELECT * FROM record WHERE parent = ? AND attempt IS ? ORDER BY created DESC, name"
_NOTED = "SELECT name, value, type, created, attempt FROM metadata WHERE task = ? ORDER BY created"

Names = Collection[str] | None


@hookimpl
def mfc_metadata_provider(address: str, meter: Meter) -> ExampleProvider | None:
    """Answer for `example@DIR`."""
    kind, _, directory = address.partition("@")
    if kind != "example":
        return None
    if not os.path.isfile(f"{directory}/records.sqlite"):
        raise BadAddress(f"No records.sqlite in {directory!r}; expected example@DIR")
    return ExampleProvider(os.path.abspath(directory), meter)


@hookimpl
def mfc_filesystem(ds_type: str) -> Any:
    """Answer for `example`: plain files, as Metaflow lays them out."""
    if ds_type != "example":
        return None
    import fsspec  # only for who reads values with this plugin

    return fsspec.filesystem("file")


class ExampleProvider:
    """The records of one directory, which others may write to meanwhile."""

    capabilities = MFC_CAPABILITIES

    def __init__(self, directory: str, meter: Meter) -> None:
        from pathlib import Path  # as SQLite: only for who reads with this plugin

        self.address, self._directory, self._meter = f"example@{directory}", directory, meter
        self._uri = f"{Path(directory).as_uri()}/records.sqlite?mode=rw"  # never created

    def root(self, ds_type: str) -> str | None:
        return self._directory if ds_type == "example" else None

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        if path.level is Level.ARTIFACT:
            return next(self.artifacts(path.parent, (path.name,), attempt), None)
        rows = self._rows(_FOUND, str(path.parent), path.name)
        return next((Record(path, c, user, *self._tags(path)) for c, user in rows), None)

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        for _, name, created, user, *_ in self._rows(_LISTED, str(path), None):
            child = path.child(name)
            yield Record(child, created, user, *self._tags(child))

    def metadata(self, path: Pathspec, names: Names = None) -> Iterator[MetadataRecord]:
        for name, value, *row in self._rows(_NOTED, str(path)):
            if names is None or name in names:
                yield MetadataRecord(path, name, json.loads(value), *row)

    def artifacts(
        self, path: Pathspec, names: Names = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        if attempt is None:  # the one finished last; where none has finished, there are none
            done = self.metadata(path, ("attempt-done",))
            attempt = max((int(record.value) for record in done), default=-1)
        user_tags, system_tags = self._tags(path)
        for _, name, created, user, *row in self._rows(_LISTED, str(path), attempt):
            if names is None or name in names:
                yield ArtifactRecord(path.child(name), created, user, user_tags, system_tags, *row)

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        if self.get(run) is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        with self._opened(writing=True) as database:
            database.execute("BEGIN IMMEDIATE")  # from here on nobody else writes
            tags = change(*self._tags(run))
            database.execute("DELETE FROM tag WHERE run = ? AND NOT system", (str(run),))
            database.executemany("INSERT INTO tag VALUES (?, ?, 0)", [(str(run), t) for t in tags])
        return tags

    def _tags(self, path: Pathspec) -> tuple[frozenset[str], frozenset[str]]:
        """Return the user and the system tags of the run that `path` is, or is below."""
        rows = self._rows("SELECT tag, system FROM tag WHERE run = ?", str(path.up(Level.RUN)))
        system_tags = frozenset(tag for tag, system in rows if system)
        return frozenset(tag for tag, system in rows if not system), system_tags

    def _rows(self, select: str, *values: object) -> list[Any]:
        """Return all rows at once: one that is left half read would keep writers waiting."""
        self._meter.add(reads=1)
        try:
            with self._opened() as database:
                return list(database.execute(select, values))
        except UnicodeEncodeError:  # half a character, which no name in the file has
            return []

    @contextmanager
    def _opened(self, *, writing: bool = False) -> Iterator[Any]:
        """Open the file for a block that no exception of SQLite leaves."""
        import sqlite3  # only for who reads with this plugin

        try:
            database = sqlite3.connect(self._uri, timeout=30, isolation_level=None, uri=True)
            with closing(database), database:
                yield database
        except sqlite3.Error as cause:
            if writing:
                raise MetaflowTaggingError(f"{self.address}: {cause}") from cause
            raise UnreadableRecord(self.address, str(cause)) from cause
