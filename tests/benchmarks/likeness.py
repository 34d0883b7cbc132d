"""Compare the generated layout with that of real Metaflow: file names, modes, JSON with its order, SHA-1s.

    MFC_METAFLOW_PYTHON=… python -m tests.benchmarks.likeness

Prints every difference, and fails if there are any. Masked are only stamps, run ids, paths,
versions of Python and the order of tags, which differ between any two real runs, and `_graph_info`,
which holds the lines of the script.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from tests.benchmarks import generate
from tests.benchmarks.layout import recorded_class_names

REAL_FLOW = """
from metaflow import FlowSpec, step

class WideForeach(FlowSpec):
    @step
    def start(self):
        self.items = list(range(3))
        self.next(self.body, foreach="items")

    @step
    def body(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.n = 3
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    WideForeach()
"""
#: The milliseconds in the name of a metadata file.
STAMP = re.compile(r"_\d{13}\.json$")
VERSION = re.compile(r"\b3\.\d+\.\d+\b.*")
#: Differ between any two runs; `_graph_info` holds the path and the lines of the script.
MASKED = frozenset({"ts_epoch", "time", "run_number", "location"})
GRAPH = "_graph_info"


def masked(value: object) -> object:
    """Return parsed JSON with values that vary between runs masked; keys keep their order, tags are sorted."""
    if isinstance(value, dict):
        graph = {"sha", "size"} if value.get("name") == GRAPH else set()
        return [
            (key, type(item).__name__ if key in MASKED | graph else masked(item))
            for key, item in value.items()
            if key != GRAPH
        ]
    if isinstance(value, list):
        return sorted(map(str, map(masked, value)))
    if isinstance(value, str) and value.startswith("/"):
        return "a path"
    return VERSION.sub("a version", value) if isinstance(value, str) else value


def file_content(path: Path) -> object:
    """Return the masked content of a file of the layout."""
    if path.suffix == ".log":
        return "a log"
    content = json.loads(path.read_text())
    if path.name == "0.data.json":
        # Metaflow's order of the artifacts depends on the order in which the step set them.
        lists = {key: dict(sorted(content[key].items())) for key in ("objects", "info")}
        content |= lists
    return masked(content)


def run_files(root: Path) -> dict[str, object]:
    """Return the content and the mode of the files of the flow, its run, its steps and one task of each step."""
    flow = root / "WideForeach"
    run = max(path for path in flow.iterdir() if path.name.isdecimal())
    folders = [flow / "_meta", run / "_meta"]
    for step in (path for path in run.iterdir() if path.name != "_meta"):
        tasks = (path for path in step.iterdir() if path.name != "_meta")
        folders += [step / "_meta", max(tasks, key=lambda path: int(path.name))]
    paths = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    files: dict[str, object] = {
        STAMP.sub("_MS.json", str(path.relative_to(flow)).replace(run.name, "RUN")): (
            oct(path.stat().st_mode & 0o777),
            file_content(path),
        )
        for path in sorted(paths)
    }
    files["flow"] = sorted(path.name.replace(run.name, "RUN") for path in flow.iterdir())
    return files | {
        "companions": sorted({path.read_text() for path in (flow / "data").rglob("*_meta")})
    }


def real_root(directory: Path, metaflow_python: str) -> Path:
    """Run `REAL_FLOW` with real Metaflow below `directory`."""
    script = directory / "wide_foreach.py"
    script.write_text(REAL_FLOW)
    environment = {**os.environ, "METAFLOW_USER": "alice", "METAFLOW_HOME": str(directory)}
    command = [metaflow_python, script.name, "run"]
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
    return directory / ".metaflow"


def main() -> int:
    """Print the differences; return 1 if there are any."""
    with tempfile.TemporaryDirectory() as real, tempfile.TemporaryDirectory() as generated:
        recorded = run_files(real_root(Path(real), os.environ["MFC_METAFLOW_PYTHON"]))
        data = generate.BenchmarkData(Path(generated))
        data.root.mkdir()
        with mock.patch.object(generate, "TASKS", 3), recorded_class_names():
            generate.wide_foreach(data)
        written = run_files(data.root)
    different = [
        name for name in sorted({*recorded, *written}) if recorded.get(name) != written.get(name)
    ]
    for name in different:
        sys.stdout.write(
            f"{name}\n  real:      {recorded.get(name)}\n  generated: {written.get(name)}\n"
        )
    sys.stdout.write(f"{len(recorded)} files compared, {len(different)} different\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
