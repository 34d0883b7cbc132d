"""At trust `none`, records never lead a reader out of the datastore; at other levels, they are followed."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path

import pytest

from mfc import Client
from mfc.errors import UntrustedValue
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider

PATH = Pathspec(("Train", "2", "end", "2", "x"))
BLOB = pickle.dumps("a value", protocol=4)
SHA = hashlib.sha1(BLOB).hexdigest()


def client(recorded: Path, usual: Path, trust: str) -> Client:
    """Return a client of one artifact; the settings name another root than its record, perhaps."""
    above = [Record(Pathspec(PATH.components[:length]), 1) for length in range(1, 5)]
    record = ArtifactRecord(
        PATH, 1, attempt=0, sha=SHA, ds_type="local", location=f":root:{recorded}",
        encoding="pickle-v4",
    )  # fmt: skip
    done = MetadataRecord(PATH.parent, "attempt-done", "0", "attempt-done", 2, 0)
    provider = MemoryProvider(above, [record], [done])
    config = {"DATASTORE_SYSROOT_LOCAL": str(usual.parent)}
    return Client(provider, namespace=None, config=config, trust=trust)  # type: ignore[arg-type]


def blob_in(root: Path) -> Path:
    file = root / "Train/data" / SHA[:2] / SHA
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(BLOB))
    return file


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    return tmp_path / "results/.metaflow"


def test_content_of_the_root_is_read(usual: Path) -> None:
    blob_in(usual)
    assert client(usual, usual, "none").artifact(str(PATH)).raw == BLOB


def test_a_record_of_another_root_is_refused_at_trust_none(tmp_path: Path, usual: Path) -> None:
    blob_in(tmp_path / "elsewhere")
    usual.mkdir(parents=True)
    artifact = client(tmp_path / "elsewhere", usual, "none").artifact(str(PATH))
    for read in (lambda: artifact.raw, artifact.open):
        with pytest.raises(UntrustedValue, match="leads to another root"):
            read()
    assert client(tmp_path / "elsewhere", usual, "safe").artifact(str(PATH)).data == "a value"


@pytest.mark.parametrize("level", ["file", "shard", "flow"])
def test_a_link_out_of_the_root_is_refused_at_trust_none(
    tmp_path: Path, usual: Path, level: str
) -> None:
    file = blob_in(tmp_path / "elsewhere")
    depth = {"file": 0, "shard": 1, "flow": 3}[level]
    target = [file, *file.parents][depth]
    link = usual / target.relative_to(tmp_path / "elsewhere")
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    with pytest.raises(UntrustedValue, match="a link leads out of the datastore"):
        _ = client(usual, usual, "none").artifact(str(PATH)).raw
    assert client(usual, usual, "safe").artifact(str(PATH)).data == "a value"


def test_a_root_that_is_a_link_is_a_root(tmp_path: Path, usual: Path) -> None:
    blob_in(tmp_path / "elsewhere")
    usual.parent.mkdir()
    usual.symlink_to(tmp_path / "elsewhere")
    assert client(usual, usual, "none").artifact(str(PATH)).raw == BLOB
