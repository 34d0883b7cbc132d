"""Timeouts of obstore: all tries of a read together keep one deadline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

#: Most seconds to connect: connecting takes one round trip, and lost packets are sent again.
_CONNECT = 5.0
#: A body may take as long as it makes progress.
_EVER = timedelta(days=1)


def client_limits(seconds: float) -> dict[str, Any]:
    """Return the limits of one try: a third of the deadline for each step of it."""
    return {
        "connect_timeout": timedelta(seconds=min(seconds / 3, _CONNECT)),
        "read_timeout": timedelta(seconds=seconds / 3),
        "timeout": _EVER,
    }


def retry_limits(seconds: float, retries: int) -> dict[str, Any]:
    """Return the limits of all tries: the last one starts early enough for the deadline."""
    return {
        "max_retries": retries,
        "backoff": {
            "init_backoff": timedelta(seconds=min(0.1, seconds / 30)),
            "max_backoff": timedelta(seconds=seconds / 30),
            "base": 2,
        },
        "retry_timeout": timedelta(seconds=seconds * 0.6),
    }
