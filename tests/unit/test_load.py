"""Many values at once: `mfc.load`."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import sys
import time
from typing import Any

import attrs
import pytest

import mfc
from mfc import Client, Trust, load
from mfc.errors import (
    ArtifactNotFound,
    BadArgument,
    MetaflowDataMissing,
    MetaflowNotFound,
    UnreadableBlob,
    UnreadableRecord,
    UntrustedValue,
)
from mfc.hookspecs import Support
from mfc_testing import _isolation

from .faraway import OFF, REMOTE, Asked, Results, output, questions, step_of

# Accepted items


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


def test_tasks_of_two_clients_are_loaded_together() -> None:
    one, two = step_of(3).client(), step_of(3, lambda i: f"two {i}").client()
    pairs = zip(one.step("F/1/fit"), two.step("F/1/fit"), strict=True)
    got = list(load(itertools.chain.from_iterable(pairs), "x"))
    assert got == [2, "two 2", 1, "two 1", 0, "two 0"]


def test_a_chosen_attempt_is_loaded() -> None:
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
        ([1], ("x",), {}, "an item is 1; expected tasks"),
        ([], (7,), {}, "names is 7"),
        ([], ("x",), {"errors": "ignore"}, "'ignore'"),
        ([], ("x",), {"progress": "bar"}, "'bar'"),
    ],
)
def test_invalid_items_are_refused(items: Any, names: Any, options: Any, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        list(load(items, *names, **options))


def test_names_are_for_tasks_only() -> None:
    client = step_of(1).client()
    with pytest.raises(BadArgument, match="an item is Task.*expected tasks with names"):
        list(load([client.task("F/1/fit/0")]))
    with pytest.raises(BadArgument, match="an item is Step.*expected tasks with names"):
        list(load(client.step("F/1/fit")))
    with pytest.raises(BadArgument, match="an item is DataArtifact.*expected tasks with names"):
        list(load([client.artifact("F/1/fit/0/x")], "x"))


def test_an_error_takes_the_place_of_an_invalid_item() -> None:
    client = step_of(2).client()
    tasks = [client.task("F/1/fit/0"), None, 5, client.task("F/1/fit/1")]
    found = list(load(iter(tasks), "x", errors="return"))
    assert (found[0], found[3]) == (0, 1)
    assert [str(error)[:15] for error in found[1:3]] == ["an item is None", "an item is 5; e"]
    pairs = list(load(tasks, "x", "x", errors="return"))
    assert [len(pair) for pair in pairs] == [2, 2, 2, 2]
    with pytest.raises(BadArgument, match="an item is None"):
        list(load(tasks, "x"))


def test_nothing_gives_nothing() -> None:
    assert list(load([], "x")) == []
    assert list(load(iter(()))) == []


# Errors


def broken() -> tuple[Results, Client]:
    results = step_of(4)
    del results.store.files[next(p for p in results.store.files if _is(results, 2, p))]
    results.artifacts = [
        a for a in results.artifacts if (a.path.components[3], a.path.name) != ("1", "x")
    ]
    return results, results.client()


def _is(results: Results, number: int, path: str) -> bool:
    return path.endswith(hashlib.sha1(pickle.dumps(number, 4)).hexdigest())


def test_errors_are_raised_in_order() -> None:
    _, client = broken()
    values = load(client.step("F/1/fit"), "x")
    assert next(values) == 3
    with pytest.raises(MetaflowDataMissing) as caught:
        next(values)
    assert caught.value.subject == "F/1/fit/2/x"
    assert list(values) == []


def test_errors_can_be_returned_in_place_of_values() -> None:
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


def test_a_failing_iterable_raises_in_order() -> None:
    client = step_of(3).client()

    def tasks():
        yield from client.step("F/1/fit")
        client.task("F/1/fit/77")

    got = []
    with pytest.raises(MetaflowNotFound):
        got.extend(load(tasks(), "x", errors="return"))
    assert got == [2, 1, 0]


def test_an_unreadable_step_is_an_error_for_each_of_its_tasks() -> None:
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


# Costs


def test_tasks_of_one_step_cost_few_queries() -> None:
    results = step_of(500)
    provider = results.provider()
    tasks = list(results.client(provider).step("F/1/fit"))
    before = len(provider.asked)
    assert len(list(load(tasks, "x", "y"))) == 500
    assert questions(provider, before) == {"artifacts": 2}


def test_a_step_costs_one_query_besides_its_listing() -> None:
    results = step_of(500)
    provider = results.provider()
    step = results.client(provider).step("F/1/fit")
    before = len(provider.asked)
    assert len(list(load(step, "x"))) == 500
    assert questions(provider, before) == {"artifacts": 1, "children": 1}


def test_tasks_without_the_artifact_cost_no_extra_queries() -> None:
    results = step_of(200)
    provider = results.provider()
    step = results.client(provider).step("F/1/fit")
    before = len(provider.asked)
    got = list(load(step, "absent", errors="return"))
    assert {type(error) for error in got} == {ArtifactNotFound}
    assert questions(provider, before) == {"artifacts": 1, "children": 1}


def test_tasks_of_many_runs_are_queried_each() -> None:
    results = Results()
    for run in range(40):
        results.task(f"F/{run}/end/{run}", x=run)
    provider = results.provider()
    client = results.client(provider)
    tasks = [client.task(f"F/{run}/end/{run}") for run in range(40)]
    before = len(provider.asked)
    assert list(load(tasks, "x")) == list(range(40))
    assert questions(provider, before) == {"artifacts": 40}


def test_a_provider_without_bulk_is_queried_once_per_task() -> None:
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


def test_changing_a_value_leaves_the_others_alone() -> None:
    lists = list(load(step_of(5, lambda _: ["shared"]).client().step("F/1/fit"), "x"))
    lists[0].append("changed")
    assert lists[1:] == [["shared"]] * 4


def test_a_small_blob_is_one_request_without_its_size() -> None:
    results = step_of(20)
    list(load(results.client().step("F/1/fit"), "x", "y"))
    assert len(results.store.asked) == len({path for path, _, _ in results.store.asked}) == 39
    assert results.store.sizes == []


def test_values_known_by_their_hash_are_not_read() -> None:
    results = step_of(20, lambda _: None)
    assert list(load(results.client().step("F/1/fit"), "x")) == [None] * 20
    assert results.store.reads() == 0


def test_reads_are_concurrent_and_bounded() -> None:
    results = step_of(200, wait=0.01, together=9)
    list(load(results.client(**OFF).step("F/1/fit"), "x"))
    assert 8 < results.store.most <= 32
    results = step_of(50, wait=0.005, together=2)
    list(load(results.client(MFC_READS=3, **OFF).step("F/1/fit"), "x"))
    assert 1 < results.store.most <= 3
    results = step_of(50, wait=0.005)  # each may have the 4 MB that are requested
    list(load(results.client(MFC_READS_MEMORY=8, **OFF).step("F/1/fit"), "x"))
    assert results.store.most <= 2


@pytest.mark.parametrize("name", ["MFC_READS", "MFC_READS_MEMORY", "MFC_READ_TIMEOUT"])
@pytest.mark.parametrize("value", ["0", "-3", "nan", "many"])
def test_an_invalid_bound_is_reported(name: str, value: str) -> None:
    with pytest.raises(mfc.errors.BadSetting, match=name):
        list(load(step_of(1).client(**{name: value}).step("F/1/fit"), "x"))


def test_stopping_early_stops_the_reads() -> None:
    results = step_of(2000, wait=0.001)
    values = load(results.client(**OFF).step("F/1/fit"), "x")
    assert list(itertools.islice(values, 10)) == list(range(1999, 1989, -1))
    values.close()
    time.sleep(0.1)
    assert results.store.reads() < 300


def test_the_first_value_comes_before_the_last_task_is_listed() -> None:
    client = step_of(3000).client(**OFF)
    seen = []

    def tasks():
        for task in client.step("F/1/fit"):
            seen.append(task)
            yield task

    assert next(load(tasks(), "x")) == 2999
    assert len(seen) < 1000


def test_memory_is_bounded_for_any_number_of_values() -> None:
    """Sixty values of 8 MB: only a few of them are in memory at once."""
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


def test_a_hanging_store_times_out() -> None:
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


def test_a_forked_child_can_load() -> None:
    _isolation.needs_fork()
    values = load(step_of(100, wait=0.001).client(**OFF).step("F/1/fit"), "x")
    assert next(values) == 99
    rest = _isolation.answered(_isolation.forked(lambda: list(values)))
    assert rest == list(values) == list(range(98, -1, -1))


# Progress


def test_progress_is_reported() -> None:
    step = step_of(3).client().step("F/1/fit")
    told: list[Any] = []
    list(load(step, "x", "y", progress=lambda *said: told.append(said)))
    assert told == [(1, None), (2, None), (3, None)]
    told.clear()
    list(load(list(step), "x", progress=lambda *said: told.append(said)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_progress_bar_is_for_terminals(capfd: pytest.CaptureFixture[str]) -> None:
    step = step_of(3).client().step("F/1/fit")
    for progress in (None, False):
        list(load(list(step), "x", progress=progress))
        assert capfd.readouterr().err == ""
    list(load(list(step), "x", progress=True))
    assert "3/3" in capfd.readouterr().err


def test_a_progress_bar_needs_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(load([], "x")) == []
    with pytest.raises(BadArgument, match=r"pip install mfc-core\[progress\]"):
        load([], "x", progress=True)
