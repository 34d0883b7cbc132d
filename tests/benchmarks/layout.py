"""Write Metaflow's layout: flows, runs, steps, tasks and blobs as a real run leaves them, metadata in local files.

Key order, file names and modes follow FORMAT.md and were compared with a run of Metaflow 2.19.39; `likeness.py`
repeats that comparison. Only a shape differs: a real writer renames a temporary file into place, which leaves the same
file behind.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

METAFLOW_VERSION = "2.19.39"
PYTHON_VERSION = "3.11.7"
PYTHON_BUILD = "3.11.7 (main, May  9 2026, 07:35:25) [GCC 12.2.0]"
GZIP_LEVEL = 3
PICKLE_PROTOCOL = 4
#: Storage attributes of a blob, as Metaflow notes them beside it.
BLOB_ATTRIBUTES = {"cas_raw": False, "cas_version": 1}
#: Milliseconds from the queueing of a task to the start of its attempt, and from there to its end.
QUEUED_MS, RAN_MS = 500, 5


class ForeachFrame(NamedTuple):
    """Stand-in for the class that real Metaflow puts into `__main__` and pickles by that name."""

    step: str
    var: str
    num_splits: int
    index: int  # type: ignore[assignment]  # Metaflow's field hides a method of tuple
    value: str


class MetaflowExceptionWrapper(Exception):
    """Stand-in with the pickled shape of `metaflow.exception.MetaflowExceptionWrapper`."""

    def __init__(self, facts: Mapping[str, str] | None = None) -> None:
        """Keep `exception`, `type` and `stacktrace` as attributes."""
        super().__init__()
        self.__dict__.update(facts or {})

    def __reduce__(self) -> tuple[type, tuple[None], dict[str, Any]]:
        """Return what Metaflow's own class returns."""
        return type(self), (None,), self.__dict__


@contextmanager
def recorded_class_names() -> Iterator[None]:
    """Let the stand-ins be pickled under the names that real Metaflow records."""
    homes = {
        "__main__": ForeachFrame,
        "metaflow": None,
        "metaflow.exception": MetaflowExceptionWrapper,
    }
    before = {name: sys.modules.get(name) for name in homes}
    for name, stand_in in homes.items():
        sys.modules[name] = types.ModuleType(name)
        if stand_in is not None:
            stand_in.__module__ = name
            setattr(sys.modules[name], stand_in.__name__, stand_in)
    try:
        yield
    finally:
        for name, module_before in before.items():
            if module_before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_before


@dataclass(frozen=True)
class Stored:
    """One artifact value after it went into the content-addressed store.

    Attributes:
        sha: SHA-1 of the pickle, 40 hex digits.
        size: bytes of the pickle.
        type_name: `str(type(value))`, as recorded in `data.json`.
    """

    sha: str
    size: int
    type_name: str


@dataclass(frozen=True)
class TaskFacts:
    """The facts about a task; `FlowWriter.task` turns them into files.

    Attributes:
        ts: creation time, milliseconds.
        artifacts: in the order in which `data.json` lists them.
        fields: further metadata fields, written when the attempt starts.
        stdout: the decorated log of the local runtime.
    """

    run: str
    step: str
    task: str
    ts: int
    artifacts: Mapping[str, Stored]
    ok: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)
    stdout: bytes = b""


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Create the file `path`; 0600 is what Metaflow's temporary files leave behind."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def write_json(path: str, value: object) -> None:
    """Create `path` with `value` spelled as Metaflow spells JSON."""
    write_file(path, json.dumps(value).encode("ascii"))


@dataclass(frozen=True)
class Datastore:
    """The destination of blobs and of the files of attempts, and its description in records.

    Attributes:
        directory: of the machine; the files are the same for every type of datastore.
        ds_type: Metaflow's name of the type.
        root: recorded as `ds-root`, and in every artifact as its location.
    """

    directory: str
    ds_type: str
    root: str

    @property
    def has_companions(self) -> bool:
        """Whether a file beside each blob describes its storage; other stores keep that in the object's metadata."""
        return self.ds_type == "local"


