"""Many values at once: `mfc.load`, artifacts of steps and runs, and loops over tasks."""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import sys
import time
from collections import Counter
from typing import Any

import attrs
import pytest

import mfc
from mfc import Client, DataArtifact, Trust, hookspecs, load
from mfc.errors import (
    ArtifactNotFound,
    BadArgument,
    CorruptBlob,
    MetaflowDataMissing,
    MetaflowNotFound,
    UnreadableBlob,
    UnreadableRecord,
    UntrustedValue,
)
from mfc.hookspecs import Capabilities, Support
from mfc.testing import _isolation, sample
from mfc.testing.memory import IN_MEMORY

from .faraway import REMOTE, Asked, FarAway, Results, output, plugin_of, step_of

OFF = {"MFC_CACHE": "0"}


def questions(provider: Asked, since: int = 0) -> Counter[str]:
    return Counter(question for question, _ in provider.asked[since:])


# What may be given


def test_values_of_tasks_come_in_order() -> None:
    client = step_of(50).client()
    tasks = list(client.step("F/1/fit"))
    assert list(load(tasks, "x")) == list(range(49, -1, -1))
    assert list(load(reversed(tasks), "x")) == list(range(50))
    assert list(load((task for task in tasks[:3]), "x")) == [49, 48, 47]


def test_several_names_give_tuples() -> None:
    step = step_of(5).client().step("F/1/fit")
    assert list(load(step, "y", "x")) == [(-i, i) for i in (4, 3, 2, 1, 0)]
    assert list(load(step, "x", "x")) == [(i, i) for i in (4, 3, 2, 1, 0)]


def test_artifacts_give_their_values() -> None:
    client = step_of(5).client()
    wanted = [client.artifact(f"F/1/fit/{i}/{name}") for i in (3, 1) for name in ("y", "x")]
    assert list(load(wanted)) == [-3, 3, -1, 1]
    assert list(load(wanted[0])) == [-3]
    assert list(load(client.step("F/1/fit").artifacts("x"))) == [4, 3, 2, 1, 0]


def test_a_task_alone_is_itself_or_its_artifacts() -> None:
    task = step_of(5).client().task("F/1/fit/3")
    assert list(load(task, "x")) == [3]
    assert sorted(load(task)) == [-3, 3]


def test_steps_and_runs_stand_for_their_tasks() -> None:
    results = step_of(3)
    results.task("F/1/score/9", x="nine")
    results.task("F/2/fit/10", x="ten")
    client = results.client()
    run = client.run("F/1")
    assert list(load(run, "x")) == ["nine", 2, 1, 0]
    mixed = [client.task("F/2/fit/10"), client.step("F/1/fit"), client.task("F/1/fit/1")]
    assert list(load(mixed, "x")) == ["ten", 2, 1, 0, 1]
    assert list(load(iter(mixed), "x")) == ["ten", 2, 1, 0, 1]


def test_tasks_of_two_clients() -> None:
    one, two = step_of(3).client(), step_of(3, lambda i: f"two {i}").client()
    pairs = zip(one.step("F/1/fit"), two.step("F/1/fit"), strict=True)
    got = list(load(itertools.chain.from_iterable(pairs), "x"))
    assert got == [2, "two 2", 1, "two 1", 0, "two 0"]


def test_an_attempt_that_was_chosen() -> None:
    results = step_of(1)
    again = attrs.evolve(
        results.artifacts[0], attempt=1, sha=hashlib.sha1(pickle.dumps("1st", 4)).hexdigest()
    )
    results.artifact(results.artifacts[0].path.parent, "unused", pickle.dumps("1st", 4))
    results.artifacts.append(again)
    client = results.client()
    tasks = [client.task("F/1/fit/0"), client.task("F/1/fit/0", attempt=1)]
    assert list(load(tasks, "x")) == [0, "1st"]


