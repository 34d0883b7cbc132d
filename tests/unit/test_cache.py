"""The cache of blobs: private, bounded, never trusted, and never in the way."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from mfc import CacheInfo, MfcWarning, load
from mfc._cache import LARGE, SMALL, Cache, _small
from mfc.config import Config
from mfc.errors import BadSetting, DatastoreError, MetaflowDataMissing
from mfc.testing import _isolation

from .faraway import Results, output, process, step_of


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


def test_a_value_is_fetched_once(tmp_path: Path) -> None:
    results = step_of(3)
    for round_ in range(2):
        client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
        assert [task.data.x for task in client.step("F/1/fit")] == [2, 1, 0]
        assert results.store.reads() == 3
        assert client.stats.cache_hits == 3 * round_
    assert client.cache.info().blobs == 3


def test_cached_values_after_others_are_found(tmp_path: Path) -> None:
    results = step_of(200)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    cached = list(results.client(**settings).step("F/1/fit"))[100:]
    assert list(load(cached, "x")) == list(reversed(range(100)))
    assert results.store.reads() == 100
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == list(reversed(range(200)))
    # It is looked now and then where nothing was found, and a few more may be under way.
    assert 200 <= results.store.reads() < 220
    assert client.stats.cache_hits > 80


def test_it_is_where_platforms_have_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    directory = Cache(Config()).info().directory
    assert directory is not None
    assert directory.startswith(str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_it_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        cache = busy(cache_in(tmp_path / "root"))
        cache.put(*entry(b"x"))
        assert cache.info().blobs == 2
        os.chmod(tmp_path / "root" / "mfc-blobs-1", 0o755)
        cache_in(tmp_path / "root").info()
    finally:
        os.umask(old)
    made = [tmp_path / "root", *(tmp_path / "root").rglob("*")]
    assert {"small", "size", "lock"} < {path.name for path in made}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made} == {0}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"MFC_CACHE": "0"}, "MFC_CACHE"),
        ({"CLIENT_CACHE_MAX_SIZE": "0"}, "METAFLOW_CLIENT_CACHE_MAX_SIZE"),
    ],
)
def test_it_can_be_switched_off(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    results = step_of(1)
    for _ in range(2):
        client = results.client(CLIENT_CACHE_PATH=str(tmp_path), **settings)
        assert client.task("F/1/fit/0").data.x == 0
    assert results.store.reads() == 2
    assert reason in client.cache.info().off
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_none_is_told() -> None:
    with pytest.raises(BadSetting, match="CLIENT_CACHE_MAX_SIZE"):
        Cache(Config({"CLIENT_CACHE_MAX_SIZE": "much"})).info()


def test_local_files_are_not_cached(tmp_path: Path) -> None:
    results = step_of(2)
    results.store.local_file = True
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
    assert [task.data.x for task in client.step("F/1/fit")] == [1, 0]
    assert list(tmp_path.iterdir()) == []


def test_info_and_clear(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=1)
    keys = [entry(b"abc"), entry(b"defg")]
    for key, content in keys:
        cache.put(key, content)
    (tmp_path / "mfc-blobs-1" / "keep-me").write_text("not ours")
    directory = str(tmp_path / "mfc-blobs-1")
    assert cache.info() == CacheInfo(directory, "", 2, 7, 1_000_000)
    cache.clear()
    assert cache.info() == CacheInfo(directory, "", 0, 0, 1_000_000)
    assert (tmp_path / "mfc-blobs-1" / "keep-me").exists()
    assert all(cache.get(key) is None for key, _ in keys)


# Nothing in it is trusted


@pytest.mark.parametrize("size", [SMALL + 1, LARGE])
def test_a_file_that_is_another_is_thrown_away(tmp_path: Path, size: int) -> None:
    cache = cache_in(tmp_path)
    key, content = entry(b"r" * size)
    cache.put(key, content)
    place(tmp_path, key).write_bytes(b"w" * size)
    assert cache.get(key) is None
    assert not place(tmp_path, key).exists()


@pytest.mark.parametrize("key", ["../victim", "g" * 40, "abc", "\0" * 40, "\u00e9" * 40, ""])
def test_what_is_no_key_is_not_looked_for(tmp_path: Path, key: str) -> None:
    """A recorded key may be anything; nothing but an entry is read by it, and none is removed."""
    settings = {"CLIENT_CACHE_PATH": str(tmp_path / "cache")}
    good = step_of(3)
    assert list(load(good.client(**settings).step("F/1/fit"), "x")) == [2, 1, 0]
    (tmp_path / "victim").write_text("somebody's")
    results = step_of(3)
    results.artifacts[:] = [attrs.evolve(artifact, sha=key) for artifact in results.artifacts]
    client = results.client(**settings)
    answers = list(load(client.step("F/1/fit"), "x", errors="return"))
    assert all(isinstance(answer, DatastoreError) for answer in answers)
    with pytest.raises(DatastoreError):
        client.task("F/1/fit/1").data.x  # noqa: B018
    cache = client.cache
    cache.put(key, b"content")
    assert (cache.get(key), cache.new(key)) == (None, None)
    assert (cache.find([key]), cache.has(key)) == ({}, False)
    assert (tmp_path / "victim").read_text() == "somebody's"


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    value = os.urandom(SMALL)
    results = step_of(1, lambda _: value)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
    artifact = client.artifact("F/1/fit/0/x")
    assert artifact.data == value
    place(tmp_path, artifact.sha).write_bytes(b"")
    assert artifact.data == value
    assert place(tmp_path, artifact.sha).read_bytes() == artifact.raw


def rows(directory: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask the database as any other program might."""
    database = sqlite3.connect(directory / "mfc-blobs-1" / "small", isolation_level=None)
    with contextlib.closing(database):
        return database.execute(statement, values).fetchall()


