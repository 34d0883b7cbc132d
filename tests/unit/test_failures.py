"""Failures of runs: root causes first, the same from every backend."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfc import Client, Failure
from mfc.errors import BadArgument
from mfc.hookspecs import Support
from mfc_testing import MemoryProvider
from mfc_testing.memory import IN_MEMORY

from .faraway import Asked
from .test_settled import REMOTE, Slow
from .written_runs import (
    BOOM,
    DAYS_AGO,
    FAN,
    UNENDED,
    WELL,
    Raised,
    WrittenRun,
    node,
)

Reading = Callable[[WrittenRun], Client]
KINDS: dict[str, Callable[..., MemoryProvider]] = {
    "near": MemoryProvider,
    "remote": lambda *records: Asked(*records, capabilities=REMOTE),
    "remote, least": lambda *records: Slow(
        *records, capabilities=type(IN_MEMORY)(remote=Support.FULL)
    ),
}


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest) -> Reading:
    """Return what gives a client of a written run, from a provider of each kind."""

    def made(written: WrittenRun) -> Client:
        told = written.history
        provider = KINDS[request.param](told.records, told.artifacts, told.metadata)
        return Client(provider, namespace=None)

    return made


def brief(failures: list[Failure]) -> list[tuple[Any, ...]]:
    """Return step, attempt, index, kind and whether it is collateral."""
    return [(f.step, f.attempt, f.index, f.kind, f.collateral) for f in failures]


def test_root_cause_comes_before_siblings_cut_off_and_the_join(
    tmp_path: Path, client: Reading
) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    run.task("work", UNENDED, index=0)
    failed = run.task("work", BOOM, index=1)
    run.task("work", WELL, index=2)
    run.task("work")
    found = client(run).run("F/1").failures()
    assert brief(found) == [
        ("work", 0, 1, "exception", False),
        ("work", 0, 0, "killed", True),
        ("join", None, None, "never started", True),
    ]
    assert found[0] == Failure(
        str(failed),
        "work",
        failed.name,
        0,
        1,
        "exception",
        "builtins.ValueError",
        "no rows\nfor April",
        "Traceback (most recent call last):\nbuiltins.ValueError: no rows\nfor April\n",
    )
    assert found[2].pathspec == "F/1/join"
    assert pickle.loads(pickle.dumps(found)) == found
    assert repr(found[0]) == (
        f"<Failure {failed}, attempt 0, index 1, exception: builtins.ValueError: no rows>"
    )


def test_a_limit_gives_the_first_failures(tmp_path: Path, client: Reading) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    for index in range(4):
        run.task("work", WELL if index == 0 else BOOM, index=index)
    of = client(run).run("F/1")
    assert of.failures(limit=2) == of.failures()[:2]
    assert of.failures(limit=4) == of.failures()
    assert of.failures(limit=0) == []
    with pytest.raises(BadArgument, match="limit"):
        of.failures(limit=-1)


def test_retries_and_caught_exceptions_are_not_failures(tmp_path: Path, client: Reading) -> None:
    graph = {**FAN, "work": node("linear", "join", retry=2)}
    run = WrittenRun(tmp_path, graph)
    run.task("start", WELL)
    run.task("work", BOOM, 1, WELL, index=0)
    run.task("work", WELL, index=1)
    run.task("join", WELL)
    run.task("end", WELL)
    of = client(run).run("F/1")
    assert of.failures() == []
    assert [task.failure for task in of["work"]] == [None, None]
    first = client(run).task("F/1/work/3", attempt=0)
    assert first.failure is not None
    assert brief([first.failure]) == [("work", 0, 0, "exception", False)]
    killed = client(run).task("F/1/work/3", attempt=1)
    assert killed.failure is not None
    assert killed.failure.kind == "killed"
    assert client(run).task("F/1/work/3", attempt=2).failure is None
    assert client(run).task("F/1/work/3", attempt=5).failure is None


def test_the_last_retry_counts(tmp_path: Path, client: Reading) -> None:
    graph = {**FAN, "work": node("linear", "join", retry=2)}
    run = WrittenRun(tmp_path, graph, created=DAYS_AGO)
    run.task("start", WELL)
    run.task("work", BOOM, BOOM, Raised("builtins.KeyError", "'x'"), index=0)
    run.task("work", BOOM, WELL, index=1)
    run.task("work", BOOM, index=2)
    found = client(run).run("F/1").failures()
    assert brief(found) == [
        ("work", 2, 0, "exception", False),
        ("work", 0, 2, "exception", False),
        ("join", None, None, "never started", True),
    ]
    assert found[0].exception_type == "builtins.KeyError"


def test_an_attempt_due_after_a_failure_is_waited_for(tmp_path: Path, client: Reading) -> None:
    import time

    graph = {**FAN, "work": node("linear", "join", retry=2)}
    run = WrittenRun(tmp_path, graph, created=int(time.time() * 1000) - 33_000)
    run.task("start", WELL)
    run.task("work", BOOM, index=0)
    assert client(run).run("F/1").failures() == []


def test_a_retry_that_was_killed_is_the_failure(tmp_path: Path, client: Reading) -> None:
    graph = {**FAN, "start": node("split-foreach", "work", retry=1)}
    run = WrittenRun(tmp_path, graph, created=DAYS_AGO)
    run.task("start", BOOM, -9)
    found = client(run).run("F/1").failures()
    assert brief(found)[0] == ("start", 1, None, "killed", False)
    task = client(run).task(found[0].pathspec, attempt=0)
    assert task.failure is not None
    assert task.failure.kind == "exception"
    assert client(run).task(found[0].pathspec, attempt=4).failure is None


def test_records_that_contradict_each_other_are_not_a_failure(
    tmp_path: Path, client: Reading
) -> None:
    run = WrittenRun(tmp_path, FAN, created=DAYS_AGO)
    start = run.task("start", WELL)
    run.artifacts = [record for record in run.artifacts if record.path.parent != start]
    (tmp_path / f"{start}/0.runtime").write_text('{"return_code": 0, "killed": false}')
    of = client(run)
    assert of.task(str(start)).status == "unknown"
    assert of.task(str(start)).failure is None
    assert of.run("F/1").failures() == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("metaflow.plugins.timeout_decorator.TimeoutException", "timed out"),
        ("mine.TimeoutException", "exception"),
        ("builtins.TimeoutError", "exception"),
    ],
)
def test_only_the_exception_of_metaflow_is_a_timeout(
    tmp_path: Path, client: Reading, kind: str, expected: str
) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", Raised(kind, "Step start timed out after 0 hours"))
    found = client(run).run("F/1").failures()
    assert brief(found)[0] == ("start", 0, None, expected, False)
    assert found[0].exception_type == kind


def test_a_process_that_died_was_killed(tmp_path: Path, client: Reading) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", -9)
    found = client(run).run("F/1").failures()
    assert brief(found)[0] == ("start", 0, None, "killed", False)
    assert found[0].message == "attempt 0 ended with return code -9, unfinished"
    assert (found[0].exception_type, found[0].traceback) == (None, None)
    assert client(run).task(found[0].pathspec).failure == found[0]


def test_of_a_run_that_stopped_tasks_that_ran_last_were_killed(
    tmp_path: Path, client: Reading
) -> None:
    run = WrittenRun(tmp_path, FAN, created=DAYS_AGO)
    run.task("start", WELL)
    run.task("work", WELL, index=0)
    run.task("work", UNENDED, index=1)
    run.task("work", index=2)
    found = client(run).run("F/1").failures()
    assert brief(found) == [
        ("work", 0, 1, "killed", False),
        ("work", None, None, "never started", False),
        ("join", None, None, "never started", True),
    ]
    assert found[0].message == "attempt 0 has started and not ended"
    tasks = [client(run).task(f.pathspec).failure for f in found[:2]]
    assert tasks == found[:2]


def test_a_step_that_was_due_in_a_run_that_stopped_never_started(
    tmp_path: Path, client: Reading
) -> None:
    run = WrittenRun(tmp_path, FAN, created=DAYS_AGO)
    run.task("start", WELL)
    assert brief(client(run).run("F/1").failures()) == [
        ("work", None, None, "never started", False)
    ]
    empty = WrittenRun(tmp_path, name="2", created=DAYS_AGO)
    assert brief(client(empty).run("F/2").failures()) == [
        ("start", None, None, "never started", False)
    ]


def test_a_run_at_work_has_no_failures(tmp_path: Path, client: Reading) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", WELL)
    run.task("work", WELL, index=0)
    run.task("work", UNENDED, index=1)
    assert client(run).run("F/1").failures() == []
    assert [task.failure for task in client(run).step("F/1/work")] == [None, None]
    between = WrittenRun(tmp_path, FAN, name="2")
    between.task("start", WELL)
    assert client(between).run("F/2").failures() == []


def test_a_task_that_lacked_a_result_of_a_failed_one_is_collateral(
    tmp_path: Path, client: Reading
) -> None:
    graph = {
        **FAN,
        "work": node("linear", "more"),
        "more": node("linear", "join"),
    }
    run = WrittenRun(tmp_path, graph)
    run.task("start", WELL)
    run.task("work", WELL, index=0)
    run.task("work", BOOM, index=1)
    missing = Raised("metaflow.exception.MetaflowDataMissing", "no data")
    run.task("more", missing, index=1)
    run.task("more", BOOM, index=0)
    assert brief(client(run).run("F/1").failures()) == [
        ("work", 0, 1, "exception", False),
        ("more", 0, 0, "exception", False),
        ("more", 0, 1, "exception", True),
        ("join", None, None, "never started", True),
    ]


def test_of_a_switch_only_the_chosen_step_is_due(tmp_path: Path, client: Reading) -> None:
    graph = {
        "start": node("split-switch", "left", "right"),
        "left": node("linear", "end"),
        "right": node("linear", "end"),
        "end": node("end"),
    }
    chosen = {"_transition": pickle.dumps((["right"], None), 4)}
    run = WrittenRun(tmp_path, graph, created=DAYS_AGO)
    run.task("start", WELL, values=chosen)
    of = client(run)
    assert brief(of.run("F/1").failures()) == [("right", None, None, "never started", False)]
    run.task("right", BOOM)
    assert brief(client(run).run("F/1").failures()) == [
        ("right", 0, None, "exception", False),
        ("end", None, None, "never started", True),
    ]


def test_branches_wait_for_each_other_at_a_join(tmp_path: Path, client: Reading) -> None:
    graph = {
        "start": node("split-static", "a", "b"),
        "a": node("linear", "join"),
        "b": node("linear", "c"),
        "c": node("linear", "join"),
        "join": node("join", "end"),
        "end": node("end"),
    }
    run = WrittenRun(tmp_path, graph)
    run.task("start", WELL)
    run.task("a", WELL)
    run.task("b", BOOM)
    assert brief(client(run).run("F/1").failures()) == [
        ("b", 0, None, "exception", False),
        ("c", None, None, "never started", True),
    ]


def test_an_exception_that_cannot_be_read_is_a_failure(tmp_path: Path, client: Reading) -> None:
    run = WrittenRun(tmp_path, FAN)
    run.task("start", BOOM)
    raised = [r for r in run.artifacts if r.path.name == "_exception"][-1]
    (tmp_path / f"F/data/{raised.sha[:2]}/{raised.sha}").unlink()
    found = client(run).run("F/1").failures()[0]
    assert (found.kind, found.exception_type) == ("exception", None)
    assert found.message.startswith("its exception cannot be read: ")


def test_failed_runs_come_newest_first(tmp_path: Path, client: Reading) -> None:
    well = WrittenRun(tmp_path, FAN, name="1")
    failing = [WrittenRun(tmp_path, FAN, name=str(n), created=DAYS_AGO + n) for n in (2, 3, 4)]
    for run in failing:
        run.task("start", BOOM)
        for part in ("records", "artifacts", "metadata"):
            getattr(well, part).extend(getattr(run, part))
    well.task("start", WELL)
    flow = client(well).flow("F")
    assert [run.id for run in flow.failed_runs()] == ["4", "3", "2"]
    assert [run.id for run in flow.failed_runs(limit=1)] == ["4"]
    assert [run.id for run in flow.failed_runs(since="24h")] == []


def test_text_of_the_store_is_escaped_in_a_repr() -> None:
    shown = repr(Failure("F/1/a/2", "a", "2", message="\x1b[31mred\u202e"))
    assert shown == "<Failure F/1/a/2, exception: \\x1b[31mred\\u202e>"
