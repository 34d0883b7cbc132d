"""The log of a task of real Metaflow is followed while it prints, fails, and is retried."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mfc import Client, Task

FLOW = pathlib.Path(__file__).parent / "flows/followed.py"
#: seconds that the flow may take to start, and to end once all its lines were seen
PATIENCE = 120
#: answers of Metaflow's own client about both attempts, once they are over
ASKED = """
import json, sys
from metaflow import Task, namespace
namespace(None)
print(json.dumps([
    [(str(when), text) for when, text in Task(sys.argv[1], attempt=attempt).loglines("stdout")]
    for attempt in (0, 1)
]))
"""


@pytest.fixture
def python() -> str:
    """Return the interpreter that has Metaflow."""
    found = os.environ.get("MFC_METAFLOW_PYTHON")
    if not found:
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make test` sets it")
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="Metaflow does not run on Windows")
def test_lines_come_while_metaflow_prints_them(python: str, tmp_path: pathlib.Path) -> None:
    """The flow continues only after its last line was seen."""
    seen = tmp_path / "seen"
    for folder in (seen, tmp_path / ".metaflow"):
        folder.mkdir()
    followed = []
    with running(python, tmp_path, seen) as process:
        task = started(tmp_path, process)
        for when, text in task.loglines("stdout", follow=True):
            followed.append([str(when), text])
            (seen / text).touch()
        assert process.wait(PATIENCE) == 0
    texts = [f"{attempt} {number}" for attempt in (0, 1) for number in range(3)]
    texts.insert(3, "attempt 0 is over")
    assert [text for _, text in followed] == [*texts, "attempt 1 is over"]
    asked = subprocess.run(
        [python, "-c", ASKED, task.pathspec],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    first, second = json.loads(asked.stdout)
    assert followed == first + second


@contextmanager
def running(
    python: str, home: pathlib.Path, seen: pathlib.Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the flow; it ends by itself if its lines stay unseen."""
    command = [python, str(FLOW), "--no-pylint", "--quiet", "run", "--seen", str(seen)]
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment(home), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def environment(home: pathlib.Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "USERNAME": "ada", "PYTHONUTF8": "1"}


def started(home: pathlib.Path, process: subprocess.Popen[bytes]) -> Task:
    """Return the task of step start, as soon as it exists."""
    client, deadline = Client(str(home), namespace=None), time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        steps = (step for flow in client.flows() for run in flow for step in run)
        for task in itertools.chain.from_iterable(steps):  # the step start, which goes first
            return task
        time.sleep(0.1)
    raise AssertionError((home / "output").read_text())
