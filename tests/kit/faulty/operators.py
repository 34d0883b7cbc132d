"""Faulty providers made from a right one by operators: the same mistake at each possible place."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from mfc.model import Pathspec

LISTINGS = ("children", "metadata", "artifacts", "recent")
METHODS = ("get", *LISTINGS)
PARTS = ("tags", "since", "until", "user", "names", "metadata", "limit")
#: Text of each kind of record that can be changed.
FIELDS = {
    "children": ("user",),
    "artifacts": ("location", "encoding", "ds_type"),
    "metadata": ("value", "type"),
}


def listed(method: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[type], type]:
    """Return an operator that changes the records of a listing."""

    def operator(right: type) -> type:
        def call(self: Any, *given: Any, **named: Any) -> Iterator[Any]:
            return iter(change(list(getattr(right, method)(self, *given, **named))))

        return type(right.__name__, (right,), {method: call})

    return operator


def recorded(field: str, change: Callable[[Any], Any]) -> Callable[[type], type]:
    """Return an operator that changes a field of every record that has it."""

    def changed(record: Any) -> Any:
        if record is None or not hasattr(record, field):
            return record
        return attrs.evolve(record, **{field: change(getattr(record, field))})

    def operator(right: type) -> type:
        def of(method: str) -> Callable[..., Any]:
            def call(self: Any, *given: Any, **named: Any) -> Any:
                found = getattr(right, method)(self, *given, **named)
                return changed(found) if method == "get" else map(changed, found)

            return call

        return type(right.__name__, (right,), {method: of(method) for method in METHODS})

    return operator


def asked(part: str, change: Callable[[Any], Any]) -> Callable[[type], type]:
    """Return an operator that changes a part of every query."""

    def operator(right: type) -> type:
        def children(self: Any, path: Pathspec, query: Any) -> Any:
            if part in query.parts():
                query = attrs.evolve(query, **{part: change(getattr(query, part))})
            return right.children(self, path, query)

        return type(right.__name__, (right,), {"children": children})

    return operator


def kept(method: str, *, empty: bool) -> Callable[[type], type]:
    """Return an operator that keeps answers: all, or only the empty ones."""

    def operator(right: type) -> type:
        def call(self: Any, *given: Any) -> Any:
            known = self.shared.setdefault(method, {})
            key = (self.address, *(tuple(v) if isinstance(v, (list, set)) else v for v in given))
            if key not in known:
                found = getattr(right, method)(self, *given)
                found = found if method == "get" else list(found)
                if bool(found) == empty:
                    return found if method == "get" else iter(found)
                known[key] = found
            return known[key] if method == "get" else iter(known[key])

        return type(right.__name__, (right,), {method: call})

    return operator


def swallowing(method: str) -> Callable[[type], type]:
    """Return an operator that takes every failure for the end."""

    def operator(right: type) -> type:
        def listing(self: Any, *given: Any, **named: Any) -> Iterator[Any]:
            try:
                yield from getattr(right, method)(self, *given, **named)
            except Exception:
                return

        def single(self: Any, *given: Any, **named: Any) -> Any:
            try:
                return getattr(right, method)(self, *given, **named)
            except Exception:
                return None

        return type(right.__name__, (right,), {method: single if method == "get" else listing})

    return operator


def waiting(method: str) -> Callable[[type], type]:
    """Return an operator that makes a method async."""

    def operator(right: type) -> type:
        async def call(self: Any, *given: Any, **named: Any) -> Any:
            return getattr(right, method)(self, *given, **named)

        return type(right.__name__, (right,), {method: call})

    return operator


def elsewhere(method: str) -> Callable[[type], type]:
    """Return an operator that takes a path for the first that begins like it."""

    def operator(right: type) -> type:
        def call(self: Any, path: Pathspec, *given: Any, **named: Any) -> Any:
            rows = self.rows(
                "select path from objects where substr(path, 1, length(?1)) = ?1 and level = ?2"
                " order by path desc limit 1",
                str(path),
                int(path.level),
            )
            return getattr(right, method)(
                self,
                Pathspec(tuple(rows[0][0].split("/"))) if rows and path.level else path,
                *given,
                **named,
            )

        return type(right.__name__, (right,), {method: call})

    return operator


def attempts(change: Callable[[Any], Any]) -> Callable[[type], type]:
    """Return an operator that queries another attempt."""

    def operator(right: type) -> type:
        def artifacts(self: Any, path: Pathspec, names: Any = None, attempt: Any = None) -> Any:
            return right.artifacts(self, path, names, change(attempt))

        return type(right.__name__, (right,), {"artifacts": artifacts})

    return operator


def text(change: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a function that changes text and nothing else."""

    @functools.wraps(change)
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    return changed


