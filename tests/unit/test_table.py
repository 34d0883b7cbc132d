"""Tables of runs, steps and tasks: rows, columns, errors, cost."""

from __future__ import annotations

import pickle
import warnings
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

import mfc
from mfc import Client, MfcWarning, Table, table
from mfc.errors import (
    BadArgument,
    MetaflowDataMissing,
    MetaflowNamespaceMismatch,
    Unanswered,
    UnreadableRecord,
    UntrustedValue,
)
from mfc.hookspecs import Support
from mfc.model import MetadataRecord, Pathspec, Record
from mfc_testing import sample

from .faraway import OFF, REMOTE, Asked, FarAway, Results, questions, step_of

#: A provider of this machine, without any capability but those of the kit.
NEAR = attrs.evolve(REMOTE, remote=Support.UNSUPPORTED)


@pytest.fixture
def trained(tmp_path: Path) -> Client:
    sample.unpack(tmp_path)
    return Client(tmp_path, namespace=None)


def runs_of(number: int) -> Results:
    """Return completed runs, each with parameter `alpha` and artifact `score` of its end task."""
    results = Results(FarAway())
    for run in range(1, number + 1):
        results.task(f"F/{run}/_parameters/{100 * run}", alpha=run / 10, depth=run)
        end = results.task(f"F/{run}/end/{100 * run + 1}", score=10 * run)
        completed(results, end)
    return results


def completed(results: Results, task: Pathspec) -> None:
    for name in ("_task_ok", "_success"):
        results.artifact(task, name, pickle.dumps(True, 4))
    for name, value in (("attempt", "0"), ("attempt_ok", "True"), ("ds-type", "far")):
        results.metadata.append(MetadataRecord(task, name, value, name, 2000, 0))


# Rows and columns


def test_runs_have_attributes_parameters_and_artifacts(trained: Client) -> None:
    found = table(trained.flow("Train"), "id", "status", "param.days", "data.name", "errors")
    assert found.columns == ("id", "status", "param.days", "data.name", "errors")
    runs = list(trained.flow("Train"))
    assert found.rows == tuple(
        (run.id, str(run.status), run.data.days, run.data.name, run.data.errors) for run in runs
    )
    assert type(found.rows[0][1]) is str


@pytest.mark.parametrize("flow", ["Train", "Refresh"])
def test_attributes_are_those_of_runs(trained: Client, flow: str) -> None:
    columns = ("id", "pathspec", "user", "successful", "finished", "status", "status_reason")
    runs = list(trained.flow(flow))
    got = table(runs, *columns, "created_at", "finished_at", "tags", "user_tags", "system_tags")
    for run, row in zip(runs, got, strict=True):
        for name in ("id", "pathspec", "successful", "finished", "status"):
            assert row[name] == getattr(run, name), name
        assert row["status_reason"] == run.status.reason
        assert_times(run, row)
        for name in ("tags", "user_tags", "system_tags"):
            assert row[name] == tuple(sorted(getattr(run, name)))


def assert_times(thing: Any, row: dict[str, Any]) -> None:
    for name in ("created_at", "finished_at"):
        expected, got = getattr(thing, name), row[name]
        if expected is None:
            assert got is None
        else:
            assert got.tzinfo is timezone.utc
            assert abs(got.timestamp() - expected.timestamp()) < 0.001


@pytest.mark.parametrize("flow", ["Train", "Refresh"])
def test_attributes_are_those_of_tasks(trained: Client, flow: str) -> None:
    names = ("id", "status", "successful", "finished", "index", "current_attempt")
    for run in trained.flow(flow):
        tasks = [task for step in run for task in step]
        got = table(run, *names, "step", "run", "flow", "created_at", "finished_at", "meta.attempt")
        for task, row in zip(tasks, got, strict=True):
            assert {name: row[name] for name in names} == {n: getattr(task, n) for n in names}
            assert (row["flow"], row["run"], row["step"]) == tuple(task.path_components[:3])
            assert row["meta.attempt"] == task.metadata_dict["attempt"]
            assert_times(task, row)


