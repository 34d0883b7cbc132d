"""Measure operations in fresh processes, the clients taking turns so that noise falls on all of them alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.generate import BenchmarkData
    from tests.benchmarks.operations import Operation

METAFLOW_PYTHON = "MFC_METAFLOW_PYTHON"
CLIENTS = ("metaflow", "mfc", "floor")
WORKER = Path(__file__).with_name("worker.py")
#: Settings that would point a client elsewhere; a worker gets none of them.
SETTINGS = "METAFLOW_"


class MeasurementFailed(Exception):
    """A worker ended with an error, which the message shows."""


@dataclass(frozen=True)
class Figures:
    """The results of one client in one row.

    Attributes:
        ms: median of the repetitions; `best_ms` the fastest (less touched by noise).
        peak_mb: median peak resident memory of the whole process, imports included.
        reads: files opened and directories listed below the data, by any library.
        late_modules: modules that the statement itself imported.
        stats: the counts of `client.stats`, for mfc.
        answer: hash of the answer.
    """

    ms: float
    best_ms: float = 0.0
    peak_mb: float = 0.0
    reads: int = 0
    late_modules: int = 0
    stats: Mapping[str, float] | None = None
    answer: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the attributes for a JSON file."""
        return asdict(self)


def interpreters(wanted: Sequence[str]) -> dict[str, str]:
    """Return client → interpreter for those of `wanted` that are installed."""
    found = {"floor": sys.executable}
    if os.environ.get(METAFLOW_PYTHON):
        found["metaflow"] = os.environ[METAFLOW_PYTHON]
    probe = subprocess.run([sys.executable, "-c", "import mfc"], capture_output=True, check=False)
    if probe.returncode == 0:
        found["mfc"] = sys.executable
    return {client: found[client] for client in CLIENTS if client in found and client in wanted}


def measured(
    operation: Operation,
    data: BenchmarkData,
    python: Mapping[str, str],
    repeat: int,
) -> dict[str, Figures | MeasurementFailed]:
    """Measure one operation with every client: a warm-up, `repeat` timed rounds and a round that counts reads."""
    samples: dict[str, list[dict[str, Any]]] = {client: [] for client in python}
    failed: dict[str, MeasurementFailed] = {}
    for turn in range(repeat + 2):
        for client, interpreter in python.items():
            if client not in failed:
                spec = specification(operation, data, client, count_reads=turn == repeat + 1)
                try:
                    samples[client].append(work(interpreter, spec))
                except MeasurementFailed as error:
                    failed[client] = error
    return {client: failed.get(client) or figures(samples[client]) for client in python}


def specification(
    operation: Operation, data: BenchmarkData, client: str, *, count_reads: bool
) -> dict[str, Any]:
    """Return the worker's input for running `operation` with `client`."""
    floor = client == "floor"
    return {
        "client": client,
        "directory": str(data.directory),
        "namespace": operation.namespace,
        "setup": "" if floor else operation.setup,
        "statement": operation.floor if floor else operation.statement,
        "answer": operation.floor_answer if floor else operation.answer,
        "count_reads": count_reads,
    }


def compiled() -> dict[str, str]:
    """Return the environment with compiled files allowed, which installed packages have and a checkout may lack."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def work(
    interpreter: str, spec: Mapping[str, Any], settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run the worker once, with an empty configuration and cache, plus `settings`.

    Raises:
        MeasurementFailed: the worker ended with an error.
    """
    with tempfile.TemporaryDirectory() as empty:
        environment = {
            key: value for key, value in compiled().items() if not key.startswith(SETTINGS)
        }
        environment |= {
            "METAFLOW_USER": "alice",
            "METAFLOW_HOME": empty,
            "XDG_CACHE_HOME": f"{empty}/cache",
        }
        environment |= {"METAFLOW_CLIENT_CACHE_PATH": f"{empty}/client", **(settings or {})}
        done = subprocess.run(
            [interpreter, str(WORKER), json.dumps(spec)],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise MeasurementFailed(
            done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        )
    sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return sample


def figures(samples: Sequence[Mapping[str, Any]]) -> Figures:
    """Return the figures of a client: the first sample was the warm-up, the last one counted reads."""
    timed, counted = samples[1:-1], samples[-1]
    times = [sample["ms"] for sample in timed]
    return Figures(
        ms=median(times),
        best_ms=min(times),
        peak_mb=median(sample["peak_mb"] for sample in timed),
        reads=counted["opened"] + counted["listed"],
        late_modules=counted["late_modules"],
        stats=counted["stats"],
        answer=counted["answer"],
    )
