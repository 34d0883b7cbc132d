"""Blobs of remote datastores on the local disk, by their SHA-1: private, bounded, never trusted."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mfc._locks import fork_safe
from mfc.errors import MfcWarning
from mfc.model import CacheInfo

if TYPE_CHECKING:
    from mfc.config import Config

#: Bytes from which an entry is given as a file.
LARGE = 8 << 20
#: Bytes that are read at once.
PIECE = 1 << 20
_MEGABYTE = 1_000_000
#: Metaflow's default of CLIENT_CACHE_MAX_SIZE, in megabytes.
_MAX_SIZE = 10_000
#: Part of the limit that a sweep leaves.
_KEPT = 0.9
#: Part of it that a process writes before it tells the others.
_UNTOLD = 0.001
#: Times the limit from which a writer waits for another that sweeps; seconds that it does.
_TOO_MUCH, _PATIENCE = 1.01, 5.0
#: Bytes of what they tell each other before all is counted anew.
_NOTE = 1 << 16
#: Seconds after which the use of an entry is noted again, and the whole is counted again.
_USE, _RECOUNT = 600, 86_400
#: Seconds after which an unfinished entry is nobody's: its writer was killed.
_ABANDONED = 3600
_BLOCK = 4096
_ENTRY = re.compile(r"[0-9a-f]{40}(\.[0-9a-f]{16})?")
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_READ |= getattr(os, "O_BINARY", 0)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_NEW |= getattr(os, "O_BINARY", 0)


class Cache:
    """The blobs of remote datastores that were read before, by this and by other processes.

    An entry is read as if a stranger had written it: what does not hash to its name is thrown
    away. Nothing here raises: where the disk cannot be used, there is no cache.

    Args:
        config: says where it is, how large it may be, and whether there is one.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = fork_safe(threading.Lock())
        self._found: tuple[str | None, str] | None = None
        #: Directories of entries that were there when they were looked at.
        self._shards: set[str] = set()
        self._limit = 0
        self._untold, self._told = 0, False

    def __repr__(self) -> str:
        return f"<Cache: {self._place()[0] or self._place()[1]}>"

    # For users

    def info(self) -> CacheInfo:
        """Return where the cache is and what it holds; the files are counted, one by one."""
        directory, off = self._place()
        sizes = [entry.size for entry in _entries(directory)] if directory else []
        return CacheInfo(directory, off, len(sizes), sum(sizes), self._limit)

    def clear(self) -> None:
        """Remove all entries, also those of other processes; what is being read stays readable."""
        directory, _ = self._place()
        if directory is not None:
            for entry in _entries(directory, unfinished=True):
                _remove(entry.path)
            _note_nothing(directory)

    # For the datastore

    def has(self, key: str) -> bool:
        """Tell whether there is an entry, right or not."""
        directory, _ = self._place()
        return directory is not None and os.path.lexists(_path(directory, key))

    def get(self, key: str) -> bytes | BinaryIO | None:
        """Return the content of an entry, or an open file if it is large; None if there is none."""
        directory, _ = self._place()
        if directory is None:
            return None
        path = _path(directory, key)
        try:
            found = _verified(path, key)
        except OSError as error:
            if error.errno != errno.ELOOP:  # which says that it is a link
                return None
            found = None
        if found is None:
            _remove(path)
        return found

    @property
    def largest(self) -> float:
        """Bytes that one entry may have: it shall not drive out all others."""
        return self._limit / 2

    def put(self, key: str, content: bytes) -> None:
        """Keep content that hashes to `key`.

        Many threads do so at once, and each call of the system makes a thread wait for its turn
        among them: these are as few as a file takes.
        """
        directory, _ = self._place()
        if directory is None or len(content) > self.largest:
            return
        path = _path(directory, key)
        with contextlib.suppress(OSError):
            unfinished, descriptor = self._begun(path)
            try:
                written = os.write(descriptor, content)
                os.close(descriptor)
                if written < len(content):
                    raise OSError(errno.ENOSPC, "the disk is full", path)
                os.replace(unfinished, path)
            except OSError:
                _remove(unfinished)
                raise
            self._grown(len(content))

    def new(self, key: str) -> NewEntry | None:
        """Return a file to write the content of `key` to; None if there is no cache."""
        directory, _ = self._place()
        if directory is None:
            return None
        path = _path(directory, key)
        try:
            unfinished, descriptor = self._begun(path)
            file = open(descriptor, "w+b", buffering=0)  # noqa: SIM115 - handed on
            return NewEntry(self, path, unfinished, file)
        except OSError:
            return None

    def _begun(self, path: str) -> tuple[str, int]:
        """Return the name and the descriptor of a new file that may become an entry.

        Raises:
            OSError: there can be none.
        """
        shard = os.path.dirname(path)
        if shard not in self._shards:
            with contextlib.suppress(FileExistsError):
                os.mkdir(shard, 0o700)
            if not stat.S_ISDIR(os.lstat(shard).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), shard)
            self._shards.add(shard)
        # Of two who write an entry in the same nanosecond, one is refused.
        unfinished = f"{path}.{time.time_ns():016x}"
        try:
            return unfinished, os.open(unfinished, _NEW, 0o600)
        except FileNotFoundError:  # somebody removed the directories
            self._shards.discard(shard)
            raise

    # Where it is

    def _place(self) -> tuple[str | None, str]:
        """Return the directory, or None and the reason why there is none."""
        if self._found is None:
            with self._lock:
                if self._found is None:
                    self._found = self._find()
                    self._complain()
        return self._found

    def _find(self) -> tuple[str | None, str]:
        if not self._config.flag("MFC_CACHE", default=True):
            return None, "MFC_CACHE switches it off"
        self._limit = int(self._config.number("CLIENT_CACHE_MAX_SIZE", _MAX_SIZE) * _MEGABYTE)
        if self._limit <= 0:
            return None, "METAFLOW_CLIENT_CACHE_MAX_SIZE leaves no room"
        try:
            return _private(self._config.text("CLIENT_CACHE_PATH") or _usual_root()), ""
        except OSError as refusal:
            return None, str(refusal)

    def _complain(self) -> None:
        """Warn if the directory that somebody chose cannot be used; the usual one may be missed."""
        directory, reason = self._found or (None, "")
        if (
            directory is None
            and self._limit > 0
            and (root := self._config.text("CLIENT_CACHE_PATH"))
        ):
            text = f"Nothing is cached: METAFLOW_CLIENT_CACHE_PATH is {root!r}, and {reason}"
            warnings.warn(text, MfcWarning, stacklevel=2)

    # How large it is

    def _grown(self, size: int) -> None:
        """Note that an entry was added: the first one at once, then as they come to something."""
        directory, _ = self._place()
        with self._lock:
            if self._untold == 0:
                atexit.register(self._tell, directory)
            self._untold += _on_disk(size)
            if self._told and self._untold <= self._limit * _UNTOLD:
                return
            self._told = True
        total, counted = self._tell(directory)
        if self._is_much(total, counted):
            self._sweep(str(directory), _PATIENCE if total > self._limit * _TOO_MUCH else 0)

    def _is_much(self, total: int, counted: int) -> bool:
        return total > self._limit or counted < time.time() - _RECOUNT

    def _tell(self, directory: str | None) -> tuple[int, int]:
        """Add what was written to what all processes wrote, and return what `_noted` does then."""
        with self._lock:
            untold, self._untold = self._untold, 0
            atexit.unregister(self._tell)
        try:
            return _noted(f"{directory}/size", untold)
        except OSError:  # the directory is gone
            return 0, int(time.time())

    def _sweep(self, directory: str, patience: float) -> None:
        """Count anew what there is, and remove the oldest if that is too much.

        Who waits for another that does so keeps what all write within bounds.
        """
        from filelock import FileLock, Timeout  # 10 ms, and few processes find too much

        note = f"{directory}/size"
        try:
            with FileLock(f"{directory}/lock", timeout=patience, mode=0o600):
                if not self._is_much(*_noted(note, 0)):
                    return  # another has done it
                before = os.path.getsize(note)
                left = _swept(directory, self._limit)
                with open(note, "rb+") as file:
                    file.seek(before)
                    meanwhile = file.read()  # counted twice, perhaps, but never left out
                    file.seek(0)
                    file.truncate()
                    file.write(b"%d %d\n%b" % (left, time.time(), meanwhile))
        except (OSError, Timeout):  # another process is at it, or the directory is gone
            return


