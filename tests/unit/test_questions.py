"""The number of queries that a client sends to a remote provider."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import attrs
import pytest

from mfc import Client
from mfc.errors import ChildNotFound, MetaflowNamespaceMismatch, MetaflowNotFound, UnreadableRecord
from mfc.hookspecs import Support
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider
from mfc_testing.memory import IN_MEMORY

TRUE, FALSE = "868436778cb011a1c6230bc12534683ab0b7f1c3", "2473d4676d5b2aba674167293142f8031ada401b"
#: Capabilities of a remote service.
REMOTE = attrs.evolve(
    IN_MEMORY,
    remote=Support.FULL,
    tags=Support.FULL,
    limit=Support.FULL,
    names=Support.FULL,
    metadata=Support.FULL,
)
SYSTEM = frozenset({"user:ada", "metaflow_version:2.19.39"})


class Remote(MemoryProvider):
    """A provider that counts its calls."""

    def __init__(self, **given: Any) -> None:
        super().__init__(capabilities=REMOTE, **given)
        self.asked: list[tuple[str, str]] = []

    def _note(self, question: str, path: Pathspec) -> None:
        self.asked.append((question, str(path)))

    def get(self, path, attempt=None):
        self._note("get", path)
        return super().get(path, attempt)

    def children(self, path, query):
        self._note("children", path)
        return super().children(path, query)

    def metadata(self, path, names=None):
        self._note("metadata", path)
        return super().metadata(path, names)

    def artifacts(self, path, names=None, attempt=None):
        self._note("artifacts", path)
        return super().artifacts(path, names, attempt)

    def since(self, number: int) -> list[str]:
        return [question for question, _ in self.asked[number:]]


class Store:
    """Records of one flow, to be filled by a test."""

    def __init__(self) -> None:
        self.records = [Record(Pathspec(("F",)), 1)]
        self.artifacts: list[ArtifactRecord] = []
        self.metadata: list[MetadataRecord] = []
        self._time = itertools.count(1000)

    def later(self, time: int) -> None:
        """Set the time of the following records, in ms."""
        self._time = itertools.count(time)

    def record(self, text: str) -> Pathspec:
        path = Pathspec(tuple(text.split("/")))
        self.records.append(Record(path, next(self._time), "ada", frozenset(), SYSTEM))
        return path

    def task(self, text: str, *, ok: bool = True, success: bool | None = None) -> None:
        path = self.record(text)
        sha = {True: TRUE, False: FALSE}
        shas = {"_task_ok": sha[ok], "_success": sha[ok if success is None else success]}
        for name, value in shas.items():
            self.artifact(path, name, value)
        for name, noted in (("attempt", "0"), ("attempt_ok", str(ok)), ("attempt-done", "0")):
            self.note(path, name, noted)

    def artifact(self, task: Pathspec, name: str, sha: str) -> None:
        made = ArtifactRecord(
            task.child(name), next(self._time), "ada", frozenset(), SYSTEM, 0, sha, "local",
            ":root:/nowhere", "pickle-v4",
        )  # fmt: skip
        self.artifacts.append(made)

    def note(self, task: Pathspec, name: str, value: str) -> None:
        self.metadata.append(MetadataRecord(task, name, value, None, next(self._time), 0))

    def provider(self) -> Remote:
        return Remote(records=self.records, artifacts=self.artifacts, metadata=self.metadata)


def run_of(store: Store, number: int, *, ok: bool = True, end: str = "end") -> None:
    run = f"F/{number}"
    store.record(run)
    store.record(f"{run}/_parameters")
    store.task(f"{run}/_parameters/{number}0")
    parameters = Pathspec((*run.split("/"), "_parameters", f"{number}0"))
    store.note(parameters, "end_step", end)
    store.note(parameters, "origin-run-id", "None")
    store.record(f"{run}/{end}")
    store.task(f"{run}/{end}/{number}1", ok=ok)


@pytest.fixture
def store() -> Store:
    made = Store()
    for number in (1, 2, 3):
        run_of(made, number, ok=number != 3)
    made.record("F/1/fit")
    for number in range(100, 140):
        made.task(f"F/1/fit/{number}", ok=number % 10 != 0)
    return made


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (lambda run: run.successful, ["artifacts"]),
        (lambda run: run.finished, ["artifacts"]),
        (lambda run: run.finished_at, ["artifacts"]),
        (lambda run: run.data, ["artifacts"]),
        (lambda run: run.end_task, ["children"]),
        (lambda run: run.origin_pathspec, ["metadata"]),
        (lambda run: run.code, ["metadata"]),
        (list, ["children"]),
    ],
)
def test_a_query_about_a_run_is_one_call(store: Store, question: Any, expected: Any) -> None:
    provider = store.provider()
    run = Client(provider, namespace=None).run("F/1")
    assert provider.since(0) == ["get"]
    question(run)
    assert provider.since(1) == expected


def test_a_run_without_an_end_step_is_queried_for_the_name_of_it(store: Store) -> None:
    store.record("F/9")
    store.record("F/9/_parameters")
    store.record("F/9/_parameters/90")
    store.note(Pathspec(("F", "9", "_parameters", "90")), "end_step", "end")
    provider = store.provider()
    run = Client(provider, namespace=None).run("F/9")
    assert run.successful is False
    assert provider.since(1) == ["artifacts", "children"]


@pytest.mark.parametrize(
    ("version", "asks"),
    [
        ("2.19.21", False),
        ("2.19.22", True),  # it may be a build on the way to the next release
        ("2.19.22.post3-git1a2b", True),
        ("2.2.0", False),
        ("3.0.0", True),
        ("own", True),
    ],
)
def test_a_run_of_an_old_release_is_not_queried_for_the_name(
    store: Store, version: str, asks: bool
) -> None:
    for number in (9, 10):
        store.record(f"F/{number}")
        made = store.records[-1]
        tags = frozenset({f"metaflow_version:{version}"})
        store.records[-1] = attrs.evolve(made, system_tags=tags)
    provider = store.provider()
    runs = list(Client(provider, namespace=None).flow("F").runs())[:2]
    before = len(provider.asked)
    assert [run.successful for run in runs] == [False, False]
    assert ("children" in provider.since(before)) is asks


def test_an_end_step_of_another_name_is_found(store: Store) -> None:
    run_of(store, 8, end="finish")
    run = Client(store.provider(), namespace=None).run("F/8")
    assert run.successful is True
    assert run.end_task.pathspec == "F/8/finish/81"
    assert run.data is not None


@pytest.mark.parametrize("name", ["successful", "finished"])
def test_a_loop_over_tasks_sends_one_query_for_all(store: Store, name: str) -> None:
    store.later(60_000)
    store.note(Pathspec(("F", "1", "fit", "139")), "kind", "the last that was heard of the run")
    provider = store.provider()
    step = Client(provider, namespace=None).step("F/1/fit")
    truth = {str(number): number % 10 != 0 for number in range(100, 140)}
    assert {task.id: getattr(task, name) for task in step} == truth
    # The step's decorators are unknown, so `successful` is read from the artifacts. The other
    # queries find the tasks that ended well and those that did not, and look at the last one.
    wide = ["artifacts"] if name == "successful" else ["children", "children", "artifacts"]
    assert provider.since(1) == ["children", "artifacts", *wide]


def test_a_task_that_was_killed_before_its_artifacts_came_has_not_finished(store: Store) -> None:
    store.later(60_000)
    path = store.record("F/1/fit/500")
    for name, value in (("attempt", "0"), ("attempt_ok", "True"), ("attempt-done", "0")):
        store.note(path, name, value)
    step = Client(store.provider(), namespace=None).step("F/1/fit")
    finished = {task.id: task.finished for task in step}
    assert finished["500"] is False
    assert sum(finished.values()) == 36


def test_a_completed_run_needs_one_query(store: Store) -> None:
    store.later(60_000)
    store.note(Pathspec(("F", "1", "end", "11")), "attempt_ok", "True")
    provider = store.provider()
    step = Client(provider, namespace=None).step("F/1/fit")
    assert sum(task.finished for task in step) == 36
    # The four that failed on the way are inspected one by one.
    assert provider.since(1)[:3] == ["children", "artifacts", "children"]
    assert len(provider.since(1)) <= 3 + 2 * 4


def test_attempts_that_ended_in_different_ways_are_looked_at(store: Store) -> None:
    store.record("F/1/again")
    for number, ok in enumerate([True, True, False, True, False]):
        store.task(f"F/1/again/{300 + number}", ok=ok)
        if number > 1:
            task = Pathspec(("F", "1", "again", str(300 + number)))
            store.note(task, "attempt_ok", str(not ok))
    step = Client(store.provider(), namespace=None).step("F/1/again")
    assert {t.id: t.finished for t in step} == {
        "300": True, "301": True, "302": False, "303": True, "304": False,
    }  # fmt: skip


def test_a_caught_failure_is_not_successful(store: Store) -> None:
    store.record("F/1/caught")
    store.task("F/1/caught/200", ok=True, success=False)
    store.task("F/1/caught/201", ok=True, success=True)
    store.task("F/1/caught/202", ok=True, success=False)
    step = Client(store.provider(), namespace=None).step("F/1/caught")
    assert [task.successful for task in step] == [False, True, False]
    assert [task.finished for task in step] == [True, True, True]


@pytest.mark.parametrize(
    ("question", "wide"),
    [
        (lambda task: task["_success"], {"artifacts": 1}),
        (lambda task: task.metadata_dict, {"metadata": 1}),
        (lambda task: task.finished_at, {"artifacts": 1}),
        # Children: those that ended well, those with more attempts. Artifacts: of those that did
        # not.
        (lambda task: task.status, {"artifacts": 3, "children": 2}),
    ],
)
def test_the_first_two_tasks_are_queried_alone_then_all(
    store: Store, question: Any, wide: Any
) -> None:
    provider = store.provider()
    tasks = list(Client(provider, namespace=None).step("F/1/fit"))
    expected = [repr(question(client_task)) for client_task in _alone(store)]
    before = len(provider.asked)
    assert [repr(question(task)) for task in tasks] == expected
    asked = Counter(question for question, path in provider.asked[before:] if path == "F/1/fit")
    assert asked == wide


def _alone(store: Store) -> list[Any]:
    """Return the same tasks without a common listing."""
    client = Client(store.provider(), namespace=None)
    return [client.task(task.pathspec) for task in client.step("F/1/fit")]


def test_a_single_task_never_queries_its_siblings(store: Store) -> None:
    provider = store.provider()
    tasks = list(Client(provider, namespace=None).step("F/1/fit"))
    before = len(provider.asked)
    assert tasks[17].metadata_dict["attempt"] == "0"
    assert [path for _, path in provider.asked[before:]] == [tasks[17].pathspec]


def test_a_prefetched_answer_is_used_once(store: Store) -> None:
    provider = store.provider()
    tasks = list(Client(provider, namespace=None).step("F/1/fit"))
    for task in tasks:
        task.finished_at  # noqa: B018 - read for its own sake
    before = len(provider.asked)
    tasks[5].finished_at  # noqa: B018
    tasks[5].finished_at  # noqa: B018
    assert len(provider.asked) > before


def test_missing_artifacts_are_reported_for_each_task(store: Store) -> None:
    tasks = list(Client(store.provider(), namespace=None).step("F/1/fit"))
    for task in tasks:
        with pytest.raises(ChildNotFound):
            task["absent"]


def test_a_loop_over_runs_queries_only_those_runs_concurrently(store: Store) -> None:
    for number in range(10, 40):
        run_of(store, number, ok=number % 2 == 0)
    provider = store.provider()
    runs = list(itertools.islice(Client(provider, namespace=None).flow("F"), 20))
    before = len(provider.asked)
    assert [run.successful for run in runs] == [int(run.id) % 2 == 0 for run in runs]
    assert provider.since(before) == ["artifacts"] * 20


def test_a_failing_run_leaves_the_others_right(store: Store) -> None:
    class Damaged(Remote):
        def artifacts(self, path, names=None, attempt=None):
            if path.components[1] == "2":
                raise UnreadableRecord("F/2", "it is damaged")
            return super().artifacts(path, names, attempt)

    provider = Damaged(records=store.records, artifacts=store.artifacts, metadata=store.metadata)
    found = []
    for run in Client(provider, namespace=None).flow("F"):
        try:
            found.append((run.id, run.successful))
        except UnreadableRecord as error:
            found.append((run.id, error.source))
    assert found == [("3", False), ("2", "F/2"), ("1", True)]


def test_a_flow_is_in_a_namespace_if_a_run_is(store: Store) -> None:
    provider = store.provider()
    client = Client(provider, namespace="user:ada")
    flow = client.flow("F")
    assert provider.since(0) == ["children"]
    assert flow.latest_run.id == "3"
    assert provider.since(1) == ["children"]
    assert flow.created_at is not None
    assert provider.since(2) == ["get"]


def test_a_flow_in_another_namespace_differs_from_a_missing_one(store: Store) -> None:
    client = Client(store.provider(), namespace="user:bob")
    with pytest.raises(MetaflowNamespaceMismatch):
        client.flow("F")
    with pytest.raises(MetaflowNotFound):
        client.flow("G")
    assert list(client.flows()) == []
    assert [flow.id for flow in Client(store.provider(), namespace="user:ada").flows()] == ["F"]
