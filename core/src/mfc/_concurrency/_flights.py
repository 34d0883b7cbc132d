"""Calls that several threads want at the same time are made once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mfc._concurrency._forks import fork_safe

T = TypeVar("T")

#: Answers that wait to be taken, and keys whose answers were, at most.
_KEPT = 1024


class Flights(Generic[T]):
    """Calls under way by key, and those of their answers that are small until they are taken.

    A call for a key that is under way is joined: its answer or error is that of the first. In a
    forked child the calls of the parent are not waited for.

    Args:
        is_small: tells whether an answer is small enough to wait until it is taken.
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
        """Return the answer for `key`, by `call` unless it is known or under way.

        Raises:
            Exception: what the call raised.
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
        """Forget the answer for `key`: it was used."""
        with self._lock:
            self._landed.pop(key, None)
            _put(self._taken, key, None)

    def was_taken(self, key: Hashable) -> bool:
        """Tell whether the answer for `key` was used a short while ago."""
        return key in self._taken


class _Flight(Generic[T]):
    """A call under way."""

    __slots__ = ("answer", "error", "over")

    def __init__(self) -> None:
        self.over = threading.Lock()
        self.over.acquire()
        self.answer: tuple[T] | None = None
        self.error: BaseException | None = None


def _put(kept: dict[Hashable, T], key: Hashable, value: T) -> None:
    """Keep a value as the last one; the first one goes where there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
