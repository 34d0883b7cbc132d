"""Clauses about single records: their types and values, and lookup by name."""

from __future__ import annotations

from typing import Any

import attrs

from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_testing._contract import clause, equal, holds
from mfc_testing._example import (
    ABSENT,
    AWKWARD,
    FLOW,
    NAMED,
    RETRIED,
    ROOT,
    RUN,
    STEP,
    T,
    artifact,
    example,
    field,
    finished,
    run,
)
from mfc_testing.history import History
from mfc_testing.provider._asking import NewBackend, ProviderClauses, paths


class RecordClauses(ProviderClauses):
    """Types, values, names."""

    @clause("record-types")
    def test_records_have_the_types_of_the_model(self, new_backend: NewBackend) -> None:
        """Records are of the model's classes, times whole numbers, tags frozen sets of text."""
        _, asked, _ = self.given(new_backend)
        for record in asked.everything():
            holds(type(record) is Record, str(record.path), "a Record", record)
            _types(record)
        for task in (RETRIED, NAMED):
            for made in asked.artifacts(task):
                holds(type(made) is ArtifactRecord, str(made.path), "an ArtifactRecord", made)
                _types(made)
                _field_types(made, {"attempt": int, "sha": str, "ds_type": str, "location": str})
            for noted in asked.metadata(task):
                holds(type(noted) is MetadataRecord, str(task), "a MetadataRecord", noted)
                _field_types(noted, {"name": str, "created": int})
                holds(
                    noted.attempt is None or type(noted.attempt) is int,
                    f"{task}, field {noted.name}",
                    "attempt is an int or None",
                    noted,
                )

    @clause("record-values")
    def test_records_say_what_was_recorded(self, new_backend: NewBackend) -> None:
        """Time (ms since 1970 UTC) and user of flows, runs, steps and tasks are as recorded."""
        _, asked, _ = self.given(new_backend)
        known = {record.path: record for record in example().records}
        for record in asked.everything():
            expected = known.get(record.path)
            if expected is not None:
                told = int(record.created), record.user
                equal(f"{record.path}: created, user", (expected.created, expected.user), told)

    @clause("record-tags")
    def test_all_below_a_run_carry_its_tags(self, new_backend: NewBackend) -> None:
        """Runs and the objects below them carry the run's user and system tags; flows have none."""
        _, asked, model = self.given(new_backend)
        for record in [*asked.everything(), *asked.artifacts(NAMED), *asked.artifacts(RETRIED)]:
            owner = model.get(record.path.up(Level.RUN))
            tags, system = (owner.tags, owner.system_tags) if owner else (frozenset(), frozenset())
            equal(f"{record.path}: user tags", tags, frozenset(record.tags))
            equal(f"{record.path}: system tags", system, frozenset(record.system_tags))

    @clause("artifact-values")
    def test_artifacts_say_what_was_recorded(self, new_backend: NewBackend) -> None:
        """Artifacts have attempt, SHA-1, datastore and encoding (None in old ones) as recorded."""
        old = artifact(NAMED, "old", 4_380)
        old = attrs.evolve(old, encoding=None, location="s3://bucket/root/Kit/data/00/00")
        history = example() + History((), (old,))
        known = {(record.path, record.attempt): record for record in history.artifacts}
        _, asked, _ = self.given(new_backend, history)
        for task in (RETRIED, NAMED):
            for record in asked.artifacts(task):
                expected = known.get((record.path, record.attempt))
                holds(expected, str(record.path), "an attempt that wrote it", record)
                if expected is not None:
                    equal(str(record.path), _artifact(expected), _artifact(record))

    @clause("metadata-values")
    def test_metadata_says_what_was_recorded(self, new_backend: NewBackend) -> None:
        """Metadata has its value, text or not, type, time, and its attempt or None."""
        _, asked, model = self.given(new_backend)
        for task in (RETRIED, NAMED):
            known = {(record.name, record.created): record for record in model.metadata(task)}
            for record in asked.metadata(task):
                recorded = known.get((record.name, int(record.created)))
                holds(recorded, f"metadata({str(task)!r})", "fields and times recorded", record)
                if recorded is not None:
                    equal(f"{task}, field {record.name}", _noted(recorded), _noted(record))

    @clause("get-as-listed")
    def test_get_gives_what_the_listing_gives(self, new_backend: NewBackend) -> None:
        """`get` gives the same record as `children` and `artifacts`, on every level."""
        _, asked, _ = self.given(new_backend)
        found: list[Record] = [*asked.everything(), *asked.artifacts(NAMED)]
        for record in found:
            equal(f"get({str(record.path)!r})", record, asked.get(record.path))

    @clause("get-absent")
    def test_get_gives_none_for_what_is_not_there(self, new_backend: NewBackend) -> None:
        """`get` gives None for a missing object, whatever its name and its parents."""
        _, asked, _ = self.given(new_backend)
        parents = (ROOT, FLOW, RUN, STEP, RETRIED)
        for name in ABSENT:
            for parent in parents:
                path = parent.child(name)
                equal(f"get({str(path)!r})", None, asked.get(path))
            for depth in range(1, Level.ARTIFACT):
                path = Pathspec((name, *RETRIED.child("x").components[1:depth]))
                equal(f"get({str(path)!r})", None, asked.get(path))

    @clause("names-case")
    def test_names_differ_by_case(self, new_backend: NewBackend) -> None:
        """`x` and `X` are two names."""
        _, asked, _ = self.given(new_backend)
        for path in (
            Pathspec(("kit",)),
            Pathspec(("KIT", "7")),
            FLOW.child("ARGO-kit-x9"),
            RUN.child("Fit"),
            STEP.child("X-4"),
            NAMED.child("XY"),
        ):
            equal(f"get({str(path)!r})", None, asked.get(path))
        equal("artifacts(…, ['XY'])", [], asked.artifacts(NAMED, ("XY",)))
        equal("metadata(…, ['Kind'])", [], asked.metadata(NAMED, ("Kind",)))

    @clause("names-awkward")
    def test_awkward_names_are_names(self, new_backend: NewBackend) -> None:
        """Every name of Metaflow's tree is found as it is: spaces, quotes, other scripts, signs."""
        _, asked, _ = self.given(new_backend, _awkward())
        for parent in (ROOT, FLOW, FLOW.child("1"), FLOW.child("1").child("s")):
            expected = sorted({*AWKWARD, *(["Kit"] if parent == ROOT else [])} | _usual(parent))
            got = sorted({record.path.name for record in asked.children(parent)})
            equal(f"names in children({str(parent)!r})", expected, got)
            for name in AWKWARD:
                record = asked.get(parent.child(name))
                holds(record is not None, f"get of {name!r} in {str(parent)!r}", "it", record)
        if asked.capabilities.full("names"):
            for name in AWKWARD:
                found = paths(asked.children(FLOW, Query(names={name})))
                equal(f"children, names={{{name!r}}}", [str(FLOW.child(name))], found)
        task = FLOW.child("1").child("s").child("t")
        named = sorted(record.path.name for record in asked.artifacts(task))
        equal("names of artifacts", sorted({*_ARTIFACTS, "name", "_task_ok", "_success"}), named)
        for name in _ARTIFACTS:
            found = [record.path.name for record in asked.artifacts(task, (name,))]
            holds(name in found, f"artifacts(…, [{name!r}])", name, found)

    @clause("names-literal")
    def test_names_are_no_patterns(self, new_backend: NewBackend) -> None:
        """A name with special signs finds the object of that name, not those that match it."""
        literal = ["a*", "ab", "[ab]", "a", "a%", "a_", "a?", "%61", "a.", "a+"]
        flow = Record(FLOW, T)
        history = History([flow, *(run(name, n, "ada") for n, name in enumerate(literal))])
        _, asked, _ = self.given(new_backend, history)
        for name in literal:
            record = asked.get(FLOW.child(name))
            equal(f"get({name!r})", str(FLOW.child(name)), str(record and record.path))
            if asked.capabilities.full("names"):
                found = asked.children(FLOW, Query(names={name}))
                equal(f"children, names={{{name!r}}}", [str(FLOW.child(name))], paths(found))


