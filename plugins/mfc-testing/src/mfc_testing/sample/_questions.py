"""Queries about results, and their answers as JSON, for any client with Metaflow's names.

Standard library only, and no import of a client: this file runs beside Metaflow and beside mfc.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import partial
from typing import Any

_OF_RUN = ("successful", "finished", "user_tags", "system_tags", "end_task")
_OF_TASK = (
    "successful", "finished", "exception", "index", "current_attempt", "runtime_name",
)  # fmt: skip
_LONG = 200
#: An included file: its content is at an address in its value, not at its record.
_ELSEWHERE = "rentals"


def answers(client: Any, kind: str) -> dict[str, Any]:
    """Return a client's answers about all its objects, by the text of the query.

    Args:
        client: a module or object with `Metaflow`, in the global namespace.
        kind: `object`, `data` or `log`.
    """
    asked: dict[str, Any] = {}
    for thing in _things(client):
        for key, question in _KINDS[kind](thing):
            try:
                asked[f"{thing}{key}"] = canonical(question())
            except Exception as error:  # noqa: BLE001, PERF203 - the error is the answer
                asked[f"{thing}{key}"] = {"raises": type(error).__name__}
    return asked


def _things(client: Any) -> Iterator[Any]:
    for flow in sorted(client.Metaflow(), key=lambda flow: flow.id):
        yield flow
        for run in flow:
            yield run
            for step in run:
                yield step
                yield from step
            yield from run["_parameters"]


_Questions = Iterator[tuple[str, Callable[[], Any]]]


def _object(thing: Any) -> _Questions:
    kind = type(thing).__name__
    yield ".created_at", lambda: round(thing.created_at.timestamp() * 1000)
    if kind != "Task":
        yield ".list", lambda: [child.id for child in thing]
    else:
        yield ".list", lambda: sorted(child.id for child in thing)
    for name in {"Run": _OF_RUN, "Task": _OF_TASK}.get(kind, ()):
        yield f".{name}", partial(getattr, thing, name)
    if kind == "Task":
        yield ".metadata_dict", lambda: _kept(thing.metadata_dict)
    if kind in ("Run", "Task"):
        yield ".finished_at", lambda: round(thing.finished_at.timestamp() * 1000)


def _data(thing: Any) -> _Questions:
    if type(thing).__name__ == "Task":
        for artifact in sorted(thing, key=lambda artifact: artifact.id):
            if artifact.id == _ELSEWHERE:
                continue
            yield f".data.{artifact.id}", partial(getattr, artifact, "data")
            yield f"[{artifact.id!r}].sha", partial(getattr, artifact, "sha")
            yield f"[{artifact.id!r}].size", partial(getattr, artifact, "size")


def _log(thing: Any) -> _Questions:
    # The parameters' task has no datastore in its metadata, and so no logs.
    if type(thing).__name__ == "Task" and "/_parameters/" not in thing.pathspec:
        for name in ("stdout", "stderr", "stdout_size", "stderr_size"):
            yield f".{name}", partial(getattr, thing, name)


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without the locations of values, which may differ."""
    return {name: fields[name] for name in sorted(fields) if name not in ("ds-type", "ds-root")}


_KINDS: dict[str, Callable[[Any], _Questions]] = {"object": _object, "data": _data, "log": _log}


def canonical(value: Any) -> Any:  # noqa: PLR0911 - one form for each kind of value
    """Return a value as JSON by which two clients can be compared.

    >>> canonical((1, {"a": 2.5}))
    {'tuple': [1, {'dict': [['a', {'float': '2.5'}]]}]}
    """
    name = type(value).__name__
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return (
            value if len(value) <= _LONG else {"str": _digest(value.encode()), "size": len(value)}
        )
    if type(value) is bytes:
        return {"bytes": _digest(value), "size": len(value)}
    if isinstance(value, dict):
        return {"dict": [[canonical(key), canonical(item)] for key, item in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {name: sorted((canonical(item) for item in value), key=repr)}
    if isinstance(value, (list, tuple)):
        return {name: [canonical(item) for item in value]}
    if isinstance(value, (float, date, datetime)):
        return {name: str(value)}
    return {name: canonical(str(value)) if " at 0x" not in str(value) else None}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
