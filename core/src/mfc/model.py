"""The values that pass between providers, the client and plugins. All are frozen."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from mfc.errors import (
    EmptyPathspec,
    MetaflowException,
    MetaflowInvalidPathspec,
    UnreadableRecord,
    shown,
    visible,
)

#: Attempts of a task are numbered 0 to 5, in Metaflow and here.
MAX_ATTEMPTS = 6
#: The latest time, in ms since 1970: the year 3000, up to which every system can show a time.
_END = 32_503_680_000_000
#: Digits of the largest number in metadata, such as an attempt or an index.
_DIGITS = 9
#: Deepest nesting of lists in a metadata value; Metaflow's own have one level.
_MAX_DEPTH = 50
_NO_TAGS: frozenset[str] = frozenset()
#: Exceptions from building a record out of unrelated JSON.
_FOREIGN = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


_NOT_IN_NAMES = frozenset(("/", "\0", os.sep))


class Level(enum.IntEnum):
    """Depth of an object in Metaflow's tree, which is also the length of its pathspec."""

    ROOT = 0
    FLOW = 1
    RUN = 2
    STEP = 3
    TASK = 4
    ARTIFACT = 5


_EXPECTED = {
    Level.ROOT: "Metaflow()",
    Level.FLOW: "Flow('FlowName')",
    Level.RUN: "Run('FlowName/RunID')",
    Level.STEP: "Step('FlowName/RunID/StepName')",
    Level.TASK: "Task('FlowName/RunID/StepName/TaskID')",
    Level.ARTIFACT: "DataArtifact('FlowName/RunID/StepName/TaskID/ArtifactName')",
}


@attrs.frozen
class Pathspec:
    """The path of an object: the names from its flow down to itself.

    >>> Pathspec.parse("F/1/start", Level.STEP).parent
    Pathspec('F/1')
    """

    #: Names, outermost first; empty for the root.
    components: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: object, level: Level) -> Pathspec:
        """Return the pathspec that `text` spells.

        Args:
            text: names joined by `/`.
            level: the kind of object, which decides the number of names.

        Raises:
            EmptyPathspec: `text` is empty or None.
            MetaflowInvalidPathspec: not text, the wrong number of names, or a name that is
                empty, `.`, `..` or holds a NUL.
        """
        if text is None or (isinstance(text, str) and not str.__str__(text)):
            raise EmptyPathspec.of("pathspec", text, f"names, as {_EXPECTED[level]}")
        expected = f"text with {level} name{'s' if level > 1 else ''}, as {_EXPECTED[level]}"
        if not isinstance(text, str):
            raise MetaflowInvalidPathspec.of("pathspec", text, expected)
        text = str.__str__(text)
        components = tuple(text.split("/"))
        if len(components) != level:
            raise MetaflowInvalidPathspec.of("pathspec", text, expected)
        for name in components:
            if not is_name(name):
                expected = f"{expected}; {shown(name)} cannot be one"
                raise MetaflowInvalidPathspec.of("pathspec", text, expected)
        return cls(components)

    @property
    def level(self) -> Level:
        """The kind of object that the path names."""
        return Level(len(self.components))

    @property
    def name(self) -> str:
        """The last name; the root raises IndexError."""
        return self.components[-1]

    @property
    def parent(self) -> Pathspec:
        """One level up; the root's parent is the root."""
        return Pathspec(self.components[:-1])

    def up(self, level: Level) -> Pathspec:
        """Return the ancestor at `level` (or this path itself).

        >>> Pathspec(("F", "1", "start")).up(Level.RUN)
        Pathspec('F/1')
        """
        return Pathspec(self.components[:level])

    def child(self, name: str) -> Pathspec:
        """Return the path one level down. `name` is not checked: see `is_name`."""
        return Pathspec((*self.components, name))

    def __str__(self) -> str:
        return "/".join(self.components)

    def __repr__(self) -> str:
        return f"Pathspec({str(self)!r})"


def is_name(name: object) -> bool:
    """Tell whether `name` can name an object: text without `/` or NUL, not `.` or `..`.

    On Windows a backslash separates names as well, and cannot be in one.

    >>> is_name("start"), is_name(".."), is_name("a/b"), is_name("")
    (True, False, False, False)
    """
    return isinstance(name, str) and name not in ("", ".", "..") and _NOT_IN_NAMES.isdisjoint(name)


