"""The same stores through other filesystems, by settings alone: any protocol of fsspec is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.servers.buckets import AMAZON, Bucket

from mfc import Client
from mfc._builtin import any_fsspec
from mfc.config import Config
from mfc.hookspecs import Filesystem
from mfc.testing import FilesystemTests, MemoryProvider, Store, sample


def client(ds_type: str, root: str, options: dict[str, Any]) -> Client:
    """Return a client of the sample whose values are of a type that fsspec shall serve."""
    recorded = sample.history(ds_type, root)
    provider = MemoryProvider(recorded.records, recorded.artifacts, recorded.metadata)
    config = {f"FSSPEC_{ds_type.upper()}": options}
    return Client(provider, namespace=None, config=config, plugins=[f"-{ds_type}"])


def wrong(asked: Client) -> list[str]:
    """Return the questions about values that are answered otherwise than by Metaflow."""
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
    }

    @pytest.fixture
    def new_store(self, moto: str) -> Callable[[], Store]:
        return lambda: ThroughS3fs(moto)


def s3fs_options(url: str) -> dict[str, Any]:
    keys = {"key": AMAZON["aws_access_key_id"], "secret": AMAZON["aws_secret_access_key"]}
    return {**keys, "client_kwargs": {"endpoint_url": url, "region_name": "us-east-1"}}


def test_s3_through_s3fs(moto: str) -> None:
    bucket = Bucket(moto)
    for name, content in sample.datastore().items():
        bucket.put(name, content)
    asked = client("s3", bucket.root, s3fs_options(moto))
    assert wrong(asked) == []


@pytest.mark.parametrize(("ds_type", "mark"), [("s3", "s3://"), ("gs", "gs://"), ("azure", "")])
def test_a_store_that_was_copied_to_a_disk(tmp_path: Path, ds_type: str, mark: str) -> None:
    for name, content in sample.datastore().items():
        file = tmp_path / "copies/bucket/prefix" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    options = {"protocol": "dir", "path": str(tmp_path / "copies"), "target_protocol": "file"}
    asked = client(ds_type, f"{mark}bucket/prefix", options)
    assert wrong(asked) == []
