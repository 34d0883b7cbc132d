"""A server behind a relay that counts requests and can add latency."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.service import relay

_ROOT = Path(__file__).parents[3]


class Relayed:
    """A server as seen through a relay that counts and delays."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url

    def counted(self) -> Mapping[str, int]:
        """Return the counts since the last call."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts


@contextlib.contextmanager
def relayed(url: str, delay: int) -> Iterator[Relayed]:
    """Start a relay in a process of its own, so that it takes no time from a client."""
    process = subprocess.Popen(
        [sys.executable, "-m", relay.__name__, url.rpartition("//")[2], str(delay)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    port = process.stdout.readline().strip()
    try:
        yield Relayed(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
