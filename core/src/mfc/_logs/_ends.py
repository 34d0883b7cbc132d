"""The end of a log: its last lines, without reading what comes before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from mfc._logs._merge import Line, last_lines
from mfc._logs._selection import Selection
from mfc._storage._datastore import Datastore
from mfc._storage._place import Place
from mfc.model import Pathspec

#: Bytes that are read first; each further step back is twice the one before.
FIRST_STEP = 64 * 1024

#: Makes lines of the ends of files, as `mfc._logs._merge.last_lines`.
Parser: TypeAlias = Callable[
    [Sequence["tuple[bytes, bool]"], bytes], "tuple[list[Line], int | None]"
]


@attrs.frozen
class LogFile:
    """One file of a log."""

    _datastore: Datastore
    _where: Place
    _task: Pathspec
    _name: str

    def size(self) -> int:
        """Return its size in bytes, 0 if it is not there."""
        return self._datastore.task_file_size(self._where, self._task, self._name)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes [start, end), fewer if it is shorter by now."""
        return self._datastore.task_file_range(self._where, self._task, self._name, start, end)


class LogEnd:
    """The end of a file, as far as it was read."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        #: The size of the file when it was looked at.
        self.size = self._start = file.size()
        self._content = b""
        self._step = FIRST_STEP

    @property
    def whole(self) -> bool:
        """Whether all of it was read."""
        return self._start == 0

    @property
    def content(self) -> bytes:
        """The part that was read, from the beginning of a line."""
        return self._content if self.whole else self._content.partition(b"\n")[2]

    def grow(self) -> None:
        """Read a step further back."""
        start = max(self._start - self._step, 0)
        self._content = self._file.read(start, self._start) + self._content
        self._start, self._step = start, 2 * self._step

    def cut(self) -> bytes:
        """Take off what follows the last end of a line, and return it."""
        while b"\n" not in self._content and not self.whole:
            self.grow()
        end = self._content.rfind(b"\n") + 1
        rest, self._content = self._content[end:], self._content[:end]
        return rest


def selected(
    ends: Sequence[LogEnd], selection: Selection, parse: Parser = last_lines
) -> list[Line]:
    """Return the lines that are wanted, reading no further back than that takes."""
    while True:
        lines, unread = parse([(end.content, end.whole) for end in ends], selection.since)
        found = [line for line in lines if selection.matches(line[1])]
        tail = len(found) if selection.tail is None else selection.tail
        if unread is None or (selection.tail is not None and len(found) >= tail):
            return found[max(len(found) - tail, 0) :]
        ends[unread].grow()


def legacy_lines(
    ends: Sequence[tuple[bytes, bool]], _: bytes = b""
) -> tuple[list[Line], int | None]:
    """Return the lines, without stamps, at the end of a log from before Metaflow had mflog."""
    unread = next((number for number, (_, whole) in enumerate(ends) if not whole), None)
    return [(b"", line) for content, _ in ends for line in content.splitlines()], unread
