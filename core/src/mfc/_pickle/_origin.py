"""Whether the code of the task whose value is being decoded was recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _unknown() -> bool | None:
    return None


#: Tells it, None where nobody can; whoever shows it asks, for that may wait for a network.
HAS_CODE: ContextVar[Callable[[], bool | None]] = ContextVar("has code", default=_unknown)
