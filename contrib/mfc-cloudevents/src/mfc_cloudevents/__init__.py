"""Runs that were started by CloudEvents 1.0, as noted in the metadata of their start task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfc.hookspecs import Event, hookimpl

#: The version of the plugin contract that this is written for.
MFC_CONTRACT = 1
#: Metadata fields of the start task: an event, or a batch of them, in CloudEvents' JSON format.
FIELDS = ("cloudevent", "cloudevents")


@hookimpl
def mfc_trigger(metadata: Mapping[str, Any]) -> list[Event] | None:
    """Return the events in fields `cloudevent` and `cloudevents`; None if there is neither."""
    noted = {field: metadata[field] for field in FIELDS if metadata.get(field) is not None}
    if not noted:
        return None
    from mfc_cloudevents._events import events  # the library, for runs that have such an event

    return events(noted)
