"""When attempts started and ended, by the marks in metadata."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from mfc.model import MetadataRecord, whole_number

STARTED, ENDED = "attempt", "attempt-done"


def local_time(milliseconds: int) -> datetime:
    """Return a time in Metaflow's form: naive, in the local time zone."""
    return datetime.fromtimestamp(milliseconds / 1000.0)  # noqa: DTZ006 - Metaflow's answer


class Span(NamedTuple):
    """Start and end of an attempt, in ms since 1970 UTC; None where that was not recorded."""

    started: int | None = None
    ended: int | None = None

    @property
    def duration(self) -> timedelta | None:
        """The time from start to end; None if one of them was not recorded."""
        if self.started is None or self.ended is None:
            return None
        return timedelta(milliseconds=self.ended - self.started)


def spans_of(records: Iterable[MetadataRecord]) -> dict[int, Span]:
    """Return start and end of each attempt that a task recorded, by number.

    A clone has an end, and no start.
    """
    spans: dict[int, Span] = {}
    for record in sorted(records, key=lambda record: record.created):
        number = whole_number(record.value) if record.name in (STARTED, ENDED) else None
        if number is not None:
            span = spans.get(number, Span())
            if record.name == ENDED:
                spans[number] = span._replace(ended=record.created)
            elif span.started is None:
                spans[number] = span._replace(started=record.created)
    return dict(sorted(spans.items()))


def last_ended(spans: dict[int, Span]) -> Span:
    """Return the attempt that ended last."""
    return max(spans.values(), key=lambda span: span.ended or 0, default=Span())
