"""CloudEvents in JSON as events of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from mfc.errors import warn
from mfc.hookspecs import Event

#: Attributes that the library invents if they are missing.
_NOT_TO_BE_INVENTED = ("id", "specversion")
#: An event's payload; it is ignored, and may be large or badly encoded.
_PAYLOAD = ("data", "data_base64")


def events(noted: Mapping[str, Any]) -> list[Event]:
    """Return the events in metadata fields; an event that was delivered twice is returned once.

    Args:
        noted: field → an event or a list of events, as JSON text or decoded. Invalid ones are left
            out with a warning.

    Source:
        CloudEvents 1.0.2: structured JSON format and JSON batch format; `source` and `id` together
        identify an event.
    """
    found: dict[tuple[str, str], Event] = {}
    for field, value in noted.items():
        for place, entry in _entries(field, value):
            if (event := _event(place, entry)) is not None:
                found.setdefault((entry["source"], entry["id"]), event)
    return list(found.values())


def _entries(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield candidates for events, each with its position."""
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as cause:
        _left_out(field, f"not JSON ({cause})")
        return
    if isinstance(decoded, list):
        yield from ((f"{field}[{number}]", entry) for number, entry in enumerate(decoded))
    else:
        yield field, decoded


def _event(place: str, entry: Any) -> Event | None:
    """Return the event in decoded JSON; None, with a warning, if it is invalid."""
    try:
        event = _read(entry)
        return Event(event.get_type(), event.get_id(), _seconds(event, entry), "event")
    except (BaseCloudEventException, ValueError, OverflowError) as cause:
        _left_out(place, str(cause))
        return None


def _read(entry: Any) -> CloudEvent:
    """Return the event in decoded JSON, checked by the library.

    Raises:
        BaseCloudEventException: an attribute is missing or violates the specification.
        ValueError: the value is not a JSON object, lacks its identity, or has an invalid time.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"expected a JSON object, found {type(entry).__name__}")  # noqa: TRY004 - data, not an argument
    for name in _NOT_TO_BE_INVENTED:
        if name not in entry:
            raise ValueError(f"it has no {name}")
    attributes = {name: value for name, value in entry.items() if name not in _PAYLOAD}
    try:
        event = JSONFormat().read(CloudEvent, json.dumps(attributes))
    except (TypeError, ValueError) as cause:
        raise ValueError(f"its time {entry.get('time')!r} is invalid ({cause})") from cause
    assert isinstance(event, CloudEvent)  # noqa: S101 - the factory returns this type
    return event


def _seconds(event: CloudEvent, entry: Mapping[str, Any]) -> float | None:
    """Return the time of an event; for a missing time the library gives the current one."""
    moment = event.get_time()
    return moment.timestamp() if moment is not None and "time" in entry else None


def _left_out(place: str, reason: str) -> None:
    warn(
        f"Left out of the events that started a run: {place}: {reason}",
    )