@attrs.frozen
class Record:
    """The metadata of a flow, run, step or task.

    Steps, tasks and artifacts carry the tags of their run; flows have no tags.
    """

    path: Pathspec
    #: Milliseconds since 1970-01-01 UTC.
    created: int
    #: The user who made it; None for flows and where no user was recorded.
    user: str | None = None
    #: The tags that users may change.
    tags: frozenset[str] = frozenset()
    #: The tags that Metaflow set.
    system_tags: frozenset[str] = frozenset()
    #: The last heartbeat while it ran, in milliseconds since 1970-01-01 UTC; None if not recorded.
    #: It is ignored when records are compared.
    heartbeat: int | None = attrs.field(default=None, kw_only=True, eq=False)

    @classmethod
    def of_json(
        cls, path: Pathspec, fields: Mapping[str, Any], run: Record | None = None
    ) -> Record:
        """Return the record that Metaflow's JSON describes.

        Args:
            path: where the object was found.
            fields: the object in the form of Metaflow's local files and its service.
            run: the run's record, whose tags count for everything below the run.

        Raises:
            UnreadableRecord: a field is missing or of the wrong kind.

        Source:
            Metaflow 2.19, `_self.json` and the service's answers.
        """
        try:
            if run is None:
                tags, system_tags = _tags(fields, "tags"), _tags(fields, "system_tags")
            else:
                tags, system_tags = run.tags, run.system_tags
            # `_moment` and `_optional_text` inlined, as listings make thousands of records.
            created, user = int(fields["ts_epoch"]), fields.get("user_name")
            if not 0 <= created < _END:
                raise ValueError("ts_epoch is not a time")
            if user is not None and not isinstance(user, str):
                raise TypeError("user_name is not text")
            beat = fields.get("last_heartbeat_ts")  # in seconds
            heartbeat = beat * 1000 if isinstance(beat, int) else None
            return cls(path, created, user, tags, system_tags, heartbeat=heartbeat)
        except _FOREIGN as cause:
            raise UnreadableRecord(str(path), f"not a Metaflow record ({cause!r})") from cause


class PendingRecord(Record):
    """A record with a known path; the other fields are read on first use.

    For backends that sometimes return only names.

    Args:
        path: where the object is.
        find: returns the record, or None if it is gone by then; that raises UnreadableRecord.
    """

    __slots__ = ("_find", "_found")
    _find: Callable[[], Record | None]
    _found: Record | None

    def __init__(self, path: Pathspec, find: Callable[[], Record | None]) -> None:
        keep = object.__setattr__  # records are frozen
        keep(self, "path", path)
        keep(self, "_find", find)
        keep(self, "_found", None)

    def found(self) -> Record:
        """Return the record.

        Raises:
            UnreadableRecord: the record is gone, or cannot be read.
        """
        known = self._found
        if known is None:
            known = self._find()
            if known is None:
                raise UnreadableRecord(str(self.path), "it was removed while it was looked at")
            object.__setattr__(self, "_found", known)
        return known

    @property
    def created(self) -> int:
        """See `Record`."""
        return self.found().created

    @property
    def user(self) -> str | None:
        """See `Record`."""
        return self.found().user

    @property
    def tags(self) -> frozenset[str]:
        """See `Record`."""
        return self.found().tags

    @property
    def system_tags(self) -> frozenset[str]:
        """See `Record`."""
        return self.found().system_tags

    @property
    def heartbeat(self) -> int | None:
        """See `Record`."""
        return self.found().heartbeat

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PendingRecord):
            other = other.found()
        return self.found() == other

    def __hash__(self) -> int:
        return hash(self.found())


@attrs.frozen
class ArtifactRecord(Record):
    """The metadata of an artifact: the location of its value, not the value."""

    #: The attempt of the task that wrote it, from 0.
    attempt: int = 0
    #: SHA-1 of the encoded value, 40 hex digits: its key in the datastore.
    sha: str = ""
    #: Type of the datastore, `local`, `s3`, …
    ds_type: str = ""
    #: `:root:` and the datastore's root, or (old records) the full path of the blob.
    location: str = ""
    #: Encoding of the value, such as `pickle-v4`; None in the oldest records.
    encoding: str | None = None

    @property
    def store(self) -> str:
        """The location without Metaflow's prefix `:root:`."""
        return self.location.removeprefix(":root:")

    @classmethod
    def of_json(
        cls, path: Pathspec, fields: Mapping[str, Any], run: Record | None = None
    ) -> ArtifactRecord:
        """Return the artifact record that Metaflow's JSON describes, as `Record.of_json` does.

        Raises:
            UnreadableRecord: a field is missing or of the wrong kind.
        """
        try:
            return cls(
                path,
                _moment(fields),
                _optional_text(fields, "user_name"),
                run.tags if run else _tags(fields, "tags"),
                run.system_tags if run else _tags(fields, "system_tags"),
                int(fields.get("attempt_id") or 0),
                _text(fields, "sha"),
                _text(fields, "ds_type"),
                _text(fields, "location"),
                _optional_text(fields, "content_type"),
            )
        except _FOREIGN as cause:
            raise UnreadableRecord(str(path), f"not an artifact record ({cause!r})") from cause


