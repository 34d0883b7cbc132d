"""Durations, users and parameters of runs and tasks."""

from __future__ import annotations

import os
import pathlib
import pickle
from datetime import timedelta

import pytest
from tests.differential.released import unpack

from mfc import Client
from mfc_testing import MemoryProvider, sample

from .faraway import Asked
from .test_settled import REMOTE
from .written_runs import BOOM, FAN, UNENDED, WELL, WrittenRun


@pytest.fixture
def written(tmp_path: pathlib.Path) -> WrittenRun:
    return WrittenRun(tmp_path, FAN)


def client_of(written: WrittenRun, kind: type[MemoryProvider] = MemoryProvider) -> Client:
    told, options = written.history, {} if kind is MemoryProvider else {"capabilities": REMOTE}
    provider = kind(told.records, told.artifacts, told.metadata, **options)
    return Client(provider, namespace=None)


def test_duration_of_a_task_is_that_of_its_last_attempt(written: WrittenRun) -> None:
    # An attempt of the writer takes two seconds.
    path = str(written.task("work", BOOM, WELL, UNENDED, index=0))
    task = client_of(written).task(path)
    lasted = timedelta(seconds=2, milliseconds=1)
    assert task.duration == lasted
    each = [client_of(written).task(task.pathspec, attempt=n).duration for n in range(4)]
    assert each == [lasted, lasted, None, None]
    path = str(written.task("work"))
    assert client_of(written).task(path).duration is None


def test_durations_of_a_step_take_few_calls(written: WrittenRun) -> None:
    for index in range(40):
        written.task("work", WELL, index=index)
    client = client_of(written, Asked)
    step, before = client.step("F/1/work"), client.stats
    found = [task.duration for task in step]
    assert set(found) == {timedelta(seconds=2, milliseconds=1)}
    assert (client.stats - before).calls < 5


def test_duration_of_a_run_ends_with_its_end_task(written: WrittenRun) -> None:
    written.task("start", WELL)
    assert client_of(written).run("F/1").duration is None
    end = written.task("end", BOOM)
    run = client_of(written).run("F/1")
    outcome = next(r for r in written.artifacts if r.path == end.child("_task_ok"))
    assert run.duration == timedelta(milliseconds=outcome.created - written.records[1].created)
    assert run.duration is not None
    assert run.finished_at == run.created_at + run.duration


def test_the_user_of_a_run_is_known_without_a_call(written: WrittenRun) -> None:
    client = client_of(written)
    run, before = client.run("F/1"), client.stats
    assert run.user == "ada"
    assert client.stats == before


def test_parameters_are_those_of_the_graph(written: WrittenRun) -> None:
    client = client_of(written)
    run, before = client.run("F/1"), client.stats
    parameters = run.parameters
    assert client.stats == before
    assert list(parameters) == ["alpha"]
    assert (client.stats - before).calls == 1
    assert (client.stats - before).reads == 1
    assert parameters == {"alpha": 0.5}
    assert "constant" not in parameters
    assert repr(parameters) == "<parameters of Run('F/1'): alpha>"
    assert pickle.loads(pickle.dumps(parameters)) == {"alpha": 0.5}
    with pytest.raises(KeyError):
        parameters["constant"]


def test_a_value_is_read_when_it_is_asked_for(written: WrittenRun) -> None:
    value = next(r for r in written.artifacts if r.path.name == "alpha")
    os.unlink(written.root / f"F/data/{value.sha[:2]}/{value.sha}")
    parameters = client_of(written).run("F/1").parameters
    assert set(parameters) == {"alpha"}
    with pytest.raises(Exception, match="alpha"):
        parameters["alpha"]


def test_a_run_without_parameters_has_none(tmp_path: pathlib.Path) -> None:
    assert client_of(WrittenRun(tmp_path)).run("F/1").parameters == {}


def test_parameters_of_the_sample(tmp_path: pathlib.Path) -> None:
    sample.unpack(str(tmp_path))
    client = Client(f"local@{tmp_path}", namespace=None)
    run = client.run("Train/1795424838576163")
    assert list(run.parameters) == ["days", "dry_only", "rentals"]
    assert run.parameters["days"] == 6
    assert run.parameters["rentals"].startswith("day,temperature,rain,rentals\n")
    assert (run.user, run.duration) == ("ada", timedelta(seconds=2, microseconds=97000))
    assert [r.parameters["patience"] for r in client.flow("Refresh")] == [7, 60]


@pytest.mark.parametrize("release", ["2.0.5", "2.3.6", "2.18.13"])
def test_parameters_of_old_releases(release: str, tmp_path: pathlib.Path) -> None:
    unpack(release, tmp_path)
    client = Client(f"local@{tmp_path}", namespace=None)
    for run in client.flow("BranchesFlow"):  # one resumed the other
        assert set(run.parameters) == {"size", "words"}
        assert run.parameters["size"] == 2
        noted = client.step(f"{run.pathspec}/_parameters").task
        assert noted is not None
        assert run.parameters["words"] == noted["words"].data
    keeper = client.flow("KeeperFlow").latest_run
    assert keeper is not None
    assert keeper.parameters == {}
