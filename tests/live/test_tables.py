"""Tables of the same results on a directory, a service and in memory; their cost on a service."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.differential.released import files, moved
from tests.live.steps import Directory, Place, Records, memory, service

from mfc import Client, table
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing.history import History

RELEASE, FLOW = "2.18.13", "BranchesFlow"
RUNS = 20
OF_RUNS = ("id", "status", "status_reason", "successful", "finished", "finished_at", "user", "tags")
OF_TASKS = ("pathspec", "status", "status_reason", "successful", "finished_at", "index")


@pytest.fixture(scope="module")
def clients(services: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Clients of the same runs on a directory, a service and in memory."""
    folder = tmp_path_factory.mktemp("results")
    written = list(writes(folder))
    places: dict[str, Place] = {
        "local": Directory(folder),
        "service": service(folder, services),
        "memory": memory(folder),
    }
    for place in places.values():
        for name, content in written:
            place.write(name, content)
    return {kind: place.client() for kind, place in places.items()}


def writes(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name, content in files(RELEASE):
        if name.split("/")[1] in (FLOW, "data"):
            yield name, moved(name, content, RELEASE, folder)


def test_tables_of_runs_are_the_same_everywhere(clients: dict[str, Client]) -> None:
    tables = {}
    for kind, client in clients.items():
        runs = list(client.flow(FLOW))
        tables[kind] = table(runs, *OF_RUNS, "duration", "data.name", "meta.attempt_ok")
        for run, row in zip(runs, tables[kind], strict=True):
            assert (row["status"], row["status_reason"]) == (run.status, run.status.reason)
            assert row["successful"] is run.successful
            assert row["data.name"] == (getattr(run.data, "name", None) if run.data else None)
    assert tables["local"] == tables["service"] == tables["memory"]
    assert {row["status"] for row in tables["local"]} == {"completed", "failed"}


def test_tables_of_tasks_are_the_same_everywhere(clients: dict[str, Client]) -> None:
    tables = {}
    for kind, client in clients.items():
        for run in client.flow(FLOW):
            found = table(run, *OF_TASKS, "current_attempt", "data.name", "meta.attempt")
            tables.setdefault(kind, []).append(sorted(found.rows))
            tasks = {task.pathspec: task for step in run for task in step}
            assert {row["pathspec"] for row in found} == tasks.keys()
            for row in found:
                task = tasks[row["pathspec"]]
                assert (row["status"], row["index"]) == (task.status, task.index), row
                assert row["status_reason"] == task.status.reason
                assert row["meta.attempt"] == task.metadata_dict.get("attempt")
    assert tables["local"] == tables["service"] == tables["memory"]


@pytest.fixture(scope="module")
def trained(services: Any, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A service with completed runs, each with a parameter, and an artifact of its end task."""
    folder = tmp_path_factory.mktemp("trained")
    place = service(folder, services)
    place._put(History([Record(Pathspec(("Train",)), 1)]))
    for number in range(1, RUNS + 1):
        place._put(run_of(place, folder, number))
    return place.client()


def run_of(place: Records, folder: Path, number: int) -> History:
    """Return the records of a completed run, and write its values."""
    run = Pathspec(("Train", str(number)))
    tags = frozenset({"metaflow_version:2.18.13", "user:ada"})
    records = [Record(run, 10 * number, "ada", system_tags=tags)]
    artifacts: list[ArtifactRecord] = []
    metadata: list[MetadataRecord] = []
    parameters = {"alpha": number / 10}
    ended = {"score": 10 * number, "_task_ok": True, "_success": True}
    for step, values in (("_parameters", parameters), ("start", {}), ("end", ended)):
        task = run.child(step).child(f"{number}{len(records)}")
        records += [Record(run.child(step), 10 * number), Record(task, 10 * number, "ada")]
        for name, value in values.items():
            content = pickle.dumps(value, 4)
            sha = hashlib.sha1(content).hexdigest()
            place.write(f".metaflow/Train/data/{sha[:2]}/{sha}", gzip.compress(content))
            where = {"ds_type": "local", "location": f":root:{folder}/.metaflow"}
            path, at = task.child(name), 10 * number + 5
            made = ArtifactRecord(path, at, attempt=0, sha=sha, encoding="pickle-v4", **where)
            artifacts.append(made)
        noted = {"attempt": "0", "attempt_ok": "True", "attempt-done": "0"}
        metadata += [MetadataRecord(task, n, v, n, 10 * number + 3, 0) for n, v in noted.items()]
    return History(records, artifacts, metadata)


def test_runs_with_parameter_artifact_and_status_cost_three_calls_each(trained: Client) -> None:
    before = trained.stats
    runs = trained.flow("Train").runs(limit=RUNS)
    found = runs.table("id", "status", "param.alpha", "score")
    assert found.rows == tuple((str(n), "completed", n / 10, 10 * n) for n in range(RUNS, 0, -1))
    frame = found.to_pandas()
    assert frame["score"].tolist() == [10 * n for n in range(RUNS, 0, -1)]
    cost = trained.stats - before
    # The flow, the listing, and for each run its parameters, its end task and that task's marks.
    assert cost.calls == 2 + 3 * RUNS


def test_a_loop_over_the_same_costs_more_calls(trained: Client) -> None:
    before = trained.stats
    for run in trained.flow("Train").runs(limit=RUNS):
        assert (run.status, run.data.score) == ("completed", 10 * int(run.id))
        assert run["_parameters"].task.data.alpha == int(run.id) / 10
    assert (trained.stats - before).calls > 2 * (2 + 3 * RUNS)


@pytest.mark.parametrize(
    ("columns", "calls"),
    [
        (("id", "user", "created_at", "tags"), 0),
        (("param.alpha",), 1),
        (("score",), 1),
        (("score", "finished_at", "successful", "finished", "duration"), 1),
        (("status",), 2),
        (("status", "score", "finished_at"), 2),
        (("meta.attempt",), 2),
        (("status", "score", "param.alpha", "meta.attempt"), 4),
    ],
)
def test_calls_for_each_run(trained: Client, columns: tuple[str, ...], calls: int) -> None:
    runs = list(trained.flow("Train"))
    before = trained.stats
    assert len(table(runs, *columns)) == RUNS
    assert (trained.stats - before).calls == calls * RUNS
