"""Concurrent equal calls of several threads, made once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mfc._concurrency._forks import fork_safe

T = TypeVar("T")

#: Limit of answers not yet consumed, and of keys of consumed ones.
_KEPT = 1024


class Flights(Generic[T]):
    """Calls in flight by key, and small answers until they are consumed.

    A second call for a key in flight joins the first: it gets the same answer or error. A forked
    child does not wait for the calls of its parent.

    Args:
        is_small: tells whether an answer is small enough to keep until it is consumed.
    """

    def __init__(self, is_small: Callable[[T], bool]) -> None:
        self._is_small = is_small
        self._lock = fork_safe(threading.Lock())
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._landed: dict[Hashable, T] = {}
        self._taken: dict[Hashable, None] = {}

    def get(self, key: Hashable, call: Callable[[], T]) -> T:
        """Return the answer for `key`, by `call` unless it is known or in flight.

        Raises:
            Exception: any exception of the call.
        """
        while True:
            with self._lock:
                if self._pid != os.getpid():
                    self._begin()
                if key in self._landed:
                    return self._landed[key]
                joined = self._under_way.get(key)
                if joined is None:
                    flight = self._under_way[key] = _Flight()
            if joined is None:
                return self._fly(key, flight, call)
            joined.over.acquire()  # waits for the end
            joined.over.release()
            if joined.answer is not None:
                return joined.answer[0]
            if isinstance(joined.error, Exception):
                raise joined.error
            # The first thread was interrupted; this one makes the call itself.

    def _fly(self, key: Hashable, flight: _Flight[T], call: Callable[[], T]) -> T:
        try:
            answer = call()
            flight.answer = (answer,)
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                self._under_way.pop(key, None)
                if flight.answer is not None and self._is_small(flight.answer[0]):
                    _put(self._landed, key, flight.answer[0])
                elif flight.answer is not None:
                    _put(self._taken, key, None)
            flight.over.release()
        return answer

    def take(self, key: Hashable) -> None:
        """Discard the consumed answer for `key`."""
        with self._lock:
            self._landed.pop(key, None)
            _put(self._taken, key, None)

    def was_taken(self, key: Hashable) -> bool:
        """Tell whether the answer for `key` was consumed a short while ago."""
        return key in self._taken


class _Flight(Generic[T]):
    """A call in flight."""

    __slots__ = ("answer", "error", "over")

    def __init__(self) -> None:
        self.over = threading.Lock()
        self.over.acquire()
        self.answer: tuple[T] | None = None
        self.error: BaseException | None = None


def _put(kept: dict[Hashable, T], key: Hashable, value: T) -> None:
    """Store a value as the newest; the oldest is evicted beyond the limit."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
