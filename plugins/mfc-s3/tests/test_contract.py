from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from mfc.config import Config
from mfc.hookspecs import Filesystem
from mfc.testing import FilesystemTests, Store
from mfc_s3 import mfc_filesystem

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
_numbers = itertools.count()


class Bucket:
    """A new bucket of a real server."""

    ds_type = "s3"

    def __init__(self, url: str) -> None:
        self.settings: dict[str, Any] = {
            "S3_ENDPOINT_URL": url,
            "DATATOOLS_CLIENT_PARAMS": KEYS,
        }
        self._client = boto3.client("s3", endpoint_url=url, **KEYS)
        self._name = f"bucket-{next(_numbers)}"
        self._client.create_bucket(Bucket=self._name)
        self.root = f"s3://{self._name}/some/root"

    def filesystem(self) -> Filesystem:
        made = mfc_filesystem("s3", Config(self.settings))
        assert made is not None
        return made

    def put(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._name, Key=f"some/root/{path}", Body=content)


#: Metaflow writes no such names; `test_names` has all others.
GAPS = {"file-names": "obstore takes no keys with control characters, such as tab and newline"}


class TestMoto(FilesystemTests):
    module = "mfc_s3"
    known_gaps = GAPS

    @pytest.fixture
    def new_store(self, moto: str) -> Callable[[], Store]:
        return lambda: Bucket(moto)


class TestMinistack(FilesystemTests):
    module = "mfc_s3"
    known_gaps = GAPS

    @pytest.fixture
    def new_store(self, ministack: str) -> Callable[[], Store]:
        return lambda: Bucket(ministack)
