"""Real Metaflow runs the flows of `flows/` into a folder of recordings.

The folder then holds one folder per root, and `runs.json` with the pathspec of each run by its label.

Source: Metaflow 2.19's command line (`run`, `resume`, `spin`, `init`, `step`), local scheduler, local datastore; local
metadata, unless `settings` say otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .aged import make_other_roots
from .commands import CHAINS, Command

VERBS = ("run", "resume", "spin", "init", "step")
#: seconds that the flow that is left running may take until it waits
PATIENCE = 180


@dataclass
class Recorder:
    """Runs commands in the roots of one folder, and notes the runs they make."""

    folder: pathlib.Path
    python: str
    flows: pathlib.Path
    #: variables that say where Metaflow writes
    settings: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)

    def all(
        self, chains: Iterable[tuple[Command, ...]], *, running: bool, side_by_side: int
    ) -> None:
        """Run chains of commands side by side, and the flow that is left running if that is wanted."""
        with ThreadPoolExecutor(side_by_side) as pool:
            work = [pool.submit(self.chain, chain) for chain in chains]
            if running:
                work.append(pool.submit(self.leave_running))
            for done in work:
                done.result()

    def chain(self, commands: tuple[Command, ...]) -> None:
        """Run `commands` one after the other."""
        for command in commands:
            self.run(command)

    def run(self, command: Command) -> None:
        """Run one command to its end.

        Raises:
            RuntimeError: the flow failed though it should not, or the reverse.
        """
        result = subprocess.run(
            self._line(command),
            cwd=self.root(command.root),
            env=self._environment(command),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if (result.returncode != 0) != command.fails:
            message = f"{command.label} ended with {result.returncode}\n{result.stdout[-4000:]}{result.stderr[-4000:]}"
            raise RuntimeError(message)
        self._note(command)

    def leave_running(self) -> None:
        """Start the flow that waits, and stop all its processes at once while it does, so that it never ends."""
        marker = self.folder / "marker"
        command = Command(
            "running", "running", ("run", "--marker", str(marker), "--max-workers", "2")
        )
        process = subprocess.Popen(
            self._line(command),
            cwd=self.root(command.root),
            env=self._environment(command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until(
                lambda: marker.exists() and self._attempts_done() >= 2, process
            )  # both
            time.sleep(0.5)  # the scheduler writes the log of the sibling that is done
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._note(command)

    def _wait_until(self, reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if time.monotonic() > deadline or process.poll() is not None:
                message = "the flow that should wait does not"
                raise RuntimeError(message)
            time.sleep(0.05)

    def _attempts_done(self) -> int:
        return len(list(self.root("main").glob(".metaflow/RunningFlow/*/work/*/0.DONE.lock")))

    def root(self, name: str) -> pathlib.Path:
        """Return the folder of a root, which exists afterwards and holds a `.metaflow`."""
        path = self.folder / name
        (path / ".metaflow").mkdir(parents=True, exist_ok=True)
        return path

    def _line(self, command: Command) -> list[str]:
        options, verb, rest = _split(command.arguments)
        note = () if command.run_id else ("--run-id-file", str(self._note_path(command)))
        filled = [self._filled(argument) for argument in rest]
        head, tail = (filled[:1], filled[1:]) if verb == "spin" else ([], filled)
        script = str(self.flows / f"{command.flow}.py")
        return [self.python, script, "--no-pylint", "--quiet", *options, verb, *head, *note, *tail]

    def _filled(self, argument: str) -> str:
        for label, pathspec in list(self.runs.items()):  # other chains add to it
            run_id = pathspec.partition("/")[2]
            argument = argument.replace(f"{{{label}.id}}", run_id).replace(f"{{{label}}}", pathspec)
            argument = argument.replace(f"<<{label}>>", pathspec)
        return argument

    def _environment(self, command: Command) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")
        }
        path = os.pathsep.join(
            (str(pathlib.Path(self.python).parent), kept.get("PATH", os.defpath))
        )
        quiet = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.folder), "PYTHONUTF8": "1"}
        where = {"PATH": path, "USERNAME": "alice", **self.settings}
        return {**kept, **quiet, **where, **command.environment}

    def _note_path(self, command: Command) -> pathlib.Path:
        return self.folder / f"{command.label}.run"

    def _note(self, command: Command) -> None:
        name = next(
            line
            for line in (self.flows / f"{command.flow}.py").read_text().splitlines()
            if "(FlowSpec)" in line
        )
        run_id = command.run_id
        if not run_id:
            path = self._note_path(command)
            run_id = path.read_text().strip()
            path.unlink()
        self.runs[command.label] = f"{name.split()[1].partition('(')[0]}/{run_id}"


def _split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return the options before the verb, the verb, and what follows it."""
    at = next(i for i, argument in enumerate(arguments) if argument in VERBS)
    return arguments[:at], arguments[at], arguments[at + 1 :]


def record(place: pathlib.Path, python: str, flows: pathlib.Path) -> None:
    """Record everything into a folder. Its path becomes part of the recording, which cannot be moved.

    Args:
        place: where recordings are kept; it is made.
        python: the interpreter that has Metaflow.
        flows: where the flows are.
    """
    place.mkdir()
    recorder = Recorder(place, python, flows)
    recorder.all(CHAINS.values(), running=True, side_by_side=2)
    make_other_roots(place, recorder.runs)
    (place / "runs.json").write_text(json.dumps(recorder.runs, indent=1))