#: Metaflow's artifacts are attributes, but dictionaries of other writers may be anything.
_ARTIFACTS = tuple(name for name in AWKWARD if name != "..a")


def _usual(parent: Pathspec) -> set[str]:
    return {1: {"1"}, 2: {"s"}, 3: {"t"}}.get(len(parent.components), set())


def _awkward() -> History:
    flow, one = Record(FLOW, T), run("1", 1_000, "ada")
    step = one.path.child("s")
    task = step.child("t")
    records = [flow, one, Record(step, T + 1_001), Record(task, T + 1_002)]
    for number, name in enumerate(AWKWARD, 2_000):
        records += [
            Record(Pathspec((name,)), T + number),
            run(name, number, "ada"),
            Record(one.path.child(name), T + number, "ada"),
            Record(step.child(name), T + number, "ada"),
        ]
    artifacts = [artifact(task, name, 3_000 + n) for n, name in enumerate(_ARTIFACTS)]
    return History(records, artifacts, [field(task, "kind", "alpha", 1_003)]) + finished(
        task, 4_000
    )


def _types(record: Record) -> None:
    _field_types(record, {"path": Pathspec, "created": int, "tags": frozenset})
    _field_types(record, {"system_tags": frozenset})
    user = record.user
    holds(user is None or type(user) is str, f"{record.path}: user", "text or None", repr(user))
    for tag in (*record.tags, *record.system_tags):
        holds(type(tag) is str, f"{record.path}: tags", "text", repr(tag))


def _field_types(record: Any, expected: dict[str, type]) -> None:
    for name, kind in expected.items():
        value = getattr(record, name)
        holds(type(value) is kind, f"{record}: {name}", kind.__name__, repr(value))


def _artifact(record: ArtifactRecord) -> tuple[object, ...]:
    created = int(record.created)
    return created, record.attempt, record.sha, record.ds_type, record.location, record.encoding


def _noted(record: MetadataRecord) -> tuple[object, ...]:
    # As text, because values of several kinds have no order, and True equals 1.
    return record.created, record.name, repr(record.value), str(record.type), str(record.attempt)
