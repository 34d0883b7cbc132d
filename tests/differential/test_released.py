"""Results of old releases, where Metaflow's own client is no reference: lineage, statuses, and other providers."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.live.steps import Place, memory, service

from mfc import Client
from mfc.errors import MetaflowException, MetaflowNotFound, MfcWarning, UnreadableRecord

from .released import RELEASES, files, moved, unpack

#: parents and children of each task of a step of `branches.py`
NEIGHBOURS = {
    "start": (0, 2),
    "outer": (1, 2),
    "first": (1, 1),
    "second": (1, 1),
    "join_letters": (2, 1),
    "between": (1, 1),
    "join_numbers": (2, 1),
    "fork": (1, 2),
    "left": (1, 1),
    "right": (1, 1),
}
TASKS = {"outer": 2, "first": 4, "second": 4, "join_letters": 2, "between": 2}
#: a release that records no graph, one without the place in a foreach, one that records both
KINDS = ("2.3.6", "2.9.15", "2.18.13")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pathlib.Path]:
    """Give a function that returns the location of a release's tree."""

    @functools.cache
    def folder(release: str) -> pathlib.Path:
        made = tmp_path_factory.mktemp(release)
        unpack(release, made)
        return made

    return folder


@pytest.fixture
def tree(unpacked: Callable[[str], pathlib.Path], request: pytest.FixtureRequest) -> Client:
    return Client(f"local@{unpacked(request.param)}", namespace=None)


def runs(client: Client) -> tuple[Any, Any]:
    """Return the failed run, and the one that resumed it."""
    second, first = client.flow("BranchesFlow")
    return first, second


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_parents_and_children_of_each_task_agree(tree: Client) -> None:
    for run in runs(tree)[1:]:  # the one with clones
        parents, children = {}, {}
        for task in (task for step in run for task in step):
            parents[task.pathspec] = {found.pathspec for found in task.parent_tasks}
            children[task.pathspec] = {found.pathspec for found in task.child_tasks}
        for step, (above, below) in NEIGHBOURS.items():
            tasks = [task.pathspec for task in run[step]]
            assert len(tasks) == TASKS.get(step, 1)
            # One release started the step after these twice.
            twice = len(list(run["merge"])) if step in ("left", "right") else below
            for task in tasks:
                assert (len(parents[task]), len(children[task])) == (above, twice), task
        for task, found in parents.items():
            assert all(task in children[parent] for parent in found)


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_letters_go_with_their_tasks(tree: Client) -> None:
    """The artifact `letter` gives the branch of a task, whatever its position."""
    for run in runs(tree)[:1]:
        for task in run["second"]:
            assert [parent.data.letter for parent in task.parent_tasks] == [task.data.letter]
        for task in run["join_letters"]:
            assert sorted(parent.data.letter for parent in task.parent_tasks) == task.data.joined


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_steps_have_their_neighbours(tree: Client) -> None:
    for run in runs(tree)[:1]:
        assert {step.id for step in run["merge"].parent_steps} == {"left", "right"}
        assert [step.id for step in run["fork"].child_steps] == ["left", "right"]
        assert [step.id for step in run["second"].parent_steps] == ["first"]
        assert list(run["start"].parent_steps) == []
        assert list(run["_parameters"].child_steps) == []


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_runs_and_tasks_have_their_final_status(tree: Client) -> None:
    first, second = runs(tree)
    assert (first.status, second.status) == ("failed", "completed")
    assert "RuntimeError: stop here" in first.status.reason
    for run in (first, second):
        assert {str(task.status) for task in run["second"]} == {"completed"}
        assert run["left"].task.status.reason.endswith("its exception was caught")
    assert tree.flow("BranchesFlow").latest_successful_run == second
    retried = [task.pathspec for task in first["second"] if task.current_attempt == 1]
    assert [str(tree.task(task, attempt=0).status) for task in retried] == ["failed"] * 2


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_the_only_attempt_of_a_clone_is_the_clone(tree: Client) -> None:
    _, second = runs(tree)
    for step in ("start", "first", "left"):
        for task in second[step]:
            attempt = tree.task(task.pathspec, attempt=0)
            assert attempt.status == "completed"
            assert attempt.index == task.index


