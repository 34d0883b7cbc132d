"""The same stores through other filesystems, by settings only: any protocol of fsspec is supported."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.servers.buckets import AMAZON, Bucket

from mfc import Client, load
from mfc._plugins.defaults import any_fsspec
from mfc.config import Config
from mfc.hookspecs import Filesystem
from mfc_testing import FilesystemTests, MemoryProvider, Store, sample


def client(ds_type: str, root: str, options: dict[str, Any]) -> Client:
    """Return a client of the sample whose values are of a type that fsspec serves."""
    recorded = sample.history(ds_type, root)
    provider = MemoryProvider(recorded.records, recorded.artifacts, recorded.metadata)
    config = {f"FSSPEC_{ds_type.upper()}": options}
    return Client(provider, namespace=None, config=config, plugins=[f"-{ds_type}"])


def wrong(asked: Client) -> list[str]:
    """Return the queries for values with other answers than Metaflow's."""
    got = sample.asked(asked, "data")
    return [key for key, answer in sample.answers("data").items() if got.get(key) != answer]


class ThroughS3fs(Bucket):
    """A bucket that s3fs reads."""

    def filesystem(self) -> Filesystem:
        made = any_fsspec.mfc_filesystem("s3", Config({"FSSPEC_S3": s3fs_options(self.url)}))
        assert made is not None
        return made


class TestS3fs(FilesystemTests):
    known_gaps: ClassVar = {
        "file-names": "moto takes no keys with a newline",
        "file-errors": "s3fs opens a folder as if it were a file",
        "file-siblings": "likewise",
    }

    @pytest.fixture
    def new_store(self, moto: str) -> Callable[[], Store]:
        return lambda: ThroughS3fs(moto)


def s3fs_options(url: str) -> dict[str, Any]:
    keys = {"key": AMAZON["aws_access_key_id"], "secret": AMAZON["aws_secret_access_key"]}
    return {**keys, "client_kwargs": {"endpoint_url": url, "region_name": "us-east-1"}}


def test_s3_is_read_through_s3fs(moto: str) -> None:
    bucket = Bucket(moto)
    for name, content in sample.datastore().items():
        bucket.put(name, content)
    asked = client("s3", bucket.root, s3fs_options(moto))
    assert wrong(asked) == []


@pytest.mark.parametrize(("ds_type", "mark"), [("s3", "s3://"), ("gs", "gs://"), ("azure", "")])
def test_a_store_copied_to_a_disk_is_read(tmp_path: Path, ds_type: str, mark: str) -> None:
    for name, content in sample.datastore().items():
        file = tmp_path / "copies/bucket/prefix" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    options = {"protocol": "dir", "path": str(tmp_path / "copies"), "target_protocol": "file"}
    asked = client(ds_type, f"{mark}bucket/prefix", options)
    assert wrong(asked) == []


# fsspec leaves the files of a block cache to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wrapper", ["simplecache", "filecache", "blockcache"])
def test_a_wrapper_around_a_store_is_remote(
    moto: str, tmp_path: Path, wrapper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(moto)
    for name, content in sample.datastore().items():
        bucket.put(name, content)
    options = {
        "protocol": wrapper,
        "target_protocol": "s3",
        "target_options": s3fs_options(moto),
        "cache_storage": str(tmp_path / "copies"),
    }
    made = any_fsspec.mfc_filesystem("s3", Config({"FSSPEC_S3": options}))
    assert getattr(made, "local_file") is False  # noqa: B009 - as the client checks it
    monkeypatch.setenv("METAFLOW_CLIENT_CACHE_PATH", str(tmp_path / "cache"))
    asked = client("s3", bucket.root, options)
    assert wrong(asked) == []
    step = next(iter(asked.flow("Train").latest_successful_run))
    name = next(iter(step.task)).id
    assert list(load(step, name)) == [task[name].data for task in step]


class OneLine(MemoryFileSystem):
    """A filesystem with one connection: two concurrent calls give garbage."""

    protocol = "oneline"
    busy = threading.Lock()

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: object
    ) -> bytes:
        if not self.busy.acquire(blocking=False):
            raise OSError("garbage")
        try:
            time.sleep(0.002)
            return super().cat_file(path, start=start, end=end)
        finally:
            self.busy.release()


def test_one_connection_gets_one_call_at_a_time() -> None:
    fsspec.register_implementation("oneline", OneLine, clobber=True)
    for number in range(40):
        OneLine().pipe(f"/root/{number}", b"%d" % number)
    options = {"protocol": "oneline", "one_by_one": True}
    files = any_fsspec.mfc_filesystem("s3", Config({"FSSPEC_S3": options}))
    assert files is not None
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: files.cat_file(f"/root/{number}"), range(40)))
    assert found == [b"%d" % number for number in range(40)]
    assert files.open("/root/1").read() == b"1"


def test_protocols_of_one_connection_are_known(tmp_path: Path) -> None:
    """An archive is one file, which threads must not read at once."""
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        for name, content in sample.datastore().items():
            archive.writestr(f"root/{name}", content)
    options = {"protocol": "zip", "fo": str(tmp_path / "copy.zip")}
    asked = client("s3", "s3://root", options)
    assert wrong(asked) == []
