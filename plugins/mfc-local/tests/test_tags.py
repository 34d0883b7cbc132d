"""Tags: no change is lost, and only the tags change."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from mfc import Client
from mfc.errors import MetaflowNotFound, MetaflowTaggingError
from mfc_local import _json

from .conftest import MOMENT, Tree

RUN = f"F/{MOMENT * 1000}"
WRITERS, CHANGES = 8, 50


def change(home: str, writer: int) -> None:
    """Add tags and take half of them away again, one at a time."""
    run = Client(f"local@{home}", namespace=None).run(RUN)
    kept = [f"{writer}-{number}" for number in range(5)]
    for tag in kept:
        run.add_tag(tag)
    for number in range((CHANGES - len(kept)) // 2):
        run.add_tag(f"gone-{writer}-{number}")
        run.remove_tag(f"gone-{writer}-{number}")


def test_eight_processes_lose_no_change(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=change, args=(str(tree.home), w)) for w in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    expected = {f"{writer}-{number}" for writer in range(WRITERS) for number in range(5)}
    assert tree.client().run(RUN).user_tags == expected


def test_nothing_but_the_tags_changes(tree: Tree) -> None:
    tree.run(MOMENT * 1000, tags=("a",), user="ada")
    file = tree.root / RUN / "_meta/_self.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "of_the_future": [1]}))
    file.chmod(0o640)
    before = json.loads(file.read_text())
    run = tree.client().run(RUN)
    created = run.created_at
    run.replace_tags(["a"], ["ü", "b"])
    after = json.loads(file.read_text())
    assert after == {**before, "tags": ["b", "ü"]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert tree.client().run(RUN).created_at == created
    assert not list(file.parent.glob("tmp*"))


def test_steps_and_artifacts_show_the_tags_of_their_run_as_they_are(tree: Tree) -> None:
    run = tree.run(MOMENT * 1000)
    task = tree.task(run)
    tree.finish(task)
    client = tree.client()
    client.run(RUN).add_tag("late")
    assert "late" in client.task(task).user_tags
    assert "late" in client.task(task)["_success"].tags
    assert [step.user_tags for step in client.run(RUN)] == [{"late"}]


def test_a_writer_without_a_lock_is_noticed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.run(MOMENT * 1000)
    file = tree.root / RUN / "_meta/_self.json"
    replaced = os.replace
    intrusions = iter([["theirs"], ["theirs", "more"]])

    def intruding(source: str, target: str) -> None:
        replaced(source, target)
        if (tags := next(intrusions, None)) is not None:
            file.write_text(json.dumps({**json.loads(file.read_text()), "tags": tags}))

    monkeypatch.setattr(os, "replace", intruding)
    run = tree.client().run(RUN)
    run.add_tag("ours")
    assert run.user_tags == {"theirs", "more", "ours"} == tree.client().run(RUN).user_tags


def test_a_writer_that_never_stops_is_reported(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.run(MOMENT * 1000)
    file = tree.root / RUN / "_meta/_self.json"
    replaced = os.replace

    def intruding(source: str, target: str) -> None:
        replaced(source, target)
        file.write_text(json.dumps({**json.loads(file.read_text()), "tags": []}))

    monkeypatch.setattr(os, "replace", intruding)
    with pytest.raises(MetaflowTaggingError, match="overwritten 10 times"):
        tree.client().run(RUN).add_tag("ours")


def test_a_run_that_is_gone_cannot_be_tagged(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    run = tree.client().run(RUN)
    (tree.root / RUN / "_meta/_self.json").unlink()
    with pytest.raises(MetaflowNotFound, match="does not exist"):
        run.add_tag("x")


def test_a_failed_write_leaves_the_old_tags(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.run(MOMENT * 1000, tags=("a",))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MetaflowTaggingError, match="No space left"):
        tree.client().run(RUN).add_tag("b")
    monkeypatch.undo()
    assert tree.client().run(RUN).user_tags == {"a"}
    assert not list((tree.root / RUN / "_meta").glob("tmp*"))


def test_on_windows_a_file_that_is_being_read_is_replaced_afterwards(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tree.client().run(tree.run(1_700_000_000_000_000))
    replace, refusals = os.replace, iter([1, 1])

    def busy(old: str, new: str) -> None:
        if next(refusals, None):
            raise PermissionError(13, "another process has it open", new)
        replace(old, new)

    monkeypatch.setattr(_json, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(os, "replace", busy)
    run.add_tag("new")
    assert tree.client().run(run.pathspec).user_tags == {"new"}
    refusals = iter([1, 1, 1])
    with pytest.raises(MetaflowTaggingError, match="another process has it open"):
        run.add_tag("newer")


def test_readers_never_see_half_a_file(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    client, stop = tree.client(), threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(len(client.run(RUN).user_tags))

    reader = threading.Thread(target=read)
    reader.start()
    run = tree.client().run(RUN)
    for number in range(40):
        run.add_tag(str(number))
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert seen


def test_the_lock_is_not_listed(tree: Tree) -> None:
    tree.run(MOMENT * 1000)
    tree.client().run(RUN).add_tag("x")
    names = {path.name for path in Path(tree.root / RUN / "_meta").iterdir()}
    assert names <= {"_self.json", "_self.json.lock"}
    assert list(tree.client().run(RUN)) == []
