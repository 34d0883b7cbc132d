"""Real Metaflow at work: runs, failures, retries, resumes, tags, deletions, one after the other."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

FLOW = Path(__file__).parent / "flows/beside.py"
NAME = "BesideFlow"
#: Runs that are kept; older ones are deleted.
KEPT = 6
_TAGGING = """
import sys
from metaflow import Run, metadata, namespace
namespace(None)
run = Run(sys.argv[1])
for tag in sys.argv[2:]:
    run.add_tag(tag)
    print(tag, flush=True)
"""


@attrs.define
class Facts:
    """The acknowledged writes."""

    #: Tags that a run has for certain.
    tags: dict[str, set[str]] = attrs.field(factory=dict)
    deleted: set[str] = attrs.field(factory=set)
    runs: int = 0
    resumes: int = 0
    failed: int = 0
    killed: set[str] = attrs.field(factory=set)
    #: Times that the server was killed.
    outages: int = 0


class Writer(threading.Thread):
    """Runs a flow again and again, in turn in different ways.

    Args:
        python: the interpreter that has Metaflow.
        folder: where it works, with the datastore.
        environment: the destination of metadata.
        deletes: whether to delete old runs, which only a directory allows.
    """

    def __init__(
        self, python: str, folder: Path, environment: dict[str, str], *, deletes: bool
    ) -> None:
        super().__init__(daemon=True)
        self._python, self._folder, self._deletes = python, folder, deletes
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "USERNAME": "ada",
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        }
        self.facts = Facts()
        self.stopped = threading.Event()

    def run(self) -> None:
        for turn in itertools.count():
            if self.stopped.is_set():
                return
            kind = ("plain", "fails", "dies", "killed")[turn % 4]
            self._one(kind)
            if self._deletes:
                self._delete_old()

    def _one(self, kind: str) -> None:
        more = {"fails": {"FAIL": "1"}, "dies": {"DIE": "1"}}.get(kind, {})
        noted = self._folder / "run_id"
        noted.unlink(missing_ok=True)
        with self._flow("run", "--run-id-file", str(noted), "--tag", "given", **more) as process:
            run = self._wait_for(noted, process)
            if run is not None:
                self.facts.tags.setdefault(run, set()).add("given")
                if kind == "killed":
                    time.sleep(3)
                    self.facts.killed.add(run)
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    self._tag(run, "early", "early too")
            process.wait()
        self.facts.runs += 1
        if run is not None:
            self._tag(run, "late")
        if kind == "fails":
            self.facts.failed += 1
            with self._flow("resume") as process:
                process.wait()
            self.facts.resumes += 1

    @contextlib.contextmanager
    def _flow(self, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [self._python, str(FLOW), "--no-pylint", "--quiet", *arguments]
        process = subprocess.Popen(
            [*command, "--max-workers", "2"],
            cwd=self._folder,
            env={**self._environment, **more},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _wait_for(self, noted: Path, process: subprocess.Popen[bytes]) -> str | None:
        while process.poll() is None:
            if noted.exists() and (text := noted.read_text().strip()):
                return f"{NAME}/{text}"
            time.sleep(0.05)
        return f"{NAME}/{noted.read_text().strip()}" if noted.exists() else None

    def _tag(self, run: str, *tags: str) -> None:
        """Let Metaflow's client add tags; acknowledged ones must stay."""
        done = subprocess.run(
            [self._python, "-c", _TAGGING, run, *tags],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.facts.tags[run] = self.facts.tags.get(run, set()) | set(done.stdout.split("\n")) - {""}

    def _delete_old(self) -> None:
        flow = self._folder / ".metaflow" / NAME
        ids = sorted(path.name for path in flow.iterdir() if path.name.isdecimal())
        for number in ids[:-KEPT]:
            self.facts.deleted.add(f"{NAME}/{number}")
            shutil.rmtree(flow / number)

    def names(self, task: str, attempt: int) -> set[str]:
        """Return the names of the artifacts that an attempt produced, from its datastore."""
        path = self._folder / ".metaflow" / task / f"{attempt}.data.json"
        try:
            noted = json.loads(path.read_text())["objects"]
        except FileNotFoundError:
            return set()
        return {name for name in noted if not name.startswith("_")}
