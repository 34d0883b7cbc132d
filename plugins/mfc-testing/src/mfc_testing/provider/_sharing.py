"""Clauses about several at once: threads, processes, providers, places; and about failures."""

from __future__ import annotations

import pickle
import warnings
from functools import partial
from typing import Any

import pytest

from mfc.errors import MetaflowException, MfcWarning, UnreadableRecord
from mfc.model import Pathspec
from mfc.query import Query
from mfc_testing import _isolation
from mfc_testing._contract import ask, clause, equal, holds, refused
from mfc_testing._example import (
    ABSENT,
    FLOW,
    NAMED,
    RETRIED,
    ROOT,
    RUN,
    STEP,
    example,
    run,
)
from mfc_testing.history import History
from mfc_testing.provider._asking import (
    Asked,
    NewBackend,
    ProviderClauses,
    paths,
    quietly,
)


def _reading(asked: Asked) -> Any:
    """Return answers of every kind in comparable form."""
    return (
        [sorted(paths(asked.children(parent))) for parent in (ROOT, FLOW, RUN, STEP)],
        [asked.get(path) for path in (FLOW, RUN, STEP, RETRIED, RETRIED.child("x"))],
        [str(record) for record in asked.metadata(NAMED)],
        paths(asked.artifacts(RETRIED)),
        paths(asked.children(FLOW, Query(names=("7",)))),
    )


