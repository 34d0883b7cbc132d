"""Reads beside writers: rewritten times, interrupts, unreadable records, long paths, many runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mfc import Client, load
from mfc.errors import MetaflowTaggingError, MfcWarning, UnreadableRecord
from mfc_local import _tags

from .conftest import MOMENT, Tree

RUN = f"F/{MOMENT * 1000}"


def recorded(tree: Tree, later: int) -> int:
    """Return when a run was created, in ms after its id, for a record that gives so many ms."""
    tree.run(MOMENT * 1000, MOMENT + later)
    run = tree.client().run(RUN)
    assert tree.client().flow("F").latest_run.created_at == run.created_at
    return round(run.created_at.timestamp() * 1000) - MOMENT


@pytest.mark.parametrize(
    ("later", "created"),
    [(0, 0), (13, 13), (1000, 1000), (1001, 0), (45_000, 0), (-13, -13), (-1001, 0)],
)
def test_the_recorded_time_counts_within_a_second_of_the_id(
    tree: Tree, later: int, created: int
) -> None:
    assert recorded(tree, later) == created


def test_a_run_is_not_younger_than_its_first_step(tree: Tree) -> None:
    tree.object(f"{RUN}/_parameters", MOMENT + 20)
    assert recorded(tree, 700) == 0
    tree.object(f"{RUN}/_parameters", MOMENT + 720)
    assert recorded(tree, 700) == 700


def test_time_windows_use_the_creation_time(tree: Tree) -> None:
    tree.run(MOMENT * 1000, MOMENT + 45_000)  # tagged by Metaflow in its first minute
    other = tree.run((MOMENT + 10_000) * 1000)
    flow = tree.client().flow("F")
    assert [run.pathspec for run in flow] == [other, RUN]
    since = tree.client().run(other).created_at
    assert [run.pathspec for run in flow.runs(since=since)] == [other]
    assert [run.pathspec for run in flow.runs(until=since)] == [RUN]


# Records that cannot be read


@pytest.fixture
def ended(tree: Tree) -> Tree:
    tree.finish(tree.task(tree.run(MOMENT * 1000), "end"))
    return tree


def test_an_unreadable_outcome_is_unknown_and_says_why(ended: Tree) -> None:
    (ended.root / RUN / "end/1/_meta/0_artifact__task_ok.json").write_text("{cut")
    client = ended.client()
    for thing in (client.task(f"{RUN}/end/1"), client.run(RUN)):
        assert thing.status == "unknown"
        assert "_task_ok" in thing.status.reason
    with pytest.raises(UnreadableRecord, match="_task_ok"):
        _ = client.task(f"{RUN}/end/1")["_task_ok"]
    with pytest.raises(UnreadableRecord, match="_task_ok"), pytest.warns(MfcWarning):
        list(load(client.step(f"{RUN}/end"), "_task_ok"))
    with pytest.warns(MfcWarning, match="_task_ok"):
        assert list(client.flow("F").runs(status="completed")) == []
    assert [run.pathspec for run in client.flow("F").runs(status="unknown")] == [RUN]


def test_an_unreadable_record_of_another_attempt_is_ignored(ended: Tree) -> None:
    ended.finish(f"{RUN}/end/1", 1, created=MOMENT + 10)
    (ended.root / RUN / "end/1/1.attempt.json").write_text("{}")
    (ended.root / RUN / "end/1/_meta/0_artifact__task_ok.json").write_text("{cut")
    assert ended.client().task(f"{RUN}/end/1").status == "completed"


def test_a_stale_handle_is_opened_again(ended: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    stale, read = iter([1]), os.read

    def once(descriptor: int, size: int) -> bytes:
        if next(stale, None):
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", once)
    assert ended.client().run(RUN).id == str(MOMENT * 1000)


# Tags

_TAGGING = """
import sys
from mfc import Client
run = Client(sys.argv[1], namespace=None).run(sys.argv[2])
run.add_tag("first")  # what that needs is loaded
print("ready", flush=True)
try:
    for number in range(100_000):
        run.replace_tags([f"t{number - 1}"] if number else [], [f"t{number}"])
except KeyboardInterrupt:
    import os
    print("interrupted", len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0)
