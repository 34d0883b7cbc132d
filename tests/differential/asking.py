"""The scenarios, and one client asked in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import TypeAlias

from .aged import GLOB
from .canonical import Answer
from .places import Directories, Services
from .released import RELEASES

HERE = pathlib.Path(__file__).parent
#: unlike UTC, so that local time and UTC cannot be mistaken for each other; needs no time zone database
ZONE = "XYZ-5:30"
PATIENCE = 600
Place: TypeAlias = Directories | Services


@dataclass(frozen=True, eq=False)
class Scenario:
    """What one process of each client is asked, where, and in which environment."""

    name: str
    #: which of the questions in `scenarios.py`; the name of the scenario by default
    walk: str = ""
    root: str = "main"
    #: the root for Metaflow, where it cannot read the one that mfc reads
    oracle_root: str = ""
    #: the folder to start in, relative to the folder of recordings
    start: str = "empty"
    #: variables to set; `{place}` is the folder of recordings, `{address}` the root, and None takes the variable away
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


class Failed(Exception):
    """A client did not come to the end of a scenario."""


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
            raise Failed(
                f"{client} did not come to the end of {scenario.name}:\n{result.stderr[-4000:]}"
            )
        return labelled(out.read_text(), place)


def environment(scenario: Scenario, place: Place, folder: str, address: str) -> dict[str, str]:
    """Return the environment of one process: what it needs, and what the scenario says."""
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
    """Return answers with the labels of the runs in place of their ids, which are other ones in each recording."""
    for label, pathspec in json.loads((place.place / "runs.json").read_text()).items():
        text = text.replace(pathspec.partition("/")[2], f"<{label}>")
    for prefix in (place.prefix, f"{place.place}/"):
        text = text.replace(prefix, "<place>/")
    text = text.replace(str(HERE), "<questions>")
    found: dict[str, Answer] = json.loads(text)
    return found