@pytest.mark.parametrize("wrong", [b"wrong", "text", 7, None, b"", bytes(SMALL + 1)])
def test_a_row_that_is_another_is_thrown_away(tmp_path: Path, wrong: object) -> None:
    results = step_of(3)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == [2, 1, 0]
    assert client.cache.info().blobs == 3
    rows(tmp_path, "UPDATE small SET content = ?", wrong)
    for _ in range(2):
        assert list(load(results.client(**settings).step("F/1/fit"), "x")) == [2, 1, 0]
        assert results.store.reads() == 5  # the first one came alone, and is a file


@pytest.mark.parametrize(("column", "wrong"), [("content", None), ("used", "x"), ("used", None)])
def test_rows_that_cannot_be_counted_are_thrown_away(
    tmp_path: Path, column: str, wrong: object
) -> None:
    cache = busy(cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.1))
    for text in (b"first", b"second"):
        cache.put(*entry(text))
    assert cache.info().blobs == 3
    rows(tmp_path, f"UPDATE small SET {column} = ?", wrong)
    for i in range(10):
        cache.put(*own_file(b"%d" % i))  # too much: all are counted
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
def test_a_damaged_database_begins_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    results = step_of(200)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    expected = list(reversed(range(200)))
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == expected
    assert client.cache.info().blobs == 200
    del client
    gc.collect()  # closes the database, which remembers what it has read
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


def test_a_database_that_nobody_finished_is_made(tmp_path: Path) -> None:
    results = step_of(100)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    results.client(**settings).cache.info()
    (tmp_path / "mfc-blobs-1" / "small").touch(0o600)
    client = results.client(**settings)
    assert len(list(load(client.step("F/1/fit"), "x"))) == 100
    assert client.cache.info().blobs == 100
    assert len(rows(tmp_path, "SELECT * FROM small")) == 99


