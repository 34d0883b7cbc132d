"""The log of a task as it grows, until the task has ended."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import datetime

from mfc._logs._ends import LogEnd, LogFile, selected
from mfc._logs._merge import Line, lines_in, merge, moment
from mfc._logs._selection import Selection
from mfc._logs._task_logs import TaskLogs
from mfc._recorded._status import Standing, due_after, standing
from mfc._recorded._task import RecordedTask
from mfc._session._provider import patience_of
from mfc.errors import Unanswered
from mfc.model import MAX_ATTEMPTS

#: Seconds between two looks while lines come, and at most when none do.
SHORTEST, LONGEST = 1.0, 5.0
#: Factor by which they grow, look by look, while a log is quiet.
_GROWTH = 1.5
#: Seconds after its end in which a task's log may still come.
_LATE = 10.0


class GrowingFile:
    """One file of a log: gives what was added since the last look, line by line.

    A file that is shorter than before was written anew. Lines are then new if they come after
    the last one given: by the latest stamp so far, and by their number with that stamp.
    """

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._given: tuple[bytes, int] = (b"", 0)
        self._begin(0)

    def _begin(self, offset: int) -> None:
        self._offset, self._rest, self._stamp = offset, b"", b""
        self._place: tuple[bytes, int] = (b"", 0)

    @classmethod
    def after(cls, file: LogFile, end: LogEnd) -> GrowingFile:
        """Return a file of which everything was given up to what `end` was when it was read.

        `end` is left with whole lines only, and a stamp.
        """
        made, rest = cls(file), end.cut()
        while not end.whole and not lines_in(end.content, whole=False):
            end.grow()
        made._begin(end.size)
        made._new(lines_in(end.content, whole=end.whole))
        made._rest = rest
        return made

    def look(self, *, ended: bool = False) -> tuple[list[Line], bool]:
        """Return the new lines and whether the file has changed.

        Args:
            ended: the file is complete, so its last line counts without a newline.
        """
        size = self._file.size()
        changed = size != self._offset
        if size < self._offset:
            self._begin(0)
        content = self._file.read(self._offset, size) if size > self._offset else b""
        self._offset += len(content)
        content = self._rest + content
        end = len(content) if ended else content.rfind(b"\n") + 1
        content, self._rest = content[:end], content[end:]
        return self._new(lines_in(content, self._stamp)), changed

    def _new(self, lines: list[Line]) -> list[Line]:
        new = []
        for line in lines:
            self._stamp = line[0]
            latest, number = self._place
            self._place = (latest, number + 1) if line[0] <= latest else (line[0], 1)
            if self._place > self._given:
                self._given = self._place
                new.append(line)
        return new


class FollowedTask:
    """A task whose log is wanted as it grows: of the attempt that started last, then the next."""

    def __init__(self, task: RecordedTask, stream: str, selection: Selection) -> None:
        self._task = task.alone()
        self._stream, self._selection = stream, selection
        self._files: list[GrowingFile] = []
        #: When it was seen to run, and when its attempt ended, in seconds since 1970.
        self._alive, self._ended = 0.0, 0.0
        self._attempt, self._patience = 0, 0.0
        self._is_over = False
        #: Since when the metadata has not been answered, by the monotonic clock.
        self._unanswered: float | None = None

    def lines(self) -> Iterator[tuple[datetime | None, bytes]]:
        """Yield the lines that there are, then those that come, until the task has ended.

        Raises:
            Unanswered: the metadata's backend has not answered for as long as a question may take.
        """
        stand = standing(self._task)
        self._attempt = stand.attempt or 0
        logs = self._logs(self._attempt)
        if logs.legacy or self._over(stand):
            yield from logs.selected(self._selection)
            return
        for stamp, line in itertools.chain(self._begin(logs), self._coming()):
            yield moment(stamp), line

    def _begin(self, logs: TaskLogs) -> list[Line]:
        """Open the log and return what is wanted of it so far."""
        files = logs.files()
        if not self._selection.at_end:
            self._files = [GrowingFile(file) for file in files]
            return self._look(ended=False)[0]
        ends = [LogEnd(file) for file in files]
        self._files = [GrowingFile.after(*pair) for pair in zip(files, ends, strict=True)]
        return selected(ends, self._selection)

    def _coming(self) -> Iterator[Line]:
        quiet, delay = True, SHORTEST
        while not self._is_over:
            time.sleep(delay)
            if quiet or not self._files:
                # Before the log: what is written until the end is not missed then.
                yield from self._asked()
            lines, changed = self._look(ended=self._is_over)
            yield from lines
            quiet = not changed
            delay = min(delay * _GROWTH, LONGEST) if quiet else SHORTEST

    def _asked(self) -> Iterator[Line]:
        """Ask where the task stands; yield what is left of attempts that others have followed."""
        try:
            stand = standing(self._task)
            yield from self._next_attempts(stand)
            self._is_over = self._over(stand)
        except Unanswered:
            # The backend may be away for a moment, and tells the same when it is back.
            now = time.monotonic()
            self._unanswered = now if self._unanswered is None else self._unanswered
            if now - self._unanswered >= patience_of(self._task.scope.provider):
                raise
        else:
            self._unanswered = None

    def _next_attempts(self, stand: Standing) -> Iterator[Line]:
        """Yield what is left of the log of an attempt once another one has started; open that."""
        if not self._files:
            self._open(self._attempt, self._files_of(self._attempt))
        latest = stand.attempt or 0
        for attempt in range(max(self._attempt + 1, latest - MAX_ATTEMPTS), latest + 1):
            files = self._files_of(attempt)
            yield from self._look(ended=True)[0]
            self._open(attempt, files)

    def _open(self, attempt: int, files: list[GrowingFile]) -> None:
        self._attempt, self._ended, self._files = attempt, 0.0, files

    def _files_of(self, attempt: int) -> list[GrowingFile]:
        return [GrowingFile(file) for file in self._logs(attempt).files()]

    def _logs(self, attempt: int) -> TaskLogs:
        return TaskLogs.of(self._task, self._stream).at_attempt(attempt, self._stream)

    def _look(self, *, ended: bool) -> tuple[list[Line], bool]:
        looks = [file.look(ended=ended) for file in self._files]
        wanted = self._selection
        lines = merge(lines for lines, _ in looks)
        found = [line for line in lines if line[0] >= wanted.since and wanted.matches(line[1])]
        return found, any(changed for _, changed in looks)

    def _over(self, stand: Standing) -> bool:
        """Tell whether the task has ended, will not be tried again, and its log is complete."""
        now = time.time()
        if stand.status == "running":
            self._alive, self._ended = now, 0.0
            return False
        if not self._ended:
            self._ended = min(max(stand.newest, self._alive), now)
            self._patience = self._until_next(stand) if stand.status == "failed" else 0.0
        if now - self._ended < self._patience:
            return False
        if now - self._ended >= _LATE:
            return True
        # The scheduler writes its part once, after the end.
        return any(file.size() for file in self._logs(self._attempt).files()[:1])

    def _until_next(self, stand: Standing) -> float:
        """Return the seconds within which another attempt starts; 0 if none will."""
        if self._task.attempt is not None or stand.attempt is None:
            return 0.0
        due = due_after(self._task, stand.attempt)
        return 0.0 if due is None else due.seconds
