"""From CloudEvents in JSON to the events of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from mfc.errors import warn
from mfc.hookspecs import Event

#: Attributes that the library would make up for an event that has none.
_NOT_TO_BE_INVENTED = ("id", "specversion")
#: What an event carries; nothing here looks at it, and it may be large or badly encoded.
_PAYLOAD = ("data", "data_base64")


def events(noted: Mapping[str, Any]) -> list[Event]:
    """Return the events in metadata fields; one that was delivered twice is returned once.

    Args:
        noted: field → an event or a list of events, as JSON text or decoded. What is none is
            left out with a warning.

    Source:
        CloudEvents 1.0.2: structured JSON format and JSON batch format; `source` and `id`
        together tell an event from others.
    """
    found: dict[tuple[str, str], Event] = {}
    for field, value in noted.items():
        for place, entry in _entries(field, value):
            if (event := _event(place, entry)) is not None:
                found.setdefault((entry["source"], entry["id"]), event)
    return list(found.values())


def _entries(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what may be events, each with where it is."""
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
    """Return the event that decoded JSON describes; None, with a warning, if it is none."""
    try:
        event = _read(entry)
        return Event(event.get_type(), event.get_id(), _seconds(event, entry), "event")
    except (BaseCloudEventException, ValueError, OverflowError) as cause:
        _left_out(place, str(cause))
        return None


def _read(entry: Any) -> CloudEvent:
    """Return the event that decoded JSON describes, checked by the library.

    Raises:
        BaseCloudEventException: an attribute is missing or not what the specification says.
        ValueError: it is no JSON object, lacks what tells it from others, or its time is none.
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
        raise ValueError(f"its time {entry.get('time')!r} is none ({cause})") from cause
    assert isinstance(event, CloudEvent)  # noqa: S101 - that is what the factory makes
    return event


def _seconds(event: CloudEvent, entry: Mapping[str, Any]) -> float | None:
    """Return when it happened; where nothing was noted, the library says now, which it was not."""
    moment = event.get_time()
    return moment.timestamp() if moment is not None and "time" in entry else None


def _left_out(place: str, reason: str) -> None:
    warn(
        f"Left out of the events that started a run: {place}: {reason}",
    )