def test_steps_have_times_and_parameters(trained: Client) -> None:
    run = trained.flow("Train").latest_run
    got = table(run, "step")
    assert {row["step"] for row in got} == {step.id for step in run}
    found = table(list(run), "id", "created_at", "finished_at", "param.days", "run")
    for step, row in zip(run, found, strict=True):
        assert (row["id"], row["param.days"], row["run"]) == (step.id, run.data.days, run.id)
        assert_times(step, row)


def test_one_object_stands_for_its_children(trained: Client) -> None:
    flow = trained.flow("Train")
    run = flow.latest_run
    assert table(flow, "id") == table(list(flow), "id") == flow.runs().table("id")
    assert table(run, "pathspec") == table((t for s in run for t in s), "pathspec")
    fit = run["fit"]
    assert table(fit, "kind") == table(fit.tasks(), "kind") == fit.tasks().table("kind")
    assert [row["kind"] for row in table(fit, "kind")] == list(mfc.load(fit, "kind"))


def test_usual_columns_depend_on_the_rows(trained: Client) -> None:
    run = trained.flow("Train").latest_run
    assert table([run]).columns[:2] == ("pathspec", "status")
    assert table(list(run)).columns == ("pathspec", "created_at", "finished_at")
    assert "index" in table(run).columns
    assert trained.flow("Train").runs(user="nobody").table().columns == table([run]).columns
    assert run["fit"].tasks("no-such-tag").table().columns == table(run).columns


def test_the_listing_gives_those_that_are_left(trained: Client) -> None:
    listing = trained.flow("Train").runs()
    first = next(listing)
    assert first.id not in [row["id"] for row in listing.table("id")]
    assert list(listing) == []


def test_a_chosen_attempt_has_its_own_row(trained: Client) -> None:
    retried = next(
        task
        for run in trained.flow("Refresh")
        for step in run
        for task in step
        if task.current_attempt and task.successful
    )
    first = trained.task(retried.pathspec, attempt=0)
    names = ("status", "finished_at", "current_attempt", "successful", "meta.attempt")
    one, both = table([first], *names).to_dicts()[0], table([first, retried], *names)
    assert one == both.to_dicts()[0]
    assert (one["status"], one["current_attempt"], one["meta.attempt"]) == ("failed", 0, "0")
    assert both.to_dicts()[1]["status"] == "completed"


def test_meta_of_a_run_is_that_of_its_end_task(trained: Client) -> None:
    runs = list(trained.flow("Train"))
    got = table(runs, "meta.ds-type", "meta.attempt_ok")
    assert set(got.rows) == {("local", "True")}
    with pytest.warns(MfcWarning, match=r"Column 'meta.nope' is empty: .* such a metadata field"):
        table(runs, "meta.nope")


# Missing and failing cells


def test_missing_values_are_none() -> None:
    results = runs_of(2)
    results.task("F/3/_parameters/300", alpha=0.5)
    results.task("F/3/start/301")
    for capabilities in (REMOTE, NEAR):
        flow = results.client(results.provider(capabilities=capabilities)).flow("F")
        got = table(flow, "id", "param.alpha", "param.depth", "score", "finished", "duration")
        assert got.rows[0][:5] == ("3", 0.5, None, None, False)
        assert [row[1:4] for row in got.rows[1:]] == [(0.2, 2, 20), (0.1, 1, 10)]
        assert got.types["score"] == got.types["param.depth"] == "int"
        assert got.rows[0][5] is None
        assert isinstance(got.rows[1][5], timedelta)


def test_a_column_without_a_value_comes_with_a_warning() -> None:
    flow = runs_of(2).client().flow("F")
    with pytest.warns(MfcWarning, match="Column 'statuss' is empty: .*did you mean 'status'"):
        assert table(flow, "statuss").rows == ((None,), (None,))
    with pytest.warns(MfcWarning, match="no row has a value of such a parameter$"):
        table(flow, "param.nope")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(table([], "statuss")) == 0


