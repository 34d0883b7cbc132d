"""A run as Metaflow would record it, written task by task: records, and a datastore of files."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import History

#: An hour ago, in ms: what has not ended is silent for the tasks around a failure, but not for long.
LONG_AGO = int((time.time() - 3600) * 1000)
#: Two days ago.
DAYS_AGO = int((time.time() - 48 * 3600) * 1000)
SYSTEM = frozenset({"metaflow_version:2.19.39", "user:ada"})


def node(kind: str, *after: str, retry: int = 0, catch: bool = False) -> dict[str, Any]:
    """Return a step as `_graph_info` describes it."""
    decorators = []
    if retry:
        given = {"times": retry, "minutes_between_retries": 0}
        decorators.append({"name": "retry", "attributes": given})
    if catch:
        decorators.append({"name": "catch", "attributes": {}})
    return {"type": kind, "next": list(after), "decorators": decorators}


#: A foreach between its split and its join.
FAN = {
    "start": node("split-foreach", "work"),
    "work": node("linear", "join"),
    "join": node("join", "end"),
    "end": node("end"),
}


class Raised:
    """An attempt that raised an exception."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text


BOOM = Raised("builtins.ValueError", "no rows\nfor April")
WELL, UNENDED = "well", "unended"


def wrapped(raised: Raised) -> bytes:
    """Return the pickle of Metaflow's wrapper of an exception."""
    trace = f"Traceback (most recent call last):\n{raised.kind}: {raised.text}\n"
    state = {"exception": raised.text, "type": raised.kind, "stacktrace": trace}
    made = b"\x80\x02cmetaflow.exception\nMetaflowExceptionWrapper\nN\x85R"
    return made + pickle.dumps(state, 2)[2:-1] + b"b."


def stack(step: str, index: int) -> bytes:
    """Return the pickle of `_foreach_stack` of a task in one foreach."""
    frame = pickle.dumps((step, "x", 3, index, None), 2)[2:-1]
    return b"\x80\x02](cmetaflow.tuple_util\nForeachFrame\n" + frame + b"\x81e."


class WrittenRun:
    """A run of flow F.

    Args:
        folder: the root of its datastore.
        graph: the steps as `_graph_info` has them; None records no graph.
        name: id of the run.
        created: when, in ms; tasks follow, ten seconds after one another.
    """

    def __init__(
        self,
        folder: Path,
        graph: Mapping[str, Any] | None = None,
        name: str = "1",
        created: int = LONG_AGO,
    ) -> None:
        self.root, self._now, self.path = folder, created, Pathspec(("F", name))
        self.records = [Record(self.path.parent, created)]
        self.artifacts: list[ArtifactRecord] = []
        self.metadata: list[MetadataRecord] = []
        self._record(self.path)
        if graph is not None:
            info = pickle.dumps({"steps": dict(graph), "parameters": [{"name": "alpha"}]}, 4)
            values = {
                "_graph_info": info,
                "alpha": pickle.dumps(0.5),
                "constant": b"\x80\x04K\x01.",
            }
            self.task("_parameters", WELL, values=values)

    @property
    def history(self) -> History:
        """All that was recorded so far."""
        return History(self.records, self.artifacts, self.metadata)

    def _record(self, path: Pathspec) -> None:
        if all(record.path != path for record in self.records):
            made = Record(path, self._now, "ada", frozenset(), SYSTEM)
            self.records.append(made)

    def task(
        self,
        step: str,
        *attempts: str | Raised | int,
        index: int | None = None,
        values: Mapping[str, bytes] | None = None,
    ) -> Pathspec:
        """Add a task; each of its attempts went well, raised, has a return code, or has not ended."""
        self._record(self.path.child(step))
        name = str(len([r for r in self.records if len(r.path.components) == 4]) + 1)
        path = self.path.child(step).child(name)
        self._now += 10_000
        self.records.append(Record(path, self._now, "ada", frozenset(), SYSTEM))
        for number, outcome in enumerate(attempts):
            self._note(path, number, "attempt", str(number), 1000)
            if index is not None:
                self._note(path, number, "foreach-execution-path", f"start:{index}", 0)
            self._note(path, number, "ds-type", "local", 0)
            self._note(path, number, "ds-root", str(self.root), 0)
            if isinstance(outcome, int):
                noted = json.dumps({"return_code": outcome, "killed": False})
                self._file(f"{path}/{number}.runtime", noted.encode())
            elif outcome != UNENDED:
                self._end(path, number, outcome, {**(values or {}), **_position(index)})
        return path

    def _end(
        self, path: Pathspec, number: int, outcome: str | Raised, values: Mapping[str, bytes]
    ) -> None:
        well = outcome == WELL
        self._note(path, number, "attempt_ok", str(well), 2000)
        self._note(path, number, "attempt-done", str(number), 1)
        truth = pickle.dumps(well, 4)
        raised = wrapped(outcome) if isinstance(outcome, Raised) else pickle.dumps(None, 4)
        content = {"_success": truth, "_task_ok": truth, "_exception": raised, **values}
        keys = {name: self._blob(blob) for name, blob in content.items()}
        self._file(f"{path}/{number}.data.json", json.dumps({"objects": keys, "info": {}}).encode())
        self.artifacts += [
            ArtifactRecord(
                path.child(artifact),
                self._now,
                attempt=number,
                sha=key,
                ds_type="local",
                location=f":root:{self.root}",
                encoding="pickle-v4",
            )
            for artifact, key in keys.items()
        ]

    def _note(self, path: Pathspec, attempt: int, name: str, value: str, later: int) -> None:
        self._now += later
        made = MetadataRecord(path, name, value, name, self._now, attempt)
        self.metadata.append(made)

    def _blob(self, content: bytes) -> str:
        key = hashlib.sha1(content).hexdigest()
        self._file(f"F/data/{key[:2]}/{key}", gzip.compress(content, 1))
        return key

    def _file(self, name: str, content: bytes) -> None:
        path = self.root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _position(index: int | None) -> dict[str, bytes]:
    return {"_foreach_stack": b"\x80\x04]\x94." if index is None else stack("start", index)}
