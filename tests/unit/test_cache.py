"""The cache of blobs: private, never trusted, and never an obstacle."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import time
from pathlib import Path

import attrs
import pytest

from mfc import CacheInfo, MfcWarning, load
from mfc._cache import LARGE, SMALL, Cache
from mfc.config import Config
from mfc.errors import BadSetting, DatastoreError

from .caches import busy, cache_in, entry, everything, own_file, place
from .faraway import output, process, step_of


def test_a_value_is_fetched_once(tmp_path: Path) -> None:
    results = step_of(3)
    for round_ in range(2):
        client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
        assert [task.data.x for task in client.step("F/1/fit")] == [2, 1, 0]
        assert results.store.reads() == 3
        assert client.stats.cache_hits == 3 * round_
    assert client.cache.info().blobs == 3


def test_cached_values_are_found_after_misses(tmp_path: Path) -> None:
    results = step_of(200)
    settings = {"CLIENT_CACHE_PATH": str(tmp_path)}
    cached = list(results.client(**settings).step("F/1/fit"))[100:]
    assert list(load(cached, "x")) == list(reversed(range(100)))
    assert results.store.reads() == 100
    client = results.client(**settings)
    assert list(load(client.step("F/1/fit"), "x")) == list(reversed(range(200)))
    # An empty cache is checked now and then, and a few more reads may be in flight.
    assert 200 <= results.store.reads() < 220
    assert client.stats.cache_hits > 80


def test_the_cache_is_in_the_platforms_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    directory = Cache(Config()).info().directory
    assert directory is not None
    assert directory.startswith(str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_the_cache_is_private(tmp_path: Path) -> None:
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
def test_the_cache_can_be_switched_off(
    tmp_path: Path, settings: dict[str, str], reason: str
) -> None:
    results = step_of(1)
    for _ in range(2):
        client = results.client(CLIENT_CACHE_PATH=str(tmp_path), **settings)
        assert client.task("F/1/fit/0").data.x == 0
    assert results.store.reads() == 2
    assert reason in client.cache.info().off
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_size_is_reported() -> None:
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


# Its content is never trusted


@pytest.mark.parametrize("size", [SMALL + 1, LARGE])
def test_a_file_with_other_content_is_removed(tmp_path: Path, size: int) -> None:
    cache = cache_in(tmp_path)
    key, content = entry(b"r" * size)
    cache.put(key, content)
    place(tmp_path, key).write_bytes(b"w" * size)
    assert cache.get(key) is None
    assert not place(tmp_path, key).exists()


@pytest.mark.parametrize("key", ["../victim", "g" * 40, "abc", "\0" * 40, "\u00e9" * 40, ""])
def test_invalid_keys_are_not_looked_up(tmp_path: Path, key: str) -> None:
    """A recorded key may be any text: it reads only its own entry, and removes none."""
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


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_and_pipes_are_ignored(tmp_path: Path) -> None:
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
def test_a_key_never_leads_out_of_the_cache(tmp_path: Path, sha: str) -> None:
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
    with pytest.warns(MfcWarning, match="is not a directory"):
        cache_in(tmp_path / "root").put(key, content)
    assert list((tmp_path / "theirs").iterdir()) == []
    cache = cache_in(tmp_path)
    cache.info()
    (tmp_path / "mfc-blobs-1" / key[:2]).symlink_to(tmp_path / "theirs")
    cache.put(key, content)
    assert list((tmp_path / "theirs").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there are no owners of that kind")
@pytest.mark.parametrize("which", ["mfc-blobs-1", "."])
def test_a_directory_of_another_user_is_not_used(
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
def test_a_directory_that_other_users_may_replace_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.warns(MfcWarning, match="everybody"):
        assert cache_in(tmp_path / "open").info().directory is None
    (tmp_path / "open").chmod(0o1777)  # as /tmp
    assert cache_in(tmp_path / "open").info().directory


# It is never an obstacle


def test_values_are_read_without_a_usable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    results = step_of(2)
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        client = results.client(CLIENT_CACHE_PATH=str(path))
        with pytest.warns(MfcWarning, match="Nothing is cached"):
            assert [task.data.x for task in client.step("F/1/fit")] == [1, 0]
        assert client.cache.info().directory is None
        assert client.cache.info().off
        client.cache.clear()


def test_an_unusable_default_folder_gives_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    client = step_of(1).client()
    assert client.task("F/1/fit/0").data.x == 0
    assert client.cache.info().off


def test_the_cache_may_vanish(tmp_path: Path) -> None:
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
def test_a_full_disk_loses_only_the_entry(tmp_path: Path, room: int, size: int, blobs: int) -> None:
    """File size is limited: as on a full disk, writing fails, at once or half-way."""
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


def test_a_truncated_entry_is_ignored(tmp_path: Path) -> None:
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
def test_a_killed_writer_leaves_no_wrong_entry(tmp_path: Path) -> None:
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


def test_ten_processes_share_the_cache(tmp_path: Path) -> None:
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
