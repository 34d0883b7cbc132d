"""Prefetch: artifacts of steps and runs, and loops over tasks."""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

import attrs
import pytest

from mfc import Client, DataArtifact, hookspecs, load
from mfc._bulk import _ahead
from mfc.errors import CorruptBlob, Unanswered
from mfc.hookspecs import Capabilities
from mfc_testing import _isolation, sample
from mfc_testing.memory import IN_MEMORY

from .faraway import OFF, REMOTE, Asked, FarAway, Results, plugin_of, questions, step_of


def test_artifacts_of_a_step_are_those_of_its_tasks() -> None:
    results = step_of(3)
    results.task("F/1/fit/9", y="late", _hidden=1)
    step = results.client().step("F/1/fit")
    paths = [artifact.pathspec for artifact in step.artifacts("x", "y")]
    assert paths == [
        "F/1/fit/9/y",
        *(f"F/1/fit/{i}/{name}" for i in (2, 1, 0) for name in ("x", "y")),
    ]
    assert Counter(a.id for a in step.artifacts()) == {"x": 3, "y": 4}
    assert [a.data for a in step.artifacts("_hidden")] == [1]
    assert all(isinstance(artifact, DataArtifact) for artifact in step.artifacts())
    assert "artifacts of F/1/fit: x, y" in repr(step.artifacts("x", "y"))


def test_artifacts_of_a_run() -> None:
    results = step_of(2)
    results.task("F/1/score/9", x="nine")
    results.task("F/1/_parameters/1", x="hidden")
    provider = results.provider()
    run = results.client(provider).run("F/1")
    before = len(provider.asked)
    assert [a.data for a in run.artifacts("x")] == ["nine", 1, 0]
    assert questions(provider, before) == {"artifacts": 1, "children": 3}


@pytest.mark.parametrize(
    "loop",
    [
        lambda step: [artifact.data for artifact in step.artifacts("x")],
        lambda step: [task.data.x for task in step],
        lambda step: [task["x"].data for task in step],
    ],
)
def test_a_loop_prefetches_only_the_artifact_it_reads(loop: Any) -> None:
    results = step_of(150, wait=0.005, together=9)
    assert loop(results.client(**OFF).step("F/1/fit")) == list(range(149, -1, -1))
    assert results.store.reads() == 150
    assert 8 < results.store.most <= 32


def runs(number: int, unfinished: Collection[int] = (), **store: Any) -> Results:
    """Return results with that many runs, some of which have no end task."""
    results = Results(FarAway(**store))
    for i in range(number):
        results.task(f"F/{i}/start/0", x="not this")
        if i not in unfinished:
            results.task(f"F/{i}/end/1", x=i, y=-i)
    return results


LOOPS = {
    "data": lambda flow: [run.data.x for run in flow if run.data],
    "end task": lambda flow: [run.end_task.data.x for run in flow if run.end_task],
    "item": lambda flow: [run.end_task["x"].data for run in flow if run.end_task],
}


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_a_loop_over_runs_prefetches_the_next_ones(loop: str, remote: bool) -> None:
    unfinished = {3, 40, 41, 79}
    together = 0 if remote and loop != "data" else 5
    results = runs(80, unfinished, wait=0.005, together=together)
    provider = results.provider(capabilities=REMOTE if remote else IN_MEMORY)
    flow = results.client(provider, **OFF).flow("F")
    assert LOOPS[loop](flow) == [i for i in range(79, -1, -1) if i not in unfinished]
    assert results.store.reads() == 76
    assert together <= results.store.most <= 32


def test_a_loop_over_runs_left_early_has_read_few() -> None:
    results = runs(80, wait=0.005)
    for run in itertools.islice(results.client(**OFF).flow("F"), 3):
        assert run.data.x == int(run.id)
    time.sleep(0.1)
    assert results.store.reads() <= 1 + 2 + 4


def test_runs_that_end_differently_give_their_own_values() -> None:
    """The prefetched record of one run is not that of its newest end task."""
    results = runs(12, wait=0.005)
    for i in (2, 5, 6):
        results.task(f"F/{i}/end/2", x=f"newer {i}", z=1)
    loop = LOOPS["data"](results.client(**OFF).flow("F"))
    assert loop == [f"newer {i}" if i in (2, 5, 6) else i for i in range(11, -1, -1)]


