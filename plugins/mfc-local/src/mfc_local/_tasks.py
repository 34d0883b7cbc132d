"""Records of one task: its metadata, and the artifacts of the attempt that counts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias, TypeVar

from mfc.errors import UnreadableRecord
from mfc.hookspecs import Meter
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record, whole_number
from mfc_local._json import left_out, names_in, parsed, read_bytes
from mfc_local._paths import exists

META = "_meta"
_FIELD = "sysmeta_"
_DONE = "sysmeta_attempt-done_"
_ARTIFACT = "_artifact_"
_created = attrgetter("created")
#: Called with a record that cannot be read.
Tell: TypeAlias = Callable[[UnreadableRecord], None]
_Made = TypeVar("_Made", bound="Record | MetadataRecord")


class TaskFiles(NamedTuple):
    """The directory of one task.

    Source:
        Metaflow 2.19, `plugins.metadata_providers.local` and `datastore.task_datastore`.
    """

    path: Pathspec
    #: The task's directory, with datastore files; its records are in `_meta` below.
    directory: str
    #: Location that artifact records give for a datastore in this very tree.
    own_location: str
    meter: Meter

    def metadata(self, names: Collection[str] | None) -> list[MetadataRecord]:
        """Return the metadata of all attempts, oldest first; only the given fields, if any."""
        wanted = [entry for entry in self._entries() if entry.startswith(_FIELD)]
        if names is not None:
            starts = {f"{_FIELD}{name}" for name in names}
            wanted = [
                entry for entry in wanted if entry.rpartition("_")[0] in starts
            ]  # without a time
        found = self._read(wanted, lambda fields, _: MetadataRecord.of_json(self.path, fields))
        if names is not None:
            found = [record for record in found if record.name in names]
        found.sort(key=_created)
        return found

    def one(self, name: str, attempt: int | None, run: Record | None) -> ArtifactRecord | None:
        """Return an artifact of an attempt, by default of the one done last.

        Raises:
            UnreadableRecord: its record, or the record of the attempts, cannot be read.
        """
        unreadable: list[UnreadableRecord] = []
        found = self.named((name,), attempt, run, unreadable.append)
        if unreadable:
            raise unreadable[0]
        return found[0] if found else None

    def named(
        self,
        names: Collection[str],
        attempt: int | None,
        run: Record | None,
        tell: Tell = left_out,
    ) -> list[ArtifactRecord]:
        """Return some artifacts of an attempt, by default of the one done last, newest first.

        Unreadable records are left out and reported.
        """
        told: list[UnreadableRecord] = []
        found = self._of_attempt(names, attempt or 0, run, told.append)
        if attempt is None and not (found and self._first_attempt_counts(found[0])):
            last = self._done_last(self._entries())
            if last is None:
                return []
            if last:
                told = []
                found = self._of_attempt(names, last, run, told.append)
        for unreadable in told:
            tell(unreadable)
        return found

    def artifacts(self, attempt: int | None, run: Record | None) -> list[ArtifactRecord]:
        """Return the artifacts of an attempt, by default the one done last, newest first."""
        entries = self._entries()
        if attempt is None:
            attempt = self._done_last(entries)
        start = f"{attempt}{_ARTIFACT}"
        nameless = {f"{start}{name}.json" for name in ("", ".", "..")}
        wanted = [
            entry
            for entry in entries
            if entry.startswith(start) and entry.endswith(".json") and entry not in nameless
        ]
        return self._artifacts(wanted, len(start), run)

    def _of_attempt(
        self, names: Collection[str], attempt: int, run: Record | None, tell: Tell
    ) -> list[ArtifactRecord]:
        start = f"{attempt}{_ARTIFACT}"
        return self._artifacts([f"{start}{name}.json" for name in names], len(start), run, tell)

    def _artifacts(
        self, files: Collection[str], skip: int, run: Record | None, tell: Tell = left_out
    ) -> list[ArtifactRecord]:
        """Return the artifacts in some files, newest first; their names begin at `skip`."""
        found = self._read(
            files,
            lambda fields, file: ArtifactRecord.of_json(
                self.path.child(file[skip:-5]), fields, run
            ),
            tell,
        )
        if len(found) > 1:
            found.sort(key=_created, reverse=True)
        return found

    def _first_attempt_counts(self, found: ArtifactRecord) -> bool:
        """Tell whether attempt 0 is known to be the only one, without listing the directory.

        Artifacts are recorded when their attempt is done, and a second attempt begins with a file
        in the datastore. So the answer is known where the datastore is this tree.
        """
        second = f"{self.directory}/1.attempt.json"
        return found.location == self.own_location and not exists(second)

    def _done_last(self, entries: list[str]) -> int | None:
        """Return the attempt that was done last, None if no attempt is done."""
        done = [entry for entry in entries if entry.startswith(_DONE)]
        if not done:
            return None
        if len(done) == 1:
            # Artifacts are recorded after their attempt is done, so these belong to this attempt.
            attempts = {entry.partition(_ARTIFACT)[0] for entry in entries if _ARTIFACT in entry}
            attempts = {attempt for attempt in attempts if attempt.isdecimal()}
            if len(attempts) == 1:
                return int(attempts.pop())
        file = f"{self.directory}/{META}/{max(done)}"
        content = read_bytes(file)
        self.meter.add(reads=1, size=len(content or b""))
        return None if content is None else whole_number(parsed(content, file).get("value"))

    def _entries(self) -> list[str]:
        self.meter.add(reads=1)
        return names_in(f"{self.directory}/{META}")

    def _read(
        self,
        files: Collection[str],
        make: Callable[[dict[str, Any], str], _Made],
        tell: Tell = left_out,
    ) -> list[_Made]:
        """Return the records in some files; unreadable ones are left out and reported."""
        found, size = [], 0
        for name in files:
            file = f"{self.directory}/{META}/{name}"
            try:
                content = read_bytes(file)
                if content is not None:
                    size += len(content)
                    found.append(make(parsed(content, file), name))
            except UnreadableRecord as unreadable:
                tell(unreadable)
        self.meter.add(reads=len(files), size=size)
        return found