def test_the_error_of_a_cell_is_raised_or_takes_its_place() -> None:
    results = runs_of(3)
    gone = next(a for a in results.artifacts if str(a.path) == "F/2/end/201/score")
    del results.store.files[f"root/F/data/{gone.sha[:2]}/{gone.sha}"]
    flow = results.client(**OFF).flow("F")
    with pytest.raises(MetaflowDataMissing):
        table(flow, "id", "score")
    got = table(flow, "id", "score", errors="return")
    assert [row["id"] for row in got] == ["3", "2", "1"]
    assert (got.rows[0][1], got.rows[2][1]) == (30, 10)
    assert isinstance(got.rows[1][1], MetaflowDataMissing)
    assert got.types["score"] == "object"
    assert pickle.loads(pickle.dumps(got)) == got


def test_values_are_read_at_the_trust_of_the_client() -> None:
    results = runs_of(1)
    got = table(results.client(trust="none").flow("F"), "id", "score", errors="return")
    assert isinstance(got.rows[0][1], UntrustedValue)


class Damaged(Asked):
    """A provider that fails on what it is told to."""

    broken: tuple[str, ...] = ()
    error: Exception = UnreadableRecord("somewhere", "damaged")

    def artifacts(self, path, names=None, attempt=None):
        if str(path) in self.broken:
            self.asked.append(("artifacts", str(path)))
            raise self.error
        return super().artifacts(path, names, attempt)


def test_a_run_that_cannot_be_read_fails_alone() -> None:
    results = runs_of(3)
    provider = Damaged(
        results.records.values(), results.artifacts, results.metadata, capabilities=REMOTE
    )
    provider.broken = ("F/2/end", "F/1/_parameters")
    flow = results.client(provider).flow("F")
    columns = ("id", "status", "finished_at", "score", "param.alpha")
    got = table(flow, *columns, errors="return").to_dicts()
    assert got[0]["score"] == 30
    bad = got[1]
    assert all(isinstance(bad[n], UnreadableRecord) for n in ("status", "finished_at", "score"))
    assert bad["param.alpha"] == 0.2
    assert isinstance(got[2]["param.alpha"], UnreadableRecord)
    assert (got[2]["status"], got[2]["score"]) == ("completed", 10)
    assert provider.asked.count(("artifacts", "F/2/end")) == 1
    with pytest.raises(UnreadableRecord, match="damaged"):
        table(flow, *columns)


def test_a_backend_that_is_gone_ends_the_table() -> None:
    results = runs_of(2)
    provider = Damaged(
        results.records.values(), results.artifacts, results.metadata, capabilities=REMOTE
    )
    provider.broken, provider.error = ("F/2/end",), Unanswered("memory@", "gone")
    with pytest.raises(Unanswered, match="gone"):
        table(results.client(provider).flow("F"), "status")


def test_what_is_outside_the_namespace_is_not_read() -> None:
    results = step_of(2)
    hidden = Pathspec(("F", "1"))
    results.records[hidden] = Record(hidden, 1, "bob", system_tags=frozenset({"user:bob"}))
    provider = results.provider()
    everything = results.client(provider).step("F/1/fit")
    assert len(table(everything, "x")) == 2
    with Client(provider, namespace="user:ada") as hers, pytest.raises(MetaflowNamespaceMismatch):
        table(hers.step("F/1/fit"), "x")


# Arguments


@pytest.mark.parametrize("name", ["", "data.", "param.", "meta.", "a/b", ".."])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(BadArgument, match="columns is "):
        table(runs_of(1).client().flow("F"), name)


def test_a_column_twice_is_refused() -> None:
    flow = runs_of(1).client().flow("F")
    with pytest.raises(BadArgument, match="each column once"):
        table(flow, "id", "score", "id")
    assert table(flow, "score", "data.score").rows == ((10, 10),)


def test_columns_of_steps_are_their_own() -> None:
    steps = list(step_of(1).client().run("F/1"))
    with pytest.raises(BadArgument, match="has rows of its tasks"):
        table(steps, "x")
    with pytest.raises(BadArgument, match="has rows of its tasks"):
        table(steps, "status")


