"""Print the cost of reading values from S3: Metaflow, mfc, and obstore alone.

    MFC_METAFLOW_PYTHON=/path/to/metaflow/python python -m tests.benchmarks.stores [--rows small]
    [--repeat 3]

Every sample is a fresh process with an empty cache, unless its row says otherwise; the clients take turns. Metadata
are local files. Objects are served by nginx, or by any server of S3's protocol at `--endpoint` that has those in
`served` below the data. Requests and bytes are counted by a relay; times at no added latency are taken without it.

Caches and files that clients make are in memory where the system has such a place, or in `--scratch`: disks' file
systems take up to twenty times as long to make a file where many were just removed, which every sample does to the
next.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measure import MeasurementFailed, interpreters, work
from tests.benchmarks.service.relayed import Relayed, relayed
from tests.benchmarks.stores.data import StoreData, store_data
from tests.benchmarks.stores.operations import CLIENTS, DIRECTORY, OPERATIONS, Operation
from tests.benchmarks.stores.report import Cost, Row, table
from tests.benchmarks.stores.server import object_server
from tests.benchmarks.stores.single import SINGLE, Place, settings

#: Samples that take longer than this many milliseconds are not repeated.
_LONG = 10_000


@dataclass(frozen=True)
class Ways:
    """Connections of the clients to the store.

    Attributes:
        near: URL of the store itself.
        counting: a relay that counts.
        far: relays that are late, by the milliseconds that they add.
    """

    near: str
    counting: Relayed
    far: Mapping[int, Relayed]

    def url(self, delay: int) -> str:
        """Return the URL with a latency."""
        return self.far[delay].url if delay else self.near


def main() -> int:
    """Measure the wanted rows and print them."""
    options = _options()
    python = interpreters(("metaflow", "mfc", "floor"))
    data = store_data(options.data)
    rows = []
    with _ways(options, data) as ways:
        for operation in (found for found in OPERATIONS if found.name in options.rows):
            sys.stderr.write(f"{operation.title}\n")
            rows.append(
                Row(
                    operation.title,
                    _costs(operation, python, data, ways, options),
                    operation.limits,
                )
            )
        sys.stdout.write(table(rows, options.latency, markdown=options.markdown) + "\n")
        for name, measured in SINGLE.items():
            if name in options.rows:
                sys.stderr.write(f"{name}\n")
                for single in measured(
                    Place(python, data, ways.near, options.alone), options.repeat
                ):
                    sys.stdout.write(f"{single.text}\n")
    sys.stdout.write(f"objects from {options.endpoint or 'nginx'}; load {os.getloadavg()[0]:.1f}\n")
    return 0


def _options() -> argparse.Namespace:
    names = (*(operation.name for operation in OPERATIONS), *SINGLE)
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.stores", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rows", default=",".join(names), help="by default all: %(default)s")
    parser.add_argument("--repeat", type=int, default=3, help="timed processes of each")
    parser.add_argument(
        "--latency",
        type=lambda text: tuple(map(int, text.split(","))),
        default=(0, 30),
        help="added to each round trip, in milliseconds",
    )
    default = Path(tempfile.gettempdir()) / "mfc-benchmark-data"
    directory = Path(os.environ.get("MFC_BENCHMARK_DATA") or default) / "stores"
    parser.add_argument("--data", type=Path, default=directory, help="where results are generated")
    parser.add_argument("--endpoint", help="a server that is running, with the same objects")
    parser.add_argument(
        "--alone",
        type=os.path.abspath,
        default=sys.executable,
        help="an interpreter with mfc-local and mfc-s3 and nothing else, for `first`; by default this one",
    )
    parser.add_argument("--markdown", action="store_true", help="print a table for a document")
    memory = Path("/dev/shm")
    scratch = memory if memory.is_dir() else Path(tempfile.gettempdir())
    parser.add_argument("--scratch", type=Path, default=scratch, help="by default %(default)s")
    options = parser.parse_args()
    os.environ["TMPDIR"] = tempfile.tempdir = str(options.scratch)
    options.rows = options.rows.split(",")
    return options


@contextlib.contextmanager
def _ways(options: argparse.Namespace, data: StoreData) -> Iterator[Ways]:
    with contextlib.ExitStack() as stack:
        near = options.endpoint or stack.enter_context(object_server(data.served))
        counting = stack.enter_context(relayed(near, 0))
        late = filter(None, options.latency)
        far = {delay: stack.enter_context(relayed(near, delay)) for delay in late}
        yield Ways(near, counting, far)


def _costs(
    operation: Operation,
    python: Mapping[str, str],
    data: StoreData,
    ways: Ways,
    options: argparse.Namespace,
) -> dict[str, Cost | str]:
    """Return the cost of an operation for each client, or the reason of its failure; the clients take turns."""
    columns = [name for name in operation.statements if CLIENTS[name] in python]
    costs: dict[str, Cost | str] = {}
    with tempfile.TemporaryDirectory() as caches:
        readings = {
            column: _Reading(
                operation,
                column,
                python[CLIENTS[column]],
                str(data.directory),
                ways,
                f"{caches}/{column}" if operation.warm else None,
            )
            for column in columns
        }
        for turn in range(1 + options.repeat):
            for column, reading in readings.items():
                if column not in costs:
                    try:
                        reading.take(turn, options.latency)
                    except MeasurementFailed as failed:
                        costs[column] = str(failed)
        return {column: costs.get(column) or readings[column].cost() for column in columns}


@dataclass
class _Reading:
    """The samples of one client's way to read.

    Attributes:
        cache: directory that the samples share; None for an empty one each.
    """

    operation: Operation
    column: str
    python: str
    directory: str
    ways: Ways
    cache: str | None
    _counts: Mapping[str, int] = field(default_factory=dict)
    _samples: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def take(self, turn: int, latencies: tuple[int, ...]) -> None:
        """Take one sample at each latency, counting the requests of the first one."""
        if turn == 0:
            if self.cache:
                self._sample(self.ways.near)
            self.ways.counting.counted()
            self._sample(self.ways.counting.url)
            self._counts = self.ways.counting.counted()
            return
        for delay in latencies:
            samples = self._samples.setdefault(delay, [])
            if not samples or samples[0]["ms"] < _LONG:
                samples.append(self._sample(self.ways.url(delay)))

    def cost(self) -> Cost:
        """Return the cost from all samples."""
        figures = {
            name: {delay: median(s[name] for s in found) for delay, found in self._samples.items()}
            for name in ("ms", "cpu_ms", "peak_mb")
        }
        answers = {sample["answer"] for found in self._samples.values() for sample in found}
        return Cost(
            self._counts["requests"],
            self._counts["down"],
            max(figures["peak_mb"].values()),
            figures["ms"],
            figures["cpu_ms"],
            " ".join(sorted(answers)),
        )

    def _sample(self, url: str) -> dict[str, Any]:
        operation, directory = self.operation, self.directory
        spec = {
            "client": CLIENTS[self.column],
            "directory": directory,
            "namespace": None,
            "setup": operation.setup_of(self.column),
            "statement": operation.statements[self.column].replace(DIRECTORY, directory),
            "answer": operation.answer,
            "count_reads": False,
        }
        return work(self.python, spec, {**settings(url, self.cache), **operation.settings})


if __name__ == "__main__":
    sys.exit(main())
