"""Triggers in the form that Metaflow's orchestrators record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mfc.hookspecs import Event, hookimpl

#: The metadata field of the start task that lists the events.
FIELD = "execution-triggers"


@hookimpl(trylast=True)
def mfc_trigger(metadata: Mapping[str, Any]) -> list[Event] | None:
    """Return the events in field `execution-triggers`; malformed entries are left out.

    Source:
        Metaflow 2.19, `plugins.argo.argo_workflows_decorator` and `events.Trigger`.
    """
    try:
        entries = json.loads(metadata.get(FIELD) or "null")
    except (TypeError, ValueError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    return [
        Event(entry.get("name"), entry.get("id"), entry.get("timestamp"), entry.get("type"))
        for entry in entries
        if isinstance(entry, dict)
    ]
