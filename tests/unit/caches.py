"""Caches in directories of tests, and their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from mfc._cache import SMALL, Cache
from mfc.config import Config


def cache_in(directory: Path, **settings: object) -> Cache:
    return Cache(Config({"CLIENT_CACHE_PATH": str(directory), **settings}))


def entry(content: bytes) -> tuple[str, bytes]:
    return hashlib.sha1(content).hexdigest(), content


def own_file(content: bytes) -> tuple[str, bytes]:
    """Return an entry that is too large for the database."""
    return entry(content.ljust(SMALL + 1))


def place(directory: Path, key: str) -> Path:
    return directory / "mfc-blobs-1" / key[:2] / key


def busy(cache: Cache) -> Cache:
    """Return a cache in which the next small entry is not the first one for a while."""
    cache.put(*entry(b"alone"))
    return cache


def everything(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.parent.name != "blobs"]


def rows(directory: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Query the database as another program might."""
    database = sqlite3.connect(directory / "mfc-blobs-1" / "small", isolation_level=None)
    with contextlib.closing(database):
        return database.execute(statement, values).fetchall()


def aged(directory: Path, key: str, hours: int) -> None:
    then = time.time() - hours * 3600
    os.utime(place(directory, key), (then, then))
