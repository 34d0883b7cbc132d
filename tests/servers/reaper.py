"""Ends the servers of a test process once that process is gone, however it ended.

A fixture stops its server, also after Ctrl-C. A test run that is killed, or told to end by SIGTERM,
runs no fixtures: its servers would stay. So every test process marks its environment, which its
children inherit, and starts a reaper, which waits for the end of a pipe from it, then ends every
process that has the mark. Only Linux shows the environment of other processes; elsewhere the reaper
is left out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

MARK = "MFC_TEST_PROCESS"
#: Seconds in which a server may end by itself.
_GRACE = 5.0


def start() -> None:
    """Mark this process and start its reaper."""
    if sys.platform != "linux":
        return
    clean = {name: value for name, value in os.environ.items() if name != MARK}
    os.environ[MARK] = mark = uuid.uuid4().hex
    waits, _ = os.pipe()  # the other end closes when this process ends
    reaper = subprocess.Popen(
        [sys.executable, "-I", __file__, mark],
        stdin=waits,
        env=clean,
        start_new_session=True,  # Ctrl-C is for the tests
    )
    os.close(waits)
    reaper.returncode = 0  # never waited for: it outlives this process


def marked(mark: str) -> list[int]:
    """Return the processes that have a mark."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if folder.name.isdecimal() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def reap(mark: str) -> None:
    """End the processes that have a mark."""
    deadline = time.monotonic() + _GRACE
    sent = signal.SIGTERM
    while found := marked(mark):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        if time.monotonic() > deadline:
            sent = signal.SIGKILL
        time.sleep(0.2)


if __name__ == "__main__":
    sys.stdin.read()
    reap(sys.argv[1])
