"""The cache of a client: its directory, its limit, and whether it is on."""

from __future__ import annotations

import re
import threading
import weakref
from typing import TYPE_CHECKING, BinaryIO

from mfc._cache._files import NewEntry
from mfc._cache._holdings import Holdings, holdings_in
from mfc._cache._home import NO_HOME, at_home, private, usual_root
from mfc._concurrency._forks import fork_safe
from mfc.errors import warn
from mfc.model import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Collection

    from mfc.config import Config

_MEGABYTE = 1_000_000
#: Metaflow's default of CLIENT_CACHE_MAX_SIZE, in megabytes.
_MAX_SIZE = 10_000


_is_key = re.compile("[0-9a-f]{40}").fullmatch


class Cache:
    """Blobs of remote datastores, read before by this or by other processes.

    Entries are not trusted: one that does not hash to its name is removed. The cache never raises:
    it is off where the disk cannot be used.

    Args:
        config: settings of its directory and limit, and whether it is on.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = fork_safe(threading.Lock())
        self._found: tuple[Holdings | None, str] | None = None
        self._limit = 0

    def __repr__(self) -> str:
        holdings, reason = self._place()
        return f"<Cache: {reason if holdings is None else holdings.directory}>"

    # For users

    def info(self) -> CacheInfo:
        """Return the directory and the content of the cache; counts the files one by one."""
        holdings, off = self._place()
        if holdings is None:
            return CacheInfo(None, off, 0, 0, self._limit)
        holdings.settle(self._limit)
        number, size = holdings.count()
        return CacheInfo(holdings.directory, off, number, size, self._limit)

    def clear(self) -> None:
        """Remove all entries, also those of other processes; open files stay readable."""
        holdings, _ = self._place()
        if holdings is not None:
            holdings.clear()

    # For the datastore

    def has(self, key: str) -> bool:
        """Tell whether an entry exists as a file, valid or not."""
        holdings = self._holdings_for(key)
        return holdings is not None and holdings.files.has(key)

    def find(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the content of the small entries among `keys`."""
        holdings, _ = self._place()
        return {} if holdings is None else holdings.small.find(filter(_is_key, keys))

    def get(self, key: str) -> bytes | BinaryIO | None:
        """Return the content of an entry, or an open file if it is large; None on a miss."""
        holdings = self._holdings_for(key)
        return None if holdings is None else holdings.get(key)

    @property
    def largest(self) -> float:
        """Limit of one entry, in bytes, so that it cannot evict all others."""
        return self._limit / 2

    def put(self, key: str, content: bytes) -> None:
        """Store content that hashes to `key`."""
        holdings = self._holdings_for(key)
        if holdings is not None and len(content) <= self.largest:
            holdings.put(key, content, self._limit)

    def new(self, key: str) -> NewEntry | None:
        """Return a file to write the content of `key` to; None if the cache is off."""
        holdings = self._holdings_for(key)
        return None if holdings is None else holdings.new(key, self._limit, self.largest)

    def _holdings_for(self, key: str) -> Holdings | None:
        """Return the holdings; None if the cache is off, or `key` is not a valid key.

        Keys come from records, which are not trusted, and become names of files.
        """
        holdings, _ = self._place()
        return holdings if _is_key(key) else None

    # Directory

    def _place(self) -> tuple[Holdings | None, str]:
        """Return the holdings, or None and the reason why the cache is off."""
        if self._found is None:
            with self._lock:
                if self._found is None:
                    self._found = self._find()
                    self._complain()
        return self._found

    def _find(self) -> tuple[Holdings | None, str]:
        if not self._config.flag("MFC_CACHE", default=True):
            return None, "MFC_CACHE switches it off"
        self._limit = int(self._config.number("CLIENT_CACHE_MAX_SIZE", _MAX_SIZE) * _MEGABYTE)
        if self._limit <= 0:
            return None, "METAFLOW_CLIENT_CACHE_MAX_SIZE leaves no room"
        try:
            chosen = self._config.text("CLIENT_CACHE_PATH")
            directory = private(at_home(chosen) if chosen else usual_root())
        except OSError as refusal:
            return None, str(refusal)
        holdings = holdings_in(directory)
        weakref.finalize(self, holdings.leave, self._limit)
        return holdings, ""

    def _complain(self) -> None:
        """Warn if the chosen directory cannot be used, or if the user has no home directory."""
        holdings, reason = self._found or (None, "")
        if holdings is not None or self._limit <= 0:
            return
        chosen = self._config.text("CLIENT_CACHE_PATH")
        if chosen or reason == NO_HOME:
            said = f"METAFLOW_CLIENT_CACHE_PATH is {chosen!r}, and " if chosen else ""
            warn(f"Nothing is cached: {said}{reason}")