def test_a_loop_over_several_artifacts_prefetches_each() -> None:
    results = step_of(100, wait=0.005)
    step = results.client(**OFF).step("F/1/fit")
    assert [a.data for a in step.artifacts("x", "y") if a.id == "x"] == list(range(99, -1, -1))
    assert results.store.reads() == 100
    assert [(t.data.x, t.data.y) for t in step] == [(i, -i) for i in range(99, -1, -1)]


def test_the_prefetch_window_grows_from_one() -> None:
    results = step_of(100, wait=0.005)
    artifacts = results.client(**OFF).step("F/1/fit").artifacts("x")
    reads = []
    for artifact in itertools.islice(artifacts, 5):
        assert artifact.data == int(artifact.path_components[3])
        time.sleep(0.1)
        reads.append(results.store.reads())
    assert reads[0] == 1
    assert reads[1] == 3
    assert reads[2] == 6
    assert reads[4] <= 5 + 16


def test_an_irregular_loop_keeps_its_place() -> None:
    """Some tasks are skipped, some are read again, some backwards."""
    results = step_of(60)
    client = results.client(**OFF)
    artifacts = list(client.step("F/1/fit").artifacts("x"))
    order = [0, 1, 2, 9, 10, 11, 11, 5, 6, 7, 50, 51, 3, 2, 1, 59, 0, 1, 2]
    assert [artifacts[i].data for i in order] == [59 - i for i in order]


def test_local_files_are_not_prefetched() -> None:
    results = step_of(30)
    results.store.local_file = True
    step = results.client(**OFF).step("F/1/fit")
    for loop in (
        load(step, "x"),
        (artifact.data for artifact in step.artifacts("x")),
        (task.data.x for task in step),
    ):
        before = results.store.reads()
        assert list(itertools.islice(loop, 4)) == [29, 28, 27, 26]
        assert results.store.reads() == before + 4
    assert results.store.most == 1


def test_a_failing_task_leaves_the_others_right() -> None:
    results = step_of(12, lambda i: f"value {i}")
    for path in [p for p, content in results.store.files.items() if len(content) % 2]:
        results.store.files[path] = b"damaged"
    got = []
    for artifact in results.client(**OFF).step("F/1/fit").artifacts("x"):
        try:
            got.append(artifact.data)
        except CorruptBlob as error:
            got.append(error.subject)
    alone = []
    for artifact in results.client(**OFF).step("F/1/fit"):
        try:
            alone.append(Client.artifact(results.client(**OFF), f"{artifact.pathspec}/x").data)
        except CorruptBlob as error:
            alone.append(error.subject)
    assert got == alone


@pytest.mark.parametrize("whose", ["children", "artifacts"])
@pytest.mark.parametrize("capabilities", [REMOTE, IN_MEMORY])
@pytest.mark.parametrize(
    "loop",
    [
        lambda step: ((artifact, artifact.id) for artifact in step.artifacts("x")),
        lambda step: ((task["x"], "x") for task in step),
    ],
)
def test_a_failing_listing_fails_after_its_last_value(
    loop: Any, capabilities: Capabilities, whose: str
) -> None:
    """Prefetching meets the failure first, while the values before it are still to come."""

    class Fails(Asked):
        def children(self, path, query):
            for number, record in enumerate(super().children(path, query)):
                if number == 19 and whose == "children" and str(path) == "F/1/fit":
                    raise Unanswered("http://localhost", "no answer")
                yield record

        def artifacts(self, path, names=None, attempt=None):
            if whose == "artifacts" and str(path) == "F/1/fit/20":
                raise Unanswered("http://localhost", "no answer")
            return super().artifacts(path, names, attempt)

    results = step_of(40, wait=0.003)
    provider = Fails(
        results.records.values(), results.artifacts, results.metadata, capabilities=capabilities
    )
    got = []
    listing = loop(results.client(provider, **OFF).step("F/1/fit"))
    with contextlib.suppress(Unanswered):
        got.extend(artifact.data for artifact, _ in listing)
    assert got == list(range(39, 20, -1)) or (len(got) == 40 and whose == "artifacts")


def test_abandoned_prefetches_are_released() -> None:
    """From block to block backwards; each leaves answers beyond its end."""
    results = step_of(300, lambda i: bytes(2000) + b"%d" % i, wait=0.001)
    client = results.client(MFC_READS_MEMORY=0.05, **OFF)
    artifacts = list(client.step("F/1/fit").artifacts("x"))
    for start in reversed(range(0, 300, 20)):
        for artifact in artifacts[start:][:20]:
            assert artifact.data.endswith(artifact.path_components[3].encode())
    row, _ = artifacts[0]._row
    assert len(row._begun) <= 32
    assert len(row._reads._calls) <= 32


