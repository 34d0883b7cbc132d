"""The costs of a client before its first call: time and modules of its import, installed size."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Figures, MeasurementFailed, compiled
from tests.benchmarks.operations import Target
from tests.benchmarks.report import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

IMPORT_TARGET = Target("≤ 45 ms, nothing heavy", at_most=45)
SIZE_TARGET = Target("≤ 8 MB", at_most=8)
#: Modules that `import mfc` must not load.
HEAVY = ("requests", "fsspec", "asyncio", "cattrs", "numpy")
CHECKOUT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = ("core", "plugins/mfc-local")
#: Prints as JSON the distributions argv[1:] and their dependencies: name → bytes of its files.
INSTALLED = """
import importlib.metadata as metadata, json, re, sys
wanted, found = sys.argv[1:], {}
while wanted:
    name = re.match(r"[\\w.-]+", wanted.pop())[0].lower().replace("_", "-")
    if name in found or name in ("pip", "setuptools"):
        continue
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    files = [f for f in distribution.files or () if f.suffix != ".pyc" and f.parts[0] != ".."]
    found[name] = sum(p.stat().st_size for p in map(distribution.locate_file, files) if p.is_file())
    wanted += [line for line in distribution.requires or () if "extra ==" not in line]
print(json.dumps(found))
"""


def import_row(python: Mapping[str, str], repeat: int) -> Row:
    """Measure the import of a client, and look for heavy modules among those it loads."""
    clients = {client: python[client] for client in ("metaflow", "mfc") if client in python}
    modules = {
        client: imported_modules(interpreter, client) for client, interpreter in clients.items()
    }
    notes = tuple(f"{client} adds {len(names)} modules" for client, names in modules.items())
    heavy = sorted(modules.get("mfc", frozenset()).intersection(HEAVY))
    faults = (f"import mfc brings {', '.join(heavy)}",) if heavy else ()
    return Row(
        "import",
        "import over bare Python",
        IMPORT_TARGET,
        import_figures(clients, repeat),
        notes,
        faults,
    )


def size_row(python: Mapping[str, str]) -> Row:
    """Measure the size of a client on disk."""
    sizes = size_figures(python)
    notes = tuple(
        f"{client} is {len(found.stats or ())} distributions"
        for client, found in sizes.items()
        if isinstance(found, Figures)
    )
    return Row("size", "installed size, MB", SIZE_TARGET, sizes, notes)


def import_figures(
    clients: Mapping[str, str], repeat: int
) -> dict[str, Figures | MeasurementFailed]:
    """Return the median time of `import` over bare Python, whole processes, the clients taking turns."""
    times: dict[str, list[float]] = {client: [] for client in clients}
    for turn in range(repeat + 1):
        for client, interpreter in clients.items():
            difference = process_ms(interpreter, f"import {client}") - process_ms(
                interpreter, "pass"
            )
            if turn:
                times[client].append(difference)
    return {
        client: Figures(ms=median(found), best_ms=min(found)) for client, found in times.items()
    }


def process_ms(interpreter: str, code: str) -> float:
    """Return the milliseconds that a whole process takes to run `code`."""
    start = time.perf_counter()
    subprocess.run([interpreter, "-c", code], check=True, capture_output=True, env=compiled())
    return (time.perf_counter() - start) * 1000


def imported_modules(interpreter: str, module: str) -> frozenset[str]:
    """Return the names of the modules that importing `module` adds to bare Python."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*(sys.modules.keys() - before))"
    shown = subprocess.run(
        [interpreter, "-c", code], check=True, capture_output=True, text=True, env=compiled()
    )
    return frozenset(shown.stdout.split())


def size_figures(python: Mapping[str, str]) -> dict[str, Figures | MeasurementFailed]:
    """Return the installed size in MB (as `ms`) and the distributions with their bytes (as `stats`).

    mfc is installed from the checkout into an empty environment; Metaflow's files are counted where they are. Byte
    code is not counted, the interpreter writes it at its own time.
    """
    sizes: dict[str, Figures | MeasurementFailed] = {}
    if "metaflow" in python:
        sizes["metaflow"] = installed(python["metaflow"], "metaflow")
    if "mfc" in python:
        sizes["mfc"] = size_from_checkout()
    return sizes


def size_from_checkout() -> Figures | MeasurementFailed:
    """Install mfc-core and mfc-local from the checkout into an empty environment and count."""
    constraints = CHECKOUT / "constraints.txt"
    pinned = ["-c", str(constraints)] if constraints.is_file() else []
    with tempfile.TemporaryDirectory() as directory:
        python = f"{directory}/bin/python"
        make = [sys.executable, "-m", "venv", "--without-pip", directory]
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *pinned]
        for command in (make, [*install, *(f"{CHECKOUT / name}" for name in DISTRIBUTIONS)]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return MeasurementFailed(done.stderr.strip().rpartition("\n")[2])
        return installed(python, "mfc-core", "mfc-local")


def installed(interpreter: str, *distributions: str) -> Figures:
    """Return the size of `distributions` and their dependencies, as `interpreter` finds them."""
    command = [interpreter, "-c", INSTALLED, *distributions]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    size = sum(found.values()) / 1e6
    return Figures(ms=size, best_ms=size, stats=found)
