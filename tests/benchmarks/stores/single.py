"""Single figures: the first value of a new process, imports of plugins, one blob from the cache."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.measure import compiled
from tests.benchmarks.stores.data import FLOW, RUN, StoreData
from tests.benchmarks.stores.report import Single

PLUGINS = ("mfc_s3", "mfc_gcs", "mfc_azure")
#: Milliseconds that importing a plugin may take, and microseconds that the cache may add to reading a file.
_IMPORT_LIMIT, _CACHE_LIMIT = 5, 15
#: Limit for a new process that reads one value, as a part of Metaflow's time.
_FIRST_LIMIT = 1 / 4
_FIRST = (
    "from {client} import Task, metadata, namespace; metadata({directory!r}); namespace(None); "
    "assert len(Task('{flow}/{run}/small/1').data.x) == 2"
)
_IMPORT = (
    "import mfc, time; start = time.perf_counter(); import {module}; "
    "print((time.perf_counter() - start) * 1000)"
)
#: Prints the microseconds of reading blobs from a cache that holds them, and of reading files of the same content.
_CACHED = """
import json, sys, time
from mfc import Step, load, metadata, namespace
from mfc._objects._current import current_client

metadata(sys.argv[1])
namespace(None)
artifacts = list(Step(sys.argv[2]).artifacts("x"))[:1000]
contents = [artifact.open().read() for artifact in artifacts]
for number, content in enumerate(contents):
    with open(str(number), "wb") as file:
        file.write(content)
datastore = current_client().datastore
wanted = [a._scope.reader.wanted(a._record, a._scope.provider) for a in artifacts]
times = []
for turn in range(15):
    start = time.perf_counter()
    for blob in wanted:
        datastore.held(blob).read()
    between = time.perf_counter()
    for number in range(len(wanted)):
        with open(str(number), "rb") as file:
            file.read()
    times.append((between - start, time.perf_counter() - between))
print(json.dumps([min(column) / len(wanted) * 1e6 for column in zip(*times)]))
"""


@dataclass(frozen=True)
class Place:
    """The interpreters and the data of the measurement.

    Attributes:
        alone: an interpreter with mfc and what a user of S3 needs; Metaflow's has Metaflow and what
            that needs.
    """

    python: Mapping[str, str]
    data: StoreData
    url: str
    alone: str


def settings(url: str, cache: str | None = None) -> dict[str, str]:
    """Return the environment in which Metaflow, mfc and obstore read from the store at `url`."""
    found = {
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_DEFAULT_REGION": "us-east-1",
        "METAFLOW_S3_ENDPOINT_URL": url,
        # These reads need no credentials; each client gets them as it requires.
        "METAFLOW_CLIENT_CACHE_MAX_SIZE": "100000",
    }
    return found if cache is None else {**found, "METAFLOW_CLIENT_CACHE_PATH": cache}


def first_value(place: Place, repeat: int) -> Iterator[Single]:
    """Measure whole processes that read one value, imports included; the clients take turns."""
    python = {**place.python, "mfc": place.alone}
    clients = [client for client in ("metaflow", "mfc") if client in python]
    times: dict[str, list[tuple[float, float]]] = {client: [] for client in clients}
    for turn in range(2 * repeat + 1):
        for client in clients:
            code = _FIRST.format(
                client=client, directory=str(place.data.directory), flow=FLOW, run=RUN
            )
            found = _process(place, python[client], code)
            if turn:
                times[client].append(found)
    for client, found in times.items():
        walls, cpus = zip(*found, strict=True)
        yield Single(f"first value in a new process, {client}", median(walls), "ms")
        yield Single(f"first value in a new process, {client}, CPU", median(cpus), "ms")
    if len(clients) > 1:
        metaflow, mfc = (median(wall for wall, _ in times[client]) for client in clients)
        yield Single(
            "first value, of Metaflow's time", mfc / metaflow * 100, "%", _FIRST_LIMIT * 100
        )


def imports(place: Place, repeat: int) -> Iterator[Single]:
    """Measure the time that importing each plugin adds to `import mfc`."""
    for module in PLUGINS:
        code = _IMPORT.format(module=module)
        found = [float(_printed(place, code)) for _ in range(4 * repeat + 1)]
        yield Single(f"import {module} after mfc", median(found[1:]), "ms", _IMPORT_LIMIT)


def cached_blob(place: Place, repeat: int) -> Iterator[Single]:
    """Measure the time of reading a small blob from the cache, above that of reading a file."""
    arguments = (str(place.data.directory), f"{FLOW}/{RUN}/small")
    found = [json.loads(_printed(place, _CACHED, *arguments)) for _ in range(repeat)]
    blob, file = (median(column) for column in zip(*found, strict=True))
    yield Single("reading a file", file, "us")
    yield Single("a blob from the cache, over that", blob - file, "us", _CACHE_LIMIT)


SINGLE: Mapping[str, Callable[[Place, int], Iterator[Single]]] = {
    "first": first_value,
    "imports": imports,
    "blob": cached_blob,
}


def _process(place: Place, python: str, code: str) -> tuple[float, float]:
    """Run a process; return its milliseconds, of the clock and of processors."""
    before, start = _worked(), time.perf_counter()
    _run(place, python, code)
    return (time.perf_counter() - start) * 1000, (_worked() - before) * 1000


def _worked() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _printed(place: Place, code: str, *arguments: str) -> str:
    return _run(place, sys.executable, code, *arguments)


def _run(place: Place, python: str, code: str, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as empty:
        environment = {**compiled(), "METAFLOW_HOME": empty, "METAFLOW_USER": "alice"}
        environment |= settings(place.url, f"{empty}/cache")
        return subprocess.run(
            [python, "-c", code, *arguments],
            cwd=empty,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
