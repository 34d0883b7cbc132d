"""Access to whether the code was recorded, for the task whose value is being decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _unknown() -> bool | None:
    return None


#: Returns whether it was, or None if unknown; called on display, as it may wait for a network.
HAS_CODE: ContextVar[Callable[[], bool | None]] = ContextVar("has code", default=_unknown)
