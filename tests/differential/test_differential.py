"""Real Metaflow and mfc answer the same questions about the same results in the same way.

`record.py` lets Metaflow record results once; `walk.py` asks one client everything, in a process of
its own.
Intended differences are in `differences.py`, with the reason and mfc's answer.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
from tests.servers.metadata import Hub
from tests.servers.postgres import binary

from mfc_server._transfer import copy

from .aged import GLOB
from .canonical import Answer
from .comparison import compare
from .differences import DIFFERENCES
from .places import Directories, Services
from .record import record
from .released import RELEASES, unpacking
from .services import record_services

HERE = pathlib.Path(__file__).parent
#: unlike UTC, so that local time and UTC cannot be mistaken for each other; needs no time zone
#: database
ZONE = "XYZ-5:30"
PATIENCE = 600
#: the files with the questions
QUESTIONS = (
    "canonical.py",
    "objects.py",
    "scenarios.py",
    "tag_changes.py",
    "test_differential.py",
    "walk.py",
)


Place: TypeAlias = Directories | Services


@dataclass(frozen=True, eq=False)
class Scenario:
    """The questions to one process of each client, their place and their environment."""

    name: str
    #: which of the questions in `scenarios.py`; the name of the scenario by default
    walk: str = ""
    root: str = "main"
    #: the root for Metaflow, where it cannot read the one that mfc reads
    oracle_root: str = ""
    #: the folder to start in, relative to the folder of recordings
    start: str = "empty"
    #: variables to set; `{place}` is the folder of recordings, `{address}` the root, and None
    #: removes the variable
    environment: dict[str, str | None] = field(default_factory=dict)
    #: whether results are changed, in which case each client gets a copy
    changes: bool = False


PROFILE = {"METAFLOW_HOME": "{place}/home", "METAFLOW_PROFILE": "tried", "USERNAME": None}
SCENARIOS = (
    *(
        Scenario(name)
        for name in ("objects", "own", "foreign", "production", "attempts", "logs", "spin")
    ),
    *(Scenario(name) for name in ("bad_input", "namespaces", "switching", "pickles", "two_roots")),
    Scenario("code"),
    Scenario("tags", root="tagged", changes=True),
    Scenario("aged objects", "objects", "aged"),
    Scenario("aged attempts", "attempts", "aged"),
    Scenario("aged logs", "logs", "aged"),
    Scenario("aged code", "code", "aged"),
    Scenario("moved objects", "objects", "moved", oracle_root="main"),
    Scenario("moved logs", "logs", "moved", oracle_root="main"),
    Scenario("moved code", "code", "moved", oracle_root="main"),
    Scenario("glob objects", "objects", GLOB, oracle_root="tagged"),
    Scenario("settings", start="main"),
    Scenario("settings deep", "settings", start="main/deep/er"),
    Scenario("settings without root", "settings", start="empty/deep"),
    Scenario(
        "settings of nobody",
        "settings",
        start="main",
        environment={"USERNAME": "root", "USER": "root"},
    ),
    Scenario("settings of a user", "settings", start="main", environment={"METAFLOW_USER": "bob"}),
    Scenario("settings of sudo", "settings", start="main", environment={"SUDO_USER": "bob"}),
    Scenario(
        "settings of production",
        "settings",
        start="main",
        environment={"METAFLOW_PRODUCTION_TOKEN": "token"},
    ),
    Scenario(
        "settings of a root",
        "settings",
        environment={"METAFLOW_DATASTORE_SYSROOT_LOCAL": "{place}/tagged"},
    ),
    Scenario("settings of a profile", "settings", "tagged", environment=PROFILE),
    Scenario(
        "settings of a folder",
        "settings",
        "configured",
        start="configured/deep",
        environment={"USERNAME": None},
    ),
    Scenario(
        "settings of spin",
        "settings",
        environment={
            "METAFLOW_DEFAULT_METADATA": "spin",
            "METAFLOW_DATASTORE_SYSROOT_SPIN": "{place}/main",
        },
    ),
)
#: scenarios for the trees of old releases
RELEASE_SCENARIOS = tuple(
    Scenario(f"released {release}", "released", release) for release in RELEASES
)
#: scenarios for services, on each kind of database
SERVICE_SCENARIOS = (
    *(
        Scenario(f"service {name}", name)
        for name in ("objects", "of_bob", "foreign", "production", "attempts", "logs", "code")
    ),
    *(
        Scenario(f"service {name}", name)
        for name in ("bad_input", "namespaces", "switching", "pickles", "two_roots")
    ),
    Scenario("service tags", "tags", root="tagged", changes=True),
    Scenario("service aged objects", "objects", "aged"),
    Scenario("service aged attempts", "attempts", "aged"),
    Scenario("service aged logs", "logs", "aged"),
    Scenario("service aged code", "code", "aged"),
    Scenario("service null tags", "null_tags", "null"),
    Scenario(
        "service settings",
        "settings",
        environment={
            "METAFLOW_DEFAULT_METADATA": "service",
            "METAFLOW_SERVICE_URL": "{address}",
        },
    ),
)


def group(scenario: Scenario) -> tuple[pytest.MarkDecorator, ...]:
    """Keep the tests that share the longest walk in one process."""
    return (pytest.mark.xdist_group("objects"),) if scenario.name == "objects" else ()


@pytest.fixture(scope="session")
def python() -> str:
    """Return the interpreter that has Metaflow."""
    found = os.environ.get("MFC_METAFLOW_PYTHON")
    if not found:
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make test` sets it")
    return found


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest, python: str) -> Directories:
    """Return the recorded directories, made once and kept in pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    return Directories(record(cache.mkdir("differential"), python))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, python: str, place: Directories, services: Hub
) -> Services:
    """Return the recorded services, made once and kept in pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    # Without PostgreSQL, SQLite is still tested.
    wanted = request.param == "postgresql" or binary("initdb") is not None
    cluster = request.getfixturevalue("postgres") if wanted else None
    folder = record_services(cache.mkdir("differential-services"), python, place.place, cluster)
    numbers = itertools.count()

    def filled(rows: pathlib.Path) -> str:
        if request.param == "postgresql":
            new = str(cluster.new())
            copy(f"sqlite:///{rows}", new)
            return new
        return f"sqlite:///{shutil.copy(rows, services.folder / f'differential{next(numbers)}.db')}"

    return Services(folder, request.param, services, filled)


@pytest.mark.parametrize(
    "scenario", [pytest.param(s, id=s.name, marks=group(s)) for s in SCENARIOS]
)
def test_mfc_answers_as_metaflow(scenario: Scenario, place: Directories, python: str) -> None:
    """mfc answers as Metaflow does, except for the listed differences."""
    ask_both(scenario, place, python)


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.name) for s in RELEASE_SCENARIOS])
def test_mfc_answers_as_metaflow_about_old_releases(
    scenario: Scenario, request: pytest.FixtureRequest, python: str
) -> None:
    """mfc answers as Metaflow does about results of old releases, except for the listed differences."""
    cache = request.config.cache
    assert cache is not None
    with unpacking(cache.mkdir("differential-releases")) as place:
        ask_both(scenario, Directories(place), python)


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.name) for s in SERVICE_SCENARIOS])
def test_mfc_answers_as_metaflow_by_service(
    scenario: Scenario, service: Services, python: str
) -> None:
    """mfc answers as Metaflow does about results in a service, except for the listed differences."""
    ask_both(scenario, service, python)


def ask_both(scenario: Scenario, place: Place, python: str) -> None:
    """Fail with the differences, and with listed differences that do not show."""
    metaflow = metaflow_answers(scenario, place, python)
    mfc = mfc_answers(scenario, place)
    report = compare(scenario.name, metaflow, mfc, DIFFERENCES)
    if report.wrong or report.idle:
        pytest.fail(str(report), pytrace=False)


@pytest.mark.xdist_group("objects")
def test_resumed_tasks_have_the_neighbours_of_their_origins(
    place: Directories, python: str
) -> None:
    """Metaflow knows the neighbours of the failed run's tasks; those of the resumed run are their clones."""
    metaflow = metaflow_answers(SCENARIOS[0], place, python)
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


