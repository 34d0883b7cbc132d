"""The cache is bounded, whichever processes write to it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mfc._cache import SMALL
from mfc.errors import MetaflowDataMissing

from .caches import aged, busy, cache_in, entry, everything, own_file, place, rows
from .faraway import Results, step_of


def test_the_least_recently_used_file_is_evicted_first(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.5)
    entries = [entry(bytes([i]) * 100_000) for i in range(5)]
    for hours, (key, content) in enumerate(entries[:4]):
        cache.put(key, content)
        aged(tmp_path, key, 10 - hours)
    assert cache.get(entries[0][0])  # used now
    cache.put(*entries[4])
    left = [cache.has(key) for key, _ in entries]
    assert left == [True, False, True, True, True]


def test_the_least_recently_used_small_entry_is_evicted_first(tmp_path: Path) -> None:
    cache = busy(cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.86))
    entries = [entry(os.urandom(8_000)) for _ in range(98)]
    for key, content in entries:
        cache.put(key, content)
    assert cache.info().blobs == 99
    for hours, (key, _) in enumerate(entries):
        then = time.time() // 60 - (200 - hours) * 60
        rows(tmp_path, "UPDATE small SET used = ? WHERE key = ?", then, bytes.fromhex(key))
    assert cache.find([entries[0][0]])  # used now
    for _ in range(10):
        cache.put(*entry(os.urandom(8_000)))
    assert cache.info().blobs < 100
    left = [bool(cache.get(key)) for key, _ in entries]
    assert left == [True] + [False] * (98 - sum(left)) + [True] * (sum(left) - 1)


def test_many_small_entries_are_bounded(tmp_path: Path) -> None:
    """All of the same minute, with files included."""
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=1)
    for i in range(3000):
        cache.put(*entry(b"%d" % i * 100))
        if i % 100 == 0:
            cache.put(*own_file(b"%d" % i))
    cache.info()
    directory = tmp_path / "mfc-blobs-1"
    taken = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert 300_000 < taken < 1_300_000


@pytest.mark.parametrize("size", [2100, SMALL])
def test_unused_space_of_the_database_counts(tmp_path: Path, size: int) -> None:
    """Of 2100 bytes, a page of 4096 holds no two."""
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=8)
    database, most = tmp_path / "mfc-blobs-1" / "small", 0
    for i in range(16_000_000 // size):
        cache.put(*entry(b"%08d" % i + bytes(size - 8)))
        if i % 50 == 0 and database.exists():
            most = max(most, database.stat().st_size)
    assert 7_000_000 < most < 9_600_000


def test_the_total_is_recounted_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=10)
    cache.put(*entry(bytes(20_000)))
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    for i in range(300):
        cache.put(*entry(bytes([i % 256, i // 256]) * 10_000))
    assert listed == []
    for i in range(300):
        cache.put(*entry(bytes([1, i % 256, i // 256]) * 10_000))
    assert len(listed) % 256 == 0
    assert 0 < len(listed) <= 256 * 2 * 6
    assert cache.info().bytes <= 10_000_000


def test_writers_of_a_single_entry_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfc._cache._holdings._UNTOLD", 1.0)
    for i in range(30):
        cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.5).put(*entry(bytes([i]) * 60_000))
        assert cache_in(tmp_path).info().bytes <= 600_000


def test_writes_during_a_recount_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "mfc-blobs-1" / "size"
    cache, other = (cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=1) for _ in range(2))
    cache.put(*entry(b"x"))
    note.write_bytes(b"0 0\n")  # never counted
    scandir, late = os.scandir, [entry(bytes(100_000))]

    def slow(path: str) -> object:
        if late and path.endswith("ff"):
            other.put(*late.pop())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", slow)
    cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=1).put(*own_file(b"y"))
    first, *others = note.read_text().split("\n")[:-1]
    assert int(first.split()[0]) + sum(map(int, others)) >= 100_000


def test_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.1)
    key, content = entry(b"x" * 50_000)
    cache.put(key, content)
    half, fresh = (place(tmp_path, f"{key}.{digit * 16}") for digit in "ab")
    for path in (half, fresh):
        path.write_bytes(bytes(10))
    then = time.time() - 10_000
    os.utime(half, (then, then))
    for i in range(4):
        cache.put(*entry(bytes([i]) * 50_000))
    assert (half.exists(), fresh.exists()) == (False, True)


def test_an_unreadable_total_is_recounted(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.3)
    for i in range(3):
        cache.put(*entry(bytes([i]) * 60_000))
        aged(tmp_path, entry(bytes([i]) * 60_000)[0], 5 - i)
    (tmp_path / "mfc-blobs-1" / "size").write_bytes(b"\xffgarbage")
    for i in range(3, 9):
        cache.put(*entry(bytes([i]) * 60_000))
    assert cache.info().bytes <= 300_000


def test_one_blob_may_not_fill_the_cache(tmp_path: Path) -> None:
    results = Results()
    results.task("F/1/fit/1", x=os.urandom(7_000_000), y=1)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path), CLIENT_CACHE_MAX_SIZE=8)
    assert client.task("F/1/fit/1").data.y == 1
    assert len(client.task("F/1/fit/1").data.x) == 7_000_000
    assert (client.cache.info().blobs, client.cache.info().bytes < 100) == (1, True)
    assert not [path for path in everything(tmp_path) if "." in path.name]


def test_a_cached_blob_outlives_the_store(tmp_path: Path) -> None:
    """A blob never changes, so the store is not checked again."""
    results = step_of(1)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
    assert client.task("F/1/fit/0").data.x == 0
    results.store.files.clear()
    assert client.task("F/1/fit/0").data.x == 0
    client.cache.clear()
    with pytest.raises(MetaflowDataMissing):
        client.task("F/1/fit/0").data.x  # noqa: B018