@pytest.mark.filterwarnings("ignore:An object of:mfc.MfcWarning")  # they moved, see below
@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_client_objects_kept_by_a_flow_are_restored(tree: Client) -> None:
    run = tree.flow("KeeperFlow").latest_run
    with tree:
        kept = {artifact.id: artifact.data for artifact in run.end_task}
    assert repr(kept["kept_run"]) == repr(run)
    assert repr(kept["kept_step"]) == repr(run["start"])
    assert repr(kept["kept_task"]) == repr(run["start"].task)
    assert kept["kept_artifact"].data == run["start"].task.data.number == 7
    if "kept_data" in kept:  # old releases could not keep it
        assert (kept["kept_data"].number, "number" in kept["kept_data"]) == (7, True)
        assert "number" in repr(kept["kept_data"])
        assert "number" in dir(kept["kept_data"])
    assert (type(kept["kept_error"]), str(kept["kept_error"])) == (MetaflowException, "kept")
    assert (type(kept["kept_absence"]), str(kept["kept_absence"])) == (MetaflowNotFound, "kept")


def test_moved_results_are_found_at_their_new_place(tmp_path: pathlib.Path) -> None:
    for name, content in files("2.18.13"):  # with the addresses of the recording
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    with Client(f"local@{tmp_path}", namespace=None) as client:
        run = client.flow("KeeperFlow").latest_run
        with pytest.warns(MfcWarning, match="is looked for in local@"):
            assert repr(run.data.kept_run) == repr(run)


@pytest.mark.parametrize("tree", RELEASES, indirect=True)
def test_an_included_file_is_opened(tree: Client) -> None:
    _, second = runs(tree)
    artifact = second["start"].task["words"]
    if isinstance(artifact.data, str) and artifact.data.startswith("one"):
        assert artifact.data == "one\ntwo\nthree é\n"
        return
    assert '"uploader-v1"' in artifact.data
    with artifact.open() as file:
        assert file.read() == b"one\ntwo\r\nthree \xc3\xa9\n"


@pytest.mark.parametrize("release", ["2.0.5", "2.3.6"])
def test_lineage_is_refused_without_records_of_it(release: str, tmp_path: pathlib.Path) -> None:
    unpack(release, tmp_path)
    run, _ = runs(Client(f"local@{tmp_path}", namespace=None))
    for path in (tmp_path / ".metaflow" / run.pathspec).rglob("*_artifact__transition.json"):
        path.unlink()
    with pytest.raises(UnreadableRecord, match="recorded no graph"):
        list(run["second"].parent_steps)
    with pytest.raises(UnreadableRecord, match="recorded no graph"):
        list(run["second"].task.parent_tasks)


def places(release: str, folder: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield other providers with a release's results."""
    for name in ("memory", "service"):
        below = folder / name
        hub = request.getfixturevalue("services") if name == "service" else None
        place = memory(below) if hub is None else service(below, hub)
        for file, content in files(release):
            if file.split("/")[1] in ("BranchesFlow", "data"):
                place.write(file, moved(file, content, release, below))
        yield place


@pytest.mark.parametrize("tree", KINDS, indirect=True)
def test_other_providers_answer_the_same(
    tree: Client, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    release = request.node.callspec.params["tree"]
    expected = answers(tree)
    for place in places(release, tmp_path, request):
        assert answers(place.client()) == expected


def answers(client: Client) -> dict[str, Any]:
    """Return a client's answers about statuses and lineage."""
    found: dict[str, Any] = {}
    for run in client.flow("BranchesFlow"):
        found[run.pathspec] = repr(run.status)
        for task in (task for step in run for task in step):
            found[task.pathspec] = (
                repr(task.status),
                (task.successful, task.finished, task.index),
                sorted(task.parent_task_pathspecs),
                sorted(task.child_task_pathspecs),
                repr(client.task(task.pathspec, attempt=0).status),
            )
    return found
