"""Blocking calls run concurrently: bounded, ordered, with a timeout.

A call that hangs in a library cannot be cancelled, but it can be abandoned: the consumer continues,
and the interpreter can exit.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from mfc._concurrency._threads import start

Item = TypeVar("Item")
T = TypeVar("T")

#: Calls in flight before the first answer: the capacity of a slow connection is not known yet.
_FIRST = 4
#: Queued calls per call in flight: waking an idle thread takes time.
_QUEUED = 4
#: Work in seconds that is too short to wake another thread for; also the limit of a quick call.
_LITTLE = 0.002
#: Least number of threads for quick calls; time that each call needs the interpreter, in seconds.
_FEW, _BUSY = 8, 60e-6
#: Size of an answer, in bytes, that is worth processing while other calls are in flight.
_MUCH = 1 << 16
#: How long to batch fast calls, in seconds.
_BURST = 0.02
#: Factor by which the estimate of the shortest call grows with each call that took longer.
_FORGET = 1.1
#: Interval at which a waiting consumer wakes, in seconds: some systems delay interrupts until then.
_GLANCE = 1.0
#: Limit of the time spent on taking items ahead while an answer is ready, in seconds.
_MOMENT = 0.001
#: Consecutive slow failures that open the circuit breaker for a while.
_IN_VAIN = 8
#: Share of the patience from which a call counts as slow.
_LONG = 1 / 4
#: Memory that a call takes beside its answer, in bytes.
_CALL = 600


class Limits(NamedTuple):
    """Bounds of concurrent calls."""

    #: Maximum number of calls in flight.
    width: int = 32
    #: Maximum size of answers in flight or not yet consumed, in bytes; one answer may exceed it.
    memory: float = 128 * 2**20
    #: Timeout of a call, in seconds.
    patience: float = 60.0
    #: Maximum number of items taken from their source ahead of the consumer.
    ahead: int = 256


class Overdue(Exception):
    """A call timed out."""


class Untried(Overdue):
    """A call was not made: the circuit breaker is open after slow failures."""


class Outcome(Generic[T]):
    """The result of a call: a value or an error."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error

    def get(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[no-any-return]


class Call(Generic[T]):
    """One call, and its outcome.

    Args:
        key: equal for equal calls.
        act: makes the call.
    """

    __slots__ = ("act", "began", "key", "outcome", "size", "wanted")

    def __init__(self, key: Hashable, act: Callable[[], T]) -> None:
        self.key, self.act = key, act
        #: Start time, by the monotonic clock; None while it is queued.
        self.began: float | None = None
        self.outcome: Outcome[T] | None = None
        self.size = 0
        #: Number of consumers; 0 if it was dropped.
        self.wanted = 1


class SideBySide(Generic[T]):
    """Calls in flight, and answers not yet consumed; calls with equal keys are made once.

    Calls begin in the order of `want`. A thread that has finished a call makes the next one in the
    queue: handing each over would cost more than a quick store needs for it.

    Only one thread at a time may use it. In a forked child the calls in flight begin again.

    Args:
        limits: bounds of concurrent calls.
        cost: estimated size of an answer before it arrives, in bytes.
        size: returns the size of an answer in bytes.
        keep: size of consumed answers that are kept, in bytes: a thousand artifacts may share one
            blob.
    """

    def __init__(
        self,
        limits: Limits,
        cost: int = 0,
        size: Callable[[T], int] = lambda _: 0,
        keep: float = 0,
    ) -> None:
        self._limits, self._cost, self._size, self._keep = limits, cost, size, keep
        self._calls: dict[Hashable, Call[T]] = {}
        #: Consumed answers, the latest last.
        self._kept: dict[Hashable, Call[T]] = {}
        self._kept_bytes = 0
        self._process = os.getpid()
        self._width = limits.width if limits.patience == math.inf else min(_FIRST, limits.width)
        #: Time of the shortest recent call, in seconds; infinite if one had a large answer.
        self._shortest = math.inf
        self._is_given_up = False
        self._set_up()

    def _set_up(self) -> None:
        # The attributes below are shared with the threads that make the calls.
        self._lock = threading.Lock()
        self._pending: deque[Call[T]] = deque()
        #: Calls in flight that are not overdue.
        self._begun: set[Call[T]] = set()
        self._waiting = self._lost = 0
        #: Number of consecutive slow failures, and the time of the last one.
        self._in_vain, self._in_vain_at = 0, 0.0
        #: The call that the consumer waits for, and the queue that wakes it.
        self._awaited: Call[T] | None = None
        self._news: SimpleQueue[None] = SimpleQueue()

    def is_low(self, first: Call[T] | None) -> bool:
        """Tell whether to add more calls.

        Busy threads wait for each other: the interpreter runs one at a time, and a switch takes as
        long as a quick call. So quick calls alternate with the use of their answers, in batches.
        Slow calls, and calls with large answers, overlap with it.

        Args:
            first: the call whose answer is consumed next.
        """
        if self._is_quick and first is not None and first.outcome is not None:
            return False
        return len(self._begun) + len(self._pending) <= self._width * _QUEUED // 2

    @property
    def _is_quick(self) -> bool:
        return self._shortest < _LITTLE

    def has_room(self, ahead: int = 0) -> bool:
        """Tell whether another call may be added, with `ahead` items taken ahead."""
        under_way = len(self._begun) + len(self._pending)
        return under_way < self._width * _QUEUED and ahead < self._limits.ahead

    def want(self, key: Hashable, act: Callable[[], T]) -> Call[T]:
        """Queue a call; the caller must then `take` or `drop` it."""
        self._see_fork()
        if (call := self._calls.get(key)) is not None:
            call.wanted += 1
            return call
        if (call := self._kept.pop(key, None)) is not None:
            call.wanted = 1
            self._kept_bytes -= call.size + _CALL
            self._calls[key] = call
            with self._lock:
                self._waiting += call.size
            return call
        call = self._calls[key] = Call(key, act)
        with self._lock:
            self._pending.append(call)
            if not self._is_quick:  # quick calls start in a batch, when the consumer waits
                self._call_threads()
        return call

    def wait(self, call: Call[T]) -> None:
        """Wait briefly until a call ends or is overdue, or more calls can be added."""
        self._see_fork()
        with self._lock:
            if call.outcome is not None:
                return
            self._awaited = call
            self._call_threads()
            if call.began is None and self._is_gone:
                call.outcome = Outcome(error=Untried())
                self._call_threads()
                return
            left = math.inf if call.began is None else self._left(call)
            glance = _BURST if self._is_quick else _GLANCE
            here = None if self._begun else self._next()
        try:
            if here is None:
                self._news.get(timeout=min(max(left, 0), glance))
            else:  # threads cannot be started
                self._make(here)
        except Empty:
            with self._lock:
                self._leave_behind(call)
        finally:
            self._awaited = None

    def take(self, call: Call[T]) -> Outcome[T]:
        """Wait for a queued call, and return its outcome."""
        while call.outcome is None:
            self.wait(call)
        self.drop(call)
        return call.outcome

    def drop(self, call: Call[T]) -> None:
        """Withdraw one `want` of a call."""
        self._see_fork()
        call.wanted -= 1
        if not call.wanted:
            self._put_away(call)

    def give_up(self) -> None:
        """Stop starting calls."""
        self._is_given_up = True  # without the lock: it may be held where garbage is collected

    def _put_away(self, call: Call[T]) -> None:
        """Keep a consumed answer as long as memory allows."""
        del self._calls[call.key]
        with self._lock:
            self._waiting -= call.size
            self._call_threads()
        if 0 < call.size <= self._keep:
            self._kept[call.key] = call
            self._kept_bytes += call.size + _CALL
            while self._kept_bytes > self._keep:
                self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size + _CALL

    def _see_fork(self) -> None:
        """Start again in a forked child, which lacks the parent's threads."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        self._set_up()
        for call in self._calls.values():
            if call.outcome is None:
                call.began = None
                self._pending.append(call)
            else:
                self._waiting += call.size

    # With the lock

    def _call_threads(self) -> None:
        """Start more threads if the running ones would take too long."""
        while len(self._begun) < self._most and self._pending:
            work = len(self._pending) * self._shortest
            if self._begun and work < _LITTLE * len(self._begun):
                return
            call = self._next()
            if call is None:
                return
            try:
                start(partial(self._make, call))
            except RuntimeError:  # running threads continue, or the consumer makes the call
                call.began = None
                self._begun.discard(call)
                self._pending.appendleft(call)
                return

    @property
    def _most(self) -> int:
        """Maximum number of threads; with more, quick calls would wait for each other."""
        if not self._is_quick:
            return self._width
        return min(self._width, max(_FEW, int(self._shortest / _BUSY)))

    def _next(self) -> Call[T] | None:
        """Return the next call to begin; None if the queue is empty or memory is short."""
        while self._pending and (self._pending[0].outcome or not self._pending[0].wanted):
            self._pending.popleft()
        if not self._pending or self._is_gone or self._is_given_up:
            return None
        call, awaited = self._pending[0], self._awaited
        if awaited is not None and awaited.began is None and awaited.outcome is None:
            call = awaited
        memory = self._waiting + (len(self._begun) + 1) * self._cost
        is_alone = call is awaited or not (self._begun or self._waiting)
        if memory > self._limits.memory and not is_alone:
            return None
        self._pending.remove(call)
        self._begun.add(call)
        call.began = time.monotonic()
        return call

    @property
    def _is_gone(self) -> bool:
        """Whether the backend seems to be gone."""
        if self._lost >= self._limits.width:
            return True
        if self._in_vain < _IN_VAIN:
            return False
        return time.monotonic() - self._in_vain_at < self._limits.patience

    def _note_in_vain(self) -> None:
        self._in_vain, self._in_vain_at = self._in_vain + 1, time.monotonic()

    def _left(self, call: Call[T]) -> float:
        """Return the time left before a call in flight is overdue, in seconds."""
        return (call.began or 0) + self._limits.patience - time.monotonic()

    def _leave_behind(self, awaited: Call[T]) -> None:
        """Mark calls beyond the timeout as overdue: the awaited one, or those that block it."""
        for call in list(self._begun):
            in_the_way = awaited.began is None or not call.wanted
            if (call is awaited or in_the_way) and self._left(call) <= 0:
                self._begun.discard(call)
                self._lost += 1
                self._note_in_vain()
                call.outcome = Outcome(error=Overdue())
        self._call_threads()

    def _note(self, call: Call[T], outcome: Outcome[T]) -> bool:
        """Record the end of a call; tell whether it was in time."""
        if call.outcome is not None:  # it was overdue, and the consumer has given it up
            self._lost -= 1
            return False
        self._begun.discard(call)
        took = time.monotonic() - (call.began or 0)
        if outcome.error is None and call.wanted:
            call.size = self._size(outcome.value)
            self._waiting += call.size
        much = call.size > _MUCH
        self._shortest = math.inf if much else min(took, self._shortest * _FORGET)
        slow = took > self._limits.patience * _LONG
        if slow and outcome.error is not None:
            self._note_in_vain()
        else:
            self._in_vain = 0
        self._width = max(self._width // 2, 1) if slow else min(self._width + 1, self._limits.width)
        call.outcome = outcome
        return True

    # In the threads that make the calls

    def _make(self, call: Call[T] | None) -> None:
        """Make a call, and then those in the queue."""
        lock, news = self._lock, self._news
        while call is not None:
            try:
                outcome: Outcome[T] = Outcome(call.act())
            except BaseException as error:  # noqa: BLE001 - raised when the answer is consumed
                outcome = Outcome(error=error)
            with lock:
                in_time = self._note(call, outcome)
                if in_time and len(self._begun) < self._width:
                    call = self._next()
                    self._call_threads()
                else:
                    call = None
                awaited = self._awaited
                if awaited is not None and self._is_over(awaited):
                    self._awaited = None
                    news.put(None)

    def _is_over(self, awaited: Call[T]) -> bool:
        """Tell whether to wake the consumer that waits for a call."""
        if self._is_quick:
            return not self._begun
        return awaited.outcome is not None or not self._pending


_END: Any = object()


def in_order(
    items: Iterable[Item],
    plan: Callable[[Item], tuple[Hashable, Callable[[], T]] | None],
    calls: SideBySide[T],
) -> Generator[tuple[Item, Outcome[T] | None], None, None]:
    """Yield each item with the outcome of its call, in order, while later ones are in flight.

    The consuming thread takes items from their source, as far ahead as the limits allow. An
    exception of the source is raised after the items before it.

    Args:
        items: the items.
        plan: returns the key and the call of an item; None if it does not need a call.
        calls: makes the calls.
    """
    taken = _Taken(_held_back(items), plan, calls)
    try:
        while True:
            if calls.is_low(taken.ahead[0][1] if taken.ahead else None):
                taken.more()
            if not taken.ahead:
                return
            item, call = taken.ahead[0]
            if call is not None and call.outcome is None:
                calls.wait(call)
                continue
            taken.ahead.popleft()
            if isinstance(item, _Failed):
                raise item.error
            yield item, None if call is None else calls.take(call)
    finally:
        calls.give_up()


class _Taken(Generic[Item, T]):
    """Items taken from their source, with their calls."""

    def __init__(
        self,
        source: Iterator[Any],
        plan: Callable[[Item], tuple[Hashable, Callable[[], T]] | None],
        calls: SideBySide[T],
    ) -> None:
        self._source, self._plan, self._calls = source, plan, calls
        self._last = False
        self.ahead: deque[tuple[Any, Call[T] | None]] = deque()

    def more(self) -> None:
        """Take more items; only briefly while an answer is ready."""
        until = time.monotonic() + _MOMENT
        while not self._last and self._calls.has_room(len(self.ahead)):
            item = next(self._source, _END)
            if item is _END:
                self._last = True
                return
            planned = None if isinstance(item, _Failed) else self._plan(item)
            call = None if planned is None else self._calls.want(*planned)
            self.ahead.append((item, call))
            first = self.ahead[0][1]
            if (first is None or first.outcome is not None) and time.monotonic() > until:
                return


class _Failed(NamedTuple):
    """The position where the source of items failed."""

    error: Exception


def _held_back(items: Iterable[Item]) -> Iterator[Any]:
    """Yield the items; an exception of their source becomes a last item, `_Failed`."""
    try:
        yield from items
    except Exception as error:  # noqa: BLE001 - raised after the items before it
        yield _Failed(error)
