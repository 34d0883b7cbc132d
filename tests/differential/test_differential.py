"""Real Metaflow and mfc answer the same questions about the same results in the same way.

Metaflow's recordings and answers are kept in `recorded.tar.xz`; `make oracle` has real Metaflow record and answer
anew. `walk.py` asks one client everything, in a process of its own. Intended differences are in `differences.py`,
with the reason and mfc's answer.
"""

from __future__ import annotations

import functools
import itertools
import pathlib
import shutil
import sys

import pytest
from tests.servers.metadata import Hub

from mfc_server._transfer import copy

from .asking import (
    RELEASE_SCENARIOS,
    SCENARIOS,
    SERVICE_SCENARIOS,
    Place,
    Scenario,
    walk,
)
from .canonical import Answer
from .comparison import compare
from .differences import DIFFERENCES
from .oracle import Oracle, changed, unpacked
from .places import Directories, Services
from .released import unpacking

#: Walks of more than ten seconds on a service.
LONG = ("objects", "attempts", "logs")


def group(scenario: Scenario) -> tuple[pytest.MarkDecorator, ...]:
    """Keep the tests that share the longest walk in one process."""
    return (pytest.mark.xdist_group("objects"),) if scenario.name == "objects" else ()


def long(kind: str, scenario: Scenario) -> tuple[pytest.MarkDecorator, ...]:
    """Leave the long walks on the second database to the nightly tests: the first has them all."""
    is_long = kind == "postgresql" and (scenario.walk or scenario.name) in LONG
    return (pytest.mark.nightly,) if is_long else ()


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """Return Metaflow's recording with its answers."""
    return unpacked()


@pytest.fixture(scope="session")
def place(oracle: Oracle) -> Directories:
    """Return the recorded directories."""
    return Directories(oracle.directories)


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest, oracle: Oracle, services: Hub) -> Services:
    """Return the recorded services on one kind of database."""
    numbers = itertools.count()

    def filled(rows: pathlib.Path) -> str:
        if request.param == "postgresql":
            new = str(request.getfixturevalue("postgres").new())
            copy(f"sqlite:///{rows}", new)
            return new
        return f"sqlite:///{shutil.copy(rows, services.folder / f'differential{next(numbers)}.db')}"

    return Services(oracle.services, request.param, services, filled)


def test_the_recording_is_of_these_flows_and_questions() -> None:
    """The sources of flows and questions are unchanged since `make oracle`."""
    assert changed() == []


@pytest.mark.parametrize(
    "scenario", [pytest.param(s, id=s.name, marks=group(s)) for s in SCENARIOS]
)
def test_mfc_answers_as_metaflow(scenario: Scenario, place: Directories, oracle: Oracle) -> None:
    """mfc answers as Metaflow does, except for the listed differences."""
    ask_both(scenario, place, oracle)


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.name) for s in RELEASE_SCENARIOS])
def test_mfc_answers_as_metaflow_about_old_releases(
    scenario: Scenario, request: pytest.FixtureRequest, oracle: Oracle
) -> None:
    """mfc answers as Metaflow does about results of old releases, except for the listed differences."""
    cache = request.config.cache
    assert cache is not None
    with unpacking(cache.mkdir("differential-releases")) as place:
        ask_both(scenario, Directories(place), oracle)


@pytest.mark.parametrize(
    ("service", "scenario"),
    [
        pytest.param(kind, s, id=f"{kind}-{s.name}", marks=long(kind, s))
        for kind in ("sqlite", "postgresql")
        for s in SERVICE_SCENARIOS
    ],
    indirect=["service"],
)
def test_mfc_answers_as_metaflow_by_service(
    scenario: Scenario, service: Services, oracle: Oracle
) -> None:
    """mfc answers as Metaflow does about results in a service, except for the listed differences."""
    ask_both(scenario, service, oracle)


def ask_both(scenario: Scenario, place: Place, oracle: Oracle) -> None:
    """Fail with the differences, and with listed differences that do not show."""
    metaflow = oracle.answers(scenario, place.kind)
    mfc = mfc_answers(scenario, place)
    report = compare(scenario.name, metaflow, mfc, DIFFERENCES)
    if report.wrong or report.idle:
        pytest.fail(str(report), pytrace=False)


@pytest.mark.xdist_group("objects")
def test_resumed_tasks_have_the_neighbours_of_their_origins(
    place: Directories, oracle: Oracle
) -> None:
    """Metaflow knows the neighbours of the failed run's tasks; those of the resumed run are their clones."""
    metaflow = oracle.answers(SCENARIOS[0], place.kind)
    mfc = mfc_answers(SCENARIOS[0], place)
    run = "NestedFlow/<nested_resumed>"
    resumed = [
        key.rpartition(".")[0] for key in mfc if key.startswith(run) and key.endswith(".index")
    ]
    origins = {task: mfc[f"{task}.origin_pathspec"] for task in resumed}
    cloned = [task for task in resumed if origins[task] and "/_parameters/" not in task]
    assert len(cloned) == 21  # all but the two that failed or were not reached
    for task in cloned:
        ours = {origins[t] for t in mfc[f"{task}.parent_task_pathspecs"]["iterator"]}
        assert ours == set(metaflow[f"{origins[task]}.parent_task_pathspecs"]["iterator"]), task


@pytest.mark.xdist_group("objects")
@pytest.mark.parametrize("label", ["switch", "switch_failed", "switch_resumed"])
def test_iterations_of_a_recursive_step_follow_each_other(place: Directories, label: str) -> None:
    """The artifact `count` gives the iteration of a task, whatever its id and its time."""
    mfc = mfc_answers(SCENARIOS[0], place)
    step = f"SwitchFlow/<{label}>/again"
    counts = {
        mfc[key]: key.rpartition("/")[0]
        for key in mfc
        if key.startswith(step) and key.endswith("/count.data")
    }
    parents = [mfc[f"{counts[n]}.parent_task_pathspecs"]["iterator"] for n in (2, 3)]
    assert parents == [[counts[1]], [counts[2]]]
    children = [mfc[f"{counts[n]}.child_task_pathspecs"]["iterator"] for n in (1, 2)]
    assert children == [[counts[2]], [counts[3]]]


def test_each_difference_names_known_scenarios() -> None:
    """An entry of the table without a known scenario would never be asserted."""
    known = {scenario.name for scenario in (*SCENARIOS, *RELEASE_SCENARIOS, *SERVICE_SCENARIOS)}
    assert [entry for entry in DIFFERENCES if not set(entry.scenarios) <= known] == []


@functools.cache
def mfc_answers(scenario: Scenario, place: Place) -> dict[str, Answer]:
    """Return mfc's answers, computed once in a session."""
    return walk("mfc", sys.executable, scenario, scenario.root, place)