LIST_CHANGES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "backwards": lambda found: found[::-1],
    "without the first": lambda found: found[1:] if len(found) > 1 else found,
    "without the last": lambda found: found[:-1] if len(found) > 1 else found,
    "the first twice": lambda found: found[:1] + found,
    "only 1000": lambda found: found[:1000],
}
TEXT_CHANGES: dict[str, Callable[[str], Any]] = {
    "stripped": str.strip,
    "lower": str.lower,
    "composed": lambda value: unicodedata.normalize("NFC", value),
    "cut at 255": lambda value: value[:255],
    "None if empty": lambda value: value or None,
    "of one line": lambda value: " ".join(value.splitlines()) if "\n" in value else value,
}


def made() -> dict[str, Callable[[type], type]]:
    """Return all operators, by their effect."""
    return {**_of_methods(), **_of_fields(), **_of_queries()}


def _of_methods() -> dict[str, Callable[[type], type]]:
    found: dict[str, Callable[[type], type]] = {}
    for method in LISTINGS:
        for name, change in LIST_CHANGES.items():
            if (method, name) not in EQUIVALENT:
                found[f"{method} {name}"] = listed(method, change)
    for method in METHODS:
        found[f"{method} kept"] = kept(method, empty=False)
        found[f"{method} kept if empty"] = kept(method, empty=True)
        found[f"{method} swallows"] = swallowing(method)
        found[f"{method} async"] = waiting(method)
        found[f"{method} by beginning"] = elsewhere(method)
    found["attempt ignored"] = attempts(lambda _: None)
    found["attempt 0 is the last"] = attempts(lambda attempt: attempt or None)
    found["the first attempt"] = attempts(lambda attempt: attempt or 0)
    return found


def _of_fields() -> dict[str, Callable[[type], type]]:
    found: dict[str, Callable[[type], type]] = {}
    for field in (field for fields in FIELDS.values() for field in fields):
        for name, words in TEXT_CHANGES.items():
            if (field, name) not in EQUIVALENT:
                found[f"{field} {name}"] = recorded(field, text(words))
    found["created in seconds"] = recorded("created", lambda at: at // 1000 * 1000)
    found["created from 1"] = recorded("created", lambda at: at or 1)
    found["attempt from 1"] = recorded("attempt", lambda at: at if at is None else at + 1)
    return found


def _of_queries() -> dict[str, Callable[[type], type]]:
    found: dict[str, Callable[[type], type]] = {}
    for part in PARTS:
        found[f"{part} dropped"] = asked(part, lambda _, part=part: () if part == "tags" else None)
    for part in ("since", "until", "limit"):
        found[f"{part} one more"] = asked(part, lambda value: value + 1)
        found[f"{part} one less"] = asked(part, lambda value: max(value - 1, 0))
    for part in ("tags", "names"):
        found[f"{part} one of them"] = asked(part, lambda value: frozenset(sorted(value)[:1]))
        found[f"{part} stripped"] = asked(part, lambda value: {item.strip() for item in value})
        found[f"{part} lower"] = asked(part, lambda value: {item.lower() for item in value})
    found["user stripped"] = asked("user", str.strip)
    found["metadata anywhere"] = asked("metadata", lambda pair: (pair[0], f".*(?:{pair[1]}).*"))
    found["metadata any case"] = asked("metadata", lambda pair: (pair[0], f"(?i:{pair[1]})"))
    return found


#: Operators without an effect on the contract, with the reason.
EQUIVALENT = {
    ("recent", "backwards"): "the contract names no order across tasks",
    ("recent", "only 1000"): "no kit makes a run with a thousand fields; bulk-many has the like",
    ("artifacts", "only 1000"): "as above",
    ("metadata", "only 1000"): "as above",
    ("user", "None if empty"): "nobody is called nothing",
    ("user", "of one line"): "no user has two lines",
    ("user", "cut at 255"): "no user is as long",
    ("ds_type", "None if empty"): "no datastore has an empty type",
    ("ds_type", "composed"): "types are ASCII",
    ("ds_type", "cut at 255"): "no type is as long",
    ("ds_type", "of one line"): "no type has two lines",
    ("ds_type", "stripped"): "types have no blanks",
}
