"""Order, laziness and cost of listings."""

from __future__ import annotations

import itertools
import json
import threading
import warnings
from datetime import datetime, timezone

import pytest

from mfc import MfcWarning

from .conftest import MOMENT, Tree

MICROS = MOMENT * 1000


def test_runs_come_newest_first_by_their_ids(tree: Tree) -> None:
    ids = [str(MICROS + offset) for offset in (5_000_000, 1, 77, 3_000)]
    for run_id in ids:
        tree.run(run_id)
    assert [run.id for run in tree.client().flow("F")] == sorted(ids, reverse=True)


def test_runs_of_schedulers_are_put_in_between_by_their_time(tree: Tree) -> None:
    tree.run(MICROS)
    tree.run(MICROS + 10_000_000)
    tree.run("argo-x", MOMENT + 5_000)
    tree.run("7", MOMENT + 20_000)
    listed = [run.id for run in tree.client().flow("F")]
    assert listed == ["7", str(MICROS + 10_000_000), "argo-x", str(MICROS)]


def test_a_run_that_metaflow_tagged_stays_where_it_was(tree: Tree) -> None:
    tree.run(MICROS, MOMENT + 1_000_000_000)  # Metaflow writes the time of tagging
    tree.run(MICROS + 1_000_000)
    flow = tree.client().flow("F")
    assert [run.id for run in flow] == [str(MICROS + 1_000_000), str(MICROS)]
    assert flow[str(MICROS)].created_at.timestamp() * 1000 == MOMENT


def test_the_latest_run_costs_one_run(tree: Tree) -> None:
    for number in range(50):
        tree.run(MICROS + number * 1_000_000)
    client = tree.client()
    flow = client.flow("F")
    before = client.stats
    assert flow.latest_run is not None
    assert (client.stats - before).reads == 2  # the directory and one file


def test_a_window_of_time_skips_reading_the_rest(tree: Tree) -> None:
    for number in range(50):
        tree.run(MICROS + number * 600_000_000)
    client = tree.client()
    flow = client.flow("F")
    before = client.stats
    found = list(flow.runs(since=datetime.fromtimestamp(MOMENT / 1000 + 48 * 600, timezone.utc)))
    assert [int(run.id) for run in found] == [MICROS + n * 600_000_000 for n in (49, 48)]
    assert (client.stats - before).reads <= 4


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"ts_epoch": "soon"}', "null", '{"tags": 1, "ts_epoch": 1}']
)
def test_a_damaged_file_hides_its_own_run_only(tree: Tree, content: str) -> None:
    tree.run(MICROS)
    tree.run(MICROS + 1)
    damaged = tree.root / f"F/{MICROS + 1}/_meta/_self.json"
    damaged.write_text(content)
    with pytest.warns(MfcWarning, match=str(MICROS + 1)):
        assert [run.id for run in tree.client().flow("F")] == [str(MICROS)]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"ts_epoch": "soon"}'])
def test_damage_below_a_run_hides_only_itself(tree: Tree, content: str) -> None:
    run = tree.run(MICROS)
    for number in ("1", "2"):
        tree.finish(tree.task(run, "start", number))
    (tree.root / run / "start/2/_meta/_self.json").write_text(content)
    (tree.root / run / "start/1/_meta/0_artifact__success.json").write_text(content)
    step = tree.client().step(f"{run}/start")
    with pytest.warns(MfcWarning, match="start/2"):
        [task] = list(step)
    with pytest.warns(MfcWarning, match="_success"):
        assert task.successful is False
    assert task.finished is True


def test_foreign_files_and_directories_are_not_listed(tree: Tree) -> None:
    run = tree.run(MICROS)
    (tree.root / "F/latest_run").write_text(str(MICROS))
    (tree.root / "F/data/ab").mkdir(parents=True)
    (tree.root / "mf.cards/F").mkdir(parents=True)
    (tree.root / "config.json").write_text("{}")
    (tree.root / run / "half").mkdir()
    client = tree.client()
    assert [flow.id for flow in client.flows()] == ["F"]
    assert [item.id for item in client.flow("F")] == [str(MICROS)]
    assert list(client.run(run)) == []
    assert "data" not in client.flow("F")


@pytest.mark.parametrize("name", ["proj[1]", "*", "a b", "ünï", "{x}"])
def test_directories_may_be_named_like_patterns(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    home = tmp_path_factory.mktemp("roots") / name
    home.mkdir()
    tree = Tree(home)
    task = tree.task(tree.run(MICROS))
    tree.finish(task)
    for artifact in ("plain", "br[ack]et", "*", "p*", "a b", "naïve"):
        tree.artifact(task, artifact, artifact)
    found = tree.client().task(task)
    assert {artifact.id for artifact in found} == {"plain", "br[ack]et", "*", "p*", "a b", "naïve"}
    assert found["p*"].data == "p*"
    assert "*lain" not in found
    assert found["br[ack]et"].data == "br[ack]et"


def test_runs_may_come_and_go_while_they_are_listed(tree: Tree) -> None:
    stable = {str(MICROS + number) for number in range(20)}
    for run_id in stable:
        tree.run(run_id)
    stop = threading.Event()

    def churn() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            run_id = MICROS + 1_000_000 + number % 7
            tree.run(run_id)
            file = tree.root / f"F/{run_id}/_meta/_self.json"
            file.unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        flow = tree.client().flow("F")
        for _ in range(50):
            with warnings.catch_warnings():
                # The tree's writer does not rename files into place, so half a file may be seen.
                warnings.simplefilter("ignore", MfcWarning)
                listed = {run.id for run in flow}
            assert stable <= listed
    finally:
        stop.set()
        thread.join()


def test_iteration_reads_one_run_at_a_time(tree: Tree) -> None:
    for number in range(30):
        tree.run(MICROS + number)
    client = tree.client()
    flow = client.flow("F")
    before = client.stats
    runs = iter(flow)
    next(runs)
    runs.close()
    assert (client.stats - before).reads == 2


def test_ids_of_old_files_may_be_numbers(tree: Tree) -> None:
    tree.object("F")
    (tree.meta("F/5") / "_self.json").write_text(
        json.dumps({"flow_id": "F", "run_number": 5, "ts_epoch": 9})
    )
    assert tree.client().flow("F")["5"].id == "5"
    assert tree.client().flow("F")[5].id == "5"  # type: ignore[index]
