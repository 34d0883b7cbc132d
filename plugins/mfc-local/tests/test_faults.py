"""Faulty files and directories: reads never hang, and raise only errors of mfc."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mfc import Client, MfcWarning
from mfc.errors import (
    BadAddress,
    CorruptBlob,
    DatastoreError,
    MetaflowException,
    MetaflowNotFound,
    MetaflowTaggingError,
    UnreadableBlob,
    UnreadableRecord,
)
from mfc.model import Level, Pathspec

from .conftest import MOMENT, Tree
from .test_tasks import another_user

MICROS = MOMENT * 1000
RUN, OTHER = f"F/{MICROS}", f"F/{MICROS + 1}"
TASK = f"{RUN}/start/1"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
LOG = b"[MFLOG|0|2026-01-01T00:00:00.000000Z|task|1]hello\n"


@pytest.fixture
def full(tree: Tree) -> Tree:
    return filled(tree)


def filled(tree: Tree) -> Tree:
    for run in (RUN, OTHER):
        task = tree.task(tree.run(run.partition("/")[2]))
        tree.metadata(task, "ds-type", "local")
        tree.metadata(task, "ds-root", str(tree.root))
        tree.finish(task)
        tree.artifact(task, "x", {"run": run})
        (tree.root / task / "0.task_stdout.log").write_bytes(LOG)
        note = {"info": {"x": {"size": 17, "type": "<class 'dict'>"}}}
        (tree.root / task / "0.data.json").write_text(json.dumps(note))
    return tree


@contextlib.contextmanager
def in_time(seconds: float = 20) -> Iterator[None]:
    """Abort the whole test run instead of letting it hang."""
    import faulthandler

    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def everything(tree: Tree, client: Client | None = None) -> None:
    """Read all of the run; the other run must stay readable."""
    with in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore", MfcWarning)
        client = client or tree.client()
        questions: list[Callable[[], Any]] = [
            lambda: [list(step) for step in client.run(RUN)],
            lambda: client.run(RUN).status,
            lambda: client.run(RUN).successful,
            lambda: client.step(f"{RUN}/start").task,
            lambda: client.task(TASK).metadata,
            lambda: client.task(TASK).artifacts,
            lambda: client.task(TASK).stdout,
            lambda: client.task(TASK).stdout_size,
            lambda: client.task(TASK).status,
            lambda: client.task(TASK)["x"].data,
            lambda: client.task(TASK)["x"].raw,
            lambda: client.task(TASK)["x"].size,
            lambda: client.task(TASK).finished_at,
        ]
        for question in questions:
            with contextlib.suppress(MetaflowException):
                question()
        assert OTHER.partition("/")[2] in [run.id for run in client.flow("F")]
        assert client.task(f"{OTHER}/start/1").data.x == {"run": OTHER}
        assert [flow.id for flow in client.flows()] == ["F"]


def a_directory(file: Path) -> None:
    file.mkdir()


def a_fifo(file: Path) -> None:
    os.mkfifo(file)


def a_socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path has to be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def a_loop(file: Path) -> None:
    file.symlink_to(file.name)


def a_dangling_link(file: Path) -> None:
    file.symlink_to("gone")


def a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def a_link_to_its_directory(file: Path) -> None:
    file.symlink_to(".")


STRANGE = [
    a_directory,
    a_fifo,
    a_socket,
    a_loop,
    a_dangling_link,
    a_device,
    a_link_to_its_directory,
]


@posix
@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("pattern", ["**/_self.json", "**/sysmeta_*", "**/*_artifact_*", "**/0.*"])
def test_no_file_hangs_or_hides_others(full: Tree, pattern: str, strange: Any) -> None:
    for file in list((full.root / RUN).glob(pattern)):
        file.unlink()
        strange(file)
    everything(full)
    shutil.rmtree(full.root)  # a cleanup may follow links


@posix
@pytest.mark.parametrize("strange", STRANGE)
def test_no_blob_hangs(full: Tree, strange: Any) -> None:
    blob = full.artifact(TASK, "y", "value")
    blob.unlink()
    strange(blob)
    with in_time(), pytest.raises(DatastoreError):
        full.client().task(TASK)["y"].data  # noqa: B018


@posix
@pytest.mark.parametrize("strange", [a_fifo, a_loop, a_dangling_link, a_device, a_socket])
@pytest.mark.parametrize("place", ["F", RUN, f"{RUN}/start", TASK, f"{RUN}/_meta", f"{TASK}/_meta"])
def test_no_directory_hangs(full: Tree, place: str, strange: Any) -> None:
    shutil.rmtree(full.root / place)
    strange(full.root / place)
    if place == "F":
        with in_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore", MfcWarning)
            assert list(full.client().flows()) == []
    else:
        everything(full)


@posix
def test_a_fifo_says_what_it_is(full: Tree) -> None:
    (full.root / TASK / "_meta/_self.json").unlink()
    a_fifo(full.root / TASK / "_meta/_self.json")
    with in_time(), pytest.raises(UnreadableRecord, match=r"start/1/_meta/_self\.json"):
        full.client().task(TASK)
    # A process that writes to it must not be able to hang a reader either.
    writer = os.open(full.root / TASK / "_meta/_self.json", os.O_RDWR)
    with in_time(), pytest.raises(UnreadableRecord):
        full.client().task(TASK)
    os.close(writer)


def test_a_run_deleted_while_it_is_read_is_gone(full: Tree) -> None:
    client = full.client()
    runs = iter(client.flow("F"))
    newest = next(runs)
    steps = iter(newest)
    task, other = next(steps).task, client.task(f"{OTHER}/start/1")
    shutil.rmtree(full.root / RUN)
    shutil.rmtree(full.root / OTHER)
    assert list(runs) == []
    assert list(steps) == []
    assert task is not None
    assert (list(task), task.metadata, task.finished_at, task.stdout) == ([], [], None, "")
    assert list(newest) == []
    assert (newest.end_task, newest.status) == (None, "unknown")
    with pytest.raises(MetaflowNotFound):
        newest.add_tag("x")
    with pytest.raises(MetaflowNotFound):
        other.parent  # noqa: B018


def test_a_root_that_vanishes_is_empty(full: Tree) -> None:
    client = full.client()
    run = client.run(RUN)
    flow = client.flow("F")
    shutil.rmtree(full.root)
    assert list(client.flows()) == []
    assert (list(flow), flow.latest_run, list(run)) == ([], None, [])
    with pytest.raises(MetaflowNotFound):
        client.run(RUN)


def test_a_file_in_place_of_the_results_is_a_bad_address(tmp_path: Path) -> None:
    (tmp_path / ".metaflow").write_text("")
    with pytest.raises(BadAddress):
        Client(f"local@{tmp_path}")
    settings = {"DATASTORE_SYSROOT_LOCAL": str(tmp_path)}
    assert list(Client(namespace=None, config=settings).flows()) == []


@pytest.mark.parametrize("directory", ["a\0b", "\ud800", "x" * 5_000])
def test_an_address_that_no_system_can_spell_is_a_bad_address(directory: str) -> None:
    with pytest.raises(BadAddress):
        Client(f"local@{directory}")


@posix
def test_names_on_disk_may_be_any_bytes(full: Tree) -> None:
    meta = os.fsencode(full.root / RUN) + b"/st\xff\xfep/_meta"
    os.makedirs(meta)
    with open(meta + b"/_self.json", "w") as file:
        file.write('{"ts_epoch": 1}')
    run = full.client().run(RUN)
    [found] = [step for step in run if step.id != "start"]
    assert found.id == "st\udcff\udcfep"
    assert run[found.id] == found
    assert list(found) == []
    assert ascii(found) == rf"Step('{RUN}/st\udcff\udcfep')"


@pytest.mark.parametrize("name", ["\ud800", "x" * 300, "x" * 5_000, "²" * 16])
def test_names_that_no_disk_can_hold_are_absent(full: Tree, name: str) -> None:
    client = full.client()
    for parent in (client.flow("F"), client.run(RUN), client.step(f"{RUN}/start")):
        assert name not in parent
        with pytest.raises(KeyError):
            parent[name]
    task = client.task(TASK)
    assert name not in task
    with pytest.raises(MetaflowNotFound):
        client.run(f"{name}/1")
    with pytest.raises(AttributeError):
        getattr(task.data, name)


@posix
@pytest.mark.parametrize("place", ["F", RUN, f"{RUN}/start", TASK, f"{TASK}/_meta", "F/data"])
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_closed_directories_hide_only_their_own_content(place: str, mode: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tree = filled(Tree(Path(directory)))
        for path in [*tree.root.rglob("*"), tree.root]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        (tree.root / place).chmod(mode)
        client = tree.client()  # created by a process that may read the settings
        try:
            with another_user():
                if place in ("F", "F/data"):
                    for question in (
                        lambda client: list(client.flow("F")),
                        lambda client: client.task(TASK).data.x,
                        lambda client: list(client.flows()),
                    ):
                        with warnings.catch_warnings(), contextlib.suppress(MetaflowException):
                            warnings.simplefilter("ignore", MfcWarning)
                            question(client)
                else:
                    everything(tree, client)
        finally:
            (tree.root / place).chmod(0o755)


@posix
def test_a_closed_task_does_not_hide_the_lineage_of_others() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tree = filled(Tree(Path(directory)))
        tree.metadata(tree.task(RUN, "start", "2"), "host", "here")
        for path in [*tree.root.rglob("*"), tree.root]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        (tree.root / TASK / "_meta").chmod(0)
        provider = tree.client().provider
        try:
            with another_user(), pytest.warns(MfcWarning, match="start/1"):
                found = list(provider.metadata(Pathspec.parse(f"{RUN}/start", Level.STEP)))
            assert [record.value for record in found] == ["here"]
        finally:
            (tree.root / TASK / "_meta").chmod(0o755)


@posix
def test_a_lock_that_cannot_be_made_is_a_tagging_error(full: Tree) -> None:
    run = full.client().run(RUN)
    lock = full.root / RUN / "_meta/_self.json.lock"
    lock.mkdir()
    with in_time(60), pytest.raises(MetaflowTaggingError):
        run.add_tag("x")
    lock.rmdir()
    victim = full.home / "victim"
    victim.write_text("precious")
    lock.symlink_to(victim)
    with in_time(60), contextlib.suppress(MetaflowTaggingError):
        run.add_tag("x")
    assert victim.read_text() == "precious"


@posix
def test_a_directory_that_may_not_be_written_is_a_tagging_error() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        tree = filled(Tree(Path(directory)))
        for path in tree.root.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        tree.root.chmod(0o555)
        client = tree.client()
        with another_user():
            run = client.run(RUN)
            with pytest.raises(MetaflowTaggingError, match="cannot be written"):
                run.add_tag("x")
        for path in tree.root.rglob("*"):
            path.chmod(0o755)


@pytest.mark.parametrize("tags", ["[[]]", '[{"a": 1}]', "[1]", '"abc"', "5", "[null]"])
def test_invalid_tags_are_not_written_again(full: Tree, tags: str) -> None:
    client = full.client()
    run = client.run(RUN)
    file = full.root / RUN / "_meta/_self.json"
    damaged = f'{{"ts_epoch": {MOMENT}, "tags": {tags}}}'
    file.write_text(damaged)
    with pytest.raises(UnreadableRecord):
        run.add_tag("x")
    with pytest.raises(UnreadableRecord):
        client.run(RUN)
    assert file.read_text() == damaged


def test_files_may_be_replaced_while_they_are_read(full: Tree) -> None:
    stop = threading.Event()
    files = [path for path in (full.root / RUN).rglob("*.json") if "_self" not in path.name]
    contents = [b"{", b"[]", b"", b"null", *(file.read_bytes() for file in files)]

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            files[number % len(files)].write_bytes(contents[number % len(contents)])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            everything(full)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "step", ["../../../elsewhere", "..", "start/../..", "/etc", "a/b", "\0"], ids=repr
)
def test_records_never_lead_out_of_their_flow(full: Tree, step: str) -> None:
    """An origin or a graph never leads out of the run's own flow."""
    outside = full.home / "elsewhere"
    (outside / "start/1/_meta").mkdir(parents=True)
    stray = {"field_name": "stray", "value": "secret", "ts_epoch": 1}
    (outside / "start/1/_meta/sysmeta_stray_1.json").write_text(json.dumps(stray))
    (outside / "_meta").mkdir()
    (outside / "_meta/_self.json").write_text('{"ts_epoch": 1}')
    full.metadata(TASK, "origin-run-id", "../../elsewhere")
    full.metadata(TASK, "origin-task-id", "1")
    graph = {"steps": {"start": {"next": [step, "end"]}, step: {"next": ["start"]}}}
    full.artifact(TASK, "_graph_info", graph)
    full.artifact(TASK, "y", 1, sha="../../../../../../../../../elsewhere/abcd")
    task = full.client().task(TASK)
    assert "stray" not in task.metadata_dict
    assert list(task.parent.child_steps) == list(task.parent.parent_steps) == []
    assert list(task.parent_tasks) == list(task.child_tasks) == []
    with pytest.raises(CorruptBlob, match="not a SHA-1"):
        task["y"].data  # noqa: B018


