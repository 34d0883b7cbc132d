"""Let real Metaflow write for some minutes while readers look, and count violations.

    MFC_METAFLOW_PYTHON=… python -m tests.live.soak [--minutes 15]

Results go into a directory and through `mfc-server`, which is killed meanwhile. The invariants are
in `invariants.py`. The exit status is 1 after a violation.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import attrs
from tests.live.invariants import FINAL, Watch, look_at_run, look_at_task
from tests.live.writers import NAME, Writer
from tests.servers.ports import free_port

from mfc import Client
from mfc.errors import MetaflowNotFound, Unanswered, UnreadableRecord

#: Runs that a reader looks at, and looks at each after it has ended.
LISTED, AFTERWARDS = 8, 3
#: Seconds between two kills of the server, and of each pause after one.
KILLED_EVERY, PAUSES = 40.0, (0.5, 5.0)
#: Logs that are followed at once, by provider.
FOLLOWED = 3
Answered = TypeVar("Answered")
TOLERATED = (MetaflowNotFound, UnreadableRecord)


@attrs.define
class Tally:
    """The observations of one place's readers."""

    watch: Watch = attrs.field(factory=Watch)
    rounds: int = 0
    lines: int = 0
    logs: int = 0
    #: Queries without an answer, while the server was away.
    unanswered: int = 0


class Reader(threading.Thread):
    """Looks at the newest runs again and again, and follows their logs."""

    def __init__(self, client: Callable[[], Client], writer: Writer) -> None:
        super().__init__(daemon=True)
        self._client, self._writer = client, writer
        self.tally = Tally()
        self.stopped = threading.Event()
        self._looked_after: dict[str, int] = {}
        self._known_logs: set[str] = set()
        self._following: list[threading.Thread] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._round()
            except Unanswered:
                self.tally.unanswered += 1
            except Exception as error:  # any other error is a finding
                self.tally.watch.violations.append(f"a reader failed: {type(error)}: {error}")
            self.tally.rounds += 1
            time.sleep(0.05)

    def finish(self) -> None:
        """Wait for the followed logs, except those of killed tasks, which never end."""
        for thread in self._following:
            if not any(thread.name.startswith(f"{run}/") for run in self._writer.facts.killed):
                thread.join(90)
                if thread.is_alive():
                    text = f"log of {thread.name}: followed for ever"
                    self.tally.watch.violations.append(text)

    def _round(self) -> None:
        client = self._client()
        try:
            runs = list(client.flow(NAME).runs(limit=LISTED))
        except MetaflowNotFound:
            return
        for run in runs:
            if self._looked_after.get(run.pathspec, 0) < AFTERWARDS:
                with self._unless_deleted(run.pathspec):
                    self._look(client, run)

    @contextlib.contextmanager
    def _unless_deleted(self, run: str) -> Iterator[None]:
        try:
            yield
        except Unanswered:
            raise
        except TOLERATED:
            if run not in self._writer.facts.deleted:
                raise

    def _look(self, client: Client, run: object) -> None:
        pathspec = run.pathspec  # type: ignore[attr-defined]
        tagged = set(self._writer.facts.tags.get(pathspec, ()))
        this = client.run(pathspec)
        look = look_at_run(this)
        if pathspec in self._writer.facts.deleted:
            return
        self.tally.watch.see(look, tagged=tagged)
        for step in this:
            for task in step:
                seen = look_at_task(task)
                names = self._writer.names(task.pathspec, seen.attempt)
                if pathspec in self._writer.facts.deleted:
                    return
                self.tally.watch.see(seen, complete=names)
                if step.id == "work" and look.status == "running":
                    self._follow(client, task.pathspec)
        if look.status in FINAL:
            self._looked_after[pathspec] = self._looked_after.get(pathspec, 0) + 1

    def _follow(self, client: Client, task: str) -> None:
        self._following = [thread for thread in self._following if thread.is_alive()]
        killed = tuple(f"{run}/" for run in self._writer.facts.killed)
        alive = [thread for thread in self._following if not thread.name.startswith(killed)]
        if task in self._known_logs or len(alive) >= FOLLOWED:
            return
        self._known_logs.add(task)
        thread = threading.Thread(
            target=self._read_log, args=(client, task), name=task, daemon=True
        )
        self._following.append(thread)
        thread.start()

    def _read_log(self, client: Client, task: str) -> None:
        try:
            given = self._followed(client, task)
            attempts = patiently(
                lambda: [
                    [line for _, line in client.task(task, attempt).loglines("stdout")]
                    for attempt in range(client.task(task).current_attempt + 1)
                ]
            )
        except Exception as error:  # any error means that the log was not followed
            if "/".join(task.split("/")[:2]) not in self._writer.facts.deleted:
                with self._lock:
                    self.tally.watch.violations.append(f"log of {task}: {type(error)}: {error}")
            return
        with self._lock:
            self.tally.watch.lines(task, given, attempts)
            self.tally.lines += len(given)
            self.tally.logs += 1

    @staticmethod
    def _followed(client: Client, task: str) -> list[str]:
        """Yield the lines that come; only a log that is followed already has to survive an outage."""
        while True:
            lines = patiently(lambda: client.task(task)).loglines("stdout", follow=True)
            given: list[str] = []
            try:
                for _, line in lines:
                    given.append(line)
            except Unanswered:
                if given:
                    raise
            else:
                return given


