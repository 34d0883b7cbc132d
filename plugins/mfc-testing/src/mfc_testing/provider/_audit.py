"""Run every query on a history, and compare the answers with the model's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from mfc.hookspecs import Recent
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_testing._contract import equal
from mfc_testing.memory import MemoryProvider
from mfc_testing.provider._asking import Asked, shown_listing

_ATTEMPTS = (None, 0, 1, 2)


def audit(  # noqa: PLR0913 - the query, and its text for failures
    asked: Asked,
    model: MemoryProvider,
    below: Pathspec = Pathspec(),  # noqa: B008 - frozen
    *,
    when: str = "",
    attempts: Sequence[int | None] = _ATTEMPTS,
    records_only: bool = False,
) -> None:
    """Compare every answer at and below a path with the model's.

    Args:
        asked: the provider.
        model: the expected answers.
        below: the path to begin at.
        when: the events before, as text for failures.
        attempts: the attempts to query; only None where the provider does not know attempts.
        records_only: leave out artifacts and metadata.

    Raises:
        ClauseBroken: an answer differs.
    """
    __tracebackhide__ = True
    after = f", {when}" if when else ""
    told = [a for a in attempts if a is None or asked.capabilities.full("attempts")]
    for path in (below, *model.known(below)):
        if path.level:
            equal(f"get({str(path)!r}){after}", model.get(path), asked.get(path))
        if path.level < Level.TASK:
            expected = list(model.children(path, Query()))
            given = shown_listing(path, Query()) + after
            same_records(given, expected, asked.children(path), ordered=in_order(asked))
        if not records_only:
            _audit_tasks(asked, model, path, after, told)


def _audit_tasks(
    asked: Asked, model: MemoryProvider, path: Pathspec, after: str, attempts: Sequence[int | None]
) -> None:
    """Compare artifacts and metadata of a task, or in bulk."""
    __tracebackhide__ = True
    bulk = asked.capabilities.full("bulk") and path.level in (Level.STEP, Level.RUN)
    if bulk or path.level is Level.TASK:
        given = f"metadata({str(path)!r}){after}"
        single = path.level is Level.TASK
        same_metadata(given, model.metadata(path), asked.metadata(path), ordered=single)
        for attempt in attempts:
            given = f"artifacts({str(path)!r}, None, {attempt}){after}"
            made = model.artifacts(path, None, attempt)
            same_artifacts(given, made, asked.artifacts(path, None, attempt))
    if path.level is Level.RUN and isinstance(asked.provider, Recent):
        given = f"recent({str(path)!r}, 0){after}"
        same_metadata(given, model.recent(path, 0), asked.recent(path, 0))
    if path.level is Level.TASK:
        for name in sorted({record.path.name for record in model.artifacts(path)}):
            for attempt in attempts:
                at = path.child(name)
                given = f"get({str(at)!r}, {attempt}){after}"
                equal(given, model.get(at, attempt), asked.get(at, attempt))


def in_order(asked: Asked) -> bool:
    """Tell whether children come newest first."""
    return asked.capabilities.full("order")


def same_records(
    given: str, expected: Iterable[Record], got: Sequence[Record], *, ordered: bool
) -> None:
    """Compare listings; records of one time may come in any order.

    Raises:
        ClauseBroken: they differ.
    """
    __tracebackhide__ = True
    right = list(expected)
    if ordered:
        equal(f"times of {given}", [r.created for r in right], [r.created for r in got])
    _same(given, right, got, lambda record: record.path.components)


def same_metadata(
    given: str,
    expected: Iterable[MetadataRecord],
    got: Sequence[MetadataRecord],
    *,
    ordered: bool = False,
) -> None:
    """Compare metadata of one or more tasks; that of a single one comes oldest first.

    Raises:
        ClauseBroken: they differ.
    """
    __tracebackhide__ = True
    _same(given, list(expected), got, lambda r: (r.task.components, r.name, r.created))
    if ordered:
        times = [record.created for record in got]
        equal(f"times of {given}", sorted(times), times)


def same_artifacts(
    given: str, expected: Iterable[ArtifactRecord], got: Sequence[ArtifactRecord]
) -> None:
    """Compare artifacts of one or more tasks: newest first within each.

    Raises:
        ClauseBroken: they differ.
    """
    __tracebackhide__ = True
    _same(given, list(expected), got, lambda r: (r.path.components, r.attempt))
    for task in {record.path.parent for record in got}:
        times = [record.created for record in got if record.path.parent == task]
        equal(f"times of {given}, of {task}", sorted(times, reverse=True), times)


def _same(given: str, expected: Sequence[Any], got: Sequence[Any], key: Any) -> None:
    __tracebackhide__ = True
    right, found = ({_text(key(r)): r for r in records} for records in (expected, got))
    missing, strange = sorted(right.keys() - found.keys()), sorted(found.keys() - right.keys())
    equal(f"{given}: which are missing", [], missing)
    equal(f"{given}: which are of others, or of nothing", [], strange)
    equal(f"{given}: how many, each once", len(right), len(got))
    for name, record in right.items():
        _alike(f"{given}: {name}", record, found[name])


def _alike(given: str, expected: Any, got: Any) -> None:
    """Compare two records field by field, so that a failure names the one that differs."""
    __tracebackhide__ = True
    for field in attrs.fields(type(expected)):
        wanted = getattr(expected, field.name)
        equal(f"{given}: {field.name}", wanted, getattr(got, field.name))


def _text(key: object) -> str:
    return ", ".join(str("/".join(k) if isinstance(k, tuple) else k) for k in _parts(key))


def _parts(key: object) -> list[object]:
    if isinstance(key, tuple) and any(not isinstance(part, str) for part in key):
        return list(key)
    return [key]
