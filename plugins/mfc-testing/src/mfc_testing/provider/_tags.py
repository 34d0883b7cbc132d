"""Clauses about changes of tags: the change itself, everything else, and other writers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import attrs
import pytest

from mfc.errors import MetaflowException, MetaflowNotFound, MetaflowTaggingError
from mfc.hookspecs import TagChange
from mfc.model import Pathspec
from mfc.query import Query
from mfc_testing import _isolation
from mfc_testing._contract import ClauseBroken, clause, equal, holds, refused
from mfc_testing._example import FLOW, OTHER, RETRIED, RUN, STEP
from mfc_testing.history import Backend
from mfc_testing.provider._asking import Asked, NewBackend, ProviderClauses

_Tags = frozenset[str]
_WRITERS, _EACH = 4, 5


class TagClauses(ProviderClauses):
    """Contract of `retag`, if tags can be changed."""

    @clause("retag-declared")
    def test_tags_change_if_so_declared(self, new_backend: NewBackend) -> None:
        """`retag` works if it is declared, and raises MetaflowTaggingError if it is not."""
        _, asked, _ = self.given(new_backend)
        if asked.capabilities.useful("retag"):
            asked.retag(RUN, lambda tags, _: tags | {"declared"})
            return
        try:
            asked.provider.retag(RUN, lambda tags, _: tags)
        except MetaflowTaggingError:
            return
        given = f"retag({str(RUN)!r}, …), declared unsupported"
        advice = "declare retag=Support.FULL"
        raise ClauseBroken(given, "MetaflowTaggingError raised", "it was done", advice)

    @clause("retag-sees")
    def test_change_is_called_with_the_tags(self, new_backend: NewBackend) -> None:
        """`change` is called with the user and the system tags of the run, as they are now."""
        _, asked, model = self.given(new_backend)
        self.can_retag(asked)
        record = model.get(RUN)
        seen: list[tuple[object, object]] = []

        def change(tags: _Tags, system: _Tags) -> _Tags:
            seen.append((tags, system))
            return frozenset({"second"})

        asked.retag(RUN, change)
        equal("what `change` got", (record and record.tags, record and record.system_tags), seen[0])
        asked.retag(RUN, change)
        equal("what `change` got then", frozenset({"second"}), seen[-1][0])

    @clause("retag-written")
    def test_tags_are_as_wanted_afterwards(self, new_backend: NewBackend) -> None:
        """`retag` returns the user tags wanted; all providers of the place show them at once."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        other = self.asked(backend)
        other.get(RUN)
        other.children(FLOW)
        address = asked.provider.address
        for wanted in ({"a"}, {"größe", "日本", "a b", "a:b", "it's", "%", '"'}, set(), {"z"}):
            tags = frozenset(wanted)
            equal(f"retag to {sorted(tags)}", tags, asked.retag(RUN, _to(tags)))
            equal("address, after a change of tags", address, asked.provider.address)
            for whose in (asked, other, self.asked(backend)):
                equal(f"tags of get, after retag to {sorted(tags)}", tags, _tags(whose, RUN))
                listed = {r.path: frozenset(r.tags) for r in whose.children(FLOW)}
                equal("tags in children(…), after it", tags, listed.get(RUN))

    @clause("retag-below")
    def test_what_is_below_shows_new_tags(self, new_backend: NewBackend) -> None:
        """After a change, steps, tasks and artifacts of the run carry its new tags."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        asked.children(STEP)
        tags = frozenset({"new"})
        asked.retag(RUN, _to(tags))
        for whose in (asked, self.asked(backend)):
            for path in (STEP, RETRIED, RETRIED.child("x")):
                equal(f"tags of get({str(path)!r})", tags, _tags(whose, path))
            for record in (*whose.children(RUN), *whose.children(STEP), *whose.artifacts(RETRIED)):
                equal(f"tags of {record.path}, in a listing", tags, frozenset(record.tags))

    @clause("retag-query")
    def test_queries_see_new_tags(self, new_backend: NewBackend) -> None:
        """After a change, a query for tags goes by the new ones."""
        _, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        if not asked.capabilities.full("tags"):
            pytest.skip("tags are not declared full")
        asked.children(FLOW, Query(tags={"new"}))
        asked.retag(RUN, lambda _, __: frozenset({"new"}))
        found = [record.path for record in asked.children(FLOW, Query(tags={"new"}))]
        equal("children, tags={'new'}, after retag", [RUN], found)
        gone = [r.path for r in asked.children(FLOW, Query(tags={"grün ß"}))]
        equal("children, tags={'grün ß'}, after retag", [], gone)

    @clause("retag-keeps")
    def test_nothing_else_changes(self, new_backend: NewBackend) -> None:
        """Only the user tags of this run change: no time, user or system tag, no other run."""
        _, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        bare = frozenset[str]()

        def state() -> dict[Pathspec, object]:
            found = {r.path: r for r in [*asked.children(FLOW), *asked.children(OTHER)]}
            return {p: attrs.evolve(r, tags=bare) if p == RUN else r for p, r in found.items()}

        before = state()
        asked.retag(RUN, lambda tags, _: tags | {"more"})
        after = state()
        for path, record in before.items():
            equal(f"{path}, after retag of {RUN}", record, after.get(path))

    @clause("retag-missing")
    def test_no_such_run(self, new_backend: NewBackend) -> None:
        """`retag` of a run that does not exist raises MetaflowNotFound, and creates none."""
        _, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        called: list[object] = []

        def change(tags: _Tags, _: _Tags) -> _Tags:
            called.append(tags)
            return tags | {"x"}

        for run in (FLOW.child("absent"), Pathspec(("Absent", "1")), FLOW.child("x" * 3000)):
            given = f"retag({str(run)[:60]!r}, …)"
            refused(given, MetaflowNotFound, partial(asked.provider.retag, run, change))
            equal(f"calls of `change` by {given}", [], called)
            equal(f"get({str(run)[:60]!r}), after it", None, asked.get(run))

    @clause("retag-refused")
    def test_a_refusal_leaves_all_as_it_was(self, new_backend: NewBackend) -> None:
        """When `change` raises MetaflowTaggingError, `retag` raises it, and nothing changes."""
        _, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        before = asked.get(RUN)

        def change(_: _Tags, __: _Tags) -> _Tags:
            raise MetaflowTaggingError("no")

        error = refused(
            "retag, refused", MetaflowTaggingError, lambda: asked.provider.retag(RUN, change)
        )
        equal("text of the refusal", "no", str(error))
        equal("get, after a refusal", before, asked.get(RUN))
        equal("children, after a refusal", before, {r.path: r for r in asked.children(FLOW)}[RUN])
        again = asked.retag(RUN, lambda tags, _: tags | {"after"})
        holds("after" in again, "retag, after a refusal", "it works", again)

    @clause("retag-threads")
    def test_no_change_of_a_thread_is_lost(self, new_backend: NewBackend) -> None:
        """Changes from several threads on one provider: each reported as done is kept."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        self._interrupted(backend, asked, lambda change: asked.provider.retag(RUN, change))
        self._crowd(backend, [asked] * _WRITERS)

    @clause("retag-writers")
    def test_no_change_of_another_provider_is_lost(self, new_backend: NewBackend) -> None:
        """Changes through several providers of one place: each reported as done is kept."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        other = self.asked(backend)
        self._interrupted(backend, asked, lambda change: other.provider.retag(RUN, change))
        self._crowd(backend, [self.asked(backend) for _ in range(_WRITERS)])

    @clause("retag-processes")
    def test_no_change_of_another_process_is_lost(self, new_backend: NewBackend) -> None:
        """Changes from another process: each reported as done is kept."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        if not self.shared_by_processes:
            pytest.skip("processes do not share this place (shared_by_processes = False)")
        _isolation.needs_fork()
        # Forked before the change begins, otherwise two processes would share its transaction.
        with _isolation.waiting_child(lambda: _adds(self.asked(backend), "theirs")) as theirs:

            def change(tags: _Tags, _: _Tags) -> _Tags:
                theirs.go(self.patience)
                return tags | {"ours"}

            done = {"ours"} if _did(lambda: asked.provider.retag(RUN, change)) else set()
            theirs.go(0)
            done |= {"theirs"} if theirs.answer() is True else set()
        self._all_there(self.asked(backend), done)

    def _interrupted(
        self, backend: Backend, asked: Asked, retag: Callable[[TagChange], _Tags]
    ) -> None:
        """Let another writer change tags between read and write, the best way to lose a change."""
        others: list[threading.Thread] = []
        done: set[str] = set()

        def theirs() -> None:
            if _did(lambda: retag(lambda tags, _: tags | {"theirs"})):
                done.add("theirs")

        def change(tags: _Tags, _: _Tags) -> _Tags:
            if not others:
                others.append(threading.Thread(target=theirs))
                others[0].start()
                others[0].join(self.patience)  # waits for the kit's change where the backend locks
            return tags | {"ours"}

        if _did(lambda: asked.provider.retag(RUN, change)):
            done.add("ours")
        for other in others:
            other.join()
        self._all_there(self.asked(backend), done)

    def _crowd(self, backend: Backend, writers: list[Asked]) -> None:
        done: set[str] = set()
        start = threading.Barrier(len(writers))

        def write(number: int, writer: Asked) -> None:
            start.wait()
            for time in range(_EACH):
                if _adds(writer, f"{number}-{time}"):
                    done.add(f"{number}-{time}")

        threads = [threading.Thread(target=write, args=pair) for pair in enumerate(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._all_there(self.asked(backend), done)

    def _all_there(self, asked: Asked, done: set[str]) -> None:
        tags = _tags(asked, RUN) or frozenset()
        lost = done - tags
        given = f"retag by several at once, adding {sorted(done)}"
        holds(done, given, "some of it done", "MetaflowTaggingError each time")
        holds(not lost, given, "all of them there", f"lost: {sorted(lost)}")


def _to(tags: _Tags) -> TagChange:
    return lambda _, __: tags


def _tags(asked: Asked, path: Pathspec) -> _Tags | None:
    record = asked.get(path)
    return None if record is None else frozenset(record.tags)


def _adds(asked: Asked, tag: str) -> bool:
    return _did(lambda: asked.provider.retag(RUN, lambda tags, _: tags | {tag}))


def _did(retag: Callable[[], object]) -> bool:
    """Tell whether a change was made; a writer that loses every race may give up with an error."""
    try:
        retag()
    except MetaflowException:
        return False
    return True
