"""Measure one statement in this fresh process and print the result as one line of JSON.

Run by `measure.py` with any of the interpreters: the file stands alone but for `floors.py` beside it.
The only argument is JSON: `client` (metaflow, mfc, floor), `directory` (parent of `.metaflow`), `address` (if it is not
that directory), `namespace`, `setup`, `statement`, `answer`, and `count_reads`, which counts instead of timing.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from typing import Any

READING_EVENTS = frozenset({"open", "os.listdir", "os.scandir"})
#: KiB per MB, the unit of `ru_maxrss` and of `/proc`.
KIB = 1024


class ReadCounter:
    """Counts files opened and directories listed below one directory, by any library."""

    def __init__(self, directory: str) -> None:
        """Start counting; the hook stays for the life of the process."""
        self.opened = self.listed = 0
        self.active = True
        self._directory = directory
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event in READING_EVENTS:
            path = arguments[0]
            path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else None
            # A number or a relative path is relative to an open directory, which only a reader of the data uses.
            if path is None or not os.path.isabs(path) or path.startswith(self._directory):
                self.opened += event == "open"
                self.listed += event != "open"


def client_names(spec: dict[str, Any]) -> dict[str, Any]:
    """Import the client and point it at the data; return the names that a statement may use."""
    directory, namespace = spec["directory"], spec["namespace"]
    address = spec.get("address") or directory
    names: dict[str, Any] = {"ROOT": f"{directory}/.metaflow"}
    if spec["client"] == "floor":
        import floors  # type: ignore[import-not-found,unused-ignore]  # only the floor's process needs it

        return {**names, "floors": floors}
    if spec["client"] == "metaflow":
        import metaflow  # type: ignore[import-not-found,unused-ignore]  # only in Metaflow's own interpreter

        metaflow.metadata(address)
        metaflow.namespace(namespace)
        return {**names, **vars(metaflow)}
    import mfc  # only the process that measures mfc needs it

    client = mfc.Client(metadata=address, namespace=namespace)
    client.__enter__()
    return {**names, **{name: getattr(mfc, name) for name in mfc.__all__}, "client": client}


def counters(names: dict[str, Any]) -> dict[str, float]:
    """Return the numbers in `client.stats`; empty for other clients."""
    stats = getattr(names.get("client"), "stats", None)
    shown = {name: getattr(stats, name, None) for name in dir(stats) if not name.startswith("_")}
    return {name: value for name, value in shown.items() if isinstance(value, (int, float))}


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB.

    `ru_maxrss` of a new process starts at its parent's peak on Linux; `VmHWM` does not.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / KIB
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / KIB / (KIB if sys.platform == "darwin" else 1)


def worked_seconds() -> float:
    """Return the processor time of this process and of its children that ended: Metaflow's S3 client starts some."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Run the statement once and return time, memory, counts and the answer's hash."""
    names = client_names(spec)
    exec(spec["setup"], names)
    statement = compile(f"result = {spec['statement']}", spec["statement"], "exec")
    counter = ReadCounter(spec["directory"]) if spec["count_reads"] else None
    modules, before = len(sys.modules), counters(names)
    start, worked = time.perf_counter(), worked_seconds()
    exec(statement, names)
    seconds, worked = time.perf_counter() - start, worked_seconds() - worked
    peak, late_modules = peak_mb(), len(sys.modules) - modules
    if counter:
        counter.active = False
    after = counters(names)
    answer = json.dumps(eval(spec["answer"], names))
    return {
        "ms": seconds * 1000,
        "cpu_ms": worked * 1000,
        "peak_mb": peak,
        "late_modules": late_modules,
        "opened": counter.opened if counter else 0,
        "listed": counter.listed if counter else 0,
        "stats": {name: value - before.get(name, 0) for name, value in after.items()},
        "answer": hashlib.sha256(answer.encode()).hexdigest(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