def patiently(ask: Callable[[], Answered]) -> Answered:
    """Return an answer, repeating the query while the server is away."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except Unanswered:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class Server(threading.Thread):
    """`mfc-server`, killed and started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.outages = 0
        self.stopped = threading.Event()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mfc_server", "--db", f"sqlite:///{self._folder}/meta.db"]
        log = (self._folder / "server.log").open("ab")
        return subprocess.Popen([*command, "--port", str(self._port)], stdout=log, stderr=log)

    def run(self) -> None:
        while not self.stopped.wait(KILLED_EVERY):
            self._process.kill()
            self._process.wait()
            self.outages += 1
            time.sleep(random.uniform(*PAUSES))
            self._process = self._start()

    def close(self) -> None:
        """Stop it for good."""
        self.stopped.set()
        self.join()
        self._process.kill()
        self._process.wait()


def main() -> int:
    """Write and read for the given time; print the observations."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=15)
    options = parser.parse_args()
    python = os.environ.get("MFC_METAFLOW_PYTHON")
    if not python:
        parser.error("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make soak` sets it")
    with tempfile.TemporaryDirectory() as folder:
        tallies, writers = _soak(python, Path(folder), options.minutes * 60)
    wrong = 0
    for name, tally in tallies.items():
        facts = writers[name].facts
        print(
            f"{name}: {facts.runs} runs ({facts.failed} failed, {len(facts.killed)} killed), "
            f"{facts.resumes} resumes, {sum(map(len, facts.tags.values()))} tags, "
            f"{len(facts.deleted)} deletions, {facts.outages} kills of the server; "
            f"{tally.rounds} rounds, {tally.watch.looks} looks, {tally.logs} logs with "
            f"{tally.lines} lines followed, {tally.unanswered} unanswered; "
            f"{len(tally.watch.violations)} violations"
        )
        for violation in tally.watch.violations[:40]:
            print(f"  {violation}")
        wrong += len(tally.watch.violations)
    return 1 if wrong else 0


def _soak(python: str, folder: Path, seconds: float) -> tuple[dict[str, Tally], dict[str, Writer]]:
    places = {name: folder / name for name in ("directory", "service")}
    for place in places.values():
        (place / ".metaflow").mkdir(parents=True)
    server = Server(folder)
    server.start()
    by_service = {
        "METAFLOW_DEFAULT_METADATA": "service",
        "METAFLOW_SERVICE_URL": server.url,
        "METAFLOW_SERVICE_RETRY_COUNT": "8",
    }
    writers = {
        "directory": Writer(python, places["directory"], {}, deletes=True),
        "service": Writer(python, places["service"], by_service, deletes=False),
    }
    clients: dict[str, Callable[[], Client]] = {
        "directory": lambda: Client(f"local@{places['directory']}", namespace=None),
        "service": lambda: Client(f"service@{server.url}", namespace=None),
    }
    readers = {name: Reader(clients[name], writers[name]) for name in places}
    for thread in (*writers.values(), *readers.values()):
        thread.start()
    time.sleep(seconds)
    for writer in writers.values():
        writer.stopped.set()
    for writer in writers.values():
        writer.join(180)
    time.sleep(5)  # the ends of the last runs are also looked at
    for reader in readers.values():
        reader.stopped.set()
        reader.join(60)
        reader.finish()
    writers["service"].facts.outages = server.outages
    server.close()
    return {name: reader.tally for name, reader in readers.items()}, writers


if __name__ == "__main__":
    sys.exit(main())
