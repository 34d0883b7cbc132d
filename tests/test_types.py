"""Type checkers on code that uses mfc."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

RIGHT = """
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, assert_type

from mfc import (
    Client, DataArtifact, Failure, Flow, Metaflow, MetaflowCode, MetaflowData, Placeholder, Run,
    Status, Step, Task, Timeline, TimelineRow, Trigger, namespace,
)

assert_type(namespace(None), str | None)
for flow in Metaflow():
    assert_type(flow, Flow)
    assert_type(flow.latest_run, Run | None)
    for run in flow.runs("nightly", limit=3):
        assert_type(run, Run)
        assert_type(run.data, MetaflowData | None)
        assert_type(run.code, MetaflowCode | None)
        assert_type(run.trigger, Trigger | None)
        assert_type(run.status, Status)
        assert_type(run.failures(), list[Failure])
        assert_type(run.timeline(), Timeline)
        assert_type(run.timeline().rows[0], TimelineRow)
        assert_type(run.duration, timedelta | None)
        assert_type(run.user, str | None)
        run.add_tags(tag for tag in ("a", "b"))
        run.replace_tag("a", "b")
        for step in run:
            assert_type(step, Step)
            assert_type(step.task, Task | None)
            for task in step:
                assert_type(task, Task)
                assert_type(task.artifacts.x, Any)
                assert_type(task.artifacts[0], DataArtifact)
                assert_type(task.data.x, Any)
                assert_type(task.parent.parent.parent, Flow)
                for artifact in task:
                    assert_type(artifact, DataArtifact)
assert_type(Flow("Train")["7"]["start"]["1"]["x"], DataArtifact)
assert_type(Metaflow().flows, list[Flow])
one = Task("Train/7/start/1", attempt=0)
assert_type(one.loglines("stdout"), Iterator[tuple[datetime | None, str]])
assert_type(one.loglines("stdout", as_unicode=False), Iterator[tuple[datetime | None, bytes]])
with Client(".") as client:
    assert_type(client, Client)
    assert_type(client.flow("Train").latest_run, Run | None)
    assert_type(Run("Train/7", client=client, _namespace_check=False), Run)
def install(value: object) -> str:
    return value.install if isinstance(value, Placeholder) else ""
"""
WRONG = """
import mfc
from mfc import Flow, Flows
mfc.latest_run
Flow("Train").latest
Flow("Train").latest_run.data
Flow("Train").runs(since=5)
"""


@pytest.fixture(autouse=True)
def sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parents[1] / "core/src"))


def checked(code: str, directory: Path) -> list[str]:
    file = directory / "user.py"
    file.write_text(code)
    options = ["--strict", "--python-version=3.12", "--config-file=", f"--cache-dir={directory}"]
    shown, failures, _ = api.run([*options, str(file)])
    assert not failures
    return [line for line in shown.splitlines() if "user.py" in line]


def test_right_code_is_typed_to_the_end(tmp_path: Path) -> None:
    assert checked(RIGHT, tmp_path) == []


def test_mistakes_are_found(tmp_path: Path) -> None:
    lines = [line.split(":")[1] for line in checked(WRONG, tmp_path) if ": error:" in line]
    assert lines == ["3", "4", "5", "6", "7"]