"""


def test_an_interrupt_leaves_no_files_behind(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    for moment in range(8):
        command = [sys.executable, "-c", _TAGGING, f"local@{tree.home}", RUN]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.02 + moment * 0.003)
            process.send_signal(signal.SIGINT)
            answer = process.stdout.read().split()
        assert answer[0] == "interrupted"
        assert int(answer[1]) < 10
    assert not list((tree.root / RUN / "_meta").glob("tmp*"))
    assert len(tree.client().run(RUN).user_tags) >= 1


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_at_the_replacement_is_raised(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    run = tree.client().run(tree.run(MOMENT * 1000))
    replace = os.replace

    def interrupted(old: str, new: str) -> None:
        if not before:
            replace(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.add_tag("x")
    monkeypatch.undo()
    assert not list((tree.root / RUN / "_meta").glob("tmp*"))
    assert tree.client().run(RUN).user_tags == (set() if before else {"x"})
    run.add_tag("y")  # nothing is locked


def test_an_interrupt_waits_until_a_change_is_whole(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tree.client().run(tree.run(MOMENT * 1000))
    sync = os.fsync

    def interrupting(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupting)
    with pytest.raises(KeyboardInterrupt):
        run.add_tag("x")
    assert tree.client().run(RUN).user_tags == {"x"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_threads_may_change_tags(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    tags = [f"t{number}" for number in range(8)]
    threads = [
        threading.Thread(target=lambda tag=tag: tree.client().run(RUN).add_tag(tag)) for tag in tags
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree.client().run(RUN).user_tags == set(tags)


def test_a_change_without_effect_writes_nothing(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only disk, where neither a lock nor a file can be created."""
    run = tree.client().run(tree.run(MOMENT * 1000, tags=("there",)))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(_tags, "FileLock", read_only)
    run.remove_tag("absent")
    run.add_tag("there")
    assert run.user_tags == {"there"}
    with pytest.raises(MetaflowTaggingError, match="Read-only"):
        run.add_tag("new")


# Long paths


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
def test_a_directory_may_have_a_path_longer_than_the_system_takes(tmp_path: Path) -> None:
    home, at = str(tmp_path), os.open(tmp_path, os.O_RDONLY)
    for number in range(25):
        name = f"{number}-" + "x" * 200
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at, home = inner, f"{home}/{name}"
    short = Tree(Path(f"/proc/self/fd/{at}"))
    run = short.run(MOMENT * 1000)
    task = short.task(run, "end")
    short.finish(task)
    short.artifact(task, "x", 42, location=f":root:{home}/.metaflow")
    assert len(home) > 4096
    client = Client(f"local@{home}", namespace=None)
    try:
        assert client.run(run).status == "completed"
        assert client.task(task).data.x == 42
        assert client.flow("F").latest_successful_run is not None
        client.run(run).add_tag("deep")
        assert client.run(run).user_tags == {"deep"}
    finally:
        os.close(at)


# Many runs


def test_runs_that_ended_are_found_by_few_names(tree: Tree) -> None:
    for number in range(50):
        tree.task(tree.run((MOMENT + number) * 1000))
    tree.finish(tree.task(f"F/{MOMENT * 1000}", "end", "2"))
    client = tree.client()
    flow = client.flow("F")
    before = client.stats
    assert flow.latest_successful_run == client.run(RUN)
    assert (client.stats - before).reads < 50 * 7
    assert [run.pathspec for run in flow.runs(status="completed")] == [RUN]


def test_a_last_step_of_another_name_is_found(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    tree.metadata(tree.task(RUN, "_parameters", "0"), "end_step", "finale")
    tree.finish(tree.task(RUN, "finale", "2"))
    assert tree.client().flow("F").latest_successful_run is not None
    other = tree.run((MOMENT + 1) * 1000)
    tree.metadata(tree.task(other, "_parameters", "0"), "end_step", "finale")
    tree.task(other, "begin", "1")
    assert [run.pathspec for run in tree.client().flow("F").runs(status="completed")] == [RUN]


def test_a_resumed_run_with_another_last_step_is_found(tree: Tree) -> None:
    """It recorded no end step; only its graph has the name."""
    tree.run(MOMENT * 1000)
    graph = {
        "steps": {"finale": {"type": "end", "next": []}},
        "start_step": "begin",
        "end_step": "finale",
    }
    parameters = tree.task(RUN, "_parameters", "0")
    tree.finish(parameters)
    tree.artifact(parameters, "_graph_info", graph)
    begin = tree.task(RUN, "begin", "1")
    tree.metadata(begin, "origin-run-id", "1234")
    tree.finish(begin)
    tree.finish(tree.task(RUN, "finale", "2"))
    assert tree.client().flow("F").latest_successful_run is not None


def test_listing_keeps_no_run_that_was_passed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    from mfc._concurrency import _prefetch

    monkeypatch.setattr(_prefetch, "_BEHIND", 2)
    for number in range(20):
        tree.run((MOMENT + number) * 1000)
    alive = [weakref.ref(run._record) for run in tree.client().flow("F")]
    gc.collect()
    assert sum(record() is not None for record in alive) <= 4
    assert json.loads((tree.root / RUN / "_meta/_self.json").read_text())["tags"] == []