class FlowWriter:
    """Writes one flow below a `.metaflow` directory.

    Attributes:
        root: the `.metaflow` directory, absolute, for metadata.
        datastore: for everything else; the same directory unless another one is given.
    """

    def __init__(
        self,
        root: Path,
        flow: str,
        script: str,
        ts: int,
        datastore: Datastore | None = None,
    ) -> None:
        """Create the flow itself at time `ts` (milliseconds)."""
        self.root = str(root)
        self.flow = flow
        self.script = script
        self.user = "alice"
        self.datastore = datastore or Datastore(self.root, "local", self.root)
        self._stored: set[str] = set()
        self._directory = f"{root}/{flow}"
        self._self_json(self._directory, {"flow_id": flow, "ts_epoch": ts})

    def run(self, run: str, ts: int, user: str = "alice") -> None:
        """Create a run of `user` at time `ts` (milliseconds)."""
        self.user = user
        self._self_json(
            f"{self._directory}/{run}", {"run_number": run, **self._owner(), "ts_epoch": ts}
        )

    def latest_run(self, run: str) -> None:
        """Name the run that the flow started last, as the local runtime does."""
        write_file(f"{self._directory}/latest_run", run.encode(), 0o644)

    def step(self, run: str, step: str, ts: int) -> None:
        """Create a step at time `ts` (milliseconds)."""
        record = {"run_number": run, "step_name": step, **self._owner(), "ts_epoch": ts}
        self._self_json(f"{self._directory}/{run}/{step}", record)

    def put(self, value: object) -> Stored:
        """Pickle `value` into the content-addressed store, once per content."""
        pickled = pickle.dumps(value, protocol=PICKLE_PROTOCOL)
        sha = hashlib.sha1(pickled, usedforsecurity=False).hexdigest()
        if sha not in self._stored:
            self._stored.add(sha)
            directory = f"{self.datastore.directory}/{self.flow}/data/{sha[:2]}"
            os.makedirs(directory, exist_ok=True)
            write_file(f"{directory}/{sha}", gzip.compress(pickled, GZIP_LEVEL, mtime=1))
            if self.datastore.has_companions:
                write_json(f"{directory}/{sha}_meta", BLOB_ATTRIBUTES)
        return Stored(sha, len(pickled), str(type(value)))

    def task(self, facts: TaskFacts) -> None:
        """Create a task with one finished attempt: metadata, artifact records and datastore files."""
        directory = f"{self._directory}/{facts.run}/{facts.step}/{facts.task}"
        place = {"run_number": facts.run, "step_name": facts.step, "task_id": facts.task}
        self._self_json(directory, {**place, **self._owner(), "ts_epoch": facts.ts})
        started = facts.ts + QUEUED_MS
        for ts in (facts.ts, started - 1):
            self._fields(directory, place, self._origin(), ts)
        fresh = {"attempt": "0", "origin-run-id": "None"}
        fresh |= {"ds-type": self.datastore.ds_type, "ds-root": self.datastore.root}
        self._fields(directory, place, {**fresh, **facts.fields}, started)
        self._attempt_end(directory, place, facts, started + RAN_MS)
        directory = self._beside(facts)
        begin = {f"code_package_{part}": None for part in ("sha", "ds", "url")}
        write_json(
            f"{directory}/0.task_begin", {"code_package_metadata": "", **begin, "retry_count": 0}
        )
        write_json(f"{directory}/0.task_end", {})
        ended = {"return_code": 0 if facts.ok else 1, "killed": False, "success": facts.ok}
        write_json(f"{directory}/0.runtime", ended)
        write_file(f"{directory}/0.runtime_stdout.log", facts.stdout)
        write_file(f"{directory}/0.runtime_stderr.log", b"")

    def parameters_task(self, run: str, ts: int, artifacts: Mapping[str, Stored]) -> None:
        """Create the `_parameters` step and its task 0, which names the start and the end step."""
        self.step(run, "_parameters", ts)
        directory = f"{self._directory}/{run}/_parameters/0"
        place = {"run_number": run, "step_name": "_parameters", "task_id": "0"}
        self._self_json(directory, {**place, **self._owner(), "ts_epoch": ts})
        self._fields(directory, place, self._origin(), ts)
        facts = TaskFacts(run, "_parameters", "0", ts, artifacts)
        self._artifacts(directory, place, facts, ts + RAN_MS)
        self._field(directory, place, ("attempt-done", "attempt-done", "0"), ts + RAN_MS)
        for name in ("start", "end"):
            self._field(
                directory, place, (f"{name}_step", "graph_structure", name), ts + RAN_MS + 1
            )

    def _attempt_end(
        self, directory: str, place: Mapping[str, str], facts: TaskFacts, ts: int
    ) -> None:
        self._field(directory, place, ("attempt_ok", "internal_attempt_status", str(facts.ok)), ts)
        self._field(directory, place, ("attempt-done", "attempt-done", "0"), ts)
        self._artifacts(directory, place, facts, ts)

    def _artifacts(
        self, directory: str, place: Mapping[str, str], facts: TaskFacts, ts: int
    ) -> None:
        fixed = {"content_type": "pickle-v4", "type": "metaflow.artifact"}
        where = {"ds_type": self.datastore.ds_type, "location": f":root:{self.datastore.root}"}
        for name, stored in facts.artifacts.items():
            named = {**place, "attempt_id": 0, "name": name, **fixed, "sha": stored.sha}
            record = {**named, **where, **self._owner(), "ts_epoch": ts}
            write_json(f"{directory}/_meta/0_artifact_{name}.json", record)
        self._datastore_files(facts, ts)

    def _beside(self, facts: TaskFacts) -> str:
        """Return the directory for the files of a task's attempts."""
        directory = f"{self.datastore.directory}/{self.flow}/{facts.run}/{facts.step}/{facts.task}"
        os.makedirs(directory, exist_ok=True)
        return directory

    def _datastore_files(self, facts: TaskFacts, ts: int) -> None:
        info = {
            name: {
                "size": stored.size,
                "type": stored.type_name,
                "encoding": "pickle-v4",
                "serializer_info": {"source": "metaflow"},
            }
            for name, stored in facts.artifacts.items()
        }
        head = {
            "datastore": self.datastore.ds_type,
            "version": "1.0",
            "attempt": 0,
            "python_version": PYTHON_BUILD,
        }
        objects = {name: stored.sha for name, stored in facts.artifacts.items()}
        directory = self._beside(facts)
        write_json(f"{directory}/0.data.json", {**head, "objects": objects, "info": info})
        write_json(f"{directory}/0.attempt.json", {"time": (ts - RAN_MS) / 1000})
        write_file(f"{directory}/0.DONE.lock", b'""')

    def _origin(self) -> dict[str, str]:
        """Return the metadata fields that the runtime and the worker both register."""
        return {
            "user": self.user,
            "metaflow_version": METAFLOW_VERSION,
            "python_version": PYTHON_VERSION,
            "runtime": "dev",
            "script-name": self.script,
        }

    def _owner(self) -> dict[str, Any]:
        system_tags = ["runtime:dev", f"metaflow_version:{METAFLOW_VERSION}", f"user:{self.user}"]
        system_tags.append(f"python_version:{PYTHON_VERSION}")
        return {
            "flow_id": self.flow,
            "user_name": self.user,
            "tags": [],
            "system_tags": system_tags,
        }

    def _fields(
        self, directory: str, place: Mapping[str, str], fields: Mapping[str, Any], ts: int
    ) -> None:
        for name, value in fields.items():
            self._field(directory, place, (name, name, value), ts)

    def _field(
        self,
        directory: str,
        place: Mapping[str, str],
        named: tuple[str, str, Any],
        ts: int,
    ) -> None:
        name, kind, value = named
        tags = [] if kind == "graph_structure" else ["attempt_id:0"]
        record = {
            "flow_id": self.flow,
            **place,
            "field_name": name,
            "type": kind,
            "value": value,
            "tags": tags,
        }
        path = f"{directory}/_meta/sysmeta_{name}_{ts}.json"
        write_json(path, {**record, "user_name": self.user, "ts_epoch": ts})

    def _self_json(self, directory: str, record: Mapping[str, Any]) -> None:
        os.makedirs(f"{directory}/_meta")
        write_json(f"{directory}/_meta/_self.json", record)
