"""The service's tables that the benchmark reads: those of the recordings, and two flows of size.

- `ManyRunsFlow`: 3,000 runs, one every 20 seconds; two of three are alice's, one of a hundred is tagged `golden`. The
  newest 100 have steps, tasks, metadata and artifacts: of these the last 15 never reached `end`, the 5 before failed in
  it, the others ended well. The older ones are their run alone.
- `WideFlow`, one run more: start, a foreach of 2,000 tasks (`work`: 16 artifacts and 18 metadata rows each), a step
  `post` that each of them goes on to, join, end.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.generate import graph_info, task_artifacts
from tests.benchmarks.layout import FlowWriter, ForeachFrame, Stored, recorded_class_names

#: Increment it whenever the generated rows change: old directories are then written again.
VERSION = 1
RECORDED = Path(__file__).parents[2] / "service-recordings" / "dataset"
TABLES = ("flows_v3", "runs_v3", "steps_v3", "tasks_v3", "metadata_v3", "artifact_v3")
#: The location of the datastore in the recorded rows.
RECORDED_ROOT = "/srv/data/.metaflow"

RUNS, FULL_RUNS, WITHOUT_END, FAILED = 3_000, 100, 15, 20
TASKS = 2_000
#: Serials of the recordings are below these.
FIRST_RUN, FIRST_TASK, FIRST_ROW = 10_001, 20_001, 200_001
WIDE_RUN = FIRST_RUN + RUNS
#: Creation of the first run, milliseconds since 1970 (2026-11-23), after all of the recordings.
FIRST_MS, RUN_DISTANCE_MS = 1_795_420_000_000, 20_000
LATEST_SUCCESSFUL = FIRST_RUN + RUNS - FAILED - 1
#: Tasks of `WideFlow` that the operations query; each full run has three tasks, or two.
FIRST_WORK = FIRST_TASK + 3 * FULL_RUNS - WITHOUT_END + 2
FIRST_POST = FIRST_WORK + TASKS

Row = dict[str, Any]


@dataclass
class Tables:
    """Rows to be written, by table; serials count up."""

    root: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})
    _task: int = FIRST_TASK
    _id: int = FIRST_ROW

    def flow(self, name: str, ts: int) -> None:
        """Add a flow, as Metaflow makes it."""
        row = {"flow_id": name, "user_name": None, "ts_epoch": ts}
        self.rows["flows_v3"].append({**row, "tags": None, "system_tags": None})

    def run(self, flow: str, number: int, ts: int, user: str, tags: Iterable[str] = ()) -> Row:
        """Add a run; return the fields that everything below it shares."""
        system = ["runtime:dev", "metaflow_version:2.19.39", f"user:{user}"]
        shared = {"flow_id": flow, "run_number": number, "run_id": None, "user_name": user}
        run = {**shared, "ts_epoch": ts, "tags": list(tags)}
        run |= {"system_tags": [*system, "python_version:3.11.7"]}
        self.rows["runs_v3"].append({**run, "last_heartbeat_ts": ts // 1000})
        return run

    def step(self, run: Row, name: str, ts: int) -> Row:
        """Add a step; return the fields of what is below it."""
        step = {**run, "step_name": name, "ts_epoch": ts}
        self.rows["steps_v3"].append({**step, "run_id": str(run["run_number"])})
        return step

    def task(
        self,
        step: Row,
        ts: int,
        artifacts: Mapping[str, Stored],
        ok: bool = True,
        fields: Mapping[str, str] | None = None,
    ) -> str:
        """Add a task with one finished attempt; return its id."""
        task = {**step, "task_id": self._task, "task_name": None, "ts_epoch": ts}
        self._task += 1
        self.rows["tasks_v3"].append({**task, "last_heartbeat_ts": ts // 1000})
        for at in (ts, ts + 500):
            self._fields(task, at, _registered(step["user_name"]))
        begun = {"attempt": "0", "origin-run-id": "None", "ds-type": "local", "ds-root": self.root}
        self._fields(task, ts + 501, {**begun, **(fields or {})})
        self._fields(task, ts + 510, {"attempt_ok": str(ok), "attempt-done": "0"})
        for name, stored in artifacts.items():
            value = {"name": name, "location": f":root:{self.root}", "ds_type": "local"}
            value |= {"sha": stored.sha, "type": "metaflow.artifact", "content_type": "pickle-v4"}
            row = {**task, **value, "attempt_id": 0, "ts_epoch": ts + 511}
            self.rows["artifact_v3"].append(row)
        return str(task["task_id"])

    def graph(self, run: Row, ts: int, artifacts: Mapping[str, Stored]) -> None:
        """Add the step `_parameters`, with the names of the run's first and last step."""
        task = self.task(self.step(run, "_parameters", ts), ts, artifacts)
        row = self.rows["tasks_v3"][-1]
        for name in ("start", "end"):
            self._fields(row, ts + 520, {f"{name}_step": name}, tags=())
        assert str(row["task_id"]) == task

    def _fields(
        self, task: Row, ts: int, fields: Mapping[str, str], tags: Iterable[str] = ("attempt_id:0",)
    ) -> None:
        for name, value in fields.items():
            row = {**task, "id": self._id, "field_name": name, "type": name, "value": value}
            row |= {"ts_epoch": ts, "tags": list(tags), "system_tags": None}
            row.pop("last_heartbeat_ts", None)
            self.rows["metadata_v3"].append(row)
            self._id += 1


