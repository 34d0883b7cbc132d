"""Print the cost of each operation against a metadata service: Metaflow, mfc, and the fewest requests possible.

    MFC_METAFLOW_PYTHON=/path/to/metaflow/python python -m tests.benchmarks.service [--rows
    successful] [--repeat 3]

Every sample is a fresh process with an empty cache. Requests and bytes are counted on the wire by a relay; times at
no added latency are taken without it. The server is mfc-server on SQLite, or `--database`, or any service at `--url`
that holds the same rows.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measure import MeasurementFailed, interpreters, work
from tests.benchmarks.service.data import benchmark_rows
from tests.benchmarks.service.operations import OPERATIONS, Operation
from tests.benchmarks.service.relayed import Relayed, relayed
from tests.benchmarks.service.report import Cost, Row, table

from mfc_server.testing import load_rows, running

#: Samples that take longer than this many milliseconds are not repeated.
_LONG = 4_000


def main() -> int:
    """Measure the wanted rows and print them."""
    options = _options()
    python = interpreters(("metaflow", "mfc"))
    wanted = [o for o in OPERATIONS if any(word in o.title for word in options.rows.split(","))]
    rows = []
    with _service(options) as url, contextlib.ExitStack() as stack:
        ways = {delay: stack.enter_context(relayed(url, delay)) for delay in options.latency}
        counting = stack.enter_context(relayed(url, 0))
        for operation in wanted:
            sys.stderr.write(f"{operation.title}\n")
            costs = {
                client: _cost(operation, client, interpreter, (url, counting, ways), options)
                for client, interpreter in python.items()
            }
            rows.append(Row(operation, costs))
    sys.stdout.write(table(rows, options.latency, markdown=options.markdown) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.service", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rows", default="", help="parts of their titles, separated by commas")
    parser.add_argument("--repeat", type=int, default=3, help="timed processes of each")
    parser.add_argument(
        "--latency",
        type=lambda text: tuple(map(int, text.split(","))),
        default=(0, 30),
        help="added to each round trip, in milliseconds",
    )
    default = Path(tempfile.gettempdir()) / "mfc-benchmark-data"
    directory = Path(os.environ.get("MFC_BENCHMARK_DATA") or default) / "service"
    parser.add_argument("--data", type=Path, default=directory, help="where rows are generated")
    parser.add_argument("--database", help="URL of an empty database; a SQLite file otherwise")
    parser.add_argument("--url", help="a service that is running, with the same rows")
    parser.add_argument("--markdown", action="store_true", help="print a table for a document")
    return parser.parse_args()


@contextlib.contextmanager
def _service(options: argparse.Namespace) -> Iterator[str]:
    """Give the URL of a service that holds the benchmark's rows."""
    rows = benchmark_rows(options.data.resolve())
    if options.url:
        yield options.url
        return
    with tempfile.TemporaryDirectory() as directory:
        database = options.database or f"sqlite:///{directory}/meta.db"
        load_rows(database, rows)
        with running(database) as server:
            yield server.url


def _cost(
    operation: Operation,
    client: str,
    python: str,
    service: tuple[str, Relayed, Mapping[int, Relayed]],
    options: argparse.Namespace,
) -> Cost | str:
    """Return the cost of an operation for a client, or the reason of its failure."""
    url, counting, ways = service
    try:
        counting.counted()
        sample = _sample(operation, client, python, counting.url)
        counts = counting.counted()
        walls = {}
        for delay, way in ways.items():
            times: list[float] = []
            while len(times) < options.repeat and (not times or max(times) < _LONG):
                found = _sample(operation, client, python, way.url if delay else url)
                times.append(found["ms"])
            walls[delay] = median(times)
    except MeasurementFailed as failed:
        return str(failed)
    return Cost(counts["requests"], counts["up"], counts["down"], walls, sample["answer"])


def _sample(operation: Operation, client: str, python: str, url: str) -> dict[str, Any]:
    spec = {
        "client": client,
        "directory": "",
        "address": f"service@{url}",
        "namespace": operation.namespace,
        "setup": "import itertools",
        "statement": operation.statement,
        "answer": operation.answer,
        "count_reads": False,
    }
    return work(python, spec)


if __name__ == "__main__":
    sys.exit(main())
