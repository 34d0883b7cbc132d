"""Clauses about data: similar names stay apart, odd values stay unchanged."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import partial

import attrs
import pytest

from mfc.model import Level, Pathspec, Record
from mfc.query import Query
from mfc.tags import TagEdit
from mfc_testing import _isolation
from mfc_testing._contract import ClauseBroken, clause, equal, holds
from mfc_testing._example import (
    FLOW,
    RETRIED,
    ROOT,
    RUN,
    STEP,
    T,
    example,
    field,
    finished,
    many_runs,
)
from mfc_testing.history import Backend, History, recordable
from mfc_testing.memory import MemoryProvider
from mfc_testing.provider import _worlds
from mfc_testing.provider._asking import Asked, NewBackend, ProviderClauses, paths, shown_listing
from mfc_testing.provider._audit import audit


class DataClauses(ProviderClauses):
    """Similar names, values of every kind, times of every kind."""

    @clause("siblings")
    def test_names_that_begin_alike_stay_apart(self, new_backend: NewBackend) -> None:
        """Of flows, runs, steps, tasks, artifacts and fields with alike names each has its own."""
        _, asked, model = self.given(new_backend, _worlds.siblings())
        audit(asked, model, attempts=(None, 0))
        for task in (path for path in model.known(ROOT) if path.level is Level.TASK):
            for names in (("x",), ("x_", "absent"), ("kind", "k_nd")):
                expected = sorted(r.path.name for r in model.artifacts(task, names))
                got = sorted(r.path.name for r in asked.artifacts(task, names))
                equal(f"artifacts({str(task)!r}, {names})", expected, got)
                noted = sorted((r.name, r.created) for r in model.metadata(task, names))
                told = sorted((r.name, r.created) for r in asked.metadata(task, names))
                equal(f"metadata({str(task)!r}, {names})", noted, told)
        self._apart(asked)

    def _apart(self, asked: Asked) -> None:
        """Check that similar names find no object, in every query."""
        step = FLOW.child("10").child("fit2")
        for path in (FLOW, FLOW.child("10"), step, step.child("10")):
            name = path.name
            for other in (
                name[:-1],
                f"{name}x",
                f"{name} ",
                f" {name}",
                f"0{name}",
                name.swapcase(),
            ):
                at = path.parent.child(other)
                if asked.get(path) is None or other in (*_worlds.NAMES, ""):
                    continue
                # Objects below it are missing as well, although their names exist elsewhere.
                below = Pathspec((*at.components, "fit", "1")[: max(at.level, 4)])
                for absent in dict.fromkeys((at, below)):
                    equal(f"get({str(absent)!r})", None, asked.get(absent))
                    if absent.level < Level.TASK:
                        equal(f"children({str(absent)!r})", [], paths(asked.children(absent)))
                    if absent.level is Level.TASK or (
                        asked.capabilities.full("bulk") and absent.level > 1
                    ):
                        equal(f"metadata({str(absent)!r})", [], asked.metadata(absent))
                        equal(f"artifacts({str(absent)!r})", [], paths(asked.artifacts(absent)))

    @clause("siblings-query")
    def test_queries_tell_alike_names_apart(self, new_backend: NewBackend) -> None:
        """Queries for a name, a tag or a user do not find others that begin alike."""
        _, asked, model = self.given(new_backend, _worlds.siblings())
        parents = [ROOT, FLOW, FLOW.child("1"), FLOW.child("1").child("fit"), Pathspec(("Kit2",))]
        for parent in parents:
            names = [path.name for path in model.known(parent) if path.parent == parent]
            queries = [Query(names={name}) for name in (*names, "1%", "Ki", "fi")]
            queries += [Query(tags={tag}) for tag in ("blue", "blue2", "b_ue", "blu", "b")]
            queries += [Query(tags={"blue", "in Kit/1"}), Query(tags={"of Kit/10"})]
            queries += [Query(user=user) for user in ("ada", "ada2", "a_a", "a")]
            queries += [Query(metadata=(name, ".*")) for name in ("kind", "kin", "k_nd")]
            queries += [Query(metadata=("kind", f"{parent}/1 0 0"))]
            for query in queries:
                select(asked, model, parent, query)

    @clause("siblings-retag")
    def test_tags_of_one_run_alone_change(self, new_backend: NewBackend) -> None:
        """`retag` of a run leaves runs with similar names alone, here and in other flows."""
        backend, asked, model = self.given(new_backend, _worlds.siblings())
        self.can_retag(asked)
        for path in (FLOW.child("1"), Pathspec(("Kit2", "10"))):
            before, after = (path.child(name) for name in ("fit", "fi"))
            asked.get(before), asked.get(after)
            for whose in (asked, Asked(model)):
                whose.retag(path, lambda tags, _: (tags | {"new", "größe"}) - {"blue"})
            for whose in (asked, self.asked(backend)):
                audit(whose, model, when=f"after retag of {path}", records_only=True)

    @clause("values-exact")
    def test_values_are_byte_for_byte(self, new_backend: NewBackend) -> None:
        """Values and types of metadata, fields of artifacts come back as recorded, exactly."""
        task = _worlds.STEP.child("1")
        backend, asked, model = self.given(new_backend, _worlds.in_a_task(task))
        pieces = [History((), (), [noted]) for noted in _worlds.odd_fields(task)]
        pieces += [History((), [made]) for made in _worlds.odd_artifacts(task)]
        self._recorded(backend, model, [*pieces, finished(task, 900)])
        audit(asked, model, when="values being odd", attempts=(None, 0))
        for noted in model.metadata(task):
            got = [(r.name, r.value) for r in asked.metadata(task, (noted.name,))]
            expected = [(r.name, r.value) for r in model.metadata(task, (noted.name,))]
            equal(f"metadata({str(task)!r}, ({noted.name!r},))", expected, got)

    @clause("values-tags")
    def test_tags_and_users_are_as_recorded(self, new_backend: NewBackend) -> None:
        """Tags and users come back exactly, and a query finds just those that have them."""
        backend, asked, model = self.given(new_backend, History([Record(FLOW, T)]))
        self._recorded(backend, model, [History([made]) for made in _worlds.odd_runs()])
        audit(asked, model, when="tags and users being odd")
        for tag in _worlds.TAGS:
            select(asked, model, FLOW, Query(tags={tag}))
        for user in _worlds.USERS:
            select(asked, model, FLOW, Query(user=user))

    @clause("values-matched")
    def test_values_are_matched_as_recorded(self, new_backend: NewBackend) -> None:
        """`metadata` of a query is a regular expression of Python for the whole of a text."""
        values = ["a", "a\n", "\na", "aa", "ab", "ba", "A", "", " a", "é", "a.b", "5", "a\nb"]
        tasks = [STEP.child(f"m{n}") for n in range(len(values))]
        made = History(
            [Record(task, T + 5_000 + n, "ada") for n, task in enumerate(tasks)],
            (),
            [field(task, "text", value, 5_100) for task, value in zip(tasks, values, strict=True)]
            + [field(tasks[0], "text", "twice", 5_101), field(tasks[0], "text", "twice", 5_102)]
            + [field(tasks[1], "text", ["a"], 5_103), field(tasks[3], "text", 5, 5_104)],
        )
        backend, asked, model = self.given(new_backend, example())
        self._recorded(backend, model, [made])
        patterns = (
            "a", "a|b", "a|ab", "^a$", "a$", ".", ".*", "", "(?s).*", "(?i)a", r"a\.b", "a.b",
            "[ab]+", r"\d", r"\w+", "(a)(b)?", "twice", "5", "(?=a)a", r"\s*a\s*", "a+?", "(?m)a$",
        )  # fmt: skip
        for pattern in patterns:
            select(asked, model, STEP, Query(metadata=("text", pattern)))
            if asked.capabilities.full("limit"):
                for limit in (1, 2):
                    select(asked, model, STEP, Query(metadata=("text", pattern), limit=limit))

    @clause("times-exact")
    def test_times_are_to_the_millisecond(self, new_backend: NewBackend) -> None:
        """Times come back to the ms, from 1970 on; order, `since`, `until`, `recent` go by them."""
        _, asked, model = self.given(new_backend, _worlds.odd_times())
        audit(asked, model, when="times being odd", attempts=(None, 0))
        for moment in _worlds.TIMES:
            for at in (moment - 1, moment, moment + 1):
                for parent in (FLOW, _worlds.STEP):
                    select(asked, model, parent, Query(since=at))
                    select(asked, model, parent, Query(until=at))
                if hasattr(asked.provider, "recent") and at >= 0:
                    expected = sorted(r.name for r in model.recent(_worlds.RUN, at))
                    got = sorted(r.name for r in asked.recent(_worlds.RUN, at))
                    equal(f"recent({str(_worlds.RUN)!r}, {at})", expected, got)
        select(asked, model, FLOW, Query(since=T + 1, until=T + 2))
        select(asked, model, FLOW, Query(since=T, until=T))

    @clause("times-zones")
    def test_no_zone_changes_an_answer(self, new_backend: NewBackend) -> None:
        """In any time zone of the reader (TZ), times and the order by them are the same."""
        _isolation.needs_fork()
        if not hasattr(time, "tzset"):
            pytest.skip("zones cannot be set here")
        backend, _, model = self.given(new_backend, _worlds.odd_times())

        def there(zone: str) -> tuple[str, ...] | None:
            os.environ["TZ"] = zone
            time.tzset()
            try:
                asked = self.asked(backend)
                audit(asked, model, when=f"TZ={zone}", attempts=(None,))
                for at in (T, T + 1, 1_699_165_800_000, 1_710_059_400_000):
                    select(asked, model, FLOW, Query(since=at))
                    select(asked, model, FLOW, Query(until=at))
            except ClauseBroken as broken:
                return tuple(map(str, broken.args))
            return None

        for zone in _worlds.ZONES:
            failed = _isolation.answered(_isolation.forked(partial(there, zone)))
            if failed is not None:
                holds(isinstance(failed, tuple), f"a child with TZ={zone}", "answers", failed)
                raise ClauseBroken(*failed)

    @clause("names-many")
    def test_very_many_names_at_once(self, new_backend: NewBackend) -> None:
        """A query may have any number of names."""
        number = 1_200
        _, asked, model = self.given(new_backend, many_runs(number))
        names = {path.name for path in model.known(FLOW)}
        for wanted in (names, {*names, *(f"absent{n}" for n in range(4_000))}):
            if asked.capabilities.useful("names"):
                found = {r.path.name for r in asked.children(FLOW, Query(names=wanted))}
                lost = sorted(names - found)
                equal(f"children, names={{{len(wanted)} names}}: which are lost", [], lost[:5])
        many = tuple(f"absent{n}" for n in range(5_000))
        backend = new_backend()
        self._recorded(backend, MemoryProvider(), [example()])
        asked = self.asked(backend)
        got = sorted({r.path.name for r in asked.artifacts(RETRIED, ("x", *many))})
        equal("artifacts of a task, 5,001 names", ["x"], got)
        noted = {r.name for r in asked.metadata(RETRIED, ("kind", *many))}
        equal("metadata of a task, 5,001 names", {"kind"}, noted)

    @clause("names-once")
    def test_one_name_at_every_level(self, new_backend: NewBackend) -> None:
        """A flow, run, step, task, artifact and field of one name are six; none needs a child."""
        same = [Pathspec(("same",) * level) for level in (1, 2, 3, 4)]
        records = [
            Record(path, T + 10 * path.level, "ada" if path.level > 1 else None) for path in same
        ]
        alone = [
            Pathspec(("alone",)),
            same[0].child("alone"),
            same[1].child("alone"),
            same[2].child("alone"),
        ]
        records += [Record(path, T + 100 + path.level, None) for path in alone]
        task = same[3]
        made = History(records, (), [field(task, "same", "same", 60)]) + finished(task, 80)
        made += History((), [attrs.evolve(made.artifacts[0], path=task.child("same"))])
        _, asked, model = self.given(new_backend, made)
        audit(asked, model, attempts=(None, 0))

    @clause("values-apart")
    def test_each_answer_is_its_own(self, new_backend: NewBackend) -> None:
        """Changes by the caller to a returned value change no other answer."""
        task = _worlds.STEP.child("1")
        made = _worlds.in_a_task(task)
        made += History(
            (), (), [field(task, "list", [1, {"a": [2]}], 10), field(task, "map", {"b": [3]}, 11)]
        )
        _, asked, model = self.given(new_backend, made)
        for whose in (asked, asked):
            for path in (task, _worlds.STEP) if asked.capabilities.full("bulk") else (task,):
                for record in whose.metadata(path):
                    if isinstance(record.value, (list, dict)):
                        record.value.clear()
            expected = [r.value for r in model.metadata(task)]
            equal(
                "values, after others were changed",
                expected,
                [r.value for r in whose.metadata(task)],
            )

    @clause("retag-odd")
    def test_any_text_can_be_a_tag(self, new_backend: NewBackend) -> None:
        """Tags are written byte for byte, as many as 50 at once, and can be taken away again."""
        backend, asked, _ = self.given(new_backend)
        self.can_retag(asked)
        for tags in (
            frozenset(_worlds.TAGS),
            frozenset({"é"}),
            frozenset({"e\u0301"}),
            frozenset(),
        ):
            given = f"retag to {len(tags)} tags"
            equal(given, tags, asked.retag(RUN, partial(_to, tags)))
            for whose in (asked, self.asked(backend)):
                record = whose.get(RUN)
                equal(f"tags of get, after {given}", tags, record and frozenset(record.tags))

    @clause("retag-edit")
    def test_edits_of_users_are_carried_out(self, new_backend: NewBackend) -> None:
        """A `TagEdit` removes, then adds, and keeps its rules; what it answers is what is there."""
        backend, asked, model = self.given(new_backend)
        self.can_retag(asked)
        edits: tuple[tuple[list[str], list[str]], ...] = (
            (["red"], ["new"]), (["absent"], ["blue"]), (["blue", "new"], []),
            (["x"], ["x", "user:ada"]),
            ([], ["a b", "é"]), (["runtime:dev"], ["late"]),
            ([], ["last"]),
        )  # fmt: skip
        for remove, add in edits:
            edit = TagEdit.of(remove, add)
            given = f"retag({str(RUN)!r}, {edit})"
            expected, got = (_outcome(partial(p.retag, RUN, edit)) for p in (model, asked.provider))
            equal(given, expected, got)
            for whose in (asked, self.asked(backend)):
                equal(f"get({str(RUN)!r}), after {given}", model.get(RUN), whose.get(RUN))

    def _recorded(self, backend: Backend, model: MemoryProvider, pieces: Iterable[History]) -> None:
        """Put piece by piece; pieces that the backend itself refuses are left out."""
        for piece in pieces:
            made = recordable(backend, piece)
            try:
                backend.put(made)
            except Exception:  # noqa: BLE001, S112 - some backends cannot hold NUL
                continue
            model.put(made)


def select(asked: Asked, model: MemoryProvider, path: Pathspec, query: Query) -> None:
    """Run a partial listing, and check the declared capability.

    Raises:
        ClauseBroken: the capability is wrong.
    """
    __tracebackhide__ = True
    parts = query.parts()
    if not all(asked.capabilities.useful(part) for part in parts):
        return
    full = all(asked.capabilities.full(part) for part in parts)
    if query.limit is not None and not full:
        return
    given = shown_listing(path, query)
    right, got = list(model.children(path, query)), asked.children(path, query)
    equal(f"{given}: how many, each once", len({r.path for r in got}), len(got))
    names, found = {str(r.path) for r in right}, {str(r.path) for r in got}
    if query.limit is not None:
        everything = list(model.children(path, query.only(parts - {"limit"})))
        names = {str(r.path) for r in everything}
        equal(f"{given}: how many", len(right), len(got))
    elif full or names - found:
        equal(given, sorted(names), sorted(found))
    every = names if full else {str(r.path) for r in model.children(path, Query())}
    equal(f"{given}: of others", [], sorted(found - every))


def _to(tags: frozenset[str], *_: object) -> frozenset[str]:
    return tags


def _outcome(question: object) -> object:
    from mfc.errors import MetaflowTaggingError

    try:
        return question()  # type: ignore[operator]
    except MetaflowTaggingError:
        return "MetaflowTaggingError raised"
