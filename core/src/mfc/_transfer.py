"""Calls that wait for a network, side by side: bounded, in order, and never waited for for ever.

The threads are daemons. A call that hangs in a library cannot be ended, but it can be left behind:
whoever waits for it goes on, and so does the interpreter at its end.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import attrs

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")

#: Calls that begin together before any has come back: what a slow line bears is not known yet.
_FIRST = 4
#: Seconds after which who waits looks up: on some systems, an interrupt is not heard before.
_GLANCE = 1.0
#: Threads that stay when there is nothing to do.
_IDLE = 64


@attrs.frozen
class Limits:
    """How much may be under way."""

    #: Calls at once, at most.
    width: int = 32
    #: Bytes that are on their way or wait to be taken, at most, but for one answer.
    memory: float = 128 * 2**20
    #: Seconds that a call may take.
    patience: float = 60.0
    #: Items that are taken from their source before they are given out, at most.
    ahead: int = 256


class Overdue(Exception):
    """A call has not come back in time."""


@attrs.frozen
class Outcome(Generic[T]):
    """What a call gave."""

    value: Any = None
    error: BaseException | None = None

    def get(self) -> T:
        """Return the value, or raise what the call raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[no-any-return]


class _Crew:
    """Daemon threads that wait for work; there are as many as were ever needed at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0

    def start(self, act: Callable[[], None]) -> None:
        with self._lock:
            fresh = self._idle == 0
            self._idle -= not fresh
        self._work.put(act)
        if fresh:
            threading.Thread(target=self._serve, name="mfc", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                if self._idle >= _IDLE:
                    return
                self._idle += 1


_crew = _Crew()


def start(act: Callable[[], None]) -> None:
    """Let another thread do something, which raises nothing."""
    _crew.start(act)


def _renew_crew() -> None:
    global _crew  # noqa: PLW0603 - its threads are not in the child, and its lock may be held
    _crew = _Crew()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_crew)


@attrs.define(eq=False)
class _Call(Generic[T]):
    """One call, and what came of it; only the consumer's thread changes it."""

    act: Callable[[], T]
    began: float
    outcome: Outcome[T] | None = None
    size: int = 0
    #: How often it will be taken; 0 if it was dropped.
    wanted: int = 1


def _perform(call: _Call[T], ended: SimpleQueue[Any]) -> None:
    try:
        outcome: Outcome[T] = Outcome(call.act())
    except BaseException as error:  # noqa: BLE001 - raised where it is taken
        outcome = Outcome(error=error)
    ended.put((call, outcome, time.monotonic()))


