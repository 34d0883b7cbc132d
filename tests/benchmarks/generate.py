"""Generate the results that the benchmarks read, once per directory.

    python -m tests.benchmarks.generate DIRECTORY

The flows:
- `ManyRuns`: 10,000 runs, one a minute. The newest 60 have steps, tasks, artifacts and blobs: the last 50 failed in
  `start`, the 10 before ended well. The other 9,940 are their `_self.json` alone. One run in ten is bob's, the others
  are alice's.
- `WideForeach`: one run of start, a foreach of 5,000 tasks (`body`: 15 artifacts, 18 metadata files each), join, end.
- `BigArtifact`: one run; its task of `start` holds `blob`, a pickle of 50 MB.
- `LongLog`: one run; its task of `start` printed 10 MB of decorated log, lines of about 100 bytes.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.layout import (
    FlowWriter,
    ForeachFrame,
    MetaflowExceptionWrapper,
    Stored,
    TaskFacts,
    recorded_class_names,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Increment it whenever the generated files change: old directories are then written again.
VERSION = "1"
RUNS, FULL_RUNS, FAILED_RUNS = 10_000, 60, 50
TASKS = 5_000
BIG_ARTIFACT_BYTES, INCOMPRESSIBLE_BYTES = 50_000_000, 8_000_000
LOG_BYTES = 10_000_000
#: Creation of the first run, microseconds since 1970 (2025-06-15), and the distance of two runs.
FIRST_RUN_US, RUN_DISTANCE_US = 1_750_000_000_000_000, 60_000_000
STAMP_FILE = "benchmark-data.json"
MIXTURE_SEED = 20_260


@dataclass(frozen=True)
class BenchmarkData:
    """The location of the generated results.

    Attributes:
        directory: the parent of `.metaflow`, what `metadata()` takes.
        run: id of the single run of the flows with one run.
    """

    directory: Path
    run: str = str(FIRST_RUN_US)

    @property
    def root(self) -> Path:
        """The `.metaflow` directory."""
        return self.directory / ".metaflow"


def benchmark_data(directory: Path) -> BenchmarkData:
    """Return the results below `directory`, generating them when they are absent or outdated."""
    directory = directory.resolve()
    stamp = {"version": VERSION, "root": str(directory), "runs": RUNS, "tasks": TASKS}
    stamp_file = directory / STAMP_FILE
    if not (stamp_file.is_file() and json.loads(stamp_file.read_text()) == stamp):
        data = BenchmarkData(directory)
        shutil.rmtree(data.root, ignore_errors=True)
        data.root.mkdir(parents=True)
        with recorded_class_names():
            many_runs(data)
            wide_foreach(data)
            big_artifact(data)
            long_log(data)
        stamp_file.write_text(json.dumps(stamp))
    return BenchmarkData(directory)


def graph_info(nodes: Mapping[str, tuple[str, list[str]]], script: str) -> dict[str, Any]:
    """Return the content of `_graph_info` for `nodes`: step name → (type, next steps)."""
    steps = {
        name: {
            "name": name,
            "type": kind,
            "line": line,
            "source_file": f"/home/alice/{script}",
            "doc": "",
            "decorators": [],
            "next": following,
            "node_info": {},
        }
        for line, (name, (kind, following)) in enumerate(nodes.items(), start=4)
    }
    head = {
        "file": script,
        "start_step": "start",
        "end_step": "end",
        "parameters": [],
        "constants": [],
    }
    tail = {"doc": "", "decorators": [], "extensions": {"installed": {}}}
    return {**head, "steps": steps, "graph_structure": list(nodes), **tail}


def task_artifacts(
    writer: FlowWriter,
    graph: Stored,
    step: str,
    following: str | None,
    **overridden: Stored,
) -> dict[str, Stored]:
    """Return the artifacts that every task has, then those of `overridden`."""
    nothing, true, empty = writer.put(None), writer.put(True), writer.put([])
    artifacts = {
        "name": writer.put(writer.flow),
        "_transition": writer.put(([following], None)) if following else nothing,
        "_task_ok": true,
        "_success": true,
        "_graph_info": graph,
        "_foreach_stack": empty,
        "_configs_processed": true,
        "_iteration_stack": empty,
        "_foreach_var": nothing,
        "_foreach_num_splits": nothing,
        "_exception": nothing,
        "_current_step": writer.put(step),
    }
    return {**artifacts, **overridden}


def parameters(writer: FlowWriter, run: str, ts: int, graph: Stored) -> None:
    """Write the `_parameters` task of `run`."""
    names = (
        "name",
        "_transition",
        "_task_ok",
        "_success",
        "_graph_info",
        "_foreach_stack",
        "_configs_processed",
    )
    artifacts = task_artifacts(writer, graph, "_parameters", None)
    writer.parameters_task(run, ts, {name: artifacts[name] for name in names})


def many_runs(data: BenchmarkData) -> None:
    """Write `ManyRuns`."""
    writer = FlowWriter(data.root, "ManyRuns", "many_runs.py", FIRST_RUN_US // 1000)
    graph = writer.put(graph_info({"start": ("start", ["end"]), "end": ("end", [])}, writer.script))
    facts = {
        "exception": "boom",
        "type": "builtins.ValueError",
        "stacktrace": 'Traceback\n  raise ValueError("boom")',
    }
    failed = {name: writer.put(False) for name in ("_task_ok", "_success")}
    failed |= {
        "_exception": writer.put(MetaflowExceptionWrapper(facts)),
        "_transition": writer.put(None),
    }
    for number in range(RUNS):
        run_us = FIRST_RUN_US + number * RUN_DISTANCE_US
        run, ts = str(run_us), run_us // 1000 + 1
        writer.run(run, ts, "bob" if number % 10 == 1 else "alice")
        if number < RUNS - FULL_RUNS:
            continue
        ok = number < RUNS - FAILED_RUNS
        parameters(writer, run, ts + 5, graph)
        writer.step(run, "start", ts + 20)
        artifacts = task_artifacts(writer, graph, "start", "end", **({} if ok else failed))
        writer.task(TaskFacts(run, "start", "1", ts + 20, artifacts, ok))
        if ok:
            writer.step(run, "end", ts + 900)
            writer.task(
                TaskFacts(run, "end", "2", ts + 900, task_artifacts(writer, graph, "end", None))
            )
    writer.latest_run(run)


def wide_foreach(data: BenchmarkData) -> None:
    """Write `WideForeach`."""
    ts = FIRST_RUN_US // 1000
    writer = FlowWriter(data.root, "WideForeach", "wide_foreach.py", ts)
    linear = {"body": ("linear", ["join"]), "join": ("join", ["end"]), "end": ("end", [])}
    info = graph_info({"start": ("split-foreach", ["body"]), **linear}, writer.script)
    info["steps"]["start"] |= {"foreach_artifact": "items", "matching_join": "join"}
    info["graph_structure"] = ["start", [["body"]], "join", "end"]
    graph, run = writer.put(info), data.run
    writer.run(run, ts + 1)
    writer.latest_run(run)
    parameters(writer, run, ts + 5, graph)
    split = {
        "items": writer.put(list(range(TASKS))),
        "_foreach_values": writer.put([str(index) for index in range(TASKS)]),
    }
    started = {"_foreach_var": writer.put("items"), "_foreach_num_splits": writer.put(TASKS)}
    started["_transition"] = writer.put((["body"], "items"))
    writer.step(run, "start", ts + 20)
    artifacts = task_artifacts(writer, graph, "start", None, **split, **started)
    writer.task(TaskFacts(run, "start", "1", ts + 20, artifacts))
    writer.step(run, "body", ts + 600)
    body = task_artifacts(writer, graph, "body", "join", **split)
    for index in range(TASKS):
        stack = [ForeachFrame("body", "items", TASKS, index, str(index))]
        own = {"_foreach_stack": writer.put(stack), "x": writer.put(index)}
        fields = {"foreach-stack": [f"items={index}"], "foreach-execution-path": f"body:{index}"}
        writer.task(
            TaskFacts(run, "body", str(index + 2), ts + 601 + index, {**body, **own}, fields=fields)
        )
    joined = ts + 20_000
    for step, task, following in (("join", TASKS + 2, "end"), ("end", TASKS + 3, None)):
        writer.step(run, step, joined)
        artifacts = task_artifacts(writer, graph, step, following, n=writer.put(TASKS))
        writer.task(TaskFacts(run, step, str(task), joined, artifacts))
        joined += 1_000


def single_task_run(data: BenchmarkData, flow: str, value: object, stdout: bytes) -> None:
    """Write a run of `start` and `end`; `start` holds `blob` and printed `stdout`."""
    ts = FIRST_RUN_US // 1000
    writer = FlowWriter(data.root, flow, "single.py", ts)
    graph = writer.put(graph_info({"start": ("start", ["end"]), "end": ("end", [])}, writer.script))
    blob = writer.put(value)
    writer.run(data.run, ts + 1)
    writer.latest_run(data.run)
    parameters(writer, data.run, ts + 5, graph)
    for task, (step, following) in enumerate((("start", "end"), ("end", None)), start=1):
        created = ts + 1_000 * task
        writer.step(data.run, step, created)
        artifacts = task_artifacts(writer, graph, step, following, blob=blob)
        printed = stdout if step == "start" else b""
        writer.task(TaskFacts(data.run, step, str(task), created, artifacts, stdout=printed))


def big_artifact(data: BenchmarkData) -> None:
    """Write `BigArtifact`."""
    single_task_run(data, "BigArtifact", mixed_value(), b"")


def mixed_value() -> dict[str, Any]:
    """Return a value that pickles to 50 MB, of which 8 MB cannot be compressed.

    8 MB random bytes (trained weights), a list of 300,000 floats and one of 300,000 integers, 20,000 short
    dictionaries (rows of a table), and log-like text for the rest.
    """
    source = random.Random(MIXTURE_SEED)
    rows = [
        {"id": number, "label": f"row-{number % 97}", "score": number / 7}
        for number in range(20_000)
    ]
    line = (
        "2025-06-15 16:26:40 epoch {:05d} loss 0.{:06d} accuracy 0.{:06d} lr 0.001 device cuda:0\n"
    )
    value: dict[str, Any] = {
        "weights": source.randbytes(INCOMPRESSIBLE_BYTES),
        "floats": [source.random() for _ in range(300_000)],
        "integers": [source.randrange(1 << 30) for _ in range(300_000)],
        "rows": rows,
    }
    # The pickle of the lists and rows takes 4.8 MB; the text fills up to 50 MB.
    text_bytes = BIG_ARTIFACT_BYTES - INCOMPRESSIBLE_BYTES - 4_800_000
    lines = "".join(
        line.format(number, number * 7 % 999_983, number * 13 % 999_979) for number in range(20_000)
    )
    value["text"] = (lines * (text_bytes // len(lines) + 1))[:text_bytes]
    return value


def long_log(data: BenchmarkData) -> None:
    """Write `LongLog`."""
    single_task_run(data, "LongLog", 1, decorated_log(LOG_BYTES))


def decorated_log(size: int) -> bytes:
    """Return `size` bytes or a little more of mflog lines, about 100 bytes each, stamps ascending."""
    source = random.Random(MIXTURE_SEED)
    lines, total, number = [], 0, 0
    stamp = datetime.fromtimestamp(FIRST_RUN_US / 1e6, tz=timezone.utc)
    while total < size:
        stamp += timedelta(microseconds=137)
        line_id = uuid.UUID(int=source.getrandbits(128), version=4)
        head = f"[MFLOG|0|{stamp:%Y-%m-%dT%H:%M:%S.%f}Z|runtime|{line_id}]"
        line = f"{head}step {number:06d} ok\n".encode()
        lines.append(line)
        total += len(line)
        number += 1
    return b"".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{benchmark_data(Path(sys.argv[1])).root}\n")
