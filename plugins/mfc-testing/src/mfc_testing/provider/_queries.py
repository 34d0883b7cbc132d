"""Clauses about each part of a `Query`, alone and combined: declared capabilities must be true."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from mfc.hookspecs import Capabilities, Support
from mfc.model import Pathspec, Record
from mfc.query import Query
from mfc_testing._contract import ClauseBroken, clause, equal, holds
from mfc_testing._example import FLOW, ROOT, RUN, STEP, T
from mfc_testing.memory import MemoryProvider
from mfc_testing.provider._asking import (
    Asked,
    NewBackend,
    ProviderClauses,
    paths,
    shown_listing,
)

#: Values to query, by part.
_ASKED: dict[str, tuple[Any, ...]] = {
    "tags": (
        {"blue"}, {"red", "blue"}, {"user:ada"}, {"user:ada", "blue"}, {"blu"}, {"BLUE"},
        {"absent"}, {"blue", "absent"}, {"grün ß"}, {"user:ada", "runtime:dev", "red"}, {"re"},
        {"%"}, {"bl*"},
    ),
    "since": (0, T, T + 3_000, T + 3_001, T + 2_999, T + 4_310, T + 6_000, T + 6_001),
    "until": (0, T, T + 1, T + 3_000, T + 3_001, T + 4_310, T + 6_000, T + 6_001, 4 * T),
    "user": ("ada", "bob", "ad", "Ada", "carol", "nobody", "", "None", "a%"),
    "names": (
        {"7"}, {"7", "9"}, {"1"}, set(), {"absent", "10"}, {"argo*"}, {"argo-kit-x9"}, {"fit"},
        {"2", "x-4"}, {"Kit"}, {"kit"}, {"X-4"}, {RUN.name},
    ),
    "metadata": (
        ("kind", "alpha"), ("kind", "beta"), ("kind", "beta|alpha"), ("kind", "al.*"),
        ("kind", ".*"), ("kind", ".*alpha"), ("kind", "ALPHA"), ("kind", "(?i)ALPHA"),
        ("kind", "lph"), ("kind", ""), ("absent", ".*"), ("listed", ".*"), ("counted", ".*"),
        ("told", "(?i)true"), ("kind-of", "größe"), ("kind-of", r"gr.ße\s\w+"),
        ("kind_of", "alpha"), ("Kind", "alpha"),
    ),
    "limit": (0, 1, 2, 3, 5, 100),
}  # fmt: skip
_WHERE = (FLOW, STEP, RUN, ROOT)
#: A part that needs more than a record to answer; the client's own answer is the model.
_STATUSES = ("completed", "failed", "running", "unknown")


class QueryClauses(ProviderClauses):
    """Every part of a query works as the capabilities declare."""

    @clause("capabilities")
    def test_capabilities_are_declared(self, new_backend: NewBackend) -> None:
        """`capabilities` is a `Capabilities` of `Support`, the same for the life of a provider."""
        _, asked, _ = self.given(new_backend)
        declared = asked.provider.capabilities
        holds(type(declared) is Capabilities, "capabilities", "Capabilities", declared)
        for name in Capabilities.__annotations__:
            support = getattr(declared, name)
            holds(isinstance(support, Support), f"capabilities.{name}", "a Support", support)
        equal("capabilities, again", declared, asked.provider.capabilities)

    @clause("query-tags")
    def test_tags(self, new_backend: NewBackend) -> None:
        """`tags`: all of them are among the user and system tags."""
        self._part(new_backend, "tags")

    @clause("query-since")
    def test_since(self, new_backend: NewBackend) -> None:
        """`since`: created at that time or after."""
        self._part(new_backend, "since")

    @clause("query-until")
    def test_until(self, new_backend: NewBackend) -> None:
        """`until`: created before that time."""
        self._part(new_backend, "until")

    @clause("query-user")
    def test_user(self, new_backend: NewBackend) -> None:
        """`user`: made by just this user."""
        self._part(new_backend, "user")

    @clause("query-names")
    def test_names(self, new_backend: NewBackend) -> None:
        """`names`: of these names, letter by letter; an empty set asks for nothing at all."""
        self._part(new_backend, "names")

    @clause("query-metadata")
    def test_metadata(self, new_backend: NewBackend) -> None:
        """`metadata`: tasks of which a value of the field, of any attempt, matches wholly."""
        self._part(new_backend, "metadata")

    @clause("query-limit")
    def test_limit(self, new_backend: NewBackend) -> None:
        """`limit`: at most so many, the newest."""
        _, asked, _ = self.given(new_backend)
        verdict = _Verdict(asked, "limit")
        for path, limit in itertools.product(_WHERE, _ASKED["limit"]):
            everything = asked.children(path)
            query = Query(limit=limit)
            verdict.note(path, query, everything[:limit], everything)
        verdict.give()

    @clause("query-status")
    def test_status(self, new_backend: NewBackend) -> None:
        """`status`: runs to which the client gives this very status."""
        _, asked, model = self.given(new_backend)
        if not asked.capabilities.useful("status"):
            pytest.skip("status is declared unsupported")
        from mfc import Client  # the client's own answer is the model here

        flow = Client(model, namespace=None).flow(FLOW.name)
        verdict = _Verdict(asked, "status")
        everything = asked.children(FLOW)
        for status in _STATUSES:
            wanted = {str(run.pathspec) for run in flow.runs(status=status)}
            expected = [record for record in everything if str(record.path) in wanted]
            verdict.note(FLOW, Query(status=status), expected, everything)
        verdict.give()

    @clause("query-combined")
    def test_parts_hold_together(self, new_backend: NewBackend) -> None:
        """Supported parts apply together; a limit counts the results of all others."""
        _, asked, _ = self.given(new_backend)
        parts = [part for part in _ASKED if part != "limit" and asked.capabilities.full(part)]
        if not parts:
            pytest.skip("no part is declared full")
        listed = functools.cache(lambda path, query: tuple(paths(asked.children(path, query))))
        for path, query in itertools.product((FLOW, STEP), _combined(parts)):
            alone = [listed(path, query.only((part,))) for part in query.parts()]
            everything = listed(path, Query())
            expected = [name for name in everything if all(name in a for a in alone)]
            got = paths(asked.children(path, query))
            equal(shown_listing(path, query), sorted({*expected}), sorted({*got}))
            if asked.capabilities.full("limit"):
                few = Query(**{**{p: getattr(query, p) for p in query.parts()}, "limit": 2})
                left = paths(asked.children(path, few))
                right = min(2, len(expected)), True
                equal(shown_listing(path, few), right, (len(left), set(left) <= set(expected)))

    def _part(self, new_backend: NewBackend, part: str) -> None:
        """Compare the answers to one part alone with the model's."""
        __tracebackhide__ = True
        _, asked, model = self.given(new_backend)
        verdict = _Verdict(asked, part)
        for path, wanted in itertools.product(_WHERE, _ASKED[part]):
            query = Query(**{part: wanted})
            right = set(paths(_matching(model, path, query)))
            everything = asked.children(path)
            expected = [record for record in everything if str(record.path) in right]
            verdict.note(path, query, expected, everything)
        verdict.give()


