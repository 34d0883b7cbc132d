"""Print the speed table: real Metaflow, mfc and the floor on the same results, measured in one run.

    MFC_METAFLOW_PYTHON=/path/to/metaflow/python python -m tests.benchmarks [--rows runs,stdout] [--repeat 5]

Times are milliseconds (the size row: MB), medians of fresh processes. Without MFC_METAFLOW_PYTHON, or without mfc in
this interpreter, that column stays empty.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # `python tests/benchmarks` puts the folder itself on the path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks import footprint
from tests.benchmarks.generate import benchmark_data
from tests.benchmarks.measure import CLIENTS, Figures, interpreters, measured
from tests.benchmarks.operations import OPERATIONS
from tests.benchmarks.report import Row, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.benchmarks.generate import BenchmarkData
    from tests.benchmarks.measure import MeasurementFailed

ROWS = ("import", "size", *(operation.name for operation in OPERATIONS))
#: Imports inside the clock up to this number are not worth a note.
FEW_MODULES = 3
DATA_DIRECTORY = Path(
    os.environ.get("MFC_BENCHMARK_DATA") or Path(tempfile.gettempdir()) / "mfc-benchmark-data"
)


def main() -> int:
    """Measure the wanted rows and print them."""
    options = parsed_options()
    python = interpreters(options.clients)
    progress(f"results to read: {options.data} (generated when absent)")
    data = benchmark_data(options.data)
    rows = []
    for name in options.rows:
        progress(f"measuring {name}")
        rows.append(measured_row(name, data, python, options.repeat))
    sys.stdout.write(table(rows) + "\n")
    if (busy := os.getloadavg()[0]) > (os.cpu_count() or 1):
        sys.stdout.write(
            f"the machine was busy (load {busy:.1f}): trust the ratios, not the times\n"
        )
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=1))
    return 0


def parsed_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rows", type=names_of(ROWS), default=ROWS, help=f"of {','.join(ROWS)}")
    parser.add_argument(
        "--clients", type=names_of(CLIENTS), default=CLIENTS, help=f"of {','.join(CLIENTS)}"
    )
    parser.add_argument("--repeat", type=int, default=5, help="timed processes per client and row")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument(
        "--data", type=Path, default=DATA_DIRECTORY, help="where the results are generated"
    )
    return parser.parse_args()


def names_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return the parser of a comma-separated list of some of the names `known`."""

    def names(text: str) -> tuple[str, ...]:
        wanted = tuple(text.split(","))
        if unknown := set(wanted).difference(known):
            message = f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
        return wanted

    return names


def measured_row(name: str, data: BenchmarkData, python: Mapping[str, str], repeat: int) -> Row:
    """Measure one row."""
    if name == "import":
        return footprint.import_row(python, repeat)
    if name == "size":
        return footprint.size_row(python)
    operation = next(operation for operation in OPERATIONS if operation.name == name)
    columns = measured(operation, data, python, repeat)
    return Row(name, operation.title, operation.target, columns, late_imports(columns))


def late_imports(columns: Mapping[str, Figures | MeasurementFailed]) -> tuple[str, ...]:
    """Return a note on the modules that mfc imported inside the clock, if there are many."""
    found = columns.get("mfc")
    if isinstance(found, Figures) and found.late_modules > FEW_MODULES:
        return (f"mfc imported {found.late_modules} modules inside the clock",)
    return ()


def progress(text: str) -> None:
    """Show on standard error what is being done."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
