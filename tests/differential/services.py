"""The same flows once more, written by real Metaflow to a metadata service.

Half of them are written while the service's database is a file of SQLite; then its rows are moved to PostgreSQL, and
Metaflow goes on there. What is kept are files of SQLite with all rows, and the datastore beside them. Results that
today's Metaflow no longer writes come from the recorded directories, by `mfc-server import`.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import urllib.request
from collections.abc import Iterator, Sequence

from sqlalchemy import update
from tests.servers.postgres import Cluster

from mfc_server._database import Database
from mfc_server._schema import SEQUENCES, runs, serials
from mfc_server._transfer import copy, import_results
from mfc_server.testing import running

from .commands import ON_POSTGRESQL, ON_SQLITE, Command
from .record import Recorder

#: roots of the recorded directories that are imported
IMPORTED = ("tagged", "aged")
ROOTS = ("main", "null", *IMPORTED)
#: The number of the first run, which is long because ids are found in answers by their text.
FIRST_RUN = 1_987_654_001
#: commands at once; they mostly wait for the database
SIDE_BY_SIDE = 4


def database(place: pathlib.Path, root: str) -> pathlib.Path:
    """Return the file with the rows of a root."""
    return place / f"{root}.db"


def record_services(
    recorder: Recorder, directories: pathlib.Path, postgres: Cluster | None
) -> None:
    """Record what services have into the recorder's folder.

    Args:
        recorder: runs the flows.
        directories: the recorded directories.
        postgres: None where it is not installed; SQLite is then used throughout.
    """
    place = recorder.folder
    (place / "empty").mkdir()
    for root in IMPORTED:
        import_results(str(directories / root), _url(database(place, root)))
    with _serving(_url(database(place, "null"))) as address:
        _post_without_tags(address)
    first, whole = _url(place / "first.db"), _url(database(place, "main"))
    if postgres is None:
        first = whole
    second = first if postgres is None else postgres.new()
    _begin(first)
    _write(recorder, first, ON_SQLITE)
    if postgres is not None:
        copy(first, second)
    _write(recorder, second, ON_POSTGRESQL, running=True)
    if postgres is not None:
        copy(second, whole)
    others = json.loads((directories / "runs.json").read_text())
    (place / "runs.json").write_text(json.dumps({**others, **recorder.runs}, indent=1))


def _post_without_tags(url: str) -> None:
    """Make a run as programs do that use the service without Metaflow."""
    for path, name in (
        ("", "/NullFlow"),
        ("/NullFlow", "/run"),
        ("/NullFlow/runs/1/steps/start", "/step"),
        ("/NullFlow/runs/1/steps/start", "/task"),
    ):
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/flows{path}{name}", b"{}", kind)
        urllib.request.urlopen(request).close()


def _begin(url: str) -> None:
    """Let the next run have the number `FIRST_RUN`."""
    with contextlib.closing(Database(url)) as made, made.writing() as connection:
        of_runs = serials.c.name == SEQUENCES[runs]
        connection.execute(update(serials).where(of_runs).values(last=FIRST_RUN - 1))


def _write(
    recorder: Recorder, url: str, chains: Sequence[tuple[Command, ...]], *, running: bool = False
) -> None:
    with _serving(url) as address:
        recorder.settings = {
            "METAFLOW_SERVICE_URL": address,
            "METAFLOW_DEFAULT_METADATA": "service",
        }
        recorder.all(chains, running=running, side_by_side=SIDE_BY_SIDE)


@contextlib.contextmanager
def _serving(url: str) -> Iterator[str]:
    with running(url) as server:
        yield server.url


def _url(path: pathlib.Path) -> str:
    return f"sqlite:///{path}"
