"""Prefetch among the siblings of a listing.

Where every call waits for a network, a loop over a listing must not wait for each object. When a
program asks the same question of one object after the other, the answers for the next ones are
prefetched, concurrently, or all with one call where the provider can answer for all. The first
objects are always asked singly, so a single question costs a single call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import attrs

from mfc._concurrency._calls import Limits, SideBySide, in_order
from mfc._concurrency._forks import fork_safe
from mfc.model import Pathspec, Record

T = TypeVar("T")
Item = TypeVar("Item")

#: Maximum number of questions in flight.
WIDTH = 8
#: Objects asked singly before all are asked with one call.
_ALONE = 2
#: Records kept behind the last one yielded, where a listing is not kept whole.
_BEHIND = 10_000
#: How long a prefetched answer is valid, in seconds; it is used once.
_FRESH = 60.0


@attrs.frozen
class Question(Generic[T]):
    """A question about the objects of a listing."""

    #: Equal for the same question.
    key: Hashable
    #: Returns the answer for one object, given its record.
    one: Callable[[Record], T]
    #: Returns the answers for the whole listing; absent objects have `missing`. None where
    #: single questions are cheapest.
    every: Callable[[], Mapping[Pathspec, T]] | None = None
    missing: Any = None
    #: Objects to ask singly before.
    alone: int = _ALONE


class Siblings:
    """The objects of one listing, as far as it has been read.

    Args:
        records: the listing.
        whole: keep all records; else only the latest, so that memory stays flat.
    """

    def __init__(self, records: Iterator[Record], *, whole: bool) -> None:
        self._records, self._whole = records, whole
        #: The exception that ended the listing; the source raises it once, perhaps in a prefetch.
        self._error: Exception | None = None
        self._lock = fork_safe(threading.RLock())
        #: The records by position, and the numbers of records read and yielded.
        self._read: dict[int, Record] = {}
        self._reached = self._given = 0
        self._asked: dict[Hashable, _Progress[Any]] = {}
        #: Facts learned from one object that hold for all.
        self.notes: dict[str, Any] = {}
        #: The prefetching rows of their values, by the artifact's name.
        self.rows: dict[str, Any] = {}

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """Yield position and record of every object."""
        while True:
            with self._lock:
                position = self._given
                if not self._reach(position):
                    if self._error is not None:
                        raise self._error
                    return
                self._given += 1
                record = self._read[position]
                if not self._whole:
                    self._read.pop(position - _BEHIND, None)
            yield position, record

    def _reach(self, position: int) -> bool:
        """Read the listing up to `position`; tell whether that position exists."""
        while self._reached <= position:
            try:
                record = None if self._error else next(self._records, None)
            except Exception as error:  # noqa: BLE001 - raised where the listing ends
                self._error = error
                return False
            if record is None:
                return False
            self._read[self._reached] = record
            self._reached += 1
        return True

    def answer(self, position: int, question: Question[T]) -> T:
        """Return the answer for the object at `position`, and prefetch others."""
        record = self._read[position]
        path = record.path
        with self._lock:
            progress: _Progress[T] = self._asked.setdefault(question.key, _Progress())
            known = progress.taken(path)
            if known is not None:
                return known[0]
            in_turn = progress.in_turn(position)
        if not in_turn:
            return question.one(record)
        if question.every is not None:
            if progress.turns < question.alone:
                return question.one(record)
            found = question.every()
            progress.keep_all(found, question.missing)
            progress.taken(path)
            answer: T = found.get(path, question.missing)
            return answer
        ahead = self._ahead(position, progress.window())
        answers = list(side_by_side(caught(question.one), ahead))
        # A failed prefetch is discarded: that object is asked again when the loop reaches it.
        others = zip(ahead[1:], answers[1:], strict=True)
        progress.keep({other.path: found for other, (found, error) in others if error is None})
        own, error = answers[0]
        if error is not None:
            raise error
        return own  # type: ignore[no-any-return]

    def known(self, position: int, key: Hashable) -> Any:
        """Return the prefetched answer for the object at `position`, or None without one."""
        with self._lock:
            progress = self._asked.get(key)
            if progress is None or not self._reach(position):
                return None
            return progress.peeked(self._read[position].path)

    def recent(self, position: int, name: str) -> Record | None:
        """Return the record of an artifact of the object at `position`, if read just now."""
        row = self.rows.get(name)
        found: Record | None = None if row is None else row.recent(position)
        return found

    def path(self, position: int) -> Pathspec | None:
        """Return the path of the object at `position`; None if it is not known (any more)."""
        with self._lock:
            record = self._read.get(position) if self._reach(position) else None
            return None if record is None else record.path

    def _ahead(self, position: int, number: int) -> list[Record]:
        """Return up to `number` records from `position`; a loop in progress limits them."""
        with self._lock:
            if position + 1 == self._given:
                self._reach(position + number - 1)
                last = self._reached
            else:
                last = self._given
            return [self._read[at] for at in range(position, min(position + number, last))]


class _Progress(Generic[T]):
    """Progress of one question through a listing, and its prefetched answers."""

    def __init__(self) -> None:
        self.turns = 0
        self._last: int | None = None
        self._answers: dict[Pathspec, T] = {}
        self._others: tuple[T] | None = None
        self._used: set[Pathspec] = set()
        self._at = 0.0

    def in_turn(self, position: int) -> bool:
        """Record a question; tell whether it is the first, or follows the last position."""
        in_turn = self._last is None or position > self._last
        self.turns = self.turns + 1 if in_turn and self._last is not None else 0
        self._last = position
        return in_turn

    def window(self) -> int:
        """Return the number of objects to ask concurrently: 1, 2, 4 and so on."""
        return int(min(2**self.turns, WIDTH))

    def keep(self, answers: Mapping[Pathspec, T]) -> None:
        self._answers.update(answers)
        self._at = time.monotonic()

    def keep_all(self, answers: Mapping[Pathspec, T], missing: T) -> None:
        self._answers, self._others, self._used = dict(answers), (missing,), set()
        self._at = time.monotonic()

    def peeked(self, path: Pathspec) -> T | None:
        return self._answers.get(path)

    def taken(self, path: Pathspec) -> tuple[T] | None:
        """Return and discard the answer for `path`, if one exists and is fresh."""
        if time.monotonic() - self._at > _FRESH:
            self._answers, self._others = {}, None
            return None
        if path in self._answers:
            self._used.add(path)
            return (self._answers.pop(path),)
        if self._others is not None and path not in self._used:
            self._used.add(path)
            return self._others
        return None


def caught(ask: Callable[[Item], T]) -> Callable[[Item], tuple[Any, Exception | None]]:
    """Return a function that returns the answer of `ask` and None, or None and its error."""

    def answer(item: Item) -> tuple[Any, Exception | None]:
        try:
            return ask(item), None
        except Exception as error:  # noqa: BLE001 - raised where it belongs
            return None, error

    return answer


def side_by_side(ask: Callable[[Item], T], items: list[Item], width: int = WIDTH) -> Iterator[T]:
    """Yield `ask(item)` for each item, in order, with concurrent calls."""
    if len(items) < 2:  # noqa: PLR2004 - a single call needs no thread
        return map(ask, items)
    return ahead(ask, iter(items), width)


def ahead(ask: Callable[[Item], T], items: Iterator[Item], width: int = WIDTH) -> Iterator[T]:
    """Yield `ask(item)` for each item, in order, with prefetch."""
    # Providers have timeouts of their own.
    calls: SideBySide[T] = SideBySide(Limits(width, math.inf, math.inf, width))
    numbered = enumerate(items)
    for _, outcome in in_order(numbered, lambda item: (item[0], partial(ask, item[1])), calls):
        if outcome is not None:
            yield outcome.get()
