"""A test run that is ended in any way leaves no server behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.servers import reaper

ROOT = Path(__file__).parent.parent
RUN = """
import os, pytest, time
from mfc_server.testing import running

def test_that_is_interrupted(tmp_path):
    with running(f"sqlite:///{tmp_path}/meta.db") as server:
        open(os.environ["READY"], "w").write(os.environ["MFC_TEST_PROCESS"])
        time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="environments of others are not shown")
@pytest.mark.parametrize(
    "sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name
)
def test_no_server_is_left_behind(tmp_path: Path, sent: signal.Signals) -> None:
    ready, case = tmp_path / "ready", tmp_path / "test_case.py"
    case.write_text(RUN)
    (tmp_path / "conftest.py").write_text("from tests.servers import reaper\nreaper.start()\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(case)]
    environment = {**os.environ, "READY": str(ready), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as run:
        while not (ready.exists() and ready.read_text()):
            assert run.poll() is None
            time.sleep(0.05)
        mark = ready.read_text()
        assert reaper.marked(mark)
        run.send_signal(sent)
        run.wait()
    while reaper.marked(mark):  # hangs, and names the server, if one stays
        time.sleep(0.05)
