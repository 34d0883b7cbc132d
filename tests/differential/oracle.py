"""Recordings and answers of real Metaflow: kept in `recorded.tar.xz`, made anew by `make oracle`.

    MFC_METAFLOW_PYTHON=… python -m tests.differential.oracle

Metaflow's records contain paths, so a recording is unpacked where it was made: in a folder of
`/tmp` with a name of its own. It is unpacked once, and read only.
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
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.servers.metadata import hub
from tests.servers.postgres import Cluster, cluster

from mfc_server._transfer import copy

from .asking import RELEASE_SCENARIOS, SCENARIOS, SERVICE_SCENARIOS, Place, Scenario, walk
from .canonical import Answer
from .places import Directories, Services
from .record import Recorder, record
from .released import unpacked as releases
from .services import record_services

HERE = pathlib.Path(__file__).parent
ARCHIVE = HERE / "recorded.tar.xz"
#: Where recordings are made and unpacked; part of the paths that Metaflow records.
PARENT = pathlib.Path("/tmp")
PREFIX = "mfc-differential-"
#: A link to the environment with Metaflow, while a recording is made.
ENVIRONMENT = "environment"
#: In a recording: the digest of each file that determines the recordings and the questions.
SOURCES = "sources.json"
_DECIDE = ("commands.py", "record.py", "aged.py", "services.py", "released.py", "asking.py")
_ASK = ("canonical.py", "objects.py", "scenarios.py", "tag_changes.py", "walk.py")


@dataclass(frozen=True)
class Oracle:
    """A recording."""

    folder: pathlib.Path

    @property
    def directories(self) -> pathlib.Path:
        """The folder with a folder for each root."""
        return self.folder / "directories"

    @property
    def services(self) -> pathlib.Path:
        """The folder with the rows of each root of services."""
        return self.folder / "services"

    def answers(self, scenario: Scenario, kind: str) -> dict[str, Answer]:
        """Return Metaflow's answers, run ids replaced by the labels of the runs."""
        found: dict[str, Answer] = json.loads(self.file(scenario, kind).read_text())
        return found

    def file(self, scenario: Scenario, kind: str) -> pathlib.Path:
        """Return the file with Metaflow's answers about one kind of place."""
        root = scenario.oracle_root or scenario.root
        walked = scenario.walk or scenario.name
        asked = (walked, root, scenario.start, sorted(scenario.environment.items()), kind)
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()
        return self.folder / "answers" / f"{digest[:16]}.json"


def sources() -> dict[str, str]:
    """Return the digests of the files that determine the recordings and the questions.

    Lines that are comments or empty do not count.
    """
    files = [*(HERE / name for name in (*_DECIDE, *_ASK)), *HERE.glob("flows/**/*.*")]
    return {
        str(path.relative_to(HERE)): _digest(path)
        for path in sorted(files)
        if path.suffix != ".pyc"
    }


def _digest(path: pathlib.Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".py":
        lines = (line for line in content.splitlines() if line.strip())
        content = b"\n".join(line for line in lines if not line.lstrip().startswith(b"#"))
    return hashlib.sha256(content).hexdigest()


def changed() -> list[str]:
    """Return the files that have changed since the recording was made."""
    then = json.loads((unpacked().folder / SOURCES).read_text())
    now = sources()
    return sorted(name for name in {*then, *now} if then.get(name) != now.get(name))


@functools.cache
def unpacked() -> Oracle:
    """Return the recording, unpacked where it was made."""
    with tarfile.open(ARCHIVE) as archive:
        first = archive.next()
        assert first is not None
        name = first.name
        assert name.startswith(PREFIX)
        folder = PARENT / name
        with locked(name):
            if not folder.exists():
                with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=PARENT) as unfinished:
                    archive.extractall(unfinished, filter="fully_trusted")
                    os.rename(f"{unfinished}/{name}", folder)
    return Oracle(folder)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes from unpacking the same recording meanwhile."""
    with (PARENT / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(python: str, postgres: Cluster | None) -> pathlib.Path:
    """Let real Metaflow record and answer everything; return the folder of the recording.

    Args:
        python: the interpreter that has Metaflow.
        postgres: None where it is not installed; Metaflow then writes only to SQLite.
    """
    tag = hashlib.sha256(os.urandom(16)).hexdigest()[:12]
    oracle = Oracle(PARENT / f"{PREFIX}{tag}")
    (oracle.folder / "answers").mkdir(parents=True)
    oracle.services.mkdir()
    # Metaflow records the paths of flows and interpreter: they must not be those of a checkout.
    flows, environment = oracle.folder / "flows", oracle.folder / ENVIRONMENT
    shutil.copytree(HERE / "flows", flows, ignore=shutil.ignore_patterns("__pycache__"))
    environment.symlink_to(pathlib.Path(python).absolute().parents[1])
    python = str(environment / "bin/python")
    place = oracle.directories
    record(place, python, flows)
    record_services(Recorder(oracle.services, python, flows), place, postgres)
    (oracle.folder / SOURCES).write_text(json.dumps(sources(), indent=1))

    def ask(scenarios: tuple[Scenario, ...], place: Place) -> None:
        for scenario in scenarios:
            root = scenario.oracle_root or scenario.root
            print(f"Metaflow answers: {scenario.name}, {place.kind} …", flush=True)
            answers = walk("metaflow", python, scenario, root, place)
            oracle.file(scenario, place.kind).write_text(json.dumps(answers))

    ask(SCENARIOS, Directories(place))
    with tempfile.TemporaryDirectory() as cache, hub(pathlib.Path(cache)) as served:
        ask(RELEASE_SCENARIOS, Directories(releases(pathlib.Path(cache))))
        for kind, filled in kinds(served.folder, postgres):
            ask(SERVICE_SCENARIOS, Services(oracle.services, kind, served, filled))
    return oracle.folder


def kinds(
    folder: pathlib.Path, postgres: Cluster | None
) -> Iterator[tuple[str, Callable[[pathlib.Path], str]]]:
    """Yield kinds of databases, each with a function that makes a new one with the rows of a file."""
    numbers = itertools.count()
    yield (
        "sqlite",
        lambda rows: f"sqlite:///{shutil.copy(rows, folder / f'oracle{next(numbers)}.db')}",
    )
    if postgres is not None:

        def filled(rows: pathlib.Path) -> str:
            new = str(postgres.new())
            copy(f"sqlite:///{rows}", new)
            return new

        yield "postgresql", filled


def pack(folder: pathlib.Path) -> None:
    """Write a recording to the archive; the times of its files are part of it."""
    unfinished = ARCHIVE.with_suffix(".part")
    with tarfile.open(unfinished, "w:xz", format=tarfile.PAX_FORMAT, preset=9) as archive:
        archive.add(folder, folder.name, filter=_packed)
    os.replace(unfinished, ARCHIVE)


def _packed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out the environment, and the owner of the files."""
    if member.name.endswith(f"/{ENVIRONMENT}"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main() -> None:
    """Record, ask, and pack."""
    with ExitStack() as stack:
        folder = make(os.environ["MFC_METAFLOW_PYTHON"], stack.enter_context(cluster()))
    pack(folder)
    print(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size:,} bytes, unpacked in {folder}")


if __name__ == "__main__":
    main()