def test_two_that_make_the_database_at_once_both_write(
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
    """Do something while the database is written to."""

    def question(connection: sqlite3.Connection) -> bool:
        with _small._transaction(connection):
            act()
            connection.execute("DELETE FROM small WHERE key = x'00'")
        return True

    holdings, _ = cache._place()
    assert holdings is not None
    assert holdings.small._ask(question, made=True)


def test_a_cache_may_be_collected_while_another_writes(tmp_path: Path) -> None:
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


def test_an_interrupted_question_is_over(tmp_path: Path) -> None:
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
    """The child has the thread's locks in its memory, and they would be held for ever."""
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
def test_what_is_no_file_is_no_database(tmp_path: Path, kind: str) -> None:
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


def test_small_entries_wait_for_others(tmp_path: Path) -> None:
    """Those of other processes see them soon, those of other clients at once."""
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


def test_small_entries_do_not_wait_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = busy(cache_in(tmp_path))
    cache.put(*entry(b"waits"))
    monkeypatch.setattr(_small, "_SECONDS", 0.01)
    time.sleep(0.02)
    cache.put(*entry(b"comes"))
    assert len(rows(tmp_path, "SELECT * FROM small")) == 2


def test_what_is_cleared_takes_no_disk(tmp_path: Path) -> None:
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


def test_an_entry_that_comes_alone_is_a_file(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.put(*entry(b"alone"))
    assert place(tmp_path, entry(b"alone")[0]).read_bytes() == b"alone"
    assert cache.get(entry(b"alone")[0]) == b"alone"


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
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


def test_a_database_that_others_use_is_not_waited_for_for_long(tmp_path: Path) -> None:
    cache = busy(cache_in(tmp_path))
    cache.put(*entry(b"first"))
    assert cache.info().blobs == 2
    other = sqlite3.connect(tmp_path / "mfc-blobs-1" / "small", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        for i in range(6):  # each waits for a second, until it is thought to be hopeless
            assert cache.get(entry(b"first")[0]) is None
            cache.put(*entry(b"%d" % i))
        other.execute("ROLLBACK")
    assert cache.get(entry(b"5")[0]) == b"5"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_and_pipes_are_no_entries(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    key, content = own_file(b"content")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(content)
    place(tmp_path, key).parent.mkdir(parents=True)
    place(tmp_path, key).symlink_to(elsewhere)
    assert cache.get(key) is None
    assert elsewhere.read_bytes() == content
    os.mkfifo(place(tmp_path, key))
    assert cache.get(key) is None
    place(tmp_path, key).mkdir()
    assert cache.get(key) is None
    cache.put(key, content)
    assert cache.get(key) is None


@pytest.mark.parametrize(
    "sha", ["../root/theirs", "../../theirs", "..", "", "x" * 40, "AB" * 20, "\0" * 40, "é" * 40]
)
def test_a_key_leads_nowhere_else(tmp_path: Path, sha: str) -> None:
    theirs = tmp_path / "root" / "theirs"
    results = step_of(3)
    results.artifacts[0] = attrs.evolve(results.artifacts[0], sha=sha)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path / "root"))
    client.cache.info()
    theirs.write_bytes(b"precious")
    for _ in range(2):
        values = list(load(client.step("F/1/fit"), "x", errors="return"))
        assert values[:2] == [2, 1]
        assert isinstance(values[2], DatastoreError)
        with pytest.raises(DatastoreError):
            client.artifact("F/1/fit/0/x").open()
    assert theirs.read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_nothing_is_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "root").mkdir()
    key, content = entry(b"content")
    (tmp_path / "root" / "mfc-blobs-1").symlink_to(tmp_path / "theirs")
    with pytest.warns(MfcWarning, match="is no directory"):
        cache_in(tmp_path / "root").put(key, content)
    assert list((tmp_path / "theirs").iterdir()) == []
    cache = cache_in(tmp_path)
    cache.info()
    (tmp_path / "mfc-blobs-1" / key[:2]).symlink_to(tmp_path / "theirs")
    cache.put(key, content)
    assert list((tmp_path / "theirs").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there are no owners of that kind")
@pytest.mark.parametrize("which", ["mfc-blobs-1", "."])
def test_a_directory_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    root = tmp_path / "root"
    cache_in(root).put(*entry(b"before"))
    theirs, lstat = os.lstat(root / which), os.lstat

    def of_another(path: str) -> os.stat_result:
        status = lstat(path)
        if not os.path.samestat(status, theirs):
            return status
        return os.stat_result([*status[:4], status.st_uid + 1, *status[5:10]])

    monkeypatch.setattr(os, "lstat", of_another)
    cache = cache_in(root)
    with pytest.warns(MfcWarning, match="belongs to another user"):
        assert cache.get(entry(b"before")[0]) is None
    cache.put(*entry(b"after"))
    monkeypatch.undo()
    assert cache_in(root).info().blobs == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_a_directory_that_everybody_may_exchange_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.warns(MfcWarning, match="everybody"):
        assert cache_in(tmp_path / "open").info().directory is None
    (tmp_path / "open").chmod(0o1777)  # as /tmp
    assert cache_in(tmp_path / "open").info().directory


# It is never in the way


def test_where_it_cannot_be_values_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    results = step_of(2)
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        client = results.client(CLIENT_CACHE_PATH=str(path))
        with pytest.warns(MfcWarning, match="Nothing is cached"):
            assert [task.data.x for task in client.step("F/1/fit")] == [1, 0]
        assert client.cache.info().directory is None
        assert client.cache.info().off
        client.cache.clear()


def test_the_usual_place_is_missed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    client = step_of(1).client()
    assert client.task("F/1/fit/0").data.x == 0
    assert client.cache.info().off


def test_it_may_vanish(tmp_path: Path) -> None:
    cache = cache_in(tmp_path / "root")
    cache.put(*entry(b"one"))
    for path in sorted((tmp_path / "root").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    cache.put(*entry(b"two"))
    assert cache.get(entry(b"one")[0]) is None


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
@pytest.mark.parametrize(
    ("room", "size", "blobs"),
    [(1 << 20, 2_000_000, 1), (1 << 20, 20_000_000, 1), (0, 10, 0), (0, 20_000_000, 0)],
)
def test_a_full_disk_loses_nothing_but_the_entry(
    tmp_path: Path, room: int, size: int, blobs: int
) -> None:
    """No file can grow beyond some size: as on a full disk, writing fails, at once or half-way."""
    code = f"""
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
    results = Results()
    results.task("F/1/fit/1", small=1, large=os.urandom({size}))
    client = results.client(CLIENT_CACHE_PATH={str(tmp_path)!r})
    data = client.task("F/1/fit/1").data
    print(len(data.large), data.small, client.cache.info().blobs)
    """
    assert output(code) == f"{size} 1 {blobs}"
    assert not [p for p in everything(tmp_path) if "." in p.name]


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
def test_a_full_disk_keeps_no_files_open(tmp_path: Path) -> None:
    code = f"""
    import hashlib, resource, signal
    from mfc._cache import Cache
    from mfc.config import Config
    cache = Cache(Config({{"CLIENT_CACHE_PATH": {str(tmp_path)!r}}}))
    cache.info()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
    for i in range(40):
        content = b"%d" % i * 10_000
        cache.put(hashlib.sha1(content).hexdigest(), content)
    print(len(os.listdir({str(tmp_path)!r})))
    """
    assert output(code) == "1"


def test_half_an_entry_is_none(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    key, content = entry(b"content")
    new = cache.new(key)
    assert new is not None
    new.file.write(content[:3])
    assert (cache.has(key), cache.info().blobs) == (False, 0)
    new.file.write(content[3:])
    new.keep()
    new.close()
    assert (cache.get(key), cache.info().blobs) == (content, 1)


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
def test_who_is_killed_leaves_no_wrong_entry(tmp_path: Path) -> None:
    code = f"""
    results = step_of(400, lambda i: os.urandom(50_000))
    client = results.client(CLIENT_CACHE_PATH={str(tmp_path)!r})
    print("begun", flush=True)
    while True:
        client.cache.clear()
        list(load(client.step("F/1/fit"), "x"))
    """
    for pause in (0.1, 0.25, 0.4):
        with process(code) as child:
            child.stdout.readline()
            time.sleep(pause)
            child.kill()
            child.communicate()
        assert child.returncode == -signal.SIGKILL
        for path in everything(tmp_path / "mfc-blobs-1"):
            if len(path.name) == 40:
                assert hashlib.sha1(path.read_bytes()).hexdigest() == path.name
        cache = cache_in(tmp_path)
        cache.put(*entry(b"after"))
        assert cache.get(entry(b"after")[0]) == b"after"


def test_ten_processes_share_it(tmp_path: Path) -> None:
    code = f"""
    import json
    results = step_of(60, lambda i: bytes([i]) * 40_000)
    client = results.client(CLIENT_CACHE_PATH={str(tmp_path)!r}, CLIENT_CACHE_MAX_SIZE=1)
    for _ in range(5):
        got = [value[:1] for value in load(client.step("F/1/fit"), "x")]
        assert got == [bytes([i]) for i in reversed(range(60))]
    info = client.cache.info()
    print(json.dumps([client.stats.cache_hits, info.bytes]))
    """
    children = [process(code) for _ in range(10)]
    said = []
    for child in children:
        with child:
            out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        said.append(json.loads(out))
    assert sum(hits for hits, _ in said) > 0
    assert cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=1).info().bytes <= 1_500_000
    for path in everything(tmp_path / "mfc-blobs-1"):
        if len(path.name) == 40:
            assert hashlib.sha1(path.read_bytes()).hexdigest() == path.name


# It is bounded


def aged(directory: Path, key: str, hours: int) -> None:
    then = time.time() - hours * 3600
    os.utime(place(directory, key), (then, then))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.5)
    entries = [entry(bytes([i]) * 100_000) for i in range(5)]
    for hours, (key, content) in enumerate(entries[:4]):
        cache.put(key, content)
        aged(tmp_path, key, 10 - hours)
    assert cache.get(entries[0][0])  # used now
    cache.put(*entries[4])
    left = [cache.has(key) for key, _ in entries]
    assert left == [True, False, True, True, True]


def test_small_entries_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
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
    """All of one minute; and files are no exception."""
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
def test_what_the_database_leaves_empty_counts(tmp_path: Path, size: int) -> None:
    """Of 2100 bytes, a page of 4096 holds no two."""
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=8)
    database, most = tmp_path / "mfc-blobs-1" / "small", 0
    for i in range(16_000_000 // size):
        cache.put(*entry(b"%08d" % i + bytes(size - 8)))
        if i % 50 == 0 and database.exists():
            most = max(most, database.stat().st_size)
    assert 7_000_000 < most < 9_600_000


def test_the_whole_is_counted_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_written_while_another_counts_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
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


def test_an_unreadable_count_is_counted_anew(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, CLIENT_CACHE_MAX_SIZE=0.3)
    for i in range(3):
        cache.put(*entry(bytes([i]) * 60_000))
        aged(tmp_path, entry(bytes([i]) * 60_000)[0], 5 - i)
    (tmp_path / "mfc-blobs-1" / "size").write_bytes(b"\xffgarbage")
    for i in range(3, 9):
        cache.put(*entry(bytes([i]) * 60_000))
    assert cache.info().bytes <= 300_000


def test_one_blob_may_not_take_all_of_it(tmp_path: Path) -> None:
    results = Results()
    results.task("F/1/fit/1", x=os.urandom(7_000_000), y=1)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path), CLIENT_CACHE_MAX_SIZE=8)
    assert client.task("F/1/fit/1").data.y == 1
    assert len(client.task("F/1/fit/1").data.x) == 7_000_000
    assert (client.cache.info().blobs, client.cache.info().bytes < 100) == (1, True)
    assert not [path for path in everything(tmp_path) if "." in path.name]


def test_what_is_gone_in_the_store_is_still_known(tmp_path: Path) -> None:
    """A blob never changes; whether it is still there is not asked."""
    results = step_of(1)
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
    assert client.task("F/1/fit/0").data.x == 0
    results.store.files.clear()
    assert client.task("F/1/fit/0").data.x == 0
    client.cache.clear()
    with pytest.raises(MetaflowDataMissing):
        client.task("F/1/fit/0").data.x  # noqa: B018
