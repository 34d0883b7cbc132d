"""The server as a fixture: a process that answers requests, with known rows in its database."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import attrs
from sqlalchemy import insert

from mfc_server._database import Database
from mfc_server._schema import TABLES

#: The server prints this before its URL once it is ready.
READY = "mfc-server listening on "
#: Rows inserted at a time.
BATCH = 5_000


@attrs.frozen
class Running:
    """A running server.

    Attributes:
        url: the server's URL.
        process: the process, which a test may stop or kill by its pid.
    """

    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def running(db_url: str, *options: str) -> Iterator[Running]:
    """Run `mfc-server` on a free port of this machine until the end of the block.

    Args:
        db_url: the database, as for `--db`.
        options: more of the command's options.

    Raises:
        RuntimeError: the server ended early; the message has its output.
        TimeoutExpired: the server did not end when told to.
    """
    command = [sys.executable, "-m", "mfc_server", "--db", db_url, "--port", "0", *options]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as it:  # noqa: S603, our own program
        stdout: Any = it.stdout
        printed: list[str] = []
        drain = threading.Thread(target=printed.extend, args=(it.stderr,), daemon=True)
        drain.start()
        try:
            yield Running(_url(stdout, it, printed, drain), it)
        finally:
            _end(it)
            drain.join(5)


def _end(process: subprocess.Popen[str]) -> None:
    """End the server as its operators do, by signal; kill it if it does not obey."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _url(
    stdout: IO[str], process: subprocess.Popen[str], printed: list[str], drain: threading.Thread
) -> str:
    for line in stdout:
        if line.startswith(READY):
            return line[len(READY) :].strip()
    process.wait()
    drain.join(5)
    raise RuntimeError(f"mfc-server ended with {process.returncode}: {''.join(printed)}")


def load_rows(db_url: str, folder: str | Path) -> None:
    """Put rows into a database, which is created if necessary.

    Args:
        db_url: the database, as for `--db`.
        folder: `flows_v3.jsonl.gz` and so on, one file per table, an object a line, columns named
            as in the schema.
    """
    database = Database(db_url)
    try:
        with database.writing() as connection:
            for table in TABLES:
                path = Path(folder, f"{table.name}.jsonl.gz")
                for rows in _batches(path):
                    connection.execute(insert(table), rows)
            database.renumber(connection)
    finally:
        database.close()


def _batches(path: Path) -> Iterator[Sequence[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            rows.append(json.loads(line))
            if len(rows) == BATCH:
                yield rows
                rows = []
    if rows:
        yield rows
