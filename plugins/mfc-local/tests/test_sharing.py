"""One client shared by threads, across a fork, in copies and pickles."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mfc import Client, MetaflowData, Run, Trigger
from mfc.hookspecs import hookimpl

from .conftest import MOMENT, Tree

MICROS = MOMENT * 1000
RUN = f"F/{MICROS}"
TASK = f"{RUN}/start/1"
THREADS = 8


@pytest.fixture
def full(tree: Tree) -> Tree:
    task = tree.task(tree.run(MICROS))
    for number in range(20):
        tree.run(MICROS + 1 + number)
        tree.artifact(task, f"x{number}", [number])
    tree.metadata(task, "ds-type", "local")
    tree.metadata(task, "ds-root", str(tree.root))
    tree.metadata(task, "execution-triggers", '[{"name": "e", "timestamp": 5}]')
    tree.finish(task)
    return tree


def together(*works: Callable[[int], Any]) -> None:
    """Run all functions at once, in threads that start at the same moment."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def work(number: int) -> None:
        try:
            barrier.wait(20)
            works[number % len(works)](number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def test_many_threads_share_one_client(full: Tree) -> None:
    client = full.client()

    def lists(_: int) -> None:
        for _ in range(10):
            assert len(list(client.flow("F"))) == 21

    def values(_: int) -> None:
        task = client.task(TASK)
        for number in range(20):
            assert task[f"x{number}"].data == [number]

    def tags(thread: int) -> None:
        run = client.run(f"F/{MICROS + 5}")
        for number in range(5):
            run.add_tag(f"{thread}-{number}")

    def asks(_: int) -> None:
        run = client.run(RUN)
        for _ in range(10):
            assert run.trigger is not None
            assert client.task(TASK).status == "completed"

    together(lists, values, tags, asks)
    assert len(client.run(f"F/{MICROS + 5}").user_tags) == 10


def test_concurrent_first_calls_find_the_plugins(full: Tree) -> None:
    """The threads start before a plugin is loaded or a datastore made."""
    for _ in range(10):
        client = full.client()
        together(
            lambda _, client=client: client.task(TASK).data.x1,
            lambda _, client=client: client.run(RUN).trigger,
            lambda _, client=client: client.plugins(),
            lambda _, client=client: client.use(client.provider.address),
        )


class Slow:
    """A plugin that stays in a hook, so that a thread keeps the locks of the client."""

    def __init__(self) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()

    @hookimpl
    def mfc_namespace_policy(self) -> None:
        self.inside.set()
        self.go_on.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_thread_holds_the_locks_does_not_lock_the_child(full: Tree) -> None:
    slow = Slow()
    client = Client(f"local@{full.home}", plugins=[slow])
    thread = threading.Thread(target=lambda: client.policy, daemon=True)
    thread.start()
    assert slow.inside.wait(20)

    def child() -> None:
        slow.go_on.set()
        client.namespace = None
        assert client.task(TASK).data.x3 == [3]
        assert client.run(RUN).status == "unknown"
        assert client.stats.reads > 0
        os._exit(7)

    process = multiprocessing.get_context("fork").Process(target=child)
    with client._reader._counter._lock, client._reader.plugins.registry._lock:
        process.start()
    process.join(20)
    hung = process.is_alive()
    process.kill()
    slow.go_on.set()
    thread.join(20)
    assert not hung
    assert process.exitcode == 7


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_cannot_be_duplicated_and_says_what_to_do(full: Tree, duplicate: Any) -> None:
    with pytest.raises(TypeError, match="make another with Client"):
        duplicate(full.client())


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_are_of_the_same_client(full: Tree, duplicate: Any) -> None:
    client = full.client()  # not the current one, which has other results
    task = client.task(TASK, attempt=0)
    for found in (client.flow("F"), client.run(RUN), task, task["x1"]):
        made = duplicate(found)
        assert made == found
        assert made is not found
        assert made._scope.reader is client._reader
    assert duplicate(task["x1"]).data == [1]
    data = duplicate(task.data)
    assert isinstance(data, MetaflowData)
    assert data.x2 == [2]
    assert duplicate(task.artifacts).x3.data == [3]
    trigger = duplicate(client.run(RUN).trigger)
    assert isinstance(trigger, Trigger)
    assert [event.name for event in trigger] == ["e"]
    assert duplicate([client.run(RUN)]) == [client.run(RUN)]


def test_a_copy_of_a_run_keeps_its_tags(full: Tree) -> None:
    run = full.client().run(RUN)
    before: Run = copy.copy(run)
    run.add_tag("late")
    assert "late" in run.tags
    assert "late" not in before.tags
