"""Filling a database: from a directory that real Metaflow wrote, and from another database."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import requests
from tests.servers.recordings import DATASET, normal

import mfc
from mfc_server._transfer import copy, import_results
from mfc_server.testing import load_rows, running
from mfc_testing import sample

SAMPLE = Path(sample.ARCHIVE)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with tarfile.open(SAMPLE) as tar:
        tar.extractall(tmp_path / "results", filter="data")
    return tmp_path / "results"


def test_a_directory_keeps_its_history(results: Path, db_url: str) -> None:
    local = mfc.Client(results, namespace=None)
    said = import_results(str(results), db_url)
    count = sum(len(list(flow)) for flow in local.flows())
    assert said == f"{count} runs imported, 0 runs there already"
    with running(db_url) as server:
        get = lambda path: requests.get(f"{server.url}/flows/{path}", timeout=30).json()  # noqa: E731
        for flow in local.flows():
            runs = {str(run["run_number"]): run for run in get(f"{flow.id}/runs")}
            assert set(runs) == {run.id for run in flow}
            for run in flow:
                shown = runs[run.id]
                assert set(shown["tags"]) == run.user_tags
                assert set(shown["system_tags"]) == run.system_tags
                below = f"{flow.id}/runs/{run.id}/steps"
                # The listing of steps omits `_parameters`, which the service shows.
                assert {s["step_name"] for s in get(below)} - {"_parameters"} == {s.id for s in run}
                for step in run:
                    tasks = get(f"{below}/{step.id}/tasks")
                    assert {str(t["task_id"]) for t in tasks} == {t.id for t in step}
                    for task in step:
                        path = f"{below}/{step.id}/tasks/{task.id}"
                        assert {str(get(path)["task_id"])} == {task.id}
                        assert len(get(f"{path}/metadata")) == len(task.metadata)
                        shas = {a["name"]: a["sha"] for a in get(f"{path}/artifacts")}
                        assert shas == {a.id: a.sha for a in task.artifacts} | {
                            name: sha for name, sha in shas.items() if name.startswith("_")
                        }
    assert import_results(str(results), db_url) == f"0 runs imported, {count} runs there already"


def test_new_runs_come_after_imported_ones(results: Path, db_url: str) -> None:
    import_results(str(results), db_url)
    with running(db_url) as server:
        flow = requests.get(f"{server.url}/flows", timeout=30).json()[0]["flow_id"]
        url = f"{server.url}/flows/{flow}"
        largest = max(int(run["run_number"]) for run in requests.get(f"{url}/runs").json())
        made = requests.post(f"{url}/run", json={}, timeout=30).json()
        assert made["run_number"] > largest


def test_new_tasks_come_after_imported_ones(results: Path, db_url: str, tmp_path: Path) -> None:
    import_results(str(results), db_url)
    import_results(str(results), db_url)  # no new numbers, and no number is reused
    copy(db_url, other := f"sqlite:///{tmp_path}/copied.db")
    for url in (db_url, other):
        with running(url) as server:
            flows = requests.get(f"{server.url}/flows", timeout=30).json()
            taken, steps = set(), []
            for flow in flows:
                runs = f"{server.url}/flows/{flow['flow_id']}/runs"
                for run in requests.get(runs, timeout=30).json():
                    for step in requests.get(f"{runs}/{run['run_number']}/steps").json():
                        steps.append(f"{runs}/{run['run_number']}/steps/{step['step_name']}")
                        found = requests.get(f"{steps[-1]}/tasks", timeout=30).json()
                        taken |= {str(task["task_id"]) for task in found}
            made = [requests.post(f"{step}/task", json={}, timeout=30).json() for step in steps]
            new = {str(task["task_id"]) for task in made}
            assert len(new) == len(steps)
            assert not new & taken


def test_everything_is_copied_from_sqlite_to_postgresql_and_back(
    tmp_path: Path, postgres: object
) -> None:
    urls = [f"sqlite:///{tmp_path}/a.db", postgres.new(), f"sqlite:///{tmp_path}/b.db"]
    load_rows(urls[0], DATASET)
    for source, target in ((urls[0], urls[1]), (urls[1], urls[2])):
        command = [sys.executable, "-m", "mfc_server", "copy", "--from", source, "--to", target]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "4051 metadata_v3" in ended.stdout
    answers = []
    for url in urls:
        with running(url) as server:
            paths = ("/flows", "/flows/RetryFlow/runs/5/metadata", "/flows/FailFlow/runs")
            read = [requests.get(server.url + path, timeout=30).json() for path in paths]
            made = requests.post(f"{server.url}/flows/FailFlow/run", json={}, timeout=30).json()
            answers.append((normal(read), made["run_number"]))
    assert answers[0] == answers[1] == answers[2]


def test_a_full_database_is_refused_as_a_target(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in "ab"]
    for url in urls:
        load_rows(url, DATASET)
    with pytest.raises(Exception, match="holds rows already"):
        copy(*urls)
