"""Clauses about time: other writers between two reads, abandoned listings, failing backends."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from mfc.errors import MetaflowException, MetaflowNotFound, MetaflowTaggingError
from mfc.hookspecs import Recent, TagChange
from mfc.model import Pathspec, Record
from mfc.query import Query
from mfc_testing import _faults, _isolation, _state
from mfc_testing._contract import ClauseBroken, ask, clause, equal, holds, plain
from mfc_testing._example import (
    BARE,
    FLOW,
    NAMED,
    RETRIED,
    ROOT,
    RUN,
    RUNNING,
    STEP,
    T,
    artifact,
    field,
    finished,
    many_runs,
    run,
)
from mfc_testing.history import Backend, History, recordable
from mfc_testing.provider._asking import (
    Asked,
    NewBackend,
    ProviderClauses,
    paths,
    quietly,
    shown_listing,
)
from mfc_testing.provider._audit import audit, same_metadata

#: More than a page of any known backend, and the number of records between two events.
_MANY, _EACH = 1_050, 50
#: Seconds within which an unblocked write must finish.
_SOON = 20.0
_Question = Callable[[], object]


class MomentClauses(ProviderClauses):
    """Events between two reads, and the effects of a failure."""

    @clause("moving-listing")
    def test_a_listing_bears_new_runs(self, new_backend: NewBackend) -> None:
        """While runs are added, a listing has each earlier run once, in order."""
        backend, asked, _ = self.given(new_backend, many_runs(_MANY))
        before = set(paths(asked.children(FLOW)))
        got: list[str] = []
        with quietly():
            for number, record in enumerate(asked.provider.children(FLOW, Query())):
                got.append(str(record.path))
                if number % _EACH == 0:
                    # Some become the newest, some the oldest, some are inserted where the reader
                    # is.
                    at = (10**7 + number, -number - 1, record.created - T)[number // _EACH % 3]
                    self._put(backend, History([run(f"new{number}", at, "ada")]))
        known = [path for path in got if path in before]
        given = f"children of a flow with {_MANY} runs, others being added"
        equal(f"{given}: how many come twice", 0, len(known) - len(set(known)))
        equal(f"{given}: which are lost", [], sorted(before - set(known))[:5])
        if asked.capabilities.full("order"):
            equal(f"{given}: whether they are newest first", sorted(known, reverse=True), known)

    @clause("open-listing")
    def test_a_half_read_listing_stops_nobody(self, new_backend: NewBackend) -> None:
        """Half-read listings block no writer and no reader."""
        backend, asked, _ = self.given(new_backend)
        begun: list[Iterator[Any]] = [
            iter(asked.provider.children(FLOW, Query())),
            iter(asked.provider.children(STEP, Query())),
            iter(asked.provider.metadata(NAMED)),
            iter(asked.provider.artifacts(NAMED)),
        ]
        for listing in begun:
            next(listing, None)
        given = "listings left half-read, and then"
        self._soon(f"{given} something is recorded", self._write(backend, "first"))
        if asked.capabilities.useful("retag"):
            for whose in (asked, self.asked(backend)):
                change: TagChange = lambda tags, _: tags | {"new"}  # noqa: E731 - typed
                self._soon(f"{given} retag", partial(whose.provider.retag, RUN, change))
        holds(asked.get(FLOW.child("first")), f"{given} get of what was recorded", "it", None)
        for listing in begun:
            list(listing)
        self._soon("listings read to their end, and then a write", self._write(backend, "second"))

    @clause("moving-attempts")
    def test_each_answer_is_of_its_moment(self, new_backend: NewBackend) -> None:
        """As attempts write and finish, one after the other, each answer is of that moment."""
        steps = (
            (RUNNING, History((), [artifact(RUNNING, "late", 5_000)])),
            (RUNNING, finished(RUNNING, 5_100)),
            (RETRIED, History((), [artifact(RETRIED, "more", 5_200, 2)])),
            (RETRIED, finished(RETRIED, 5_300, 2, ok=False)),
            (NAMED, History((), [artifact(NAMED, "x", 5_400, 1)])),
            (NAMED, History((), (), [field(NAMED, "kind", "new", 5_450, 1)])),
            (NAMED, finished(NAMED, 5_500, 1)),
            (BARE, finished(BARE, 5_600, 4)),
            (BARE, finished(BARE, 5_700, 5)),
        )
        self._step_by_step(new_backend, steps)

    @clause("attempt-order")
    def test_attempts_may_end_in_any_order(self, new_backend: NewBackend) -> None:
        """The attempt whose end has the latest time counts, whatever its number and place."""
        steps = (
            (RETRIED, History((), (), [field(RETRIED, "attempt-done", "0", 5_400)])),
            (BARE, finished(BARE, 5_500, 5)),
            (BARE, finished(BARE, 5_600, 4)),
            (BARE, History((), (), [field(BARE, "attempt-done", "1", 5_550)])),
            (NAMED, History((), [artifact(NAMED, "x", 5_700, 1)])),
            (NAMED, History((), (), [field(NAMED, "attempt-done", "1", 5_900, 1)])),
            (NAMED, History((), (), [field(NAMED, "attempt-done", "3", 5_800, 3)])),
        )
        self._step_by_step(new_backend, steps)

    def _step_by_step(
        self, new_backend: NewBackend, steps: Sequence[tuple[Pathspec, History]]
    ) -> None:
        """Record tasks in steps, and compare all answers about them after each step."""
        backend, asked, model = self.given(new_backend)
        for task in dict.fromkeys(task for task, _ in steps):
            audit(asked, model, task, attempts=(None, 0))
        for number, (task, more) in enumerate(steps):
            there = recordable(backend, more)
            self._put(backend, there)
            model.put(there)
            for whose in (asked, self.asked(backend)):
                when = f"after step {number} of writing"
                audit(whose, model, task, when=when, attempts=(None, 0))
                if isinstance(whose.provider, Recent):
                    since = T + 5_000
                    given = f"recent({str(RUN)!r}, {since}), {when}"
                    same_metadata(given, model.recent(RUN, since), whose.recent(RUN, since))

    @clause("moving-records")
    def test_what_is_put_again_counts(self, new_backend: NewBackend) -> None:
        """A record that is recorded again, with other tags, user or time, replaces the first."""
        backend, asked, model = self.given(new_backend)
        audit(asked, model, FLOW.child("7"), records_only=True)
        asked.children(FLOW)
        again = Record(FLOW.child("7"), T + 3_500, "eve", frozenset({"two"}), frozenset({"sys"}))
        step = Record(again.path.child("start"), T + 3_600, "eve")
        for more in (History([again]), History([step]), History([Record(step.path, T + 3_700)])):
            self._put(backend, more)
            model.put(more)
            for whose in (asked, self.asked(backend)):
                audit(whose, model, again.path, when="recorded again", records_only=True)
                got = {str(record.path) for record in whose.children(FLOW)}
                holds(str(again.path) in got, f"children({str(FLOW)!r})", again.path, got)
        if asked.capabilities.full("user"):
            found = paths(asked.children(FLOW, Query(user="eve")))
            equal("children, user='eve', recorded again", [str(again.path)], found)

    @clause("failures-read")
    def test_failures_of_reading_are_told(self, new_backend: NewBackend) -> None:
        """Where the backend fails at any call of a query: an error of mfc, or the right answer.

        No failure is swallowed, and the next query is answered.
        """
        _, asked, _ = self.given(new_backend)
        most = 3 if self._quick else 8
        for given, question in self._questions(asked):
            with quietly():
                _faults.at_every_call(given, question, most=most)

    @clause("failures-midway")
    def test_what_the_meter_raises_leaves(self, new_backend: NewBackend) -> None:
        """An error that `Meter.add` raises ends the query, wherever it comes; none is lost."""
        backend, asked, _ = self.given(new_backend)
        meter = _faults.FailingMeter()
        failing = Asked(ask("provider, of the backend", lambda: backend.provider(meter)))
        right = dict(self._questions(asked))
        for given, question in self._questions(failing):
            expected = right[given]()
            for number in (1, 2, 3, 5, 8, 13):
                meter.left, meter.failed = number, False
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    answer = _faults.outcome(question)
                meter.left = 0
                if not meter.failed:
                    break
                case = f"{given}, the meter raising Unanswered at its report {number}"
                _faults.judge(case, expected, answer, (MetaflowException,), caught)
                equal(f"{given}, asked again", expected, _faults.outcome(question))

    @clause("failures-retag")
    def test_failures_of_writing_are_told(self, new_backend: NewBackend) -> None:
        """Where the backend fails while tags change: an error of mfc, all or nothing is changed."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        for number in range(1, 40):
            before = asked.get(RUN)
            was = frozenset(before.tags) if before else frozenset()
            wanted = was | {f"try{number}"}
            with _faults.failing(number) as met:
                answer = _faults.outcome(partial(asked.provider.retag, RUN, _to(wanted)))
            if met.error is None:
                break
            case = f"retag, the backend failing at call {number} with {met.error!r}"
            _faults.judge(case, wanted, answer, (MetaflowException,), [])
            lost = isinstance(answer, MetaflowNotFound)
            holds(not lost, case, "MetaflowTaggingError", f"{answer!r}, of a run that is there")
            for whose in (asked, self.asked(backend)):
                record = whose.get(RUN)
                tags = frozenset(record.tags) if record else frozenset()
                right = (was, wanted) if isinstance(answer, Exception) else (wanted,)
                holds(tags in right, f"tags after {case}", " or ".join(map(str, right)), tags)

    @clause("change-raises")
    def test_whatever_change_raises_comes_out(self, new_backend: NewBackend) -> None:
        """When `change` raises, so does `retag`; the tags stay unchanged and unlocked."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        before = asked.get(RUN)
        for error in (ValueError("mine"), MetaflowTaggingError("no")):

            def change(_: object, __: object, error: BaseException = error) -> frozenset[str]:
                raise error

            caught: BaseException | None = None
            try:
                asked.provider.retag(RUN, change)
            except Exception as left:  # noqa: BLE001 - compared
                caught = left
            # A refusal is raised as it is; for other errors the contract leaves the class open.
            fine = (
                caught is error if isinstance(error, MetaflowTaggingError) else caught is not None
            )
            holds(fine, f"retag, `change` raising {error!r}", error, caught)
            equal(f"get, after {error!r} of `change`", before, asked.get(RUN))
            other = self.asked(backend)
            add: TagChange = lambda tags, _: tags  # noqa: E731 - typed
            self._soon(f"retag, after {error!r}", partial(other.provider.retag, RUN, add))

    @clause("process-unchanged")
    def test_the_process_stays_as_it_is(self, new_backend: NewBackend) -> None:
        """Reading, failing, refusing leave no temporary file, no thread, no setting changed."""
        backend, warm, _ = self.given(new_backend)
        self._everything(warm)
        del warm

        def use() -> None:
            asked = self.asked(backend)
            self._everything(asked)
            next(iter(asked.provider.children(FLOW, Query())), None)

        with _state.leaves_the_process("a provider that was used and dropped"):
            use()
        _isolation.leaves_nothing_open("questions about nothing, failures and refusals", use)

    def _everything(self, asked: Asked) -> None:
        """Query existing and missing objects; cause failures."""
        for _, question in self._questions(asked):
            question()
            with _faults.failing(1):
                _faults.outcome(question)
        absent = STEP.child("absent")
        asked.get(absent), asked.children(absent), asked.metadata(absent), asked.artifacts(absent)

        def refuse(_: object, __: object) -> frozenset[str]:
            raise MetaflowTaggingError("no")

        for path in (RUN, FLOW.child("absent")):
            with pytest.raises(MetaflowException):
                asked.provider.retag(path, refuse)

    def _questions(self, asked: Asked) -> list[tuple[str, _Question]]:
        """Return queries of all kinds, with comparable results."""
        provider = asked.provider
        bulk = asked.capabilities.full("bulk")

        def children(path: Pathspec, query: Query) -> tuple[str, _Question]:
            return shown_listing(path, query), lambda: list(
                map(plain, provider.children(path, query))
            )

        def get(path: Pathspec) -> tuple[str, _Question]:
            return f"get({str(path)!r})", lambda: plain(provider.get(path))

        def metadata(path: Pathspec) -> tuple[str, _Question]:
            given = f"metadata({str(path)!r})"
            return given, lambda: sorted(provider.metadata(path), key=str)

        def artifacts(path: Pathspec) -> tuple[str, _Question]:
            given = f"artifacts({str(path)!r})"
            return given, lambda: sorted(provider.artifacts(path), key=str)

        found = [*(children(path, Query()) for path in (ROOT, FLOW, STEP))]
        found += [children(FLOW, Query(names={"7", "9"}))]
        found += map(get, (FLOW, RUN, RETRIED, RETRIED.child("x")))
        found += map(metadata, (RETRIED, STEP) if bulk else (RETRIED,))
        found += map(artifacts, (RETRIED, RUN) if bulk else (RETRIED,))
        if isinstance(provider, Recent):
            recent = provider.recent
            given = f"recent({str(RUN)!r}, {T})"
            found.append((given, lambda: sorted(recent(RUN, T), key=str)))
        return found

    def _put(self, backend: Backend, history: History) -> None:
        self._soon("put, of the backend", lambda: backend.put(recordable(backend, history)))

    def _write(self, backend: Backend, name: str) -> _Question:
        return lambda: backend.put(History([run(name, 9_000, "ada")]))

    def _soon(self, given: str, question: _Question) -> None:
        """Run a query in a thread, so that a hang is reported.

        Raises:
            ClauseBroken: the query failed, or took too long.
        """
        __tracebackhide__ = True
        answers: list[object] = []
        thread = threading.Thread(
            target=lambda: answers.append(_faults.outcome(question)), daemon=True
        )
        thread.start()
        thread.join(_SOON)
        if not answers:
            raise ClauseBroken(
                given, "done", f"nothing within {_SOON:.0f} s: what does it wait for?"
            )
        if isinstance(answers[0], Exception):
            raise ClauseBroken(given, "done", repr(answers[0])) from answers[0]


def _to(tags: frozenset[str]) -> TagChange:
    return lambda _, __: tags
