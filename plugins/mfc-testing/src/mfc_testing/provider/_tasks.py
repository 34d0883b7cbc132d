"""Clauses about the records of tasks: attempts, fields, artifacts, and many tasks at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs
import pytest

from mfc.hookspecs import Recent
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec
from mfc_testing._contract import clause, equal, holds
from mfc_testing._example import (
    BARE,
    FLOW,
    NAMED,
    RETRIED,
    RUN,
    RUNNING,
    STEP,
    artifact,
    example,
    field,
    finished,
)
from mfc_testing.history import History
from mfc_testing.provider._asking import Asked, NewBackend, ProviderClauses, paths

_TASKS = (RETRIED, RUNNING, NAMED, BARE, STEP.child("3"), RUN.child("start").child("1"))
_NAMES: tuple[tuple[str, ...], ...] = (
    ("x",), ("x", "y"), ("y", "absent"), (), ("X",), ("x_",), ("x", "x"), ("*",),
    ("x", "xy", "a.x"),
)  # fmt: skip
_FIELDS: tuple[tuple[str, ...], ...] = (
    ("kind",), ("kind", "kind_of"), ("kind-of", "absent"), (), ("KIND",), ("kin",), ("attempt",),
    ("kind", "kind"), ("*",), ("attempt-done",),
)  # fmt: skip


class TaskClauses(ProviderClauses):
    """Attempts, metadata, artifacts."""

    @clause("attempt-last")
    def test_the_attempt_finished_last_counts(self, new_backend: NewBackend) -> None:
        """Unless one is asked for, artifacts are those of the attempt that finished last."""
        _, asked, model = self.given(new_backend)
        for task in (RETRIED, STEP.child("3"), NAMED):
            expected = _attempts(model.artifacts(task))
            equal(f"artifacts({str(task)!r})", expected, _attempts(asked.artifacts(task)))
        for name, attempt in (("x", 1), ("y", 1), ("only_first", None)):
            found = asked.get(RETRIED.child(name))
            got = found.attempt if isinstance(found, ArtifactRecord) else None
            equal(f"attempt of get({str(RETRIED.child(name))!r})", attempt, got)

    @clause("attempt-unfinished")
    def test_without_a_finished_attempt_there_are_no_artifacts(
        self, new_backend: NewBackend
    ) -> None:
        """A task without a finished attempt has no artifacts, whatever is written already."""
        _, asked, _ = self.given(new_backend)
        equal(f"artifacts({str(RUNNING)!r})", [], paths(asked.artifacts(RUNNING)))
        equal("artifacts(…, ['x'])", [], paths(asked.artifacts(RUNNING, ("x",))))
        equal(f"get({str(RUNNING.child('x'))!r})", None, asked.get(RUNNING.child("x")))

    @clause("attempt-asked")
    def test_an_attempt_can_be_asked_for(self, new_backend: NewBackend) -> None:
        """With attempts, artifacts of the requested attempt come, finished or not."""
        _, asked, model = self.given(new_backend)
        known = asked.capabilities.full("attempts")
        told = False
        for task in (RETRIED, RUNNING, NAMED):
            for attempt in range(4):
                expected = _attempts(model.artifacts(task, None, attempt))
                got = _attempts(asked.artifacts(task, None, attempt))
                one = asked.get(task.child("x"), attempt)
                expected_one = model.get(task.child("x"), attempt)
                if known:
                    equal(f"artifacts({str(task)!r}, None, {attempt})", expected, got)
                    given = f"get({str(task.child('x'))!r}, {attempt})"
                    equal(given, _key(expected_one), _key(one))
                else:
                    told = told or got != expected or _key(one) != _key(expected_one)
        holds(
            known or told or asked.capabilities.useful("attempts"),
            "artifacts(…, attempt=…), attempts declared unsupported",
            "the last attempt, or nothing",
            "each attempt's own",
            "declare attempts=Support.FULL",
        )

    @clause("attempt-elsewhere")
    def test_attempts_change_nothing_else(self, new_backend: NewBackend) -> None:
        """`get` of a task, or of its parents, does not depend on the attempt."""
        _, asked, _ = self.given(new_backend)
        for path in (FLOW, RUN, STEP, RETRIED, RUNNING):
            for attempt in (0, 5):
                equal(f"get({str(path)!r}, {attempt})", asked.get(path), asked.get(path, attempt))

    @clause("artifacts-complete")
    def test_artifacts_are_all_there_once(self, new_backend: NewBackend) -> None:
        """`artifacts` of a task has exactly the artifacts of the attempt, each once."""
        _, asked, _ = self.given(new_backend)
        given = f"artifacts({str(NAMED)!r})"
        expected = sorted(["a.x", "name", "x", "x_x", "xy", "_success", "_task_ok"])
        equal(given, expected, sorted(record.path.name for record in asked.artifacts(NAMED)))
        strangers = [r.path for r in asked.artifacts(NAMED) if r.path.parent != NAMED]
        equal(f"paths of {given}", [], strangers)
        equal(f"artifacts({str(BARE)!r})", [], paths(asked.artifacts(BARE)))

    @clause("artifacts-names")
    def test_artifacts_may_be_named(self, new_backend: NewBackend) -> None:
        """`names` limits artifacts to these, letter by letter; a name given twice counts once."""
        _, asked, _ = self.given(new_backend)
        for task in (NAMED, RETRIED):
            everything = asked.artifacts(task)
            for names in _NAMES:
                expected = sorted(paths(r for r in everything if r.path.name in names))
                got = sorted(paths(asked.artifacts(task, names)))
                equal(f"artifacts({str(task)!r}, {names})", expected, got)

    @clause("artifacts-order")
    def test_artifacts_come_newest_first(self, new_backend: NewBackend) -> None:
        """Artifacts of a task come newest first, all or some of them."""
        shuffled = [("c", 5), ("a", 9), ("e", 1), ("b", 7), ("d", 3)]
        made = [artifact(BARE, name, 5_000 + at) for name, at in shuffled]
        backend, asked, _ = self.given(new_backend)
        backend.put(History((), made) + finished(BARE, 5_100))
        expected = ["a", "b", "c", "d", "e"]
        for names in (None, ("a", "b", "c", "d", "e"), ("e", "a", "c", "b", "d")):
            got = [r.path.name for r in asked.artifacts(BARE, names) if len(r.path.name) == 1]
            right = [name for name in expected if name in got]
            equal(f"artifacts({str(BARE)!r}, {names})", right, got)

    @clause("metadata-complete")
    def test_metadata_of_all_attempts(self, new_backend: NewBackend) -> None:
        """`metadata` of a task has each value of each field, of all attempts, once."""
        _, asked, model = self.given(new_backend)
        for task in _TASKS:
            expected = sorted((r.name, r.created) for r in model.metadata(task))
            got = sorted((r.name, int(r.created)) for r in asked.metadata(task))
            equal(f"metadata({str(task)!r}): fields, times", expected, got)

    @clause("metadata-names")
    def test_metadata_may_be_named(self, new_backend: NewBackend) -> None:
        """`names` limits metadata to these fields, letter by letter."""
        _, asked, _ = self.given(new_backend)
        for task in (NAMED, RETRIED):
            everything = asked.metadata(task)
            for names in _FIELDS:
                expected = sorted(_values(r for r in everything if r.name in names))
                got = sorted(_values(asked.metadata(task, names)))
                equal(f"metadata({str(task)!r}, {names})", expected, got)

    @clause("metadata-order")
    def test_metadata_comes_oldest_first(self, new_backend: NewBackend) -> None:
        """Metadata of a task comes oldest first, all or some of it."""
        shuffled = [("c", 5), ("a", 1), ("c", 9), ("b", 7), ("a", 3)]
        made = [field(BARE, name, str(at), 5_000 + at) for name, at in shuffled]
        backend, asked, _ = self.given(new_backend)
        backend.put(History((), (), made))
        for names in (None, ("a", "b", "c"), ("c", "a")):
            expected = sorted(at for name, at in shuffled if names is None or name in names)
            got = [int(record.value) for record in asked.metadata(BARE, names)]
            right = [at for at in expected if at in got]
            equal(f"times of metadata({str(BARE)!r}, {names})", right, got)

    @clause("metadata-recent")
    def test_recent_metadata_of_a_run(self, new_backend: NewBackend) -> None:
        """`recent`, where provided, yields a run's metadata since a time, once, newest first."""
        backend, asked, model = self.given(new_backend)
        if not isinstance(asked.provider, Recent):
            pytest.skip("the provider has no `recent`")
        # A run whose name begins like another's.
        task = FLOW.child(f"{RUN.name}0").child("fit").child("1")
        records = [
            attrs.evolve(example().records[0], path=task.up(level))
            for level in (Level.RUN, Level.STEP)
        ]
        more = History(
            [*records, attrs.evolve(records[0], path=task)], (), [field(task, "kind", "x", 9_000)]
        )
        for place in (backend, model):
            place.put(more)
        runs = [record.path for record in asked.everything() if record.path.level is Level.RUN]
        for run in (*runs, FLOW.child("absent")):
            known = list(model.metadata(run))
            times = sorted({record.created for record in known})
            for since in (0, *times, *(time + 1 for time in times[-1:])):
                expected = sorted(_told(record) for record in known if record.created >= since)
                got = sorted(map(_told, asked.recent(run, since)))
                equal(f"recent({str(run)!r}, {since})", expected, got)
                order = [record.created for record in asked.recent(run, since)]
                equal(f"times of recent({str(run)!r}, {since})", sorted(order)[::-1], order)

    @clause("bulk-metadata")
    def test_metadata_in_bulk_is_the_sum(self, new_backend: NewBackend) -> None:
        """With bulk, metadata of a step or run is that of all its tasks, in any order."""
        _, asked, _ = self.given(new_backend)
        self._bulk(asked, "metadata")
        for path in (STEP, RUN):
            for names in (None, ("kind",), ("attempt-done", "absent"), ()):
                given = f"metadata({str(path)!r}, {names})"
                got = asked.metadata(path, names)
                for task in _below(path):
                    own = _values(r for r in got if r.task == task)
                    alone = _values(asked.metadata(task, names))
                    equal(f"{given}: of {task}", sorted(alone), sorted(own))
                strangers = {str(record.task) for record in got} - set(map(str, _below(path)))
                equal(f"{given}: of other tasks", set(), strangers)

    @clause("bulk-artifacts")
    def test_artifacts_in_bulk_are_the_sum(self, new_backend: NewBackend) -> None:
        """With bulk, artifacts of a step or run are those of all its tasks, each by its attempt."""
        _, asked, _ = self.given(new_backend)
        self._bulk(asked, "artifacts")
        for path in (STEP, RUN):
            for names in (None, ("x",), ("y", "absent"), ()):
                for attempt in (None, 0, 1, 5):
                    given = f"artifacts({str(path)!r}, {names}, {attempt})"
                    got = asked.artifacts(path, names, attempt)
                    for task in _below(path):
                        alone = asked.artifacts(task, names, attempt)
                        own = [r for r in got if r.path.parent == task]
                        equal(f"{given}: of {task}", _keys(alone), _keys(own))
                    strangers = {str(r.path.parent) for r in got} - set(map(str, _below(path)))
                    equal(f"{given}: of other tasks", set(), strangers)

    def _bulk(self, asked: Asked, what: str) -> None:
        """Skip without bulk, but fail if it works undeclared."""
        if asked.capabilities.full("bulk"):
            return
        if asked.capabilities.useful("bulk"):
            pytest.skip("bulk is not declared full: the client asks task by task")
        call = getattr(asked.provider, what)
        try:
            in_bulk = [Counter(map(_told, call(path) or ())) for path in (STEP, RUN)]
        except Exception:  # noqa: BLE001 - undeclared, it may do anything
            in_bulk = []
        single = [Counter(_told(r) for t in _below(p) for r in call(t)) for p in (STEP, RUN)]
        given = f"{what} of a step and of a run, bulk declared unsupported"
        advice = "declare bulk=Support.FULL, or the client asks task by task"
        holds(in_bulk != single, given, "something else than all tasks'", "the sum", advice)
        pytest.skip("bulk is declared unsupported")


def _below(path: Pathspec) -> list[Pathspec]:
    tasks = [
        r.path for r in example().records if r.path.components[: path.level] == path.components
    ]
    return [task for task in tasks if len(task.components) == len(RETRIED.components)]


def _attempts(records: Iterable[ArtifactRecord]) -> list[tuple[str, int]]:
    return sorted((record.path.name, int(record.attempt)) for record in records)


def _key(record: object) -> object:
    return (record.sha, int(record.attempt)) if isinstance(record, ArtifactRecord) else record


def _keys(records: Iterable[ArtifactRecord]) -> list[tuple[str, str, int]]:
    return [(r.path.name, r.sha, int(r.attempt)) for r in records]


def _told(record: ArtifactRecord | MetadataRecord) -> tuple[str, ...]:
    if isinstance(record, ArtifactRecord):
        return str(record.path), record.sha
    return str(record.task), record.name, repr(record.value), str(record.created)


def _values(records: Iterable[MetadataRecord]) -> list[tuple[int, str, str]]:
    return [(int(record.created), record.name, repr(record.value)) for record in records]
