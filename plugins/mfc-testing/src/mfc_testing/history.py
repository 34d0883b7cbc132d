"""What the kit puts behind a provider's back."""

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
    """Records as somebody's flows left them, in no order.

    Parents are there: in the same history, or in one that was put before. A record that is put
    again replaces the one that was there.

    A provider must answer as if Metaflow had recorded just this. Within a task no field of
    metadata has two values of one moment, and no attempt two artifacts of one name.
    """

    #: Flows, runs, steps and tasks.
    records: tuple[Record, ...] = attrs.field(default=(), converter=_records)
    #: Artifacts, of any attempt. Their tags say nothing: those of the run count.
    artifacts: tuple[ArtifactRecord, ...] = attrs.field(default=(), converter=_artifacts)
    metadata: tuple[MetadataRecord, ...] = attrs.field(default=(), converter=_metadata)

    def __add__(self, other: History) -> History:
        """Return all of both."""
        return History(
            self.records + other.records,
            self.artifacts + other.artifacts,
            self.metadata + other.metadata,
        )


class Backend(Protocol):
    """One place with records, empty at first: what the author of a provider gives to the kit.

    With a method `recordable(history)`, which returns the history without what Metaflow never
    records there (in a database that knows no lists, values are text; some have artifacts of
    finished attempts alone), the kit asks about that. Only artifacts and metadata may change.

    With a method `damage(path)`, which spoils the record of a run or a task, the kit also asks what
    becomes of it. Spoil it in each way that the backend can be: content, name, index, in turn.
    """

    def provider(self, meter: Meter) -> MetadataProvider:
        """Return a new provider on this place, as the plugin's hook makes it."""

    def put(self, history: History) -> None:
        """Record a history, behind the back of every provider, besides what is there."""


def recordable(backend: Backend, history: History) -> History:
    """Return what of a history Metaflow can record on a backend: all, unless it says otherwise.

    Raises:
        ValueError: the backend leaves out objects, which all of them have.
    """
    adapt = getattr(backend, "recordable", None)
    adapted: History = adapt(history) if adapt is not None else history
    if adapted.records != history.records:
        raise ValueError("flows, runs, steps and tasks can be recorded on every backend")
    return adapted


_NAMES = ("flow_id", "run_number", "step_name", "task_id", "name")
_OWNERS = {Level.RUN, Level.STEP, Level.TASK, Level.ARTIFACT}


def fields(record: Record | MetadataRecord) -> dict[str, Any]:
    """Return a record as Metaflow's JSON spells it: what the `of_json` of its class reads.

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