def _matching(model: MemoryProvider, path: Pathspec, query: Query) -> Iterable[Record]:
    return model.children(path, query)


def _combined(parts: Sequence[str]) -> list[Query]:
    """Return queries of two parts and more, with and without matches."""
    likely: dict[str, tuple[Any, ...]] = {
        "tags": ({"blue"}, {"user:ada", "red"}),
        "since": (T + 2_000, T + 4_310),
        "until": (T + 4_001, T + 4_330),
        "user": ("ada", "bob"),
        "names": ({RUN.name, "7", "2", "x-4", "3"}, {"1700000002000000", "10"}),
        "metadata": (("kind", "alpha"), ("kind", ".*a.*")),
    }
    found = []
    for number in range(2, len(parts) + 1):
        for chosen in itertools.combinations(parts, number):
            values = itertools.product(*(likely[part] for part in chosen))
            found += [Query(**dict(zip(chosen, v, strict=True))) for v in values][:4]
    return found


def _once(records: list[Record]) -> list[Record]:
    return list({record.path: record for record in records}.values())


class _Verdict:
    """Whether a part works as declared, judged by all answers together."""

    def __init__(self, asked: Asked, part: str) -> None:
        self._asked, self._part = asked, part
        self._support: Support = getattr(asked.capabilities, part)
        self._ignored = self._exact = True
        self._odd: tuple[str, list[str], list[str]] | None = None

    def note(
        self, path: Pathspec, query: Query, expected: list[Record], everything: list[Record]
    ) -> None:
        """Run a query, and compare with the right answer and with that of ignoring the part.

        Raises:
            ClauseBroken: the answer is wrong, whatever the others are.
        """
        __tracebackhide__ = True
        given = f"{shown_listing(path, query)}, {self._part} declared {self._support.value}"
        times = {record.path: record.created for record in everything}
        asked = self._asked.children(path, query)
        found = _once(asked)
        equal(f"{given}: how many, each once", len(found), len(asked))
        expected, everything = _once(expected), _once(everything)
        got, right, ignored = (paths(records) for records in (found, expected, everything))

        def same(one: list[Record]) -> bool:
            # Ties may come in any order; a stable order is another clause.
            in_time = [times.get(r.path) for r in found] == [times[r.path] for r in one]
            return in_time and (self._part == "limit" or set(got) == set(paths(one)))

        if self._support is Support.FULL:
            advice = f"or declare {self._part}=Support.PARTIAL or UNSUPPORTED"
            holds(same(expected), given, right, got, advice)
        elif self._support is not Support.UNSUPPORTED:
            lost = [name for name in right if name not in got]
            holds(not lost, given, f"at least {right}", f"{got}: {lost} are lost")
            strange = [name for name in got if name not in ignored]
            holds(not strange, given, "only children", strange)
        else:
            self._ignored = self._ignored and same(everything)
            self._exact = self._exact and same(expected)
            if not same(everything) and self._odd is None:
                self._odd = given, ignored, got

    def give(self) -> None:
        """Report an error in a part that is declared unsupported.

        Raises:
            ClauseBroken: the part is answered after all, or not ignored.
        """
        if self._ignored or self._odd is None:
            return
        advice = (
            f"it is answered exactly: declare {self._part}=Support.FULL, else it is done twice"
            if self._exact
            else "ignore what is not supported, or declare it partial if it never loses a record"
        )
        raise ClauseBroken(*self._odd, advice)
