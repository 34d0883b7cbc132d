"""Reading files of a filesystem: local files directly, remote ones with a timeout.

Remote files are read by threads that can be abandoned, large files in concurrent ranges.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mfc._concurrency._calls import Limits, Outcome, Overdue, SideBySide, Untried, in_order
from mfc._storage._place import Place
from mfc.errors import (
    BadSetting,
    DatastoreError,
    MetaflowDataMissing,
    UnreadableBlob,
    UntrustedValue,
    shown,
    warn,
)

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc.hookspecs import Filesystem, Meter

T = TypeVar("T")
#: Called with the number of bytes received, and the total.
Progress = Callable[[int, int | None], object]

#: Size of the first range of every file, in bytes: most files fit, and need one request.
BEGINNING = 4 << 20
#: Size of each further range, and of all ranges of a file in flight, in bytes.
_RANGE, _RANGES = 4 << 20, 32 << 20


def limits_of(config: Config) -> Limits:
    """Return the limits of concurrent reads from the settings.

    Raises:
        BadSetting: a setting is not a positive number.
    """
    return Limits(
        width=max(int(_positive(config, "MFC_READS", 32)), 1),
        memory=_positive(config, "MFC_READS_MEMORY", 128) * 2**20,
        patience=_positive(config, "MFC_READ_TIMEOUT", 60),
    )


def _positive(config: Config, name: str, default: float) -> float:
    number = config.number(name, default)
    if not number > 0:
        value, source = config.find(name) or (number, "")
        raise BadSetting(name, value, source, "a number above 0")
    return number


class Part(NamedTuple):
    """The beginning of a file that is large or has a large content."""

    filesystem: Filesystem
    path: str
    first: bytes

    @property
    def is_whole(self) -> bool:
        """Whether the file ends here."""
        return len(self.first) != BEGINNING


class Files:
    """Reads files from any filesystem.

    Args:
        filesystem: returns the filesystem of a datastore type.
        meter: counts reads.
        limits: bounds of concurrent reads, and the timeout of a read.
    """

    def __init__(
        self, filesystem: Callable[[str], Filesystem], meter: Meter, limits: Limits
    ) -> None:
        self._filesystem = filesystem
        self._meter = meter
        self.limits = limits

    def is_local(self, ds_type: str) -> bool:
        """Tell whether files of a datastore type are local."""
        return bool(getattr(self._filesystem(ds_type), "local_file", False))

    # Arguments of each: a place, a path below its roots, and a description for errors.

    def content(self, where: Place, path: str, subject: str) -> bytes:
        """Return a file.

        Raises:
            MetaflowDataMissing: the file is missing at every root.
            UnreadableBlob: no permission, or the store failed.
        """
        if self.is_local(where.ds_type):
            return self.whole(where, path, subject).first
        return b"".join(self.pieces(self.part(where, path, subject), subject))

    def part(self, where: Place, path: str, subject: str) -> Part:
        """Return the beginning of a file, with a timeout; raises as `content`."""
        find = partial(self.beginning, where, path, subject)
        if self.is_local(where.ds_type):
            return find()
        return self.given(
            self.in_time(find), subject, _full_path(where.ds_type, where.roots[0], path)
        )

    def size(self, where: Place, path: str, subject: str) -> int:
        """Return the size of a file in bytes; raises as `content`."""
        return self.ask(where, path, subject, self._size)

    def whole(self, where: Place, path: str, subject: str) -> Part:
        """Return a file, in one read without a timeout; raises as `content`."""

        def read(filesystem: Filesystem, path: str) -> Part:
            content = bytes_of(filesystem.cat_file(path))
            self._meter.add(reads=1, size=len(content))
            return Part(filesystem, path, content)

        return self._find(where, path, subject, read)

    def beginning(self, where: Place, path: str, subject: str) -> Part:
        """Return the beginning of a file, without a timeout; raises as `content`."""

        def read(filesystem: Filesystem, path: str) -> Part:
            first = bytes_of(filesystem.cat_file(path, start=0, end=BEGINNING))
            self._meter.add(reads=1, size=len(first))
            return Part(filesystem, path, first)

        return self._find(where, path, subject, read)

    def _size(self, filesystem: Filesystem, path: str) -> int:
        self._meter.add(reads=1)
        size = filesystem.size(path) or 0
        if not isinstance(size, int) or size < 0:
            raise TypeError(f"size answered {shown(size)}; expected a number of bytes")
        return size

    def pieces(self, part: Part, subject: str, progress: Progress | None = None) -> Iterator[bytes]:
        """Yield a file in pieces, in order, with concurrent prefetch."""
        done = len(part.first)
        size = done
        if not part.is_whole:
            size = self._asked(part, subject, self._size)
        if progress is not None:
            progress(done, size)
        yield part.first
        for piece in self._ranges(part, subject, size):
            done += len(piece)
            if progress is not None:
                progress(done, size)
            yield piece

    def _ranges(self, part: Part, subject: str, size: int) -> Iterator[bytes]:
        starts = range(len(part.first), size, _RANGE)

        def read(start: int, filesystem: Filesystem, path: str) -> bytes:
            end = min(start + _RANGE, size)
            piece = bytes_of(filesystem.cat_file(path, start=start, end=end))
            self._meter.add(reads=1, size=len(piece))
            if len(piece) != end - start:
                raise OSError(f"{len(piece)} bytes came of the range from {start} to {end}")
            return piece

        if getattr(part.filesystem, "local_file", False):
            for start in starts:
                yield self._asked(part, subject, partial(read, start))
            return
        limits = self.limits._replace(memory=min(self.limits.memory, _RANGES))
        calls: SideBySide[bytes] = SideBySide(limits, _RANGE, len)
        ask = partial(_told, part.filesystem, part.path, subject)
        for _, outcome in in_order(starts, lambda s: (s, partial(ask, partial(read, s))), calls):
            if outcome is not None:
                yield self.given(outcome, subject, part.path)

    def _asked(self, part: Part, subject: str, read: Callable[[Filesystem, str], T]) -> T:
        """Return the result of `read` for an existing file."""
        ask = partial(_told, part.filesystem, part.path, subject, read)
        if getattr(part.filesystem, "local_file", False):
            return ask()
        return self.given(self.in_time(ask), subject, part.path)

    def ask(self, where: Place, path: str, subject: str, read: Callable[[Filesystem, str], T]) -> T:
        """Return the result of `read` for a file, with a timeout; raises as `content`."""
        find = partial(self._find, where, path, subject, read)
        if self.is_local(where.ds_type):
            return find()
        return self.given(
            self.in_time(find), subject, _full_path(where.ds_type, where.roots[0], path)
        )

    def _find(
        self, where: Place, path: str, subject: str, read: Callable[[Filesystem, str], T]
    ) -> T:
        """Return the result of `read` for a file at the first root that has it."""
        filesystem = self._filesystem(where.ds_type)
        missing: BaseException | None = None
        for root in where.roots:
            full = _full_path(where.ds_type, root, path)
            if where.bound and self.is_local(where.ds_type):
                _stay_within(_full_path(where.ds_type, root, ""), full, subject)
            try:
                found = _told(filesystem, full, subject, read)
            except MetaflowDataMissing as error:
                missing = missing or error.__cause__
                continue
            if root == where.original:
                warn(
                    f"Read from where it was recorded, {root}: it is missing beside the records, "
                    f"in {where.roots[0]}",
                )
            return found
        looked = ", ".join(_full_path(where.ds_type, root, path) for root in where.roots)
        reason = "its bytes are not where they were recorded"
        raise MetaflowDataMissing(subject, looked, reason) from missing

    # Waiting

    def in_time(self, act: Callable[[], T]) -> Outcome[T]:
        """Return the outcome of a call made by another thread; it may be overdue."""
        calls: SideBySide[T] = SideBySide(self.limits)
        return calls.take(calls.want("", act))

    def given(self, outcome: Outcome[T], subject: str, location: str) -> T:
        """Return the result of a call; its errors name the subject of this read.

        Raises:
            DatastoreError: the call failed or is overdue.
        """
        try:
            return outcome.get()
        except Untried:
            reason = (
                "it was not tried: the store left several before it without an answer, "
                "and their errors say more"
            )
            raise UnreadableBlob(subject, location, reason) from None
        except Overdue:
            reason = (
                f"the store has not answered within {self.limits.patience:g} s "
                "(MFC_READ_TIMEOUT says how long to wait)"
            )
            raise UnreadableBlob(subject, location, reason) from None
        except DatastoreError as error:
            if error.subject == subject:
                raise
            raise type(error)(subject, error.location, error.reason) from error.__cause__


def _stay_within(root: str, path: str, subject: str) -> None:
    """Check that a local file is below a root.

    Raises:
        UntrustedValue: a link leads out of it.
    """
    inside = os.path.join(os.path.realpath(root), "")
    if not os.path.realpath(path).startswith(inside):
        reason = "a link leads out of the datastore, and trust is 'none'"
        raise UntrustedValue(subject, path, reason)


def _told(
    filesystem: Filesystem, path: str, subject: str, read: Callable[[Filesystem, str], T]
) -> T:
    """Return the result of `read`.

    Raises:
        MetaflowDataMissing: the file does not exist.
        UnreadableBlob: no permission, or the store failed.
    """
    try:
        return read(filesystem, path)
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise MetaflowDataMissing(subject, path, "it is gone") from cause
    except (Exception, SystemExit) as cause:
        # Filesystems are plugins over any library; its exceptions must not escape.
        raise UnreadableBlob(subject, path, _why(cause)) from cause


def bytes_of(answer: object) -> bytes:
    """Return the answer of `cat_file` as bytes.

    Raises:
        TypeError: the answer is not bytes.
    """
    if not isinstance(answer, (bytes, bytearray, memoryview)):
        if inspect.iscoroutine(answer):
            answer.close()  # avoids the warning that it was never awaited
        raise TypeError(f"cat_file answered {shown(answer)}; expected bytes")
    return bytes(answer)


def _why(cause: BaseException) -> str:
    """Return why a file cannot be read: the store's message, or the meaning of a system error."""
    if isinstance(cause, OSError) and cause.errno is None and str(cause):
        return str(cause)
    if isinstance(cause, TimeoutError):
        return "the store did not answer in time"
    if isinstance(cause, PermissionError):
        return "it may not be read: Metaflow writes files for their owner alone (mode 0600)"
    return f"the store failed: {cause!r}"


def _full_path(ds_type: str, root: str, path: str) -> str:
    bare = root.removeprefix(f"{ds_type}://").rstrip("/")
    return f"{bare}/{path}" if path else bare