@pytest.mark.parametrize(
    ("items", "names", "options", "said"),
    [
        ("F/1/fit", ("x",), {}, "'F/1/fit'"),
        (None, ("x",), {}, "None"),
        ([1], ("x",), {}, "load got 1 with the names 'x'"),
        ([], (7,), {}, "7 for the name"),
        ([], ("x",), {"errors": "ignore"}, "'ignore'"),
        ([], ("x",), {"progress": "bar"}, "'bar'"),
    ],
)
def test_what_may_not_be_given_is_told(items: Any, names: Any, options: Any, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        list(load(items, *names, **options))


def test_names_are_for_tasks_alone() -> None:
    client = step_of(1).client()
    with pytest.raises(BadArgument, match="without names"):
        list(load([client.task("F/1/fit/0")]))
    with pytest.raises(BadArgument, match="without names"):
        list(load(client.step("F/1/fit")))
    with pytest.raises(BadArgument, match="with the names 'x'"):
        list(load([client.artifact("F/1/fit/0/x")], "x"))


def test_nothing_gives_nothing() -> None:
    assert list(load([], "x")) == []
    assert list(load(iter(()))) == []


# What is wrong


def broken() -> tuple[Results, Client]:
    results = step_of(4)
    del results.store.files[next(p for p in results.store.files if _is(results, 2, p))]
    results.artifacts = [
        a for a in results.artifacts if (a.path.components[3], a.path.name) != ("1", "x")
    ]
    return results, results.client()


def _is(results: Results, number: int, path: str) -> bool:
    return path.endswith(hashlib.sha1(pickle.dumps(number, 4)).hexdigest())


def test_errors_are_raised_in_their_turn() -> None:
    _, client = broken()
    values = load(client.step("F/1/fit"), "x")
    assert next(values) == 3
    with pytest.raises(MetaflowDataMissing) as caught:
        next(values)
    assert caught.value.subject == "F/1/fit/2/x"
    assert list(values) == []


def test_errors_can_stand_in_place_of_values() -> None:
    _, client = broken()
    got = list(load(client.step("F/1/fit"), "x", errors="return"))
    assert [got[0], type(got[1]), type(got[2]), got[3]] == [
        3, MetaflowDataMissing, ArtifactNotFound, 0
    ]  # fmt: skip
    assert str(got[2]) == "Task('F/1/fit/1') has no artifact 'x'"
    pairs = list(load(client.step("F/1/fit"), "x", "y", errors="return"))
    assert [pair[1] for pair in pairs] == [-3, -2, -1, 0]


def test_each_error_names_its_own_artifact() -> None:
    results = step_of(3, lambda _: "the same")
    results.store.files.clear()
    got = list(load(results.client().step("F/1/fit"), "x", errors="return"))
    assert [error.subject for error in got] == [f"F/1/fit/{i}/x" for i in (2, 1, 0)]


def test_a_source_that_fails_is_heard_in_its_turn() -> None:
    client = step_of(3).client()

    def tasks():
        yield from client.step("F/1/fit")
        client.task("F/1/fit/77")

    got = []
    with pytest.raises(MetaflowNotFound):
        got.extend(load(tasks(), "x", errors="return"))
    assert got == [2, 1, 0]


def test_a_step_that_cannot_be_asked_is_wrong_for_each_of_its_tasks() -> None:
    class Damaged(Asked):
        def artifacts(self, path, names=None, attempt=None):
            raise UnreadableRecord("the step", "it is damaged")

    results = step_of(5)
    client = results.client(
        Damaged(results.records.values(), results.artifacts, results.metadata, capabilities=REMOTE)
    )
    got = list(load(client.step("F/1/fit"), "x", errors="return"))
    assert [type(error) for error in got] == [UnreadableRecord] * 5


def test_trust_is_as_for_data() -> None:
    results = step_of(3, lambda i: Trust.safe() if i == 1 else i)
    got = list(load(results.client(trust="safe").step("F/1/fit"), "x", errors="return"))
    assert [got[0], type(got[1]), got[2]] == [2, UntrustedValue, 0]
    before = results.store.reads()
    got = list(load(results.client(trust="none", **OFF).step("F/1/fit"), "x", errors="return"))
    assert [type(error) for error in got] == [UntrustedValue] * 3
    assert results.store.reads() == before


# What it costs


def test_tasks_of_one_step_cost_a_handful_of_questions() -> None:
    results = step_of(500)
    provider = results.provider()
    tasks = list(results.client(provider).step("F/1/fit"))
    before = len(provider.asked)
    assert len(list(load(tasks, "x", "y"))) == 500
    assert questions(provider, before) == {"artifacts": 2}


def test_a_step_costs_one_question_besides_its_listing() -> None:
    results = step_of(500)
    provider = results.provider()
    step = results.client(provider).step("F/1/fit")
    before = len(provider.asked)
    assert len(list(load(step, "x"))) == 500
    assert questions(provider, before) == {"artifacts": 1, "children": 1}


def test_tasks_that_lack_it_cost_no_questions_of_their_own() -> None:
    results = step_of(200)
    provider = results.provider()
    step = results.client(provider).step("F/1/fit")
    before = len(provider.asked)
    got = list(load(step, "absent", errors="return"))
    assert {type(error) for error in got} == {ArtifactNotFound}
    assert questions(provider, before) == {"artifacts": 1, "children": 1}


def test_tasks_of_many_runs_are_asked_each() -> None:
    results = Results()
    for run in range(40):
        results.task(f"F/{run}/end/{run}", x=run)
    provider = results.provider()
    client = results.client(provider)
    tasks = [client.task(f"F/{run}/end/{run}") for run in range(40)]
    before = len(provider.asked)
    assert list(load(tasks, "x")) == list(range(40))
    assert questions(provider, before) == {"artifacts": 40}


def test_a_provider_without_bulk_is_asked_for_each_task_once() -> None:
    results = step_of(30)
    capabilities = attrs.evolve(REMOTE, bulk=Support.UNSUPPORTED)
    provider = results.provider(capabilities=capabilities)
    step = results.client(provider).step("F/1/fit")
    before = len(provider.asked)
    assert list(load(step, "x")) == list(range(29, -1, -1))
    assert questions(provider, before) == {"artifacts": 30, "children": 1}


@pytest.mark.parametrize("config", [{}, OFF])
def test_equal_blobs_are_read_once(config: dict[str, str]) -> None:
    results = step_of(300, lambda i: i % 3)
    client = results.client(**config)
    assert list(load(client.step("F/1/fit"), "x")) == [i % 3 for i in range(299, -1, -1)]
    assert results.store.reads() == 3


def test_who_changes_a_value_changes_no_other() -> None:
    lists = list(load(step_of(5, lambda _: ["shared"]).client().step("F/1/fit"), "x"))
    lists[0].append("changed")
    assert lists[1:] == [["shared"]] * 4


def test_a_small_blob_is_one_request_and_its_size_is_not_asked() -> None:
    results = step_of(20)
    list(load(results.client().step("F/1/fit"), "x", "y"))
    assert len(results.store.asked) == len({path for path, _, _ in results.store.asked}) == 39
    assert results.store.sizes == []


def test_values_that_their_hash_tells_are_not_read() -> None:
    results = step_of(20, lambda _: None)
    assert list(load(results.client().step("F/1/fit"), "x")) == [None] * 20
    assert results.store.reads() == 0


def test_reading_is_side_by_side_and_bounded() -> None:
    results = step_of(200, wait=0.01)
    list(load(results.client(**OFF).step("F/1/fit"), "x"))
    assert 8 < results.store.most <= 32
    results = step_of(50, wait=0.005)
    list(load(results.client(MFC_READS=3, **OFF).step("F/1/fit"), "x"))
    assert 1 < results.store.most <= 3
    results = step_of(50, wait=0.005)  # each may have the 4 MB that are asked for
    list(load(results.client(MFC_READS_MEMORY=8, **OFF).step("F/1/fit"), "x"))
    assert results.store.most <= 2


@pytest.mark.parametrize("name", ["MFC_READS", "MFC_READS_MEMORY", "MFC_READ_TIMEOUT"])
@pytest.mark.parametrize("value", ["0", "-3", "nan", "many"])
def test_a_bound_that_is_none_is_told(name: str, value: str) -> None:
    with pytest.raises(mfc.errors.BadSetting, match=name):
        list(load(step_of(1).client(**{name: value}).step("F/1/fit"), "x"))


def test_who_stops_early_stops_the_reads() -> None:
    results = step_of(2000, wait=0.001)
    values = load(results.client(**OFF).step("F/1/fit"), "x")
    assert list(itertools.islice(values, 10)) == list(range(1999, 1989, -1))
    values.close()
    time.sleep(0.1)
    assert results.store.reads() < 300


def test_the_first_value_comes_before_the_last_task_is_thought_of() -> None:
    client = step_of(3000).client(**OFF)
    seen = []

    def tasks():
        for task in client.step("F/1/fit"):
            seen.append(task)
            yield task

    assert next(load(tasks(), "x")) == 2999
    assert len(seen) < 1000


def test_memory_is_bounded_however_many_are_asked_for() -> None:
    """Sixty values of 8 MB: a few of them at once, not all."""
    code = """
    import tracemalloc
    results = Results()
    for i in range(60):
        results.task(f"F/1/fit/{i}", x=bytes([i]) * 8_000_000)
    client = results.client(MFC_READS_MEMORY=40, MFC_CACHE="0")
    step = client.step("F/1/fit")
    tracemalloc.start()
    for value in load(step, "x"):
        time.sleep(0.01)
        del value
    print(tracemalloc.get_traced_memory()[1])
    """
    assert int(output(code)) < 110_000_000


def test_a_store_that_hangs_is_not_waited_for() -> None:
    results = step_of(100)
    results.store.hanging.add("*")
    client = results.client(MFC_READ_TIMEOUT=0.3, **OFF)
    with pytest.raises(UnreadableBlob, match=r"not answered within 0.3 s \(MFC_READ_TIMEOUT"):
        client.task("F/1/fit/7").data.x  # noqa: B018
    got = list(load(client.step("F/1/fit"), "x", errors="return"))
    results.store.over.set()
    assert {type(error) for error in got} == {UnreadableBlob}
    assert [error.subject for error in got[:2]] == ["F/1/fit/99/x", "F/1/fit/98/x"]


def test_the_interpreter_ends_while_a_store_hangs() -> None:
    code = """
    results = step_of(5)
    results.store.hanging.add("*")
    client = results.client(MFC_READ_TIMEOUT=0.3)
    for ask in (lambda: client.task("F/1/fit/3").data.x, lambda: next(load(client.step("F/1/fit"), "x"))):
        try:
            ask()
        except Exception as error:
            print(type(error).__name__)
    """
    assert output(code).split() == ["UnreadableBlob"] * 2


def test_a_forked_child_goes_on() -> None:
    _isolation.needs_fork()
    values = load(step_of(100, wait=0.001).client(**OFF).step("F/1/fit"), "x")
    assert next(values) == 99
    rest = _isolation.answered(_isolation.forked(lambda: list(values)))
    assert rest == list(values) == list(range(98, -1, -1))


# Progress


def test_progress_is_told() -> None:
    step = step_of(3).client().step("F/1/fit")
    told: list[Any] = []
    list(load(step, "x", "y", progress=lambda *said: told.append(said)))
    assert told == [(1, None), (2, None), (3, None)]
    told.clear()
    list(load(list(step), "x", progress=lambda *said: told.append(said)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_bar_is_for_terminals(capfd: pytest.CaptureFixture[str]) -> None:
    step = step_of(3).client().step("F/1/fit")
    for progress in (None, False):
        list(load(list(step), "x", progress=progress))
        assert capfd.readouterr().err == ""
    list(load(list(step), "x", progress=True))
    assert "3/3" in capfd.readouterr().err


def test_a_bar_needs_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(load([], "x")) == []
    with pytest.raises(BadArgument, match=r"pip install mfc-core\[progress\]"):
        load([], "x", progress=True)


# Artifacts of a step or run, and loops


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
def test_a_loop_reads_ahead_what_it_asks_for_and_nothing_else(loop: Any) -> None:
    results = step_of(150, wait=0.005)
    assert loop(results.client(**OFF).step("F/1/fit")) == list(range(149, -1, -1))
    assert results.store.reads() == 150
    assert 8 < results.store.most <= 32


def test_a_loop_over_several_artifacts_reads_each_ahead() -> None:
    results = step_of(100, wait=0.005)
    step = results.client(**OFF).step("F/1/fit")
    assert [a.data for a in step.artifacts("x", "y") if a.id == "x"] == list(range(99, -1, -1))
    assert results.store.reads() == 100
    assert [(t.data.x, t.data.y) for t in step] == [(i, -i) for i in range(99, -1, -1)]


def test_windows_grow_from_one() -> None:
    results = step_of(100)
    artifacts = results.client(**OFF).step("F/1/fit").artifacts("x")
    reads = []
    for artifact in itertools.islice(artifacts, 5):
        assert artifact.data == int(artifact.path_components[3])
        time.sleep(0.05)
        reads.append(results.store.reads())
    assert reads[0] == 1
    assert reads[1] == 3
    assert reads[2] == 6
    assert reads[4] <= 5 + 16


def test_a_loop_without_haste_does_not_lose_its_place() -> None:
    """Some are passed over, some asked again, some backwards."""
    results = step_of(60)
    client = results.client(**OFF)
    artifacts = list(client.step("F/1/fit").artifacts("x"))
    order = [0, 1, 2, 9, 10, 11, 11, 5, 6, 7, 50, 51, 3, 2, 1, 59, 0, 1, 2]
    assert [artifacts[i].data for i in order] == [59 - i for i in order]


def test_of_local_files_nothing_is_read_ahead() -> None:
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


def test_what_fails_for_one_task_fails_for_no_other() -> None:
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


def test_from_many_threads() -> None:
    client = step_of(60, wait=0.001).client()
    step = client.step("F/1/fit")
    _isolation.in_threads("load", lambda: list(load(step, "x", "y")))
    shared = list(step.artifacts("x"))
    _isolation.in_threads(".data of a listing", lambda: [artifact.data for artifact in shared])


def test_the_sample_is_the_same_at_once_as_one_by_one() -> None:
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
def test_notes_of_writers_are_read_side_by_side_too(config: dict[str, str]) -> None:
    """An encoding that is no pickle may need what the writer left beside each task."""

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
def test_a_loop_reads_ahead_wherever_records_are(capabilities: Capabilities) -> None:
    results = step_of(100, wait=0.01)
    client = results.client(results.provider(capabilities=capabilities), MFC_CACHE="0")
    assert [task.data.x for task in client.step("F/1/fit")] == list(reversed(range(100)))
    assert results.store.reads() == 100
    assert results.store.most > 4
    first = next(iter(client.step("F/1/fit")))
    assert first.data.x == 99
    assert results.store.reads() == 101