def _registered(user: str) -> dict[str, str]:
    return {
        "user": user,
        "metaflow_version": "2.19.39",
        "python_version": "3.11.7",
        "runtime": "dev",
        "script-name": "flow.py",
    }


def benchmark_rows(directory: Path) -> Path:
    """Return `directory` with the tables as files and the datastore beside them, made if absent."""
    stamp = directory / "stamp.json"
    wanted = {"version": VERSION, "root": str(directory)}
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted:
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with tarfile.open(RECORDED / "local-datastore.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    root = directory / ".metaflow"
    tables = Tables(str(root))
    with recorded_class_names():
        _many_runs(tables, root)
        _wide(tables, root)
    for name in TABLES:
        with gzip.open(directory / f"{name}.jsonl.gz", "wt", compresslevel=1) as file:
            for line in _recorded(name, str(root)):
                file.write(line)
            for row in tables.rows[name]:
                file.write(json.dumps(row) + "\n")
    stamp.write_text(json.dumps(wanted))
    return directory


def _recorded(table: str, root: str) -> Iterator[str]:
    """Yield the recorded rows of a table, their datastore moved to `root`."""
    with gzip.open(RECORDED / f"{table}.jsonl.gz", "rt") as file:
        for line in file:
            yield line.replace(RECORDED_ROOT, root)


def _many_runs(tables: Tables, root: Path) -> None:
    flow = "ManyRunsFlow"
    writer = FlowWriter(root, flow, "many.py", FIRST_MS)
    graph = writer.put(graph_info({"start": ("start", ["end"]), "end": ("end", [])}, writer.script))
    tables.flow(flow, FIRST_MS)
    good = task_artifacts(writer, graph, "end", None)
    bad = {**good, **{name: writer.put(False) for name in ("_task_ok", "_success")}}
    for number in range(RUNS):
        ts, left = FIRST_MS + number * RUN_DISTANCE_MS, RUNS - number
        user = "bob" if number % 3 == 1 else "alice"
        tags = ["golden"] if number % 100 == 50 else []
        run = tables.run(flow, FIRST_RUN + number, ts, user, tags)
        if left > FULL_RUNS:
            continue
        tables.graph(run, ts + 10, good)
        ended = left > WITHOUT_END
        tables.task(tables.step(run, "start", ts + 1000), ts + 1000, good if ended else bad, ended)
        if ended:
            ok = left > FAILED
            tables.task(tables.step(run, "end", ts + 3000), ts + 3000, good if ok else bad, ok)


def _wide(tables: Tables, root: Path) -> None:
    flow, ts = "WideFlow", FIRST_MS + RUNS * RUN_DISTANCE_MS
    writer = FlowWriter(root, flow, "wide.py", ts)
    nodes = {"start": ("split-foreach", ["work"]), "work": ("linear", ["post"])}
    nodes |= {"post": ("linear", ["join"]), "join": ("join", ["end"]), "end": ("end", [])}
    info = graph_info(nodes, writer.script)
    info["steps"]["start"] |= {"foreach_artifact": "items", "matching_join": "join"}
    info["graph_structure"] = ["start", [["work", "post"]], "join", "end"]
    graph = writer.put(info)
    run = tables.run(flow, WIDE_RUN, ts, "alice")
    tables.graph(run, ts + 10, task_artifacts(writer, graph, "_parameters", None))
    first = tables.step(run, "start", ts + 1000)
    tables.task(first, ts + 1000, task_artifacts(writer, graph, "start", "work"))
    for name, following, at in (("work", "post", 2_000), ("post", "join", 60_000)):
        step = tables.step(run, name, ts + at)
        shared = task_artifacts(writer, graph, name, following)
        for index in range(TASKS):
            frame = [ForeachFrame(name, "items", TASKS, index, str(index))]
            own = {"sq": writer.put(index * index), "_foreach_stack": writer.put(frame)}
            fields = {
                "foreach-stack": f"[items={index}]",
                "foreach-execution-path": f"work:{index}",
            }
            tables.task(step, ts + at + 10 * index, {**shared, **own}, fields=fields)
    for name, following, at in (("join", "end", 120_000), ("end", None, 125_000)):
        step = tables.step(run, name, ts + at)
        artifacts = {**task_artifacts(writer, graph, name, following), "total": writer.put(TASKS)}
        tables.task(step, ts + at, artifacts)