def test_a_changed_record_has_its_own_value() -> None:
    """The prefetched value was of the attempt that counted then."""
    results = step_of(3, lambda i: f"value {i}")
    first, second, _ = results.client(**OFF).step("F/1/fit").artifacts("x")
    row, position = first._row
    with row.held(position, second._record) as held:
        assert pickle.loads(held.read()) == "value 1"
    row._begin([(position, first._record)])
    with row.held(position, second._record) as held:
        assert pickle.loads(held.read()) == "value 1"


def test_a_prefetched_record_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = next(iter(step_of(3).client(**OFF).step("F/1/fit").artifacts("x")))
    row, position = artifact._row
    row._begin([(position, artifact._record)])
    assert row.recent(position) is artifact._record
    monkeypatch.setattr(_ahead, "_JUST_NOW", 0)
    assert row.recent(position) is None


def test_many_threads_may_share_a_loop() -> None:
    client = step_of(60, wait=0.001).client()
    step = client.step("F/1/fit")
    _isolation.in_threads("load", lambda: list(load(step, "x", "y")))
    shared = list(step.artifacts("x"))
    _isolation.in_threads(".data of a listing", lambda: [artifact.data for artifact in shared])


def test_the_sample_is_the_same_with_prefetch() -> None:
    store = FarAway()
    for name, content in sample.datastore().items():
        store.files[f"root/{name}"] = content
    client = sample.client("root", store)
    artifacts = [a for run in client.flow("Train") for a in run.artifacts()]
    expected = [_shown(lambda a=artifact: a.data) for artifact in artifacts]
    assert len(expected) > 50
    assert [_shown(lambda v=v: v) for v in load(artifacts, errors="return")] == expected


def _shown(ask: Any) -> str:
    try:
        return repr(ask())
    except Exception as error:
        return repr(error)


def test_mixed_stores_need_no_threads_where_they_are_local() -> None:
    results, near = step_of(4), FarAway()
    near.local_file = True
    task = results.task("F/1/fit/8")
    path = results.artifact(task, "x", pickle.dumps("near", 4), ds_type="near")
    near.files[path] = results.store.files.pop(path)
    plugins = [plugin_of(results.store), plugin_of(near, "near")]
    client = Client(results.provider(), namespace=None, plugins=plugins, config=OFF)
    assert list(load(client.step("F/1/fit"), "x")) == ["near", 3, 2, 1, 0]


@pytest.mark.parametrize("config", [{}, OFF])
def test_notes_of_writers_are_prefetched(config: dict[str, str]) -> None:
    """An encoding other than pickle may need the writer's note beside each task."""

    class Noted:
        @staticmethod
        @hookspecs.hookimpl
        def mfc_artifact_decoder(encoding, info):
            return Numbered(info["serializer_info"]) if encoding == "noted" else None

    @attrs.frozen
    class Numbered:
        note: Any

        def decode(self, blob, artifact, trust):
            return self.note, blob

    results = Results(FarAway(0.005))
    for i in range(60):
        results.artifact(results.task(f"F/1/fit/{i}"), "x", b"%d" % i, encoding="noted")
        note = {"info": {"x": {"serializer_info": i + 1}}}
        results.store.files[f"root/F/1/fit/{i}/0.data.json"] = json.dumps(note).encode()
    plugins = [plugin_of(results.store), Noted]
    for ask in (
        lambda step: list(load(step, "x")),
        lambda step: [artifact.data for artifact in step.artifacts("x")],
    ):
        client = Client(results.provider(), namespace=None, plugins=plugins, config=config)
        results.store.most = 0
        assert ask(client.step("F/1/fit")) == [(i + 1, b"%d" % i) for i in range(59, -1, -1)]
        assert results.store.most > 8
    notes = [path for path, _, _ in results.store.asked if path.endswith("json")]
    assert Counter(Counter(notes).values()) == {2: 60}


@pytest.mark.parametrize("capabilities", [REMOTE, IN_MEMORY])
def test_a_loop_prefetches_wherever_records_are(capabilities: Capabilities) -> None:
    results = step_of(100, wait=0.01)
    client = results.client(results.provider(capabilities=capabilities), MFC_CACHE="0")
    assert [task.data.x for task in client.step("F/1/fit")] == list(reversed(range(100)))
    assert results.store.reads() == 100
    assert results.store.most > 4
    first = next(iter(client.step("F/1/fit")))
    assert first.data.x == 99
    assert results.store.reads() == 101
