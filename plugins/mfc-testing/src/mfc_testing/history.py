"""Histories that the kit records on a backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import attrs

from mfc.hookspecs import MetadataProvider, Meter
from mfc.model import ArtifactRecord, Level, MetadataRecord, Record


def _records(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(records)


def _artifacts(records: Iterable[ArtifactRecord]) -> tuple[ArtifactRecord, ...]:
    return tuple(records)


def _metadata(records: Iterable[MetadataRecord]) -> tuple[MetadataRecord, ...]:
    return tuple(records)


@attrs.frozen
class History:
    """Records as flows left them, in no order.

    Every record's parent is in the same history or an earlier one. A record that is put again
    replaces the earlier one.

    A provider must answer as if Metaflow had recorded just this. Within a task, the values of a
    metadata field have different times, and the artifacts of an attempt different names.
    """

    #: Flows, runs, steps and tasks.
    records: tuple[Record, ...] = attrs.field(default=(), converter=_records)
    #: Artifacts, of any attempt. Their own tags are ignored: those of the run count.
    artifacts: tuple[ArtifactRecord, ...] = attrs.field(default=(), converter=_artifacts)
    metadata: tuple[MetadataRecord, ...] = attrs.field(default=(), converter=_metadata)

    def __add__(self, other: History) -> History:
        """Return the records of both."""
        return History(
            self.records + other.records,
            self.artifacts + other.artifacts,
            self.metadata + other.metadata,
        )


class Backend(Protocol):
    """One place with records, empty at first; the author of a provider gives it to the kit.

    An optional method `recordable(history)` returns the history without what Metaflow never records
    there, and the kit expects just that: a database without lists has values as text, and some
    backends have only artifacts of finished attempts. Only artifacts and metadata may change.

    An optional method `damage(path)` spoils the record of a run or a task; the kit then also checks
    damaged records. Spoil it in each way that the backend can be spoilt: content, name, index, in
    turn.
    """

    def provider(self, meter: Meter) -> MetadataProvider:
        """Return a new provider on this place, as the plugin's hook makes it."""

    def put(self, history: History) -> None:
        """Record a history, bypassing every provider, in addition to earlier ones."""


def recordable(backend: Backend, history: History) -> History:
    """Return the part of a history that a backend can hold; everything by default.

    Raises:
        ValueError: the backend leaves out objects, which all backends can hold.
    """
    adapt = getattr(backend, "recordable", None)
    adapted: History = adapt(history) if adapt is not None else history
    if adapted.records != history.records:
        raise ValueError("flows, runs, steps and tasks can be recorded on every backend")
    return adapted


_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
_OWNERS = {Level.RUN, Level.STEP, Level.TASK, Level.ARTIFACT}


def fields(record: Record | MetadataRecord) -> dict[str, Any]:
    """Return a record as Metaflow's JSON spells it, for the `of_json` of its class.

    >>> from mfc.model import Pathspec
    >>> fields(Record(Pathspec(("F", "7")), created=1000))["run_number"]
    '7'
    """
    if isinstance(record, MetadataRecord):
        attempt = [] if record.attempt is None else [f"attempt_id:{record.attempt}"]
        return {
            **dict(zip(_NAMES, record.task.components, strict=False)),
            "field_name": record.name,
            "value": record.value,
            "type": record.type,
            "tags": attempt,
            "ts_epoch": record.created,
        }
    made: dict[str, Any] = {
        **dict(zip(_NAMES, record.path.components, strict=False)),
        "ts_epoch": record.created,
    }
    if record.path.level in _OWNERS:
        made |= {
            "user_name": record.user,
            "tags": sorted(record.tags),
            "system_tags": sorted(record.system_tags),
        }
    if isinstance(record, ArtifactRecord):
        made |= {
            "attempt_id": record.attempt,
            "sha": record.sha,
            "ds_type": record.ds_type,
            "location": record.location,
            "content_type": record.encoding,
        }
    return made
