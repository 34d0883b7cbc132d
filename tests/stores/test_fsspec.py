"""The same stores through other filesystems, by settings alone: any protocol of fsspec is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.servers.buckets import AMAZON, Bucket

from mfc import Client
from mfc.testing import MemoryProvider, sample


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


def test_s3_through_s3fs(moto: str) -> None:
    bucket = Bucket(moto)
    for name, content in sample.datastore().items():
        bucket.put(name, content)
    keys = {"key": AMAZON["aws_access_key_id"], "secret": AMAZON["aws_secret_access_key"]}
    options = {**keys, "client_kwargs": {"endpoint_url": moto, "region_name": "us-east-1"}}
    asked = client("s3", bucket.root, options)
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
