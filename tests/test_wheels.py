"""The released distributions: built, installed in an empty environment, and used on the sample."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Distributions by folder: their package, and their own dependencies.
DISTRIBUTIONS = {
    "core": ("mfc", {"attrs", "filelock", "fsspec", "platformdirs", "pluggy"}),
    "plugins/mfc-local": ("mfc_local", {"mfc-core", "filelock"}),
    "plugins/mfc-objectstore": ("mfc_objectstore", {"mfc-core", "attrs", "obstore"}),
    "plugins/mfc-s3": ("mfc_s3", {"mfc-core", "mfc-objectstore", "attrs", "botocore"}),
    "plugins/mfc-gcs": (
        "mfc_gcs",
        {"mfc-core", "mfc-objectstore", "attrs", "google-auth[requests]"},
    ),
    "plugins/mfc-azure": ("mfc_azure", {"mfc-core", "mfc-objectstore", "attrs", "azure-identity"}),
}
#: The least for reading results of this machine.
BASIC = ("core", "plugins/mfc-local")
#: Distributions without an entry point.
WITHOUT_ENTRY = ("core", "plugins/mfc-objectstore")
#: Most bytes of the distributions and their dependencies, without compiled files.
SIZE = 8_000_000

SMOKE = """
import importlib.metadata, json, sys
from mfc import Flow, Metaflow, namespace

namespace(None)
run = Flow("Train").latest_successful_run
run.add_tag("installed")
print(json.dumps({
    "flows": sorted(flow.id for flow in Metaflow()),
    "errors": run.data.errors,
    "status": run.status,
    "log": run["fit"]["4"].stdout.splitlines()[-1],
    "failed": next(Flow("Refresh").runs(status="failed")).status.reason.split(" raised ")[1][:8],
    "tag": "installed" in Flow("Train").latest_run.tags,
    "installed": sorted(d.metadata["Name"].lower() for d in importlib.metadata.distributions()),
    "own": sorted(name for name in sys.modules if name.split(".")[0] in ("metaflow", "numpy")),
}))
"""
SHOWN = """{"flows": ["Refresh", "Train"], \
"errors": {"average": 276.3, "line": 93.4, "nearest": 46.2}, "status": "completed", \
"log": "nearest: wrong by 46.2 rentals a day", "failed": "__main__", "tag": true, \
"installed": ["attrs", "filelock", "fsspec", "mfc-core", "mfc-local", "platformdirs", "pluggy"], "own": []}
"""


def run(*command: str | Path, **options: object) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return each distribution's wheel, built from its source distribution as for a release."""
    folder = tmp_path_factory.mktemp("wheels")
    for place in DISTRIBUTIONS:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT / place)
    kinds = {place: Path(place).name.removeprefix("mfc-") for place in DISTRIBUTIONS}
    return {place: next(folder.glob(f"mfc_{kind}-*.whl")) for place, kind in kinds.items()}


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with just the wheels and their dependencies."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (sys.executable, "-m", "pip", "--python", found)
    basic = [wheels[place] for place in BASIC]
    run(*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", *basic)
    assert "No broken requirements" in run(*pip, "check")
    return found


def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


@pytest.mark.xdist_group("wheels")
@pytest.mark.parametrize("place", DISTRIBUTIONS)
def test_a_wheel_has_its_package_and_nothing_else(wheels: dict[str, Path], place: str) -> None:
    package = DISTRIBUTIONS[place][0]
    source = ROOT / place / "src"
    expected = {
        file.relative_to(source).as_posix()
        for file in (source / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert f"{package}/py.typed" in expected
    with zipfile.ZipFile(wheels[place]) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.xdist_group("wheels")
@pytest.mark.parametrize("place", DISTRIBUTIONS)
def test_a_wheel_declares_its_dependencies(wheels: dict[str, Path], place: str) -> None:
    with zipfile.ZipFile(wheels[place]) as wheel:
        said = metadata(wheel)
        entries = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    required = [str(line) for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    needed = {re.split(r"[<>=;]", line)[0].strip() for line in required}
    assert needed == DISTRIBUTIONS[place][1]
    assert said["Requires-Python"] == ">=3.10"
    assert said["License-Expression"] == "Apache-2.0"
    assert str(said.get_payload()).startswith(f"# {said['Name']}")
    assert len(entries) == (place not in WITHOUT_ENTRY)


@pytest.mark.xdist_group("wheels")
def test_installed_alone_they_read_the_sample(python: Path, tmp_path: Path) -> None:
    run(
        "tar",
        "-xzf",
        ROOT / "plugins/mfc-testing/src/mfc_testing/sample/sample.tgz",
        "-C",
        tmp_path,
    )
    assert run(python, "-I", "-W", "error", "-c", SMOKE, cwd=tmp_path) == SHOWN


@pytest.mark.xdist_group("wheels")
def test_the_installed_distributions_are_small(python: Path) -> None:
    place = Path(run(python, "-c", "import mfc; print(mfc.__file__)").strip()).parents[1]
    files = [file for file in place.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert sum(file.stat().st_size for file in files) < SIZE
