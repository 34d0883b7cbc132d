"""What one task recorded: its metadata, and its artifacts of the attempt that counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, TypeVar

import attrs

from mfc.errors import UnreadableRecord
from mfc.hookspecs import Meter
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record, whole_number
from mfc_local._json import left_out, names_in, parsed, read_bytes

META = "_meta"
_FIELD = "sysmeta_"
_DONE = "sysmeta_attempt-done_"
_ARTIFACT = "_artifact_"
_created = attrgetter("created")
_Made = TypeVar("_Made", bound="Record | MetadataRecord")


@attrs.frozen
class TaskFiles:
    """The directory of one task.

    Source:
        Metaflow 2.19, `plugins.metadata_providers.local` and `datastore.task_datastore`.
    """

    path: Pathspec
    #: The task's directory, with datastore files; its records are in `_meta` below.
    directory: str
    #: What artifact records say of a datastore in this very tree.
    own_location: str
    meter: Meter

    def metadata(self, names: Collection[str] | None) -> list[MetadataRecord]:
        """Return the metadata of all attempts, oldest first; of these fields only, if given."""
        wanted = [entry for entry in self._entries() if entry.startswith(_FIELD)]
        if names is not None:
            # A time follows the field's name, so this lets through too many, never too few.
            starts = tuple(f"{_FIELD}{name}_" for name in names)
            wanted = [entry for entry in wanted if entry.startswith(starts)]
        found = self._read(wanted, lambda fields, _: MetadataRecord.of_json(self.path, fields))
        if names is not None:
            found = [record for record in found if record.name in names]
        found.sort(key=_created)
        return found

    def artifact(self, name: str, attempt: int | None, run: Record | None) -> ArtifactRecord | None:
        """Return one artifact of an attempt, by default of the one that was done last."""
        if attempt is None:
            found = self._artifact(name, 0, run)
            if found is not None and self._first_attempt_counts(found):
                return found
            attempt = self._done_last(self._entries())
        return None if attempt is None else self._artifact(name, attempt, run)

    def artifacts(self, attempt: int | None, run: Record | None) -> list[ArtifactRecord]:
        """Return the artifacts of an attempt, by default the one done last, newest first."""
        entries = self._entries()
        if attempt is None:
            attempt = self._done_last(entries)
        start = f"{attempt}{_ARTIFACT}"
        skip = len(start)
        nameless = {f"{start}{name}.json" for name in ("", ".", "..")}
        found = self._read(
            [
                entry
                for entry in entries
                if entry.startswith(start) and entry.endswith(".json") and entry not in nameless
            ],
            lambda fields, file: ArtifactRecord.of_json(
                self.path.child(file[skip:-5]), fields, run
            ),
        )
        found.sort(key=_created, reverse=True)
        return found

    def _artifact(self, name: str, attempt: int, run: Record | None) -> ArtifactRecord | None:
        found = self._read(
            (f"{attempt}{_ARTIFACT}{name}.json",),
            lambda fields, _: ArtifactRecord.of_json(self.path.child(name), fields, run),
        )
        return found[0] if found else None

    def _first_attempt_counts(self, found: ArtifactRecord) -> bool:
        """Tell whether attempt 0 is known to be the only one, without listing the directory.

        Artifacts are recorded when their attempt is done, and a second attempt begins with a
        file in the datastore; so this can be told where the datastore is this tree.
        """
        second = f"{self.directory}/1.attempt.json"
        return found.location == self.own_location and not os.access(second, os.F_OK)

    def _done_last(self, entries: list[str]) -> int | None:
        """Return the attempt that was done last, None if none is."""
        done = [entry for entry in entries if entry.startswith(_DONE)]
        if not done:
            return None
        file = f"{self.directory}/{META}/{max(done)}"
        content = read_bytes(file)
        self.meter.add(reads=1, size=len(content or b""))
        return None if content is None else whole_number(parsed(content, file).get("value"))

    def _entries(self) -> list[str]:
        self.meter.add(reads=1)
        return names_in(f"{self.directory}/{META}")

    def _read(
        self, files: Collection[str], make: Callable[[dict[str, Any], str], _Made]
    ) -> list[_Made]:
        """Return the records in some files; what is unreadable is left out, with a warning."""
        found, size = [], 0
        for name in files:
            file = f"{self.directory}/{META}/{name}"
            try:
                content = read_bytes(file)
                if content is not None:
                    size += len(content)
                    found.append(make(parsed(content, file), name))
            except UnreadableRecord as unreadable:
                left_out(unreadable)
        self.meter.add(reads=len(files), size=size)
        return found
