"""The results that the benchmark reads: metadata in local files, blobs in a directory that a server of objects serves.

`ValuesFlow`, one run: `small`, 5,000 tasks with an artifact of 300 bytes; `medium`, 200 with one of
1 MB; `large`, one with one of 200 MB. Each task has this artifact `x` and one more, the fewest with
which Metaflow's `task.data` works on local metadata, so that values are read and not listings. The
values are incompressible.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.layout import Datastore, FlowWriter, TaskFacts

#: Increment it whenever the generated files change: old directories are then written again.
VERSION = 2
FLOW = "ValuesFlow"
BUCKET, PREFIX = "bucket", "root"
#: Creation of the run, microseconds since 1970 (2025-06-15).
RUN_US = 1_750_000_000_000_000
RUN = str(RUN_US)
#: Floats that make 300 bytes of pickle, with their envelope.
_FLOATS = 29
_SEED = 300


@dataclass(frozen=True)
class Sizes:
    """Number of tasks of each step, and the bytes of their values."""

    small: int = 5_000
    medium: int = 200
    medium_bytes: int = 1_000_000
    large_bytes: int = 200_000_000


@dataclass(frozen=True)
class StoreData:
    """The location of the results.

    Attributes:
        directory: the parent of `.metaflow`, what `metadata()` takes.
    """

    directory: Path

    @property
    def served(self) -> Path:
        """The directory for a server of objects; the bucket is a directory in it."""
        return self.directory / "served"

    def keys(self, step: str) -> Path:
        """Return the file with the keys of a step's values below the bucket, newest task first."""
        return self.directory / f"{step}.keys"


def store_data(directory: Path, sizes: Sizes | None = None) -> StoreData:
    """Return the results below `directory`, generated if they are absent or outdated."""
    directory, sizes = directory.resolve(), sizes or Sizes()
    stamp = directory / "stamp.json"
    wanted = {"version": VERSION, "sizes": vars(sizes)}
    data = StoreData(directory)
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted:
        return data
    shutil.rmtree(directory, ignore_errors=True)
    (directory / ".metaflow").mkdir(parents=True)
    _write(data, sizes)
    stamp.write_text(json.dumps(wanted))
    return data


def _write(data: StoreData, sizes: Sizes) -> None:
    ts, source = RUN_US // 1000, random.Random(_SEED)
    datastore = Datastore(str(data.served / BUCKET / PREFIX), "s3", f"s3://{BUCKET}/{PREFIX}")
    writer = FlowWriter(data.directory / ".metaflow", FLOW, "values.py", ts, datastore)
    writer.run(RUN, ts)
    writer.latest_run(RUN)
    tasks = iter(range(1, 1 << 30))
    steps: dict[str, tuple[int, Callable[[int], Any]]] = {
        "small": (sizes.small, lambda index: _small(index, source)),
        "medium": (sizes.medium, lambda _: source.randbytes(sizes.medium_bytes)),
        "large": (1, lambda _: source.randbytes(sizes.large_bytes)),
    }
    for step, (number, value) in steps.items():
        writer.step(RUN, step, ts)
        keys = list(_tasks(writer, step, number, value, tasks))
        data.keys(step).write_text("\n".join(reversed(keys)))


def _small(index: int, source: random.Random) -> dict[str, Any]:
    return {"index": index, "weights": [source.random() for _ in range(_FLOATS)]}


def _tasks(
    writer: FlowWriter, step: str, number: int, value: Callable[[int], Any], ids: Iterator[int]
) -> Iterator[str]:
    """Write the tasks of a step; yield the keys of their values."""
    name = writer.put(FLOW)
    for index in range(number):
        stored = writer.put(value(index))
        task, ts = next(ids), RUN_US // 1000 + 1_000 + 10 * index
        writer.task(TaskFacts(RUN, step, str(task), ts, {"name": name, "x": stored}))
        yield f"{PREFIX}/{FLOW}/data/{stored.sha[:2]}/{stored.sha}"
