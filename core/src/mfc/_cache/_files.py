"""Cache entries that are files, named by their SHA-1."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

#: Size from which an entry is returned as a file, in bytes.
LARGE = 8 << 20
#: Size of one read, in bytes.
PIECE = 1 << 20
#: Interval between updates of an entry's time of use, in seconds.
NOTED = 600
#: Age from which an unfinished entry is abandoned, in seconds: its writer was killed.
_ABANDONED = 3600
_BLOCK = 4096
_ENTRY = re.compile(r"[0-9a-f]{40}(\.[0-9a-f]{16})?")
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_READ |= getattr(os, "O_BINARY", 0)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_NEW |= getattr(os, "O_BINARY", 0)


class FileEntries:
    """The entries that are files.

    Args:
        directory: directory of the cache.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        #: Directories of entries that are known to exist.
        self._shards: set[str] = set()

    def has(self, key: str) -> bool:
        """Tell whether an entry exists, valid or not."""
        return os.path.lexists(self._path(key))

    def get(self, key: str) -> bytes | BinaryIO | None:
        """Return the content of an entry, or an open file if it is large; None on a miss."""
        path = self._path(key)
        try:
            found = _verified(path, key)
        except OSError as error:
            if error.errno != errno.ELOOP:  # the code for a link
                return None
            found = None
        if found is None:
            remove(path)
        return found

    def put(self, key: str, content: bytes) -> int:
        """Store content that hashes to `key`; return the disk space used in bytes, or 0."""
        path = self._path(key)
        try:
            unfinished, descriptor = self._begun(path)
            try:
                try:
                    written = os.write(descriptor, content)
                finally:
                    os.close(descriptor)
                if written < len(content):
                    raise OSError(errno.ENOSPC, "the disk is full", path)
                os.replace(unfinished, path)
            except OSError:
                remove(unfinished)
                raise
        except OSError:
            return 0
        return on_disk(len(content))

    def new(self, key: str, largest: float, grown: Callable[[int], None]) -> NewEntry | None:
        """Return a file to write the content of `key` to; None if it cannot be made.

        Args:
            key: the SHA-1 of the content.
            largest: limit of its size, in bytes.
            grown: called with the disk space in bytes when the entry is kept.
        """
        path = self._path(key)
        try:
            unfinished, descriptor = self._begun(path)
            file = open(descriptor, "w+b", buffering=0)  # noqa: SIM115 - handed on
            return NewEntry(path, unfinished, file, largest, grown)
        except OSError:
            return None

    def _begun(self, path: str) -> tuple[str, int]:
        """Return the name and the descriptor of a new file that may become an entry.

        Raises:
            OSError: the file cannot be made.
        """
        shard = os.path.dirname(path)
        if shard not in self._shards:
            with contextlib.suppress(FileExistsError):
                os.mkdir(shard, 0o700)
            if not stat.S_ISDIR(os.lstat(shard).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), shard)
            self._shards.add(shard)
        # Of two writers of an entry in the same nanosecond, one is refused.
        unfinished = f"{path}.{time.time_ns():016x}"
        try:
            return unfinished, os.open(unfinished, _NEW, 0o600)
        except FileNotFoundError:  # another process removed the directories
            self._shards.discard(shard)
            raise

    def _path(self, key: str) -> str:
        return f"{self._directory}/{key[:2]}/{key}"

    # All of them

    def count(self) -> tuple[int, int]:
        """Return the number of entries, and the size of their content in bytes."""
        sizes = [entry.size for entry in self._entries()]
        return len(sizes), sum(sizes)

    def clear(self) -> None:
        """Remove all entries; open files stay readable."""
        for entry in self._entries(unfinished=True):
            remove(entry.path)

    def used(self) -> Counter[int]:
        """Return the disk space in bytes by time of last use, in minutes since 1970.

        Files that killed writers left are removed.
        """
        abandoned = time.time() // 60 - _ABANDONED // 60
        used: Counter[int] = Counter()
        for entry in self._entries(unfinished=True):
            if not entry.is_finished and entry.minute < abandoned:
                remove(entry.path)
            else:
                used[entry.minute] += on_disk(entry.size)
        return used

    def forget(self, minute: int, excess: float) -> int:
        """Evict entries last used before `minute`, and of that minute until `excess` is gone.

        Returns:
            The disk space that was freed, in bytes.
        """
        gone, late = 0, []
        for entry in self._entries():
            if entry.minute < minute:
                remove(entry.path)
                gone += on_disk(entry.size)
            elif entry.minute == minute:
                late.append(entry)
        for entry in late:
            if gone >= excess:
                break
            remove(entry.path)
            gone += on_disk(entry.size)
        return gone

    def _entries(self, *, unfinished: bool = False) -> Iterator[_Entry]:
        """Yield the entries in any order; files with other names are ignored."""
        for number in range(256):
            try:
                with os.scandir(f"{self._directory}/{number:02x}") as found:
                    for entry in found:
                        match = _ENTRY.fullmatch(entry.name)
                        if match is None or (match[1] and not unfinished):
                            continue
                        with contextlib.suppress(OSError):  # another process has removed it
                            status = entry.stat(follow_symlinks=False)
                            minute = int(status.st_mtime // 60)
                            yield _Entry(entry.path, not match[1], status.st_size, minute)
            except OSError:
                continue


class NewEntry:
    """An entry that is being written; it is invisible to other readers until `keep`.

    Args:
        path: its final name.
        unfinished: its name until `keep`.
        file: open for writing and reading, unbuffered.
        largest: limit of its size, in bytes.
        grown: called with the disk space in bytes when the entry is kept.
    """

    def __init__(
        self,
        path: str,
        unfinished: str,
        file: io.FileIO,
        largest: float,
        grown: Callable[[int], None],
    ) -> None:
        self._path, self._unfinished, self.file = path, unfinished, file
        self._largest, self._grown = largest, grown

    def keep(self) -> None:
        """Turn the file into an entry, if possible; the file stays open."""
        size = self.file.tell()
        if size > self._largest:
            return
        renamed = os.name == "nt"  # Windows cannot rename an open file
        if renamed:
            self.file.close()
        try:
            os.replace(self._unfinished, self._path)
            self._unfinished = ""
        except OSError:
            return
        finally:
            if renamed:
                self.file = open(self._unfinished or self._path, "rb", buffering=0)  # noqa: SIM115 - handed on
        self._grown(on_disk(size))

    def leave(self) -> None:
        """Remove the file's name if it was not kept; the file stays open."""
        if self._unfinished:
            remove(self._unfinished)

    def close(self) -> None:
        """Close the file; remove it if it was not kept."""
        with contextlib.suppress(OSError):
            self.file.close()
        self.leave()


class _Entry(NamedTuple):
    path: str
    is_finished: bool
    size: int
    #: Time of last use, in minutes since 1970.
    minute: int


def remove(path: str) -> None:
    """Remove a file, if possible."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def on_disk(size: int) -> int:
    """Return the disk space of a file, in bytes."""
    return -(-size // _BLOCK) * _BLOCK


def _verified(path: str, key: str) -> bytes | BinaryIO | None:
    """Return the content of an entry if it hashes to `key`, else None.

    Raises:
        OSError: the entry is not a file, or cannot be read.
    """
    raw = open(os.open(path, _READ), "rb", buffering=0)  # noqa: SIM115 - handed out if large
    handed_out = False
    try:
        status = os.fstat(raw.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_mtime < time.time() - NOTED:
            os.utime(path)
        if status.st_size < LARGE:
            content = raw.readall()
            right = hashlib.sha1(content, usedforsecurity=False).hexdigest() == key
            return content if right else None
        handed_out = _hash_of(raw) == key
        return io.BufferedReader(raw) if handed_out else None
    finally:
        if not handed_out:
            raw.close()


def _hash_of(file: io.FileIO) -> str:
    """Return the SHA-1 of a file, and rewind it."""
    digest = hashlib.sha1(usedforsecurity=False)
    while piece := file.read(PIECE):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()
