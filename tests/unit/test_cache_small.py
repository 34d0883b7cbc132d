"""The cache's small entries, stored as rows of a database."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mfc import load
from mfc._cache import SMALL, Cache, _small
from mfc_testing import _isolation

from .caches import busy, cache_in, entry, own_file, place, rows
from .faraway import output, step_of


@pytest.mark.parametrize("wrong", [b"wrong", "text", 7, None, b"", bytes(SMALL + 1)])
def test_a_row_with_other_content_is_removed(tmp_path: Path, wrong: object) -> None:
    results = step_of(3)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == [2, 1, 0]
    assert client.cache.info().blobs == 3
    rows(tmp_path, "UPDATE small SET content = ?", wrong)
    for _ in range(2):
        assert list(load(results.client(**settings).step("F/1/fit"), "x")) == [2, 1, 0]
        assert results.store.reads() == 5  # the first one came alone, and became a file


@pytest.mark.parametrize(("column", "wrong"), [("content", None), ("used", "x"), ("used", None)])
def test_uncountable_rows_are_removed(tmp_path: Path, column: str, wrong: object) -> None:
    cache = busy(cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.1))
    for text in (b"first", b"second"):
        cache.put(*entry(text))
    assert cache.info().blobs == 3
    rows(tmp_path, f"UPDATE small SET {column} = ?", wrong)
    for i in range(10):
        cache.put(*own_file(b"%d" % i))  # too much: all are recounted
    cache.put(*entry(b"third"))
    assert cache.info().blobs > 1
    assert cache.find([entry(b"third")[0]])


def no_database(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 1000)


def another_schema(path: Path) -> None:
    path.unlink()
    rows(path.parent.parent, "CREATE TABLE small (x)")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    with path.open("rb+") as file:
        file.seek(4096)
        file.write(b"\xff" * 20_000)


@pytest.mark.parametrize("damage", [no_database, another_schema, cut_short, overwritten])
def test_a_damaged_database_is_replaced(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    results = step_of(200)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    expected = list(reversed(range(200)))
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == expected
    assert client.cache.info().blobs == 200
    del client
    gc.collect()  # closes the database, whose connection caches its reads
    damage(tmp_path / "mfc-blobs-1" / "small")
    for _ in range(3):
        assert list(load(results.client(**settings).step("F/1/fit"), "x")) == expected
        gc.collect()
    before = results.store.reads()
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == expected
    assert results.store.reads() == before
    for text in (b"more", b"and more"):
        client.cache.put(*entry(text))
    client.cache.info()
    assert rows(tmp_path, "SELECT key FROM small")


def test_an_unfinished_database_is_completed(tmp_path: Path) -> None:
    results = step_of(100)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    results.client(**settings).cache.info()
    (tmp_path / "mfc-blobs-1" / "small").touch(0o600)
    client = results.client(**settings)
    assert len(list(load(client.step("F/1/fit"), "x"))) == 100
    assert client.cache.info().blobs == 100
    assert len(rows(tmp_path, "SELECT * FROM small")) == 99


def test_two_concurrent_creators_of_the_database_both_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mfc-blobs-1" / "small"
    cache, make = busy(cache_in(tmp_path)), os.open

    def late(path: str, *given: int) -> int:
        if path == str(database):
            database.touch(0o600)
        return make(path, *given)

    cache.put(*entry(b"content"))
    monkeypatch.setattr(os, "open", late)
    assert cache.info().blobs == 2


def amid(cache: Cache, act: Callable[[], object]) -> None:
    """Run a function while the database is written to."""

    def question(connection: sqlite3.Connection) -> bool:
        with _small._transaction(connection):
            act()
            connection.execute("DELETE FROM small WHERE key = x'00'")
        return True

    holdings, _ = cache._place()
    assert holdings is not None
    assert holdings.small._ask(question, made=True)


def test_a_cache_may_be_garbage_collected_during_a_write(tmp_path: Path) -> None:
    cache, other = busy(cache_in(tmp_path)), cache_in(tmp_path)
    cache.put(*entry(b"first"))
    assert cache.info().blobs == 2
    cycle: list[object] = [other]
    cycle.append(cycle)
    other.put(*entry(b"second"))
    del other
    gc.disable()
    try:
        del cycle
        amid(cache, gc.collect)
    finally:
        gc.enable()
    assert cache.info().blobs == 3


def test_an_interrupted_query_is_ended(tmp_path: Path) -> None:
    cache = busy(cache_in(tmp_path))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        amid(cache, interrupt)
    cache.put(*entry(b"content"))
    cache.info()
    del cache
    gc.collect()
    assert len(rows(tmp_path, "SELECT * FROM small")) == 1


def test_a_process_is_not_forked_while_a_thread_writes(tmp_path: Path) -> None:
    """The child's memory has the thread's locks, which would stay held."""
    _isolation.needs_fork()
    cache = busy(cache_in(tmp_path))
    writes, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=amid, args=(cache, lambda: (writes.set(), over.wait(0.5))))
    thread.start()
    assert writes.wait(60)

    def child() -> dict[str, bytes]:
        found = busy(cache_in(tmp_path))
        found.put(*entry(b"of the child"))
        return found.find([entry(b"of the child")[0]]) if found.info().blobs == 2 else {}

    answer = _isolation.answered(_isolation.forked(child))
    thread.join()
    assert answer == dict([entry(b"of the child")])


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_a_database_that_is_not_a_file_is_ignored(tmp_path: Path, kind: str) -> None:
    cache = busy(cache_in(tmp_path))
    place, theirs = tmp_path / "mfc-blobs-1" / "small", tmp_path / "theirs"
    theirs.write_bytes(b"")
    if kind == "link":
        place.symlink_to(theirs)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    for _ in range(5):
        cache.put(*entry(b"content"))
        assert cache.get(entry(b"content")[0]) == b"content"
    assert theirs.read_bytes() == b""


def test_small_entries_are_written_in_batches(tmp_path: Path) -> None:
    """Other processes see them soon, other clients at once."""
    cache, other = busy(cache_in(tmp_path)), cache_in(tmp_path)
    entries = [entry(b"%d" % i) for i in range(100)]
    for key, content in entries:
        cache.put(key, content)
    assert [other.get(key) for key, _ in entries] == [content for _, content in entries]
    assert not (tmp_path / "mfc-blobs-1" / "small").exists()
    assert cache.info().blobs == 101
    cache.put(*entry(b"another"))
    del cache, other
    gc.collect()
    assert len(rows(tmp_path, "SELECT * FROM small")) == 101


def test_batches_of_small_entries_are_written_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = busy(cache_in(tmp_path))
    cache.put(*entry(b"waits"))
    monkeypatch.setattr(_small, "_SECONDS", 0.01)
    time.sleep(0.02)
    cache.put(*entry(b"comes"))
    assert len(rows(tmp_path, "SELECT * FROM small")) == 2


def test_clearing_frees_the_disk(tmp_path: Path) -> None:
    cache, database = busy(cache_in(tmp_path)), tmp_path / "mfc-blobs-1" / "small"
    for i in range(200):
        cache.put(*entry(b"%d" % i * 2000))
    assert cache.info().blobs == 201
    assert database.stat().st_size > 400_000
    cache.clear()
    assert database.stat().st_size < 100_000


def test_equal_values_are_cached_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, put = [], Cache.put
    monkeypatch.setattr(Cache, "put", lambda *given: kept.append(given) or put(*given))
    client = step_of(50, lambda _: "equal").client(CLIENT_CACHE_PATH=str(tmp_path))
    assert list(load(client.step("F/1/fit"), "x")) == ["equal"] * 50
    assert len(kept) == 1


def test_an_isolated_entry_is_a_file(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.put(*entry(b"alone"))
    assert place(tmp_path, entry(b"alone")[0]).read_bytes() == b"alone"
    assert cache.get(entry(b"alone")[0]) == b"alone"


def test_a_pending_batch_is_written_at_exit(tmp_path: Path) -> None:
    code = f"""
    results = step_of(50)
    client = results.client(CLIENT_CACHE_PATH={str(tmp_path)!r})
    print(len(list(load(client.step("F/1/fit"), "x"))))
    """
    assert output(code) == "50"
    assert cache_in(tmp_path).info().blobs == 50


def test_a_forked_child_leaves_the_database_to_its_parent(tmp_path: Path) -> None:
    _isolation.needs_fork()
    cache = busy(cache_in(tmp_path))
    first, second = entry(b"first"), entry(b"second")
    cache.put(*first)
    assert cache.info().blobs == 2
    cache.put(*second)

    def child() -> list[object]:
        waits = cache.find([second[0]])
        cache.put(*entry(b"third"))
        return [cache.get(first[0]), waits, cache.info().blobs]

    assert _isolation.answered(_isolation.forked(child)) == [b"first", {}, 3]
    assert cache.info().blobs == 4


def test_a_locked_database_is_waited_for_briefly(tmp_path: Path) -> None:
    cache = busy(cache_in(tmp_path))
    cache.put(*entry(b"first"))
    assert cache.info().blobs == 2
    other = sqlite3.connect(tmp_path / "mfc-blobs-1" / "small", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        for i in range(6):  # each waits for a second, until the cache gives up
            assert cache.get(entry(b"first")[0]) is None
            cache.put(*entry(b"%d" % i))
        other.execute("ROLLBACK")
    assert cache.get(entry(b"5")[0]) == b"5"