class NewEntry:
    """An entry that is being written; nobody sees it before `keep`.

    Args:
        cache: where it will be.
        path: its name then.
        unfinished: its name until then.
        file: open for writing and reading, unbuffered.
    """

    def __init__(self, cache: Cache, path: str, unfinished: str, file: io.FileIO) -> None:
        self._cache, self._path, self._unfinished, self.file = cache, path, unfinished, file

    def keep(self) -> None:
        """Make it an entry, if that is possible; the file stays open."""
        size = self.file.tell()
        if size > self._cache.largest:
            return
        renamed = os.name == "nt"  # a file that is open cannot be renamed there
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
        self._cache._grown(size)

    def leave(self) -> None:
        """Remove it if it was not kept; the file stays open."""
        if self._unfinished:
            _remove(self._unfinished)

    def close(self) -> None:
        """Close the file; remove it if it was not kept."""
        with contextlib.suppress(OSError):
            self.file.close()
        self.leave()


def _path(directory: str, key: str) -> str:
    return f"{directory}/{key[:2]}/{key}"


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _verified(path: str, key: str) -> bytes | BinaryIO | None:
    """Return the content of an entry if it hashes to `key`, else None.

    Raises:
        OSError: it is no file, or cannot be read.
    """
    raw = open(os.open(path, _READ), "rb", buffering=0)  # noqa: SIM115 - handed out if large
    handed_out = False
    try:
        status = os.fstat(raw.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_mtime < time.time() - _USE:
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
    """Return the SHA-1 of a file, which stands at its start then."""
    digest = hashlib.sha1(usedforsecurity=False)
    while piece := file.read(PIECE):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def _usual_root() -> str:
    from platformdirs import user_cache_dir  # only who reads from afar needs it

    return user_cache_dir("mfc", appauthor=False)


def _private(root: str) -> str:
    """Return the cache's directory below `root`, made if need be; nobody else can get at it.

    Raises:
        OSError: it cannot be made, or it is not the user's own; says why.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    directory = os.path.join(os.path.realpath(root), "mfc-blobs-1")
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
        _note_nothing(directory)
    own = getattr(os, "geteuid", lambda: None)()
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{directory} is no directory")
    if own is not None:
        if status.st_uid != own:
            raise OSError(f"{directory} belongs to another user")
        above = directory
        while above != (above := os.path.dirname(above)):
            _refuse_others(above, own)
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.chmod(directory, 0o700)
    os.close(os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600))
    return directory


def _refuse_others(directory: str, own: int) -> None:
    """Do nothing if nobody but the user and root can exchange what is in `directory`.

    Raises:
        OSError: somebody can.
    """
    status = os.lstat(directory)
    if status.st_uid not in (0, own):
        raise OSError(f"{directory} belongs to another user")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise OSError(f"everybody may exchange what is in {directory}")


class _Entry(NamedTuple):
    path: str
    is_finished: bool
    size: int
    #: When it was last used, in minutes since 1970.
    minute: int


def _entries(directory: str, *, unfinished: bool = False) -> Iterator[_Entry]:
    """Yield the entries in no order; what has another name is not ours, and left alone."""
    for number in range(256):
        try:
            with os.scandir(f"{directory}/{number:02x}") as found:
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


def _swept(directory: str, limit: int) -> int:
    """Remove what was not used for longest if there is too much; return the bytes that are left."""
    abandoned = time.time() // 60 - _ABANDONED // 60
    used: Counter[int] = Counter()
    for entry in _entries(directory, unfinished=True):
        if not entry.is_finished and entry.minute < abandoned:
            _remove(entry.path)
        else:
            used[entry.minute] += _on_disk(entry.size)
    left = used.total()
    if left <= limit:
        return left
    excess = left - limit * _KEPT
    oldest = 0
    for minute in sorted(used):
        oldest = minute
        excess -= used[minute]
        if excess <= 0:
            break
    for entry in _entries(directory):
        if entry.minute < oldest or (entry.minute == oldest and left > limit * _KEPT):
            _remove(entry.path)
            left -= _on_disk(entry.size)
    return left


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _own(path: str, flags: int) -> int:
    """Open a file that is the user's alone."""
    return os.open(path, flags, 0o600)


def _note_nothing(directory: str) -> None:
    """Note that there are no entries, if that can be noted; see `_noted`."""
    path = os.path.join(directory, "size")
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii", opener=_own) as file:
        file.write(f"0 {time.time():.0f}\n")


def _noted(path: str, more: int) -> tuple[int, int]:
    """Add a number of bytes to those that were noted; return all of them.

    Each writer adds a line, and needs no lock: the system puts it at the end.

    Args:
        path: of the note.
        more: the bytes to add.

    Returns:
        The bytes, and when all were last counted, in seconds since 1970: never, if that is unclear.

    Raises:
        OSError: it cannot be noted.
    """
    with open(path, "ab+", buffering=0, opener=_own) as file:
        file.write(b"%d\n" % more)
        file.seek(0)
        first, *others = file.read(_NOTE).split(b"\n")
    try:
        total, counted = map(int, first.split())
        if others.pop():  # it is longer than what was read
            return 0, 0
        return total + sum(map(int, others)), counted
    except ValueError:
        return 0, 0
