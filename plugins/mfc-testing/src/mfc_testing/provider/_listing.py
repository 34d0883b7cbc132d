"""Clauses about listings: complete, newest first, lazy, fresh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfc.model import Level, Pathspec, Record
from mfc.query import Query
from mfc_testing._contract import clause, equal, holds
from mfc_testing._example import (
    BARE,
    FLOW,
    RETRIED,
    ROOT,
    RUN,
    STEP,
    T,
    example,
    many_runs,
    many_tasks,
    run,
)
from mfc_testing.history import History
from mfc_testing.provider._asking import (
    NewBackend,
    ProviderClauses,
    ReadMeter,
    paths,
    shown_listing,
)

_PARENTS = (ROOT, FLOW, RUN, STEP)
#: More than a page of any known backend.
_MANY = 1_050


class ListingClauses(ProviderClauses):
    """Order, completeness and laziness of `children`, `metadata` and `artifacts`."""

    @clause("listing-complete")
    def test_listings_have_every_child_once(self, new_backend: NewBackend) -> None:
        """A listing has exactly the children of its parent, each once."""
        _, asked, model = self.given(new_backend)
        for parent in (*_PARENTS, Pathspec(("Other",)), Pathspec(("Other", "7"))):
            expected = sorted(paths(model.children(parent, Query())))
            got = sorted(paths(asked.children(parent)))
            equal(f"children({str(parent)!r})", expected, got)

    @clause("listing-many")
    def test_long_listings_are_complete(self, new_backend: NewBackend) -> None:
        """However many children an object has, all are listed: pages end with the last one."""
        _, asked, _ = self.given(new_backend, many_runs(_MANY))
        equal(f"children of a flow with {_MANY} runs", _MANY, len(set(paths(asked.children(FLOW)))))
        if asked.capabilities.full("limit"):
            for limit in (_MANY - 1, _MANY + 1):
                found = set(paths(asked.children(FLOW, Query(limit=limit))))
                equal(f"the same, limit={limit}", min(limit, _MANY), len(found))

    @clause("bulk-many")
    def test_long_bulk_answers_are_complete(self, new_backend: NewBackend) -> None:
        """With bulk, all metadata and artifacts of a step come, however many tasks it has."""
        tasks = 150
        _, asked, _ = self.given(new_backend, many_tasks(tasks))
        if not asked.capabilities.full("bulk"):
            pytest.skip("bulk is not declared full")
        for path in (FLOW.child("1").child("each"), FLOW.child("1")):
            given = f"of {tasks} tasks: {{}}({str(path)!r})"
            equal(given.format("metadata"), 2 * tasks, len(set(asked.metadata(path))))
            equal(given.format("artifacts"), 3 * tasks, len(set(asked.artifacts(path))))

    @clause("listing-order")
    def test_children_come_newest_first(self, new_backend: NewBackend) -> None:
        """With order, children of every level come newest first."""
        _, asked, _ = self.given(new_backend)
        created = {record.path: record.created for record in example().records}
        in_order = True
        for parent in _PARENTS:
            got = [created.get(record.path, 0) for record in asked.children(parent)]
            expected = sorted(got, reverse=True)
            in_order = in_order and got == expected
            if asked.capabilities.full("order"):
                equal(f"times of children({str(parent)!r})", expected, got)
        if not asked.capabilities.useful("order"):
            holds(
                not in_order,
                "children, declared without order",
                "some listing out of order",
                "all are newest first",
                "declare order=Support.FULL: without it the client reads all before the first",
            )

    @clause("listing-ties")
    def test_ties_keep_their_order(self, new_backend: NewBackend) -> None:
        """Records of equal time come in the same order at each call, of any provider there."""
        together = [run(name, 1_000, "ada") for name in ("b", "10", "a", "9", "c", "1", "d")]
        history = History([Record(FLOW, T), *together])
        backend, asked, _ = self.given(new_backend, history)
        first = paths(asked.children(FLOW))
        for number in range(3):
            equal(f"children of equal time, call {number + 2}", first, paths(asked.children(FLOW)))
        again = paths(self.asked(backend).children(FLOW))
        equal("children of equal time, of a second provider", first, again)
        if asked.capabilities.full("limit") and asked.capabilities.full("order"):
            for limit in range(1, len(together)):
                found = paths(asked.children(FLOW, Query(limit=limit)))
                equal(f"children of equal time, limit={limit}", first[:limit], found)

    @clause("listing-ties-many")
    def test_many_ties_are_complete(self, new_backend: NewBackend) -> None:
        """However many objects share one time, more than fit on a page, each is listed once."""
        together = [
            run(f"tie{number}", 1_000 + number // _MANY, "ada") for number in range(_MANY + 5)
        ]
        _, asked, _ = self.given(new_backend, History([Record(FLOW, T), *together]))
        got = paths(asked.children(FLOW))
        given = f"children of a flow with {len(together)} runs of one moment"
        equal(f"{given}: how many come twice", 0, len(got) - len(set(got)))
        equal(f"{given}: how many", len(together), len(got))
        if asked.capabilities.full("limit") and asked.capabilities.full("order"):
            few = paths(asked.children(FLOW, Query(limit=_MANY - 40)))
            equal(f"{given}, limit={_MANY - 40}", got[: _MANY - 40], few)

    @clause("listing-missing")
    def test_below_nothing_is_nothing(self, new_backend: NewBackend) -> None:
        """Below a path that does not exist, listings are empty; that is not an error."""
        _, asked, _ = self.given(new_backend)
        for path in _absent():
            equal(f"children({str(path)!r})", [], paths(asked.children(path)))
        for task in (STEP.child("absent"), Pathspec(("No", "1", "start", "1"))):
            equal(f"metadata({str(task)!r})", [], asked.metadata(task))
            equal(f"artifacts({str(task)!r})", [], asked.artifacts(task))
        if asked.capabilities.full("bulk"):
            for path in (RUN.child("absent"), FLOW.child("absent"), Pathspec(("No", "1"))):
                equal(f"metadata({str(path)!r})", [], asked.metadata(path))
                equal(f"artifacts({str(path)!r})", [], asked.artifacts(path))

    @clause("listing-iterator")
    def test_listings_are_iterators(self, new_backend: NewBackend) -> None:
        """Every listing is an iterator, empty if nothing exists; never None."""
        _, asked, _ = self.given(new_backend)
        provider = asked.provider
        for path in (FLOW, STEP, FLOW.child("7")):
            found = provider.children(path, Query())
            holds(isinstance(found, Iterator), shown_listing(path, Query()), "an iterator", found)
        for task in (RETRIED, BARE):
            noted, made = provider.metadata(task), provider.artifacts(task)
            holds(isinstance(noted, Iterator), f"metadata({task})", "an iterator", noted)
            holds(isinstance(made, Iterator), f"artifacts({task})", "an iterator", made)

    @clause("listing-lazy")
    def test_the_first_run_is_cheap(self, new_backend: NewBackend) -> None:
        """With order, the first of a thousand runs costs at most `reads_for_first` reads."""
        backend, asked, _ = self.given(new_backend, many_runs(_MANY))
        if not asked.capabilities.full("order"):
            pytest.skip("order is not declared full, so all must be read before the first")
        if not self.metered:
            pytest.skip("reads are declared to cost nothing (metered = False)")
        meter = ReadMeter()
        found = iter(self.asked(backend, meter).provider.children(FLOW, Query()))
        next(found)
        close = getattr(found, "close", None)
        if close is not None:
            close()
        holds(
            meter.reads <= self.reads_for_first,
            f"next(children({str(FLOW)!r}, Query())) of a flow with {_MANY} runs",
            f"at most {self.reads_for_first} reads",
            f"{meter.reads} reads",
            "yield a record as soon as it is known to be the next; read no further",
        )

    @clause("meter")
    def test_reads_are_counted(self, new_backend: NewBackend) -> None:
        """All reads are reported to the meter."""
        backend, _, _ = self.given(new_backend)
        if not self.metered:
            pytest.skip("reads are declared to cost nothing (metered = False)")
        for what in ("children", "get", "metadata", "artifacts"):
            meter = ReadMeter()
            asked = self.asked(backend, meter)
            made = meter.reads
            _read(asked.provider, what)
            counted = meter.reads - made
            holds(counted > 0, f"{what}, of a new provider", "one read or more", counted)

    @clause("fresh")
    def test_what_is_new_is_seen(self, new_backend: NewBackend) -> None:
        """A provider sees objects that are recorded after it has looked."""
        backend, asked, _ = self.given(new_backend)
        run_path, task = FLOW.child("later"), STEP.child("later")
        for path in (run_path, task, Pathspec(("Later",))):
            equal(f"get({str(path)!r})", None, asked.get(path))
        for parent in _PARENTS:
            asked.children(parent)
        asked.metadata(BARE)
        new = [Record(p, T + 9_000, "ada") for p in (run_path, task)]
        backend.put(History([*new, Record(Pathspec(("Later",)), T + 9_000)]))
        for path in (run_path, task, Pathspec(("Later",))):
            holds(asked.get(path) is not None, f"get({str(path)!r}), just recorded", "it", None)
            names = paths(asked.children(path.parent))
            holds(str(path) in names, f"children({str(path.parent)!r})", str(path), names)


def _read(provider: object, what: str) -> None:
    call = getattr(provider, what)
    if what == "get":
        call(RUN)
    else:
        list(call(FLOW, Query()) if what == "children" else call(RETRIED))


def _absent() -> list[Pathspec]:
    full = RUN.child("absent")
    paths = [Pathspec(("Absent", *RETRIED.components[1:depth])) for depth in range(1, Level.TASK)]
    return [*paths, FLOW.child("absent"), FLOW.child("absent").child("start"), full]
