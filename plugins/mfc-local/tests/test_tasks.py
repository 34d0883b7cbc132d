"""Attempts, values and logs: which attempt counts, and the messages for damaged records."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfc import Client, MfcWarning
from mfc.errors import (
    BadAddress,
    CorruptBlob,
    MetaflowDataMissing,
    MetaflowTaggingError,
    UndecodableArtifact,
    UnknownEncoding,
    UnreadableBlob,
    UnreadableRecord,
)

from .conftest import MOMENT, Tree

MICROS = MOMENT * 1000


@pytest.fixture
def task(tree: Tree) -> str:
    path = tree.task(tree.run(MICROS))
    tree.metadata(path, "ds-type", "local")
    tree.metadata(path, "ds-root", str(tree.root))
    return path


def start(tree: Tree, task: str, attempt: int, created: int) -> None:
    (tree.root / task / f"{attempt}.attempt.json").write_text('{"time": 1}')
    tree.metadata(task, "attempt", str(attempt), created, attempt)


def test_artifacts_are_those_of_the_attempt_done_last(tree: Tree, task: str) -> None:
    client = tree.client()
    found = client.task(task)
    assert (found.successful, found.finished, found.finished_at, list(found)) == (
        False,
        False,
        None,
        [],
    )
    assert found.status == "unknown"
    start(tree, task, 0, MOMENT)
    tree.finish(task, 0, ok=False, created=MOMENT)
    tree.artifact(task, "x", "first", 0)
    tree.artifact(task, "only_first", 1, 0)
    assert (found.successful, found["x"].data, found.current_attempt) == (False, "first", 0)
    start(tree, task, 1, MOMENT + 10)  # running: the attempt done last is still 0
    assert (found["x"].data, found.current_attempt) == ("first", 1)
    assert "only_first" in found
    tree.finish(task, 1, created=MOMENT + 10)
    tree.artifact(task, "x", "second", 1)
    assert (found.successful, found["x"].data) == (True, "second")
    assert "only_first" not in found
    assert {artifact.id for artifact in found} == {"x"}
    assert client.task(task, attempt=0)["x"].data == "first"
    assert client.task(task, attempt=0).successful is False
    assert client.task(task, attempt=1)["x"].data == "second"
    assert client.task(task, attempt=5).successful is False


def test_an_attempt_that_was_killed_does_not_count(tree: Tree, task: str) -> None:
    start(tree, task, 0, MOMENT)
    start(tree, task, 1, MOMENT + 5)
    tree.finish(task, 1, created=MOMENT + 5)
    tree.artifact(task, "x", "second", 1)
    assert tree.client().task(task)["x"].data == "second"


def test_an_attempt_without_artifacts_hides_those_of_the_one_before(tree: Tree, task: str) -> None:
    start(tree, task, 0, MOMENT)
    tree.metadata(task, "attempt-done", "0", MOMENT, 0)
    tree.artifact(task, "x", "first", 0)
    start(tree, task, 1, MOMENT + 10)
    assert [artifact.data for artifact in tree.client().task(task)] == ["first"]
    tree.metadata(task, "attempt-done", "1", MOMENT + 10, 1)
    assert list(tree.client().task(task)) == []
    assert "x" not in tree.client().task(task)


@pytest.mark.parametrize("last", [0, 1, 2])
def test_of_several_attempts_the_one_that_is_said_to_be_done_counts(
    tree: Tree, task: str, last: int
) -> None:
    """The recorded outcome decides, whatever other files exist."""
    for attempt in range(3):
        start(tree, task, attempt, MOMENT + attempt)
        tree.artifact(task, "x", attempt, attempt)
    tree.metadata(task, "attempt-done", str(last), MOMENT, last)
    assert [artifact.data for artifact in tree.client().task(task)] == [last]


def test_old_metadata_is_told_apart_by_time(tree: Tree, task: str) -> None:
    for attempt in (0, 1):
        moment = MOMENT + 100 * attempt
        tree.metadata(task, "attempt", str(attempt), moment, None)
        tree.metadata(task, "host", f"h{attempt}", moment + 1, None)
    client = tree.client()
    assert client.task(task, attempt=0).metadata_dict["host"] == "h0"
    assert client.task(task, attempt=1).metadata_dict["host"] == "h1"
    assert client.task(task, attempt=2).metadata == []
    assert client.task(task).metadata_dict["host"] == "h1"


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda blob: blob.unlink(), MetaflowDataMissing, "not where they were recorded"),
        (lambda blob: blob.write_bytes(b""), MetaflowDataMissing, "empty"),
        (lambda blob: blob.write_bytes(blob.read_bytes()[:-9]), CorruptBlob, "SHA-1"),
        (lambda blob: blob.write_bytes(b"x" + blob.read_bytes()), CorruptBlob, "SHA-1"),
        (lambda blob: blob.write_bytes(b"\x1f\x8bnonsense"), CorruptBlob, "SHA-1"),
        (lambda blob: (blob.unlink(), blob.mkdir()), UnreadableBlob, "the store failed"),
    ],
)
def test_a_damaged_blob_is_never_handed_out(tree: Tree, task: str, damage, error, said) -> None:
    tree.finish(task)
    damage(tree.artifact(task, "x", {"a": 1}))
    found = tree.client().task(task)
    with pytest.raises(error, match=said) as caught:
        found["x"].data  # noqa: B018
    assert task in str(caught.value)
    assert found.successful is True


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_blob_without_the_end_of_its_frame_is_whole(tree: Tree, task: str, cut: int) -> None:
    blob = tree.artifact(task, "whole", ["content"])
    blob.write_bytes(blob.read_bytes()[:-cut])
    assert tree.client().task(task)["whole"].data == ["content"]


def test_invalid_pickles_are_reported(tree: Tree, task: str) -> None:
    tree.finish(task)
    tree.artifact(task, "x", b"not a pickle")
    artifact = tree.client().task(task)["x"]
    with pytest.raises(UndecodableArtifact, match=r"\.raw"):
        artifact.data  # noqa: B018
    assert artifact.raw == b"not a pickle"


def test_an_encoding_without_a_decoder_says_who_wrote_it(tree: Tree, task: str) -> None:
    tree.finish(task)
    tree.artifact(task, "x", b"raw", content_type="arrow-v1")
    note = {
        "info": {
            "x": {
                "size": 3,
                "type": "t",
                "encoding": "arrow-v1",
                "serializer_info": {"source": "acme"},
            }
        }
    }
    (tree.root / task / "0.data.json").write_text(json.dumps(note))
    with pytest.raises(UnknownEncoding, match="'arrow-v1', written by acme, has no decoder"):
        tree.client().task(task)["x"].data  # noqa: B018


def test_blobs_may_be_stored_as_they_are(tree: Tree, task: str) -> None:
    import pickle

    tree.finish(task)
    blob = tree.artifact(task, "x", "raw")
    blob.write_bytes(pickle.dumps("raw", protocol=4))
    assert tree.client().task(task)["x"].data == "raw"


def test_size_and_type_come_from_the_note_of_the_attempt(tree: Tree, task: str) -> None:
    tree.finish(task)
    tree.artifact(task, "x", "value")
    with pytest.raises(MetaflowDataMissing, match="note"):
        tree.client().task(task)["x"].size  # noqa: B018
    note = {"info": {"x": {"size": 17, "type": "<class 'str'>", "encoding": "pickle-v4"}}}
    (tree.root / task / "0.data.json").write_text(json.dumps(note))
    artifact = tree.client(trust="none").task(task)["x"]
    assert (artifact.size, artifact.type, len(artifact.raw)) == (17, "<class 'str'>", 20)
    (tree.root / task / "0.data.json").write_text("{")
    with pytest.raises(CorruptBlob, match=r"0\.data\.json"):
        artifact.size  # noqa: B018


def test_a_moved_tree_is_read_where_it_is(tree: Tree, task: str, tmp_path: Path) -> None:
    tree.finish(task)
    tree.artifact(task, "x", [1, 2])
    tree.artifact(task, "old", "old", location=str(tree.root / "F/data/ab/cdef"))
    log = "[MFLOG|0|2026-01-01T00:00:00.000000Z|task|1]hello\n"
    tree.metadata(task, "attempt", "0")
    (tree.root / task / "0.task_stdout.log").write_text(log)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tree.root, elsewhere / ".metaflow")
    found = Client(f"local@{elsewhere}", namespace=None).task(task)
    assert (found["x"].data, found["old"].data) == ([1, 2], "old")
    assert (found.stdout, found.stdout_size) == ("hello\n", len(log))


def test_directory_of_results_may_be_named_itself(tree: Tree, task: str) -> None:
    for address in (str(tree.root), f"{tree.root}/", f"local@{tree.root}", tree.root):
        client = Client(address, namespace=None)
        assert client.task(task).id == "1"
        assert client.provider.address == f"local@{tree.home}"


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Continue as a user bound by permissions: root is not, and most containers run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_unreadable_files_are_reported() -> None:
    import filelock  # noqa: F401 - the other user may not be able to read libraries

    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tree = Tree(Path(directory))
        task = tree.task(tree.run(MICROS))
        tree.finish(task)
        tree.artifact(task, "x", 1).chmod(0)
        other = tree.task(f"F/{MICROS}", "end", "2")
        (tree.root / other / "_meta/_self.json").chmod(0)
        client = tree.client()
        with another_user():
            with pytest.raises(UnreadableBlob, match="0600"):
                client.task(task)["x"].data  # noqa: B018
            with pytest.raises(UnreadableRecord, match="0600"):
                client.task(other)
            with pytest.warns(MfcWarning, match="0600"):
                assert list(client.step(f"F/{MICROS}/end")) == []
            with pytest.raises(MetaflowTaggingError, match="cannot be written"):
                client.run(f"F/{MICROS}").add_tag("x")


def test_a_log_of_undecodable_bytes_is_shown(tree: Tree, task: str) -> None:
    tree.metadata(task, "attempt", "0")
    (tree.root / task / "0.task_stdout.log").write_bytes(
        b"[MFLOG|0|2026-01-01T00:00:00.000000Z|task|1]a\xffb\n"
    )
    found = tree.client().task(task)
    assert found.stdout == "a\ufffdb\n"
    assert [line for _, line in found.loglines("stdout", as_unicode=False)] == [b"a\xffb"]
    assert found.stderr == ""
    with pytest.raises(ValueError, match="expected 'stdout' or 'stderr'"):
        list(found.loglines("output"))


def test_a_task_without_a_datastore_has_an_empty_log(tree: Tree) -> None:
    path = tree.task(tree.run(MICROS + 1))
    found = tree.client().task(path)
    assert (found.stdout, found.stdout_size, list(found.loglines("stdout"))) == ("", 0, [])


def test_an_attempt_that_ended_unfinished_has_failed(tree: Tree, task: str) -> None:
    import time

    now = int(time.time() * 1000)
    start(tree, task, 0, now)
    found = tree.client().task(task)
    assert found.status == "running"
    (tree.root / task / "0.runtime").write_text('{"return_code": -9}')
    assert found.status == "failed"
    assert "return code -9" in found.status.reason
    assert tree.client().run(f"F/{MICROS}").status == "failed"


@pytest.mark.parametrize(
    "address",
    ["local@/no/such/place", "/no/such/place", "spin@/no/such/place", "no/such", "C:\\no\\such"],
)
def test_an_address_that_leads_nowhere_is_a_value_error(address: str) -> None:
    with pytest.raises(BadAddress, match="Could not find directory .metaflow") as caught:
        Client(address)
    assert isinstance(caught.value, ValueError)


def test_a_relative_address_means_the_same_everywhere(
    tree: Tree, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.home)
    client = Client(".", namespace=None)
    assert client.provider.address == f"local@{tree.home}"
    for same in (Path(), tree.home, f"../{tree.home.name}"):
        assert list(Client(same, namespace=None).flow("F")) == list(client.flow("F"))
    pickled = pickle.dumps(client.task(task))
    monkeypatch.chdir("/")
    with client:
        assert pickle.loads(pickled) == client.task(task)


def test_an_unknown_kind_is_not_taken_for_a_path(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.home)
    with pytest.raises(BadAddress, match="Could not find directory .metaflow"):
        Client(Path("results"))
    with pytest.raises(BadAddress, match="metadata is 5; expected an address"):
        Client(5)


def test_without_any_results_everything_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("METAFLOW_")]:
        monkeypatch.delenv(name)
    client = Client(namespace=None)
    assert list(client.flows()) == []
    assert client.provider.address == "local@<No .metaflow directory found in current working tree>"


def test_no_name_leads_out_of_the_tree(tree: Tree, task: str) -> None:
    from mfc.errors import MetaflowInvalidPathspec

    client = tree.client()
    for bad in ("F/..", "../x/1", "F/1/..", "./F", "F//start"):
        with pytest.raises(MetaflowInvalidPathspec):
            client.run(bad) if bad.count("/") == 1 else client.step(bad)
