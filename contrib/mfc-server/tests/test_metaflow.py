"""Real Metaflow against mfc-server: it writes, resumes, tags, sends heartbeats, and reads back."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mfc_server.testing import Running, running

FLOW = """
from metaflow import FlowSpec, Parameter, card, current, retry, step


class GrowFlow(FlowSpec):
    size = Parameter("size", default=3)

    @step
    def start(self):
        self.items = list(range(self.size))
        self.next(self.work, foreach="items")

    @retry(times=1, minutes_between_retries=0)
    @step
    def work(self):
        if self.input == 1 and current.retry_count == 0:
            raise ValueError("the first attempt fails")
        self.square = self.input**2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(each.square for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        import os

        if os.environ.get("FAIL_AT_END"):
            raise ValueError("as was wanted")
        print("total", self.total)


if __name__ == "__main__":
    GrowFlow()
"""
READ = """
import json
from metaflow import Flow, namespace

namespace(None)
flow = Flow("GrowFlow")
runs = list(flow)
newest, oldest = runs[0], runs[-1]
newest.add_tags(["good", "newer"])
newest.replace_tag("good", "better")
print(json.dumps({
    "states": [run.successful for run in runs],
    "total": newest.data.total,
    "squares": sorted(task.data.square for task in newest["work"]),
    "stdout": newest["end"].task.stdout,
    "tags": sorted(flow.latest_run.user_tags),
    "origin": newest.origin_pathspec,
    "oldest": oldest.pathspec,
    "attempts": sorted(task.current_attempt for task in oldest["work"]),
    "parents": len(list(newest["join"].task.parent_tasks)),
}))
"""


@pytest.fixture
def server(db_url: str) -> Iterator[Running]:
    with running(db_url) as server:
        yield server


@pytest.fixture
def metaflow(server: Running, tmp_path: Path):
    python = os.environ.get("MFC_METAFLOW_PYTHON")
    if not python or not os.path.exists(python):
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow")
    Path(tmp_path, "flow.py").write_text(FLOW)
    settings = {
        "METAFLOW_SERVICE_URL": server.url,
        "METAFLOW_DEFAULT_METADATA": "service",
        "METAFLOW_USER": "alice",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path),
        "HOME": str(tmp_path),
    }

    def call(*command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **settings, **extra}
        kept = {"capture_output": True, "text": True}
        return subprocess.run(
            [python, *command], cwd=tmp_path, env=environment, check=False, **kept
        )

    return call


def test_metaflow_writes_resumes_tags_and_reads(metaflow, server: Running) -> None:
    failed = metaflow("flow.py", "run", "--tag", "first", FAIL_AT_END="1")
    assert failed.returncode == 1, failed.stdout
    assert "as was wanted" in failed.stderr + failed.stdout
    resumed = metaflow("flow.py", "resume")
    assert resumed.returncode == 0, resumed.stderr + resumed.stdout

    read = metaflow("-c", READ)
    assert read.returncode == 0, read.stderr
    answers = json.loads(read.stdout)
    assert answers["states"] == [True, False]
    assert answers["total"] == 5
    assert answers["squares"] == [0, 1, 4]
    assert answers["stdout"] == "total 5\n"
    assert answers["tags"] == ["better", "newer"]
    assert answers["origin"] == answers["oldest"]
    assert answers["attempts"] == [0, 0, 1]
    assert answers["parents"] == 3

    runs = requests.get(f"{server.url}/flows/GrowFlow/runs?status=completed", timeout=30).json()
    assert [run["user"] for run in runs] == ["alice"]
    assert abs(runs[0]["last_heartbeat_ts"] - time.time()) < 120