def metaflow_answers(scenario: Scenario, place: Place, python: str) -> dict[str, Answer]:
    """Return Metaflow's answers, computed once for a recording and a version of the questions."""
    root = scenario.oracle_root or scenario.root
    walked = scenario.walk or scenario.name
    asked = (walked, root, scenario.start, scenario.environment, place.kind)
    digest = hashlib.sha256(repr(asked).encode())
    for name in QUESTIONS:
        digest.update((HERE / name).read_bytes())
    kept = place.place / "answers" / f"{digest.hexdigest()[:16]}.json"
    kept.parent.mkdir(exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            answers = walk("metaflow", python, scenario, root, place)
            kept.write_text(json.dumps(answers))
    found: dict[str, Answer] = json.loads(kept.read_text())
    return found


def walk(
    client: str, python: str, scenario: Scenario, root: str, place: Place
) -> dict[str, Answer]:
    """Ask one client in a process of its own; run ids in the answers are replaced by the labels of the runs."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "answers.json")
        address = place.copied(root, folder) if scenario.changes else place.at(root)
        arguments = [client, address, scenario.walk or scenario.name, str(out)]
        result = subprocess.run(
            [python, "-m", f"{HERE.name}.walk", *arguments],
            cwd=place.place / scenario.start,
            env=environment(scenario, place, folder, address),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if result.returncode:
            pytest.fail(
                f"{client} did not come to the end of {scenario.name}:\n{result.stderr[-4000:]}",
                pytrace=False,
            )
        return labelled(out.read_text(), place)


def environment(scenario: Scenario, place: Place, folder: str, address: str) -> dict[str, str]:
    """Return the environment of one process: its basics, and the scenario's variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LANG", "TMPDIR") or name.startswith("COV")
    }
    needed = {
        "PYTHONPATH": os.pathsep.join((str(HERE.parent), os.environ.get("PYTHONPATH", ""))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": ZONE,
        "HOME": folder,
    }
    cache = {"METAFLOW_CLIENT_CACHE_PATH": f"{folder}/cache", "USERNAME": "alice"}
    # Metaflow repeats any failing request for 15 seconds.
    cache["METAFLOW_SERVICE_RETRY_COUNT"] = "1"
    chosen = {
        name: value and value.format(place=place.place, address=address)
        for name, value in scenario.environment.items()
    }
    return {
        name: value
        for name, value in {**kept, **needed, **cache, **chosen}.items()
        if value is not None
    }


def labelled(text: str, place: Place) -> dict[str, Answer]:
    """Return answers with the labels of the runs in place of their ids, which vary between recordings."""
    for label, pathspec in json.loads((place.place / "runs.json").read_text()).items():
        text = text.replace(pathspec.partition("/")[2], f"<{label}>")
    for prefix in (place.prefix, f"{place.place}/"):
        text = text.replace(prefix, "<place>/")
    found: dict[str, Answer] = json.loads(text)
    return found
