"""Let real Metaflow run the flows of `flows/`, once, into a folder of recordings.

    MFC_METAFLOW_PYTHON=… python -m differential.record FOLDER

FOLDER then holds one folder per root, and `runs.json` with the pathspec of each run by its label. Nothing is done
when the folder was recorded by the same files with the same Metaflow.

Source: Metaflow 2.19's command line (`run`, `resume`, `spin`), local scheduler, local metadata and datastore.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .aged import make_other_roots

HERE = pathlib.Path(__file__).parent
FLOWS = HERE / "flows"
COMPLETE = "complete"
#: seconds that the flow that is left running may take until it waits
PATIENCE = 60


@dataclass(frozen=True)
class Command:
    """One call of a flow's command line."""

    #: how the run is named in answers
    label: str
    #: name of the file in `flows/`
    flow: str
    #: options and arguments; `{label}` stands for the pathspec of an earlier run, `{label.id}` for its id
    arguments: tuple[str, ...] = ("run",)
    environment: dict[str, str] = field(default_factory=dict)
    #: whether Metaflow is meant to say that the flow failed
    fails: bool = False
    root: str = "main"


FAILS = {"FLOW_FAILS": "end"}
BOB = {"USERNAME": "bob"}
TOKEN = {"METAFLOW_PRODUCTION_TOKEN": "token"}
PACKAGE = {"METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": "1"}


def triggered(label: str, events: object) -> Command:
    """Return a run of the single-step flow that says it was started by `events`."""
    return Command(label, "single", ("run", "--events", json.dumps(events)))


def event(name: str, timestamp: object, **fields: object) -> dict[str, object]:
    """Return one entry of the metadata `execution-triggers`, as the Argo integration writes it."""
    return {"timestamp": timestamp, "id": f"id of {name}", "name": name, "type": "event", **fields}


def by_run(label: str, timestamp: object, end: str = "only") -> dict[str, object]:
    """Return the entry for a run of the single-step flow as the event."""
    return event(f"metaflow.SingleFlow.{end}", timestamp, type="run", id=f"<<{label}>>/only/1")


TRIGGERED = (
    triggered("no_events", []),
    triggered("one_event", [event("my_event", 1700000000)]),
    triggered("two_events", [event("my_event", 1700000000), event("later", 1700000100)]),
    triggered(
        "odd_stamps", [event("my_event", 1700000000.5), event("without", None), event("zero", 0)]
    ),
    triggered("by_run", [by_run("plain", 1700000000), by_run("plain", 1700000000, "end")]),
    triggered(
        "by_both",
        [by_run("plain", 1700000000), event("my_event", 1700000001), by_run("bob", 1700000002)],
    ),
    triggered(
        "by_gone_run",
        [event("metaflow.Gone.end", 5, type="run", id="Gone/1/end/1"), by_run("plain", 4)],
    ),
    triggered("unknown_key", [event("my_event", 1700000000, payload={"a": 1})]),
    triggered("missing_key", [{"timestamp": 1700000000, "id": "i", "type": "event"}]),
    triggered("mixed_stamps", [event("my_event", 1700000000), event("text", "2024-01-01")]),
)
#: commands of one chain run in their order, chains side by side
CHAINS = (
    (
        Command("values", "values", ("run", "--tag", "one", "--tag", "two words"), PACKAGE),
        Command("logs", "logs"),
        Command("parallel", "parallel"),
        Command("unbounded", "unbounded"),
    ),
    (
        Command("nested_failed", "nested", ("run", "--max-workers", "4"), FAILS, fails=True),
        Command("nested_resumed", "nested", ("resume", "--origin-run-id", "{nested_failed.id}")),
    ),
    (
        Command("switch", "switches"),
        Command("switch_failed", "switches", ("run",), FAILS, fails=True),
        Command("switch_resumed", "switches", ("resume", "--origin-run-id", "{switch_failed.id}")),
    ),
    (
        Command("endpoints", "endpoints"),
        Command("endpoints_failed", "endpoints", ("run",), FAILS, fails=True),
        Command("endpoints_resumed", "endpoints", ("resume", "--origin-run-id", "{endpoints_failed.id}")),
    ),
    (
        Command("plain", "single"),
        Command("bob", "single", ("run", "--tag", "one"), BOB),
        Command("token", "single", ("run", "--label", "production"), TOKEN),
        *TRIGGERED,
    ),
    (
        Command("failures", "failures", fails=True),
        Command("failed", "resumable", ("run", "--value", "8"), {"FLOW_FAILS": "middle"}, fails=True),
        Command("resumed", "resumable", ("resume", "--origin-run-id", "{failed.id}", "--tag", "again"), FAILS, fails=True),
        Command("resumed_twice", "resumable", ("resume", "--origin-run-id", "{resumed.id}")),
        Command("resumed_from_start", "resumable", ("resume", "--origin-run-id", "{resumed_twice.id}", "start"), BOB),
        Command("never_failed", "resumable"),
        Command("spun_start", "resumable", ("spin", "{never_failed}/start", "--persist")),
        Command("spun_middle", "resumable", ("spin", "{never_failed}/middle", "--persist")),
    ),
    (
        Command("project", "project"),
        Command("project_branch", "project", ("--branch", "tried", "run")),
        Command("project_production", "project", ("--production", "run"), TOKEN),
    ),
    (
        Command("oldest", "single", ("run", "--tag", "one"), root="tagged"),
        Command("newer", "single", ("run",), BOB, root="tagged"),
        Command("aged", "resumable", ("run",), PACKAGE, root="aged"),
        Command("aged_logs", "logs", ("run",), root="aged"),
        Command("aged_package", "single", ("run",), PACKAGE, root="aged"),
    ),
)  # fmt: skip


