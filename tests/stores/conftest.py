from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.servers.buckets import Bucket, Container, GoogleBucket
from tests.servers.object_faults import Relay, relay
from tests.servers.recorder import Recorder
from tests.servers.recorder import recorder as recording

from mfc.config import Config
from mfc.hookspecs import Filesystem

SERVERS = {
    "s3": ("moto", Bucket),
    "gs": ("fake_gcs", GoogleBucket),
    "azure": ("azurite", Container),
}


@dataclass
class Place:
    """A bucket with one file, behind a relay that can break what it relays."""

    bucket: Any
    relay: Relay
    path: str
    content: bytes

    def config(self, url: str | None = None, **settings: Any) -> Config:
        """Return a client's settings for it; reads end after three seconds."""
        told = self.bucket.settings(url or self.relay.url)
        return Config({**told, "MFC_READ_TIMEOUT": 3, **settings})

    def based(self, url: str) -> dict[str, str]:
        """Return the options with its location; only Google's store needs any."""
        return {"base_url": url} if self.bucket.ds_type == "gs" else {}

    def files(self, url: str | None = None, **settings: Any) -> Filesystem:
        """Return a new filesystem for it."""
        return filesystem(self.bucket.ds_type, self.config(url, **settings))


def filesystem(ds_type: str, config: Config) -> Filesystem:
    """Return the filesystem of the plugin for a datastore type."""
    import mfc_azure
    import mfc_gcs
    import mfc_s3

    for plugin in (mfc_s3, mfc_gcs, mfc_azure):
        made = plugin.mfc_filesystem(ds_type, config)
        if made is not None:
            return made
    raise AssertionError(ds_type)


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    server, kind = SERVERS[request.param]
    bucket = kind(request.getfixturevalue(server))
    content = bytes(range(256)) * 400
    bucket.put("file", content)
    path = f"{bucket.root.removeprefix(f'{bucket.ds_type}://')}/file"
    with relay(bucket.url) as made:
        yield Place(bucket, made, path, content)


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with recording(tmp_path_factory.mktemp("recorder")) as made:
        yield made


@pytest.fixture
def kept_environment() -> Iterator[None]:
    """Restore the process's environment afterwards."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)