@pytest.mark.parametrize("items", [5, "F/1", None, [5], {"a": 1}])
def test_bad_items_are_refused(items: Any) -> None:
    with pytest.raises(BadArgument):
        table(items, "id")


def test_items_are_of_one_kind() -> None:
    client = step_of(1).client()
    run, step = client.run("F/1"), client.step("F/1/fit")
    for mixed in ([run, step], [run, step.task], [client.flow("F")], [step.task["x"]]):
        with pytest.raises(BadArgument, match="an item is "):
            table(mixed, "id")


@pytest.mark.parametrize("errors", ["ignore", None, True])
def test_errors_is_one_of_two_words(errors: Any) -> None:
    with pytest.raises(BadArgument, match="errors is "):
        table([], "id", errors=errors)


def test_columns_are_text() -> None:
    with pytest.raises(BadArgument, match="columns is 5"):
        table([], 5)  # type: ignore[arg-type]


# Cost


def test_completed_runs_cost_three_questions_each() -> None:
    results = runs_of(20)
    provider = results.provider()
    runs = list(results.client(provider, **OFF).flow("F"))
    since = len(provider.asked)
    got = table(runs, "id", "status", "param.alpha", "score", "finished_at", "successful")
    assert questions(provider, since) == {"artifacts": 40, "metadata": 20}
    assert {row["status"] for row in got} == {"completed"}
    assert [row["score"] for row in got] == [10 * run for run in range(20, 0, -1)]
    assert len(results.store.asked) == 40  # two values of each run


def test_attributes_of_records_cost_nothing() -> None:
    provider = runs_of(5).provider()
    runs = list(runs_of(5).client(provider).flow("F"))
    since = len(provider.asked)
    table(runs, "id", "pathspec", "flow", "user", "created_at", "tags")
    assert len(provider.asked) == since
    table(runs, "finished_at", "successful", "finished", "duration", "score")
    assert questions(provider, since) == {"artifacts": 5}


def test_tasks_of_a_step_cost_a_handful_of_questions() -> None:
    results = step_of(300)
    results.task("F/1/_parameters/999", alpha=0.5)
    client = results.client(**OFF)
    step = client.step("F/1/fit")
    before = client.stats
    got = table(step, "id", "x", "y", "param.alpha", "meta.attempt-done", "finished_at")
    assert len(got) == 300
    assert got.rows[0][:5] == ("299", 299, -299, 0.5, "0")
    # The listing, all artifacts, the parameters; two tasks alone and then all of them are asked
    # for metadata and for their ends.
    assert (client.stats - before).calls == 1 + 1 + 1 + 3 + 3


def test_loose_tasks_are_asked_side_by_side() -> None:
    results = Results(FarAway(together=4))
    for run in range(100):
        results.task(f"F/{run}/fit/{run}", x=run)
    client = results.client(**OFF)
    tasks = [client.task(f"F/{run}/fit/{run}") for run in range(100)]
    assert [row["x"] for row in table(tasks, "x", "meta.attempt-done")] == list(range(100))
    assert results.store.most >= 4


def test_equal_blobs_are_read_once() -> None:
    results = Results()
    for run in range(1, 11):
        results.task(f"F/{run}/end/{run}", x="the same")
    assert set(table(results.client(**OFF).flow("F"), "x").rows) == {("the same",)}
    assert len(results.store.asked) == 1


def test_an_error_ends_the_reading_of_an_endless_listing() -> None:
    results = runs_of(3)
    client = results.client(**OFF)

    def endless() -> Any:
        while True:
            yield from client.flow("F")

    gone = results.artifacts[-3]
    del results.store.files[f"root/F/data/{gone.sha[:2]}/{gone.sha}"]
    with pytest.raises(MetaflowDataMissing):
        table(endless(), "score")


# The value


def test_a_table_is_a_frozen_value() -> None:
    flow = runs_of(2).client().flow("F")
    one, other = table(flow, "id", "score"), table(flow, "id", "score")
    assert isinstance(one, Table)
    assert (one, hash(one)) == (other, hash(other))
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != table(flow, "id")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.columns = ()  # type: ignore[misc]
