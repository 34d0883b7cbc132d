"""A task with its log in files, written line by line; the client's records of it are in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mfc import Client, Task
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import History, MemoryProvider

PATH = Pathspec(("F", "7", "work", "1"))
START = datetime(2026, 11, 23, 8, 39)
#: SHA-1 of the pickles of True and False, protocol 4.
TRUE = "868436778cb011a1c6230bc12534683ab0b7f1c3"
FALSE = "2473d4676d5b2aba674167293142f8031ada401b"


def at(second: float) -> datetime:
    """Return the time of a line that was printed this many seconds after the first one."""
    return START + timedelta(seconds=second)


def line(second: float, text: str, source: str = "task") -> str:
    return f"[MFLOG|0|{at(second).isoformat(timespec='microseconds')}Z|{source}|id]{text}\n"


class WrittenTask:
    """A task that has just been created, with methods to advance it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / str(PATH)).mkdir(parents=True)
        self.provider = MemoryProvider()
        self.client = Client(self.provider, namespace=None)
        paths = [PATH.up(level) for level in (1, 2, 3, 4)]
        self.provider.put(History([Record(path, self.now) for path in paths]))

    @property
    def now(self) -> int:
        return int(time.time() * 1000)

    @property
    def task(self) -> Task:
        return self.client.task(str(PATH))

    def note(self, attempt: int, created: int | None, fields: dict[str, Any]) -> None:
        created = self.now if created is None else created
        made = [MetadataRecord(PATH, n, v, n, created, attempt) for n, v in fields.items()]
        self.provider.put(History(metadata=made))

    def start(self, attempt: int = 0, created: int | None = None) -> None:
        fields = {"ds-type": "local", "ds-root": str(self.root), "attempt": str(attempt)}
        self.note(attempt, created, fields)

    def finish(self, attempt: int = 0, *, ok: bool = True, created: int | None = None) -> None:
        self.artifact("_task_ok", TRUE if ok else FALSE, attempt)
        self.note(attempt, created, {"attempt-done": str(attempt)})

    def artifact(self, name: str, sha: str, attempt: int = 0) -> None:
        made = ArtifactRecord(
            PATH.child(name), self.now, attempt=attempt, sha=sha, ds_type="local",
            location=f":root:{self.root}", encoding="pickle-v4",
        )  # fmt: skip
        self.provider.put(History(artifacts=[made]))

    def file(self, source: str = "task", attempt: int = 0) -> Path:
        return self.root / str(PATH) / f"{attempt}.{source}_stdout.log"

    def write(self, text: str, source: str = "task", attempt: int = 0) -> None:
        with self.file(source, attempt).open("a", newline="") as file:
            file.write(text)


WRITER = """
import json, sys, time
for told in sys.stdin:
    path, text, seconds = json.loads(told)
    time.sleep(seconds)
    with open(path, "a", newline="", encoding="utf-8") as file:
        file.write(text)
    print("written", flush=True)
"""


class Writer:
    """Another process, which appends text on command."""

    def __enter__(self) -> Writer:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def later(self, path: Path, text: str, seconds: float = 0.2) -> None:
        """Append `text` some time from now."""
        self._process.stdin.write(json.dumps([str(path), text, seconds]) + "\n")
        self._process.stdin.flush()

    def now(self, path: Path, text: str) -> None:
        """Append `text`, and return when that is done."""
        self.later(path, text, 0)
        assert self._process.stdout.readline() == "written\n"
