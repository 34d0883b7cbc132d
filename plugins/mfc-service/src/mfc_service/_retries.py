"""Which requests to retry, and how long to wait before."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

#: Statuses of an overloaded server or a proxy: a retry may succeed.
PASSING = frozenset({429, 502, 503, 504})
#: Seconds before the first retry, doubled each time, and at most.
_FIRST, _MOST = 0.1, 8.0


class Budget:
    """The retry budget of a process for one service; successful requests refill it.

    Without it, many clients would answer an outage with a multiple of their requests.
    """

    #: Retries at the start and at most, and the share that a successful request earns.
    FULL, EARNED = 30.0, 0.2

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = self.FULL

    def earn(self) -> None:
        """Note a successful request."""
        if self._left < self.FULL:
            with self._lock:
                self._left = min(self.FULL, self._left + self.EARNED)

    def spend(self) -> bool:
        """Take one retry; return False if the budget is spent."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def pause(attempt: int, headers: Mapping[str, str]) -> float:
    """Return the seconds to wait before the next attempt.

    Args:
        attempt: number of attempts so far, from 1.
        headers: of the last answer, if one came; its `Retry-After` is the least pause.
    """
    # With jitter: clients that failed together must not come back together.
    longest: float = min(_FIRST * 2 ** (attempt - 1), _MOST)
    own = random.uniform(longest / 2, longest)  # noqa: S311, no secret depends on it
    return _told(headers.get("Retry-After", "")) + own


def _told(text: str) -> float:
    """Return the seconds of a `Retry-After`; 0 if it is invalid."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max((moment - datetime.now(timezone.utc)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