@attrs.frozen
class MetadataRecord:
    """One registration of a metadata field of a task."""

    #: The task that it describes.
    task: Pathspec
    name: str
    #: Text, except for the few fields that Metaflow fills with a list, a number or a bool.
    value: Any
    type: str | None
    #: Milliseconds since 1970-01-01 UTC.
    created: int
    #: The attempt that registered it; None in records of Metaflow before 2.4.
    attempt: int | None = None

    @classmethod
    def of_json(cls, task: Pathspec, fields: Mapping[str, Any]) -> MetadataRecord:
        """Return the metadata that Metaflow's JSON describes.

        Raises:
            UnreadableRecord: a field is missing or of the wrong kind.

        Source:
            Metaflow 2.19, `sysmeta_*.json` and the service's answers.
        """
        try:
            return cls(
                task,
                _text(fields, "field_name"),
                _shallow(fields.get("value")),
                _optional_text(fields, "type"),
                _moment(fields),
                _attempt_of(fields.get("tags") or ()),
            )
        except _FOREIGN as cause:
            raise UnreadableRecord(str(task), f"not a metadata record ({cause!r})") from cause


def whole_number(value: object) -> int | None:
    """Return the number, from 0, in a value of metadata; None if the value is not a number.

    >>> whole_number("2"), whole_number(0), whole_number("soon"), whole_number([1])
    (2, 0, None, None)
    """
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_DIGITS:
        return value
    return None


def _moment(fields: Mapping[str, Any]) -> int:
    created = int(fields["ts_epoch"])
    if not 0 <= created < _END:
        raise ValueError("ts_epoch is not a time")
    return created


def _tags(fields: Mapping[str, Any], name: str) -> frozenset[str]:
    tags = fields.get(name)
    if not tags:
        return _NO_TAGS
    if not isinstance(tags, list):
        raise TypeError(f"{name} is not a list")
    "".join(tags)  # the cheapest check that all are text
    return frozenset(tags)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not text")
    return value


def _optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is not text")
    return value


def _shallow(value: Any) -> Any:
    """Return the value; raise ValueError if it is nested so deeply that its repr could fail."""
    if isinstance(value, str):
        return value
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (list, dict))]:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError("value is nested too deeply")
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return value


def _attempt_of(tags: Any) -> int | None:
    for tag in tags:
        name, _, number = tag.partition(":")
        if name == "attempt_id" and (attempt := whole_number(number)) is not None:
            return attempt
    return None


class Status(str):
    """The status of a run or task: `running`, `completed`, `failed` or `unknown`.

    It is a string with that word, plus the reason.

    >>> Status("failed", "attempt 0 raised ValueError") == "failed"
    True
    """

    __slots__ = ("_why",)

    _why: str | Callable[[], str]

    def __new__(cls, word: str, reason: str | Callable[[], str] = "") -> Status:
        """Make a status of its word and the reason, or of a function that returns the reason."""
        status = super().__new__(cls, word)
        status._why = reason
        return status

    @property
    def reason(self) -> str:
        """The reason, in a sentence."""
        if not isinstance(self._why, str):
            try:
                self._why = self._why()
            except MetaflowException as unreadable:
                return visible(f"why cannot be read: {unreadable}")
        return visible(self._why)

    def __reduce__(self) -> tuple[type[Status], tuple[str, str]]:
        return Status, (str(self), self.reason)

    def __repr__(self) -> str:
        return f"<{self}: {self.reason}>" if self.reason else f"<{self}>"


@attrs.frozen
class Stats:
    """The cost of reading so far: a snapshot, from `client.stats`."""

    #: Calls of the metadata provider.
    calls: int = 0
    #: Files opened or requests sent, directories listed included.
    reads: int = 0
    #: Bytes that those reads returned.
    bytes: int = 0
    #: Answers that came from a cache.
    cache_hits: int = 0

    def __sub__(self, earlier: Stats) -> Stats:
        """Return the difference from `earlier`."""
        return Stats(
            self.calls - earlier.calls,
            self.reads - earlier.reads,
            self.bytes - earlier.bytes,
            self.cache_hits - earlier.cache_hits,
        )


@attrs.frozen
class CacheInfo:
    """The content of the blob cache, from `client.cache.info()`."""

    #: The directory; None where the cache is off.
    directory: str | None
    #: The reason why the cache is off; empty if it is on.
    off: str
    #: Number of blobs.
    blobs: int
    #: Their size in bytes; they are stored uncompressed.
    bytes: int
    #: Limit of that size; beyond it the least recently used blobs are evicted.
    limit: int
