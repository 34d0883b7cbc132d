"""Metadata of tasks: which attempt it belongs to, and what a clone takes from its origin."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from mfc._session._scope import Scope
from mfc._storage._place import Place, place
from mfc.errors import DatastoreError
from mfc.model import MetadataRecord, Pathspec, is_name, whole_number
from mfc.query import Query

CODE = "code-package"
ORIGIN_RUN = "origin-run-id"
ORIGIN_TASK = "origin-task-id"
#: Fields that name the origin of a clone.
ORIGIN = (ORIGIN_RUN, ORIGIN_TASK)
#: The origin that Metaflow writes where a task has none.
_NONE = "None"


def of_attempt(records: Iterable[MetadataRecord], attempt: int | None) -> list[MetadataRecord]:
    """Return the metadata of one attempt; of all if it is None.

    Where a record does not say its attempt (Metaflow before 2.4), those between the start of the
    attempt and the start of the next one count. A clone has no start: it is what was recorded
    until its end.

    Source:
        Metaflow 2.19, `MetadataProvider._reconstruct_metadata_for_attempt`.
    """
    known = list(records)
    if attempt is None:
        return known
    if all(record.attempt is not None for record in known):
        return [record for record in known if record.attempt == attempt]
    starts = {
        number: record.created
        for record in known
        if record.name == "attempt" and (number := whole_number(record.value)) is not None
    }
    begin = starts.get(attempt)
    if begin is None and any(record.attempt is not None for record in known):
        return []  # it would have noted its start
    if begin is None:
        ends = {
            number: record.created
            for record in known
            if record.name == "attempt-done" and (number := whole_number(record.value)) is not None
        }
        if attempt not in ends:
            return []
        begin = 1 + max((end for number, end in ends.items() if number < attempt), default=-1)
    end = starts.get(attempt + 1)
    return [
        record
        for record in known
        if begin <= record.created and (end is None or record.created < end)
    ]


def newest(records: Iterable[MetadataRecord]) -> dict[str, Any]:
    """Return the last value of each field."""
    return {r.name: r.value for r in sorted(records, key=lambda record: record.created)}


def origin_of(task: Pathspec, fields: dict[str, Any]) -> Pathspec | None:
    """Return the task that `task` is a clone of, None if it ran itself."""
    run, task_id = origin_name(fields.get(ORIGIN_RUN)), origin_name(fields.get(ORIGIN_TASK))
    if run is None or task_id is None:
        return None
    flow, _, step, _ = task.components
    return Pathspec((flow, run, step, task_id))


def origin_name(value: object) -> str | None:
    """Return the name that an origin's field gives; None without an origin.

    Text that cannot be a name could lead out of the flow, so it is ignored.
    """
    name = str(value) if isinstance(value, (str, int)) else ""
    return name if is_name(name) and name != _NONE else None


def recorded_store(scope: Scope, task: Pathspec, fields: dict[str, Any]) -> Place | None:
    """Return where the metadata of a task says that its datastore is; None if it does not.

    Raises:
        DatastoreError: what it says does not name a datastore.
    """
    ds_type, root = fields.get("ds-type"), fields.get("ds-root")
    if not ds_type or not root:
        return None
    return store_at(scope, task, ds_type, root)


def store_at(scope: Scope, task: Pathspec, ds_type: object, root: object) -> Place:
    """Return a datastore by what was recorded of it.

    Raises:
        DatastoreError: that is not text.
    """
    if not isinstance(ds_type, str) or not isinstance(root, str):
        raise DatastoreError(f"Task {task}", "", "its record of its datastore is not text")
    roots = scope.roots(ds_type)
    found = place(ds_type, root, task.components[0], roots)
    return scope.reader.bound_to_roots(found, roots, f"Task {task}")


def with_origins(
    scope: Scope,
    task: Pathspec,
    records: list[MetadataRecord],
    names: Collection[str] | None = None,
) -> list[MetadataRecord]:
    """Return `records` and, of a clone, the newest value of every other field of its origin.

    The origin may be a clone itself. One that is gone adds nothing.

    Args:
        scope: where origins are looked up.
        task: the task that `records` are about.
        records: its own metadata.
        names: the only fields wanted; None for all.
    """
    found, seen, at = list(records), {task}, task
    wanted = None if names is None else {*names, *ORIGIN}
    origin = origin_of(at, newest(records))
    while origin is not None and origin not in seen:
        seen.add(origin)
        theirs = list(scope.provider.metadata(origin, wanted))
        present = {record.name for record in found}
        latest = {r.name: r for r in sorted(theirs, key=lambda record: record.created)}
        found += [record for name, record in latest.items() if name not in present]
        origin = origin_of(origin, newest(theirs))
    return found


def field_by_task(scope: Scope, step: Pathspec, name: str) -> dict[Pathspec, Any]:
    """Return the newest value of a field for every task of a step that has it, or whose origin has.

    Args:
        scope: where to look.
        step: path of a step.
        name: the field.
    """
    by_task: dict[Pathspec, list[MetadataRecord]] = {}
    for record in scope.provider.metadata(step, (name, *ORIGIN)):
        by_task.setdefault(record.task, []).append(record)
    values: dict[Pathspec, Any] = {}
    for task, records in by_task.items():
        fields = newest(records)
        if name not in fields and origin_of(task, fields) is not None:
            fields = newest(with_origins(scope, task, records, (name,)))
        if name in fields:
            values[task] = fields[name]
    return values


def recorded_endpoint(scope: Scope, run: Pathspec, which: str) -> str | None:
    """Return the name of the `start` or `end` step that a run recorded, None if it did not."""
    field, step = f"{which}_step", run.child("_parameters")
    provider = scope.provider
    # Nearly always it has its usual name, which some backends can tell cheaply.
    if provider.capabilities.full("metadata"):
        usual = Query(metadata=(field, which), limit=1)
        if any(True for _ in provider.children(step, usual)):
            return which
    found = newest(provider.metadata(step, (field,))).get(field)
    return found if isinstance(found, str) and found else None