class SideBySide(Generic[Key, T]):
    """Calls under way, and answers that wait to be taken, by key; equal keys are one call.

    One thread at a time uses it. In a forked child the calls that were under way begin anew.

    Args:
        limits: how much may be under way.
        cost: bytes that an answer may have, as far as is known before it is there.
        size: bytes of an answer.
        keep: bytes of answers that are kept when they were taken: some blobs are those of a
            thousand artifacts.
    """

    def __init__(
        self,
        limits: Limits,
        cost: int = 0,
        size: Callable[[T], int] = lambda _: 0,
        keep: float = 0,
    ) -> None:
        self._limits, self._cost, self._size, self._keep = limits, cost, size, keep
        self._calls: dict[Key, _Call[T]] = {}
        #: Answers that were taken, the last one taken last.
        self._kept: dict[Key, _Call[T]] = {}
        self._kept_bytes = 0
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._process = os.getpid()
        self._width = limits.width if limits.patience == math.inf else min(_FIRST, limits.width)
        self._running = self._waiting = self._lost = 0

    def __contains__(self, key: object) -> bool:
        return key in self._calls

    def has_room(self, ahead: int = 0) -> bool:
        """Tell whether one more call may begin, with so many items taken ahead."""
        if not self._calls and not ahead:
            return True
        memory = self._waiting + (self._running + 1) * self._cost
        few = self._running < self._width and ahead < self._limits.ahead
        return few and memory <= self._limits.memory

    def want(self, key: Key, act: Callable[[], T]) -> None:
        """Begin a call whose answer will be taken under `key`."""
        self._settle()
        if (known := self._calls.get(key)) is not None:
            known.wanted += 1
            return
        if (known := self._kept.pop(key, None)) is not None:
            known.wanted = 1
            self._kept_bytes -= known.size
            self._waiting += known.size
            self._calls[key] = known
            return
        call = self._calls[key] = _Call(act, time.monotonic())
        if self._lost >= self._limits.width:  # whatever answers these calls is gone
            call.outcome = Outcome(error=Overdue())
        else:
            self._begin(call)

    def is_done(self, key: Key) -> bool:
        """Tell whether the answer for `key` is there."""
        self._settle()
        return self._calls[key].outcome is not None

    def wait(self, key: Key) -> None:
        """Wait a little until any call ends, or the one for `key` is overdue."""
        call = self._calls[key]
        left = call.began + self._limits.patience - time.monotonic()
        try:
            self._note(*self._ended.get(timeout=min(max(left, 0), _GLANCE)))
        except Empty:
            if left > _GLANCE:
                return
            self._running -= 1
            self._lost += 1
            call.outcome = Outcome(error=Overdue())

    def take(self, key: Key) -> Outcome[T]:
        """Return the answer for `key`, waiting for it."""
        while not self.is_done(key):
            self.wait(key)
        call = self._calls[key]
        call.wanted -= 1
        if not call.wanted:
            self._put_away(key)
        return call.outcome or Outcome()

    def drop(self, key: Key) -> None:
        """Give up an answer that was wanted once."""
        self._settle()
        if (call := self._calls.get(key)) is not None:
            call.wanted -= 1
            if not call.wanted:
                self._put_away(key)

    def _put_away(self, key: Key) -> None:
        """Keep an answer that nobody waits for any more, as long as there is memory for it."""
        call = self._calls.pop(key)
        self._waiting -= call.size
        if 0 < call.size <= self._keep:
            self._kept[key] = call
            self._kept_bytes += call.size
            while self._kept_bytes > self._keep:
                self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size

    def _begin(self, call: _Call[T]) -> None:
        self._running += 1
        ended = self._ended
        _crew.start(lambda: _perform(call, ended))

    def _settle(self) -> None:
        """Take note of what has ended by now, and of a fork."""
        if self._process != os.getpid():
            self._process, self._ended, self._running = os.getpid(), SimpleQueue(), 0
            for call in [c for c in self._calls.values() if c.outcome is None]:
                call.began = time.monotonic()
                self._begin(call)
        while not self._ended.empty():
            self._note(*self._ended.get())

    def _note(self, call: _Call[T], outcome: Outcome[T], at: float) -> None:
        if call.outcome is not None:  # it was overdue, and nobody waits for it any more
            self._lost -= 1
            return
        self._running -= 1
        call.outcome = outcome
        slow = at - call.began > self._limits.patience / 4
        self._width = max(self._width // 2, 1) if slow else min(self._width + 1, self._limits.width)
        if outcome.error is None and call.wanted:
            call.size = self._size(outcome.value)
            self._waiting += call.size


_END: Any = object()


def in_order(
    items: Iterable[Item],
    plan: Callable[[Item], tuple[Key, Callable[[], T]] | None],
    calls: SideBySide[Key, T],
) -> Generator[tuple[Item, Outcome[T] | None], None, None]:
    """Yield each item with the outcome of its call, in order, while later ones are under way.

    Items are taken from their source by the thread that consumes, as far ahead as there is room.
    What the source raises is raised after the items before it.

    Args:
        items: what the calls are for.
        plan: gives the key and the call of an item; None if it needs no call.
        calls: where they are made.
    """
    source = _held_back(items)
    ahead: deque[tuple[Item, Key | None]] = deque()

    def is_first_at_hand() -> bool:
        return bool(ahead) and (ahead[0][1] is None or calls.is_done(ahead[0][1]))

    last = False
    while True:
        taken = 0
        # Who has an answer to give takes one more item, not many: their source may be slow.
        while not last and calls.has_room(len(ahead)) and not (taken and is_first_at_hand()):
            item = next(source, _END)
            if not (last := item is _END):
                taken += 1
                planned = None if isinstance(item, _Failed) else plan(item)
                if planned is not None:
                    calls.want(*planned)
                ahead.append((item, None if planned is None else planned[0]))
        if not ahead:
            return
        if not is_first_at_hand():
            calls.wait(ahead[0][1])  # type: ignore[arg-type]  # what has no key is at hand
            continue
        item, key = ahead.popleft()
        if isinstance(item, _Failed):
            raise item.error
        yield item, None if key is None else calls.take(key)


@attrs.frozen
class _Failed:
    """Where the source of items failed."""

    error: Exception


def _held_back(items: Iterable[Item]) -> Iterator[Any]:
    """Yield the items, and in place of what their source raises where."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - raised in its turn
        yield _Failed(error)
