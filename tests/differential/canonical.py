"""Answers of a client in a form that two interpreters can compare.

Standard library only, and no import of a client: the same code runs beside Metaflow and beside mfc. A value is
named by its class's name and its content, never by its module, so that a stand-in of mfc for a class of Metaflow
compares equal.
"""

from __future__ import annotations

import enum
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

#: any answer of a client, or content of an artifact
Value: TypeAlias = Any
#: any JSON
Answer: TypeAlias = Any

CLIENT_OBJECTS = frozenset(
    ("Metaflow", "Flow", "Run", "Step", "Task", "DataArtifact", "MetaflowCode", "MetaflowData")
)
#: classes of Metaflow that can be in an artifact, with their fields
FIELDS = {
    "MetaflowExceptionWrapper": ("exception", "type", "stacktrace"),
    "ParallelUBF": ("num_parallel",),
    "InternalTestUnboundedForeachInput": ("iterable",),
}
LONG = 4096
SMALL_INT = 2**53


def answer(question: Callable[..., Value]) -> Answer:
    """Return the canonical form of what `question` returns or raises."""
    try:
        value = question()
    except Exception as error:  # which exception it is, is the answer
        return raised(error)
    try:
        return canonical(value)
    except Exception as error:  # a value that breaks when it is looked at is an answer too
        return {"unreadable": type(value).__name__, **raised(error)}


def raised(error: BaseException) -> Answer:
    """Return the class, the ancestors and the text of an exception."""
    shown: dict[str, Answer] = {
        "raises": type(error).__name__,
        "classes": [c.__name__ for c in type(error).__mro__],
    }
    try:
        shown["text"] = str(error)
    except Exception as failure:  # a text of Metaflow can be broken
        shown["text"] = f"no text: {type(failure).__name__}"
    return shown


def canonical(value: Value) -> Answer:
    """Return `value` as JSON: itself where JSON has the type, else `{class name: content}`."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if abs(value) < SMALL_INT else {"int": str(value)}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    for form in (_of_client, _of_scalar, _of_bytes, _of_container, _of_library, _of_iterator):
        found = form(value, kind.__name__)
        if found is not None:
            return found
    return _of_object(value, kind.__name__)


def _of_client(value: Value, name: str) -> Answer:
    if name in CLIENT_OBJECTS:
        return {name: str(value)}
    if name in ("Trigger", "MetaflowTrigger"):
        return {"Trigger": canonical(value.events)}
    if name in FIELDS:
        shown = {field: answer(lambda f=field: getattr(value, f)) for field in FIELDS[name]}
        return {name: {**shown, "str": str(value)} if name == "MetaflowExceptionWrapper" else shown}
    return None


def _of_scalar(value: Value, name: str) -> Answer:
    if isinstance(value, enum.Enum):
        return {name: [value.name, canonical(value.value)]}
    if isinstance(value, float) and type(value) is float:
        return {"float": "nan" if math.isnan(value) else repr(value)}
    if type(value) in (datetime, date):
        return {name: value.isoformat()}
    if type(value) in (complex, timedelta):
        return {name: repr(value)}
    if isinstance(value, type):
        return {"type": value.__name__}
    return None


def _of_bytes(value: Value, name: str) -> Answer:
    if not isinstance(value, (bytes, bytearray)):
        return None
    if len(value) > LONG:
        return {name: {"length": len(value), "sha256": hashlib.sha256(value).hexdigest()}}
    return {name: value.hex()}


def _of_container(value: Value, name: str) -> Answer:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields: tuple[str, ...] = value._fields
        pairs = zip(fields, value, strict=True)
        if name == "MetaflowArtifacts":
            return {name: [[field, canonical(item)] for field, item in pairs]}
        return {name: {field: canonical(item) for field, item in pairs}, "namedtuple": True}
    if isinstance(value, (list, tuple)):
        return {name: [canonical(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {name: sorted((canonical(item) for item in value), key=repr)}
    if isinstance(value, Mapping):
        return {name: [[canonical(key), canonical(item)] for key, item in value.items()]}
    return None


def _of_library(value: Value, name: str) -> Answer:
    library = type(value).__module__.partition(".")[0]
    if library == "numpy" and name == "ndarray":
        return {name: [str(value.dtype), list(value.shape), canonical(value.tolist())]}
    if library == "numpy" and hasattr(value, "item"):
        return {name: [str(value.dtype), canonical(value.item())]}
    if library == "pandas" and name == "DataFrame":
        columns = [
            [canonical(c), str(value[c].dtype), [str(v) for v in value[c]]] for c in value.columns
        ]
        return {name: [columns, [str(v) for v in value.index]]}
    if library == "pandas" and name == "Series":
        content = [
            str(value.dtype),
            value.name,
            [str(v) for v in value],
            [str(v) for v in value.index],
        ]
        return {name: content}
    return None


def _of_iterator(value: Value, _: str) -> Answer:
    if not isinstance(value, Iterator):
        return None
    items: list[Answer] = []
    shown: dict[str, Answer] = {"iterator": items}
    try:
        items.extend(canonical(item) for item in value)
    except Exception as error:  # what came before the exception stays
        shown.update(raised(error))
    return shown


def _of_object(value: Value, name: str) -> Answer:
    if isinstance(value, BaseException):
        return {name: canonical(list(value.args))}
    text = str(value)
    return (
        {name: text if " at 0x" not in text else sorted(vars(value))}
        if not inspect.isroutine(value)
        else {"callable": name}
    )