def test_artifacts_without_a_name_are_ignored(full: Tree) -> None:
    meta = full.root / TASK / "_meta"
    for name in ("", ".", ".."):
        shutil.copy(meta / "0_artifact_x.json", meta / f"0_artifact_{name}.json")
    assert [artifact.id for artifact in full.client().task(TASK)] == ["x"]


def test_an_unreadable_run_does_not_hide_the_latest_successful(full: Tree) -> None:
    for run in (RUN, OTHER):
        end = full.task(run, "end", "2")
        full.finish(end)
    damaged = full.artifact(f"{OTHER}/end/2", "_success", [])
    full.artifact(f"{OTHER}/end/2", "_success", {"not": "known"}).write_bytes(b"\x1f\x8b")
    assert damaged.exists()
    flow = full.client().flow("F")
    with pytest.warns(MfcWarning, match=OTHER):
        assert flow.latest_successful_run.pathspec == RUN  # type: ignore[union-attr]
    assert [run.id for run in flow.runs(status="unknown")] in ([], [OTHER.partition("/")[2]])


@pytest.mark.parametrize("header", [b"Z|", b"Z||", b"|Z", b"[MFLOG|0|"])
def test_a_log_line_made_to_be_slow_is_read_fast(full: Tree, header: bytes) -> None:
    line = b"[MFLOG|0|" + header * 200_000
    log = full.root / TASK / "0.task_stdout.log"
    log.write_bytes(line + b"\n" + LOG)
    with in_time():
        task = full.client().task(TASK)
        assert task.stdout == f"{line.decode()}\nhello\n"
        assert [len(text) for _, text in task.loglines("stdout")] == [len(line), 5]


def test_a_blob_that_expands_without_end_does_not_match(full: Tree) -> None:
    import gzip

    blob = full.artifact(TASK, "y", "value")
    packed = gzip.compress(b"\0" * 50_000_000, 9)
    for damaged in (packed, packed[:-4] + b"\xff" * 4, packed[:-4] + b"\0" * 4, packed[:500]):
        blob.write_bytes(damaged)
        with pytest.raises(CorruptBlob):
            full.client().task(TASK)["y"].data  # noqa: B018


def test_too_little_memory_for_a_blob_is_an_error_of_ours(
    full: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfc._storage import _blob

    def full_up(packed: bytes) -> bytes:
        raise MemoryError

    monkeypatch.setattr(_blob, "gunzip", full_up)
    with pytest.raises(UnreadableBlob, match="memory"):
        full.client().task(TASK)["x"].data  # noqa: B018


def test_pickles_of_objects_find_them_again(full: Tree) -> None:
    client = full.client()
    for found in (client.run(RUN), client.task(TASK), client.task(TASK)["x"]):
        with client:
            assert pickle.loads(pickle.dumps(found)) == found