class SharingClauses(ProviderClauses):
    """Concurrent and earlier use changes no answer."""

    @clause("threads")
    def test_threads_get_the_same(self, new_backend: NewBackend) -> None:
        """One provider answers several threads at once as it answers one."""
        _, asked, _ = self.given(new_backend)
        _isolation.in_threads("children, get, metadata, artifacts", lambda: _reading(asked))

    @clause("interleaved")
    def test_two_listings_at_once(self, new_backend: NewBackend) -> None:
        """Two listings may be read in turns, and one left unfinished; each is complete."""
        _, asked, _ = self.given(new_backend)
        expected = [paths(asked.children(parent)) for parent in (FLOW, STEP)]
        next(iter(asked.provider.children(FLOW, Query())), None)
        first, second = (iter(asked.provider.children(p, Query())) for p in (FLOW, STEP))
        got: list[list[str]] = [[], []]
        while len(got[0]) < len(expected[0]) or len(got[1]) < len(expected[1]):
            pair = next(first, None), next(second, None)
            if pair == (None, None):
                break
            for found, record in zip(got, pair, strict=True):
                found.extend([] if record is None else [str(record.path)])
        given = "children of a flow and of a step, in turns"
        equal(given, [sorted(names) for names in expected], [sorted(names) for names in got])

    @clause("fork")
    def test_a_forked_child_gets_the_same(self, new_backend: NewBackend) -> None:
        """A provider made and used before a fork answers in the child, and still in the parent."""
        _isolation.needs_fork()
        _, asked, _ = self.given(new_backend)
        _isolation.in_fork("children, get, metadata, artifacts", lambda: _reading(asked))

    @clause("places-apart")
    def test_two_places_share_nothing(self, new_backend: NewBackend) -> None:
        """Providers of two addresses share nothing: records, tags, earlier reads."""
        _, one, _ = self.given(new_backend)
        flows = example().records[:2]
        moved = History([*flows, run("8", 8_000, "eve", ["blue"], ["user:eve"])])
        _, two, _ = self.given(new_backend, moved)
        first = _reading(one)
        equal("children('Kit') of a second place", ["Kit/8"], paths(two.children(FLOW)))
        equal("get of a run that only the first place has", None, two.get(RUN))
        equal("get of a run that only the second place has", None, one.get(FLOW.child("8")))
        if one.capabilities.useful("retag"):
            two.retag(FLOW.child("8"), lambda _, __: frozenset({"two"}))
        equal("all answers of the first place, afterwards", first, _reading(one))
        holds(
            one.provider.address != two.provider.address,
            "addresses of two places",
            "two texts",
            one.provider.address,
        )

    @clause("address")
    def test_the_address_is_text(self, new_backend: NewBackend) -> None:
        """`address` is text, the same for all providers of a place, and can be pickled."""
        backend, asked, _ = self.given(new_backend)
        address = asked.provider.address
        holds(type(address) is str and address, "address", "text", repr(address))
        equal("address, of a second provider", address, self.asked(backend).provider.address)
        equal("address, after reading", address, (asked.everything(), asked.provider.address)[1])
        equal("address, pickled", address, pickle.loads(pickle.dumps(address)))  # noqa: S301

    @clause("root")
    def test_root_is_text_or_none(self, new_backend: NewBackend) -> None:
        """`root` gives a datastore root as text, or None for what this backend does not store."""
        _, asked, _ = self.given(new_backend)
        for ds_type in ("local", "s3", "no such type"):
            root = ask(f"root({ds_type!r})", partial(asked.provider.root, ds_type))
            holds(root is None or type(root) is str, f"root({ds_type!r})", "text or None", root)
        equal("root('no such type')", None, asked.provider.root("no such type"))

    @clause("errors")
    def test_only_errors_of_mfc_leave(self, new_backend: NewBackend) -> None:
        """For any query, only classes of `mfc.errors` are raised, never a library's."""
        _, asked, _ = self.given(new_backend)
        provider = asked.provider
        odd = [Query(names=ABSENT), Query(tags=ABSENT), Query(since=-1), Query(until=10**18)]
        odd += [Query(user="\ud800"), Query(metadata=("\ud800", "(a|b)*c")), Query(limit=10**15)]
        full = [q for q in odd if all(asked.capabilities.full(part) for part in q.parts())]
        for name in ABSENT:
            for path in (FLOW.child(name), Pathspec((name, "1")), STEP.child(name)):
                _mfc_only(
                    f"children below {name!r}",
                    lambda p=path: list(provider.children(p, Query()) or ()),
                )
                _mfc_only(f"get of {name!r}", lambda p=path: provider.get(p))
            task = STEP.child(name)
            _mfc_only(f"metadata of {name!r}", lambda t=task: list(provider.metadata(t, ABSENT)))
            _mfc_only(
                f"artifacts of {name!r}", lambda t=task: list(provider.artifacts(t, ABSENT, 5))
            )
            _mfc_only(
                f"retag of {name!r}",
                lambda n=name: provider.retag(FLOW.child(n), lambda tags, _: tags),
            )
        for query in full:
            for path in (ROOT, FLOW, STEP):
                _mfc_only(str(query), lambda p=path, q=query: list(provider.children(p, q) or ()))

    @clause("unreadable")
    def test_damage_is_told(self, new_backend: NewBackend) -> None:
        """For a damaged record `get` raises UnreadableRecord; listings omit it with an MfcWarning.

        Only for a backend with a method `damage(path)`.
        """
        backend, asked, _ = self.given(new_backend)
        damage = getattr(backend, "damage", None)
        if damage is None:
            pytest.skip("the backend has no `damage(path)`")
        for path in (FLOW.child("9"), STEP.child("5")):
            everything = paths(asked.children(path.parent))
            damage(path)
            refused(
                f"get({str(path)!r}), damaged",
                UnreadableRecord,
                partial(asked.provider.get, path),
            )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                got = paths(asked.children(path.parent))
            left = [name for name in everything if name != str(path)]
            equal(f"children({str(path.parent)!r}), one damaged", left, got)
            said = [str(w.message) for w in caught if issubclass(w.category, MfcWarning)]
            named = any(path.name in text for text in said)
            holds(named, "warnings of that listing", f"an MfcWarning that names {path}", said)

    @clause("nothing-left-open")
    def test_nothing_is_left_open(self, new_backend: NewBackend) -> None:
        """A provider closes what it opens: with the call, or when the provider is gone."""
        backend, warm, _ = self.given(new_backend)
        _reading(warm)
        del warm
        with _isolation.nothing_left_open("a new provider, read, left in a listing, and dropped"):
            asked = self.asked(backend)
            _reading(asked)
            begun = iter(asked.provider.children(FLOW, Query()))
            next(begun)
            del begun, asked


def _mfc_only(given: str, question: Any) -> None:
    __tracebackhide__ = True

    def answer() -> None:
        try:
            question()
        except MetaflowException:
            return

    with quietly():
        ask(given if len(given) < 200 else f"{given[:200]}…", answer)  # noqa: PLR2004
