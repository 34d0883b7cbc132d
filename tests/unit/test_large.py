"""Large values: read in concurrent ranges, verified on disk, decoded from there; artifacts as files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from mfc import Client, Placeholder, hookspecs, load
from mfc._storage._files import BEGINNING
from mfc.errors import (
    BadArgument,
    CorruptBlob,
    MetaflowDataMissing,
    UnreadableBlob,
)
from mfc_testing import _isolation

from .faraway import OFF, FarAway, Results, output, plugin_of

LARGE = 18_000_000


def large(**store: Any) -> tuple[Results, str, bytes]:
    """Return results with one large value, the path of its blob, and the value."""
    results = Results(FarAway(**store))
    value = os.urandom(LARGE)
    path = results.artifact(results.task("F/1/fit/1"), "x", pickle.dumps(value, 4))
    return results, path, value


@pytest.mark.parametrize("config", [{}, OFF])
def test_a_large_blob_is_read_in_ranges_once_each(config: dict[str, str]) -> None:
    results, path, value = large(wait=0.2)
    client = results.client(**config)
    assert client.task("F/1/fit/1").data.x == value
    ends = [end for _, _, end in results.store.asked]
    starts = [start for _, start, _ in results.store.asked]
    size = len(results.store.files[path])
    assert sorted(starts) == list(range(0, size, BEGINNING))
    assert max(ends) == size
    assert results.store.sizes == [path]
    assert results.store.most > 1
    assert client.stats.bytes == size


def test_a_large_blob_is_cached() -> None:
    results, _, value = large()
    for _ in range(2):
        client = results.client()
        assert client.task("F/1/fit/1").data.x == value
    before = results.store.reads()
    assert client.artifact("F/1/fit/1/x").raw == pickle.dumps(value, 4)
    assert (results.store.reads(), client.cache.info().blobs) == (before, 1)
    assert before == len(set(results.store.asked))


def test_a_blob_as_long_as_the_first_read() -> None:
    results = Results()
    task = results.task("F/1/fit/1")
    for name, size in (("one", BEGINNING - 1), ("two", BEGINNING), ("three", BEGINNING + 1)):
        content = os.urandom(size)
        results.artifact(task, name, content, packed=False)
        assert results.client().artifact(f"F/1/fit/1/{name}").raw == content
    assert len(results.store.asked) == 1 + 1 + 2


def test_a_small_blob_that_expands_to_much() -> None:
    results = Results()
    results.task("F/1/fit/1", x=bytes(50_000_000))
    client = results.client()
    assert client.task("F/1/fit/1").data.x == bytes(50_000_000)
    assert results.store.reads() == 1
    with client.artifact("F/1/fit/1/x").open() as file:
        assert not isinstance(file, io.BytesIO)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("size", [1000, BEGINNING + 1000])
def test_a_value_that_is_gzip_data_itself(size: int, packed: bool) -> None:
    """The store does not say how it wrote the blob; the hash tells."""
    content = gzip.compress(os.urandom(size), 1)
    results = Results()
    results.artifact(results.task("F/1/fit/1"), "x", content, packed=packed)
    assert results.client().artifact("F/1/fit/1/x").raw == content


def with_another_byte(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("config", [{}, OFF])
@pytest.mark.parametrize("harm", ["changed", "cut", "cut at a range", "no gzip"])
def test_a_damaged_large_blob_is_reported(harm: str, config: dict[str, str]) -> None:
    results, path, _ = large()
    stored = results.store.files[path]
    results.store.files[path] = {
        "changed": with_another_byte(stored, 15_000_000),
        "cut": stored[:-9],
        "cut at a range": stored[: 3 * BEGINNING],
        "no gzip": with_another_byte(stored, 20),
    }[harm]
    client = results.client(**config)
    artifact = client.artifact("F/1/fit/1/x")
    for ask in (lambda: artifact.data, lambda: artifact.raw, artifact.open):
        with pytest.raises(CorruptBlob) as caught:
            ask()
        assert caught.value.subject == "F/1/fit/1/x"
    assert client.cache.info().blobs == 0


def test_code_in_a_damaged_blob_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    results, path, value = large()
    results.store.files[path] = gzip.compress(pickle.dumps([Evil(), value], 4), 1)
    with pytest.raises(CorruptBlob):
        results.client().task("F/1/fit/1").data.x  # noqa: B018
    assert not (tmp_path / "ran").exists()


def test_a_hanging_range_times_out() -> None:
    class HangsLater(FarAway):
        def cat_file(self, path, start=None, end=None):
            if (start or 0) > 2 * BEGINNING:
                self.over.wait()
            return super().cat_file(path, start, end)

    results, _, _ = large()
    files = results.store.files
    results.store = HangsLater()
    results.store.files = files
    client = results.client(MFC_READ_TIMEOUT=0.5)
    with pytest.raises(UnreadableBlob, match="not answered"):
        client.task("F/1/fit/1").data.x  # noqa: B018
    results.store.over.set()


def test_a_short_range_is_reported() -> None:
    class Short(FarAway):
        def cat_file(self, path, start=None, end=None):
            return super().cat_file(path, start, end)[: BEGINNING - bool(start)]

    results, _, _ = large()
    files = results.store.files
    results.store = Short()
    results.store.files = files
    with pytest.raises(UnreadableBlob, match="4194303 bytes came of the range"):
        results.client().task("F/1/fit/1").data.x  # noqa: B018


def test_a_store_without_ranges_is_read() -> None:
    class Whole(FarAway):
        def cat_file(self, path, start=None, end=None):
            return super().cat_file(path)

    results, _, value = large()
    files = results.store.files
    results.store = Whole()
    results.store.files = files
    assert results.client().task("F/1/fit/1").data.x == value
    assert results.store.reads() == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system shows no peak")
@pytest.mark.parametrize("cache", ["0", "1"])
def test_memory_is_bounded_by_the_value(cache: str, tmp_path: Path) -> None:
    """A value of 200 MB, with its blob on disk, so that memory is empty before."""
    code = f"""
    class OnDisk(FarAway):
        def cat_file(self, path, start=None, end=None):
            with open({str(tmp_path / "blob")!r}, "rb", buffering=0) as file:
                file.seek(start or 0)
                return file.read(end - start)
        def size(self, path):
            return os.path.getsize({str(tmp_path / "blob")!r})
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    import numpy, attrs
    key = open({str(tmp_path / "key")!r}).read()
    results = Results(OnDisk())
    task = results.task("F/1/fit/1")
    results.artifact(task, "small", pickle.dumps(numpy.arange(3), 4))
    results.artifacts.append(attrs.evolve(results.artifacts[-1], path=task.child("x"), sha=key))
    client = results.client(MFC_CACHE={cache!r}, CLIENT_CACHE_PATH={str(tmp_path / "cache")!r})
    task = client.task("F/1/fit/1")
    list(client.step("F/1/fit"))
    before = peak()
    value = task.data.x
    assert value.nbytes == 200_000_000 and value[-1] == 24_999_999
    print((peak() - before) // 2**20)
    """
    prepare = f"""
    import numpy
    content = pickle.dumps(numpy.arange(25_000_000), 4)
    open({str(tmp_path / "key")!r}, "w").write(hashlib.sha1(content).hexdigest())
    open({str(tmp_path / "blob")!r}, "wb").write(gzip.compress(content, 1))
    """
    output(prepare)
    megabytes = int(output(code))
    assert megabytes <= 200_000_000 // 2**20 + 64


def test_a_placeholder_of_a_large_value_has_its_bytes() -> None:
    """A class that is missing here, in a pickle read from a file."""
    content = pickle.dumps([b"x" * LARGE, os.path.join], 4)
    content = content.replace(b"posixpath", b"goneixpth")
    results = Results()
    results.artifact(results.task("F/1/fit/1"), "x", content)
    value = results.client().task("F/1/fit/1").data.x
    assert issubclass(value[1], Placeholder)
    assert value[1].raw == content


def test_a_decoder_gets_a_file_if_it_accepts_one() -> None:
    got = []

    class Decoder:
        def decode(self, blob, artifact, trust):
            return "bytes"

        def decode_file(self, file, artifact, trust):
            got.append((file.read(10), file.seek(0), len(file.read())))
            return "file"

    class Plain:
        def decode(self, blob, artifact, trust):
            return len(blob)

    class Plugin:
        @staticmethod
        @hookspecs.hookimpl
        def mfc_artifact_decoder(encoding):
            return {"mine": Decoder(), "plain": Plain()}.get(encoding)

    results = Results()
    task = results.task("F/1/fit/1")
    content = os.urandom(LARGE)
    results.artifact(task, "x", content, encoding="mine")
    results.artifact(task, "small", b"small", encoding="mine")
    results.artifact(task, "y", content, encoding="plain")
    client = Client(results.provider(), namespace=None, plugins=[plugin_of(results.store), Plugin])
    data = client.task("F/1/fit/1").data
    assert (data.x, data.small, data.y) == ("file", "bytes", LARGE)
    assert got == [(content[:10], 0, LARGE)]


# Files


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("size", [10, LARGE])
def test_an_artifact_is_opened(size: int, local: bool) -> None:
    results = Results()
    results.store.local_file = local
    content = os.urandom(size)
    results.artifact(results.task("F/1/fit/1"), "x", content)
    with results.client().artifact("F/1/fit/1/x").open() as file:
        assert file.read(4) == content[:4]
        assert file.read() == content[4:]
        assert file.seek(-5, io.SEEK_END) == size - 5
        assert file.read() == content[-5:]
        assert (file.seekable(), file.writable()) == (True, size == 10)


@pytest.mark.parametrize("config", [{}, OFF])
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("size", [10, LARGE])
def test_an_artifact_is_downloaded(
    tmp_path: Path, size: int, local: bool, config: dict[str, str]
) -> None:
    results = Results()
    results.store.local_file = local
    content = os.urandom(size)
    path = results.artifact(results.task("F/1/fit/1"), "x", content)
    told: list[tuple[int, int | None]] = []
    artifact = results.client(**config).artifact("F/1/fit/1/x")
    for _ in range(2):
        (tmp_path / "model").write_bytes(b"older")
        told.clear()
        artifact.download(tmp_path / "model", progress=lambda *said: told.append(said))
        assert (tmp_path / "model").read_bytes() == content
        assert told[-1][0] == told[-1][1] == len(results.store.files[path])
        assert told == sorted(told)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_a_download_has_the_usual_mode(tmp_path: Path) -> None:
    results = Results()
    results.task("F/1/fit/1", x=1)
    old = os.umask(0o027)
    try:
        results.client().artifact("F/1/fit/1/x").download(tmp_path / "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_download_is_whole_or_not_at_all(tmp_path: Path) -> None:
    results, path, _ = large()
    stored = results.store.files[path]
    artifact = results.client().artifact("F/1/fit/1/x")
    results.store.files[path] = with_another_byte(stored, 15_000_000)
    (tmp_path / "x").write_bytes(b"older")
    with pytest.raises(CorruptBlob):
        artifact.download(tmp_path / "x")
    results.store.files.clear()
    with pytest.raises(MetaflowDataMissing):
        artifact.download(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_an_unwritable_destination_is_reported(tmp_path: Path) -> None:
    results = Results()
    results.task("F/1/fit/1", x=1)
    artifact = results.client().artifact("F/1/fit/1/x")
    with pytest.raises(FileNotFoundError) as caught:
        artifact.download(tmp_path / "absent" / "x")
    assert caught.value.filename == str(tmp_path / "absent" / "x")
    with pytest.raises(IsADirectoryError):
        artifact.download(tmp_path)
    with pytest.raises(BadArgument):
        artifact.download(tmp_path / "x", progress="bar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
def test_a_disk_that_fills_up_during_a_download_is_reported(tmp_path: Path) -> None:
    code = f"""
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    results = Results()
    results.task("F/1/fit/1", x=os.urandom(9_000_000))
    try:
        results.client().artifact("F/1/fit/1/x").download({str(tmp_path / "x")!r})
    except OSError as error:
        print(error.filename, os.listdir({str(tmp_path)!r}))
    """
    assert output(code) == f"{tmp_path / 'x'} []"


# Included files


def included(content: bytes, *, is_text: bool = False, **changed: Any) -> Results:
    """Return results with an IncludeFile as Metaflow's uploader writes it."""
    results = Results()
    key = hashlib.sha1(content).hexdigest()
    results.store.files[f"tools/data/F/{key}"] = gzip.compress(content, 1)
    descriptor = {
        "type": "uploader-v2",
        "sub-type": "uploaded",
        "url": f"far://tools/data/F/{key}",
        "is_text": is_text,
        "encoding": None,
        "size": len(content),
        **changed,
    }
    pickled = io.BytesIO()
    pickled.write(b"\x80\x04cmetaflow.includefile\nIncludedFile\n)\x81}")
    pickled.write(b"\x8c\x0b_descriptor" + pickle.dumps(descriptor, 4)[2:-1] + b"sb.")
    results.artifact(results.task("F/1/fit/1"), "x", pickled.getvalue())
    return results


@pytest.mark.parametrize("size", [0, 1000, LARGE])
def test_an_included_file_is_its_content(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    results = included(content)
    artifact = results.client().artifact("F/1/fit/1/x")
    assert artifact.data == content
    reads = results.store.reads()
    with artifact.open() as file:
        assert file.read() == content
    artifact.download(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert results.store.reads() == reads  # it is cached as well


@pytest.mark.parametrize(
    ("stored", "said"),
    [(gzip.compress(b"other"), "does not match"), (b"raw", "is not the gzip")],
    ids=["another", "raw"],
)
def test_an_included_file_with_other_content_is_reported(
    tmp_path: Path, stored: bytes, said: str
) -> None:
    results = included(b"content")
    (path,) = [path for path in results.store.files if path.startswith("tools")]
    results.store.files[path] = stored
    artifact = results.client().artifact("F/1/fit/1/x")
    for ask in (lambda: artifact.data, artifact.open, lambda: artifact.download(tmp_path / "f")):
        with pytest.raises(CorruptBlob, match=said):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_resembles_an_included_file() -> None:
    results = Results()
    results.task("F/1/fit/1", x="IncludedFile")
    with results.client().artifact("F/1/fit/1/x").open() as file:
        assert pickle.load(file) == "IncludedFile"


def test_files_of_an_untrusted_store_are_opened() -> None:
    results = included(b"content")
    with results.client(trust="none").artifact("F/1/fit/1/x").open() as file:
        assert file.read() == b"content"


def test_a_large_blob_that_is_shared_is_read_once() -> None:
    results = Results()
    content = os.urandom(9_000_000)
    for i in range(4):
        results.artifact(results.task(f"F/1/fit/{i}"), "x", pickle.dumps(content, 4))
    for config in ({}, OFF):
        results.store.asked.clear()
        step = results.client(**config).step("F/1/fit")
        assert list(load(step, "x")) == [content] * 4
        assert len(results.store.asked) == len(set(results.store.asked))


def test_a_forked_child_opens_a_shared_large_blob_anew(tmp_path: Path) -> None:
    """An inherited file would have one position for both processes."""
    _isolation.needs_fork()
    results = Results()
    content = os.urandom(9_000_000)
    for i in range(3):
        results.artifact(results.task(f"F/1/fit/{i}"), "x", pickle.dumps(content, 4))
    client = results.client(CLIENT_CACHE_PATH=str(tmp_path))
    values = load(client.step("F/1/fit"), "x")
    assert next(values) == content
    before = client.stats.cache_hits

    def child() -> tuple[bool, int]:
        return next(values) == content, client.stats.cache_hits - before

    assert _isolation.answered(_isolation.forked(child)) == (True, 1)
    assert (next(values), client.stats.cache_hits) == (content, before)


def test_large_values_from_many_threads() -> None:
    results, _, value = large()
    client = results.client()
    got: list[bool] = []
    threads = [
        threading.Thread(target=lambda: got.append(client.task("F/1/fit/1").data.x == value))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [True] * 4
    assert client.cache.info().blobs == 1