@dataclass
class Recorder:
    """Runs commands in the roots of one folder, and notes the runs they make."""

    folder: pathlib.Path
    python: str
    runs: dict[str, str] = field(default_factory=dict)

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
        note = ("--run-id-file", str(self._note_path(command)))
        filled = [self._filled(argument) for argument in rest]
        head, tail = (filled[:1], filled[1:]) if verb == "spin" else ([], filled)
        script = str(FLOWS / f"{command.flow}.py")
        return [self.python, script, "--no-pylint", "--quiet", *options, verb, *head, *note, *tail]

    def _filled(self, argument: str) -> str:
        for label, pathspec in self.runs.items():
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
        return {**kept, **quiet, "PATH": path, "USERNAME": "alice", **command.environment}

    def _note_path(self, command: Command) -> pathlib.Path:
        return self.folder / f"{command.label}.run"

    def _note(self, command: Command) -> None:
        path = self._note_path(command)
        name = next(
            line
            for line in (FLOWS / f"{command.flow}.py").read_text().splitlines()
            if "(FlowSpec)" in line
        )
        self.runs[command.label] = f"{name.split()[1].partition('(')[0]}/{path.read_text().strip()}"
        path.unlink()


def _split(arguments: tuple[str, ...]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return the options before the verb, the verb, and what follows it."""
    at = next(i for i, argument in enumerate(arguments) if argument in ("run", "resume", "spin"))
    return arguments[:at], arguments[at], arguments[at + 1 :]


def state_of_sources(python: str) -> str:
    """Return a digest of everything that decides what is recorded."""
    digest = hashlib.sha256()
    for path in sorted([*FLOWS.rglob("*.*"), HERE / "record.py", HERE / "aged.py"]):
        if path.suffix != ".pyc":
            digest.update(path.name.encode() + path.read_bytes())
    command = [python, "-c", "import metaflow, sys; print(metaflow.__version__, sys.version)"]
    digest.update(subprocess.run(command, capture_output=True, check=True).stdout)
    return digest.hexdigest()


def record(folder: pathlib.Path, python: str) -> pathlib.Path:
    """Record everything below `folder` unless that was done; return the folder of the recordings.

    Args:
        folder: where recordings may be kept. Their paths are part of them, so that a recording cannot be moved.
        python: the interpreter that has Metaflow.
    """
    # .absolute(), not .resolve(): the environment is found by the path of its interpreter, which is a link
    python = str(pathlib.Path(python).absolute())
    place = folder.resolve() / state_of_sources(python)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / COMPLETE).exists():
            for old in (path for path in folder.resolve().iterdir() if path.is_dir()):
                shutil.rmtree(old)
            _record_all(place, python)
            (place / COMPLETE).touch()
    return place


def _record_all(place: pathlib.Path, python: str) -> None:
    place.mkdir()
    recorder = Recorder(place, python)
    with ThreadPoolExecutor(max_workers=2) as pool:
        work = [pool.submit(recorder.chain, chain) for chain in CHAINS]
        work.append(pool.submit(recorder.leave_running))
        for done in work:
            done.result()
    make_other_roots(place, recorder.runs)
    (place / "runs.json").write_text(json.dumps(recorder.runs, indent=1))


if __name__ == "__main__":
    print(record(pathlib.Path(sys.argv[1]), os.environ["MFC_METAFLOW_PYTHON"]))  # its only output
