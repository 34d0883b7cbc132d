"""A PostgreSQL of the tests' own: a cluster in a temporary directory, a database for each test."""

from __future__ import annotations

import contextlib
import getpass
import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.servers.ports import free_port

#: Why a test that needs PostgreSQL is skipped; where it must run, this fails it.
MISSING = "PostgreSQL is not installed: neither on PATH nor in /usr/lib/postgresql"
#: Seconds until a new cluster answers.
PATIENCE = 60
#: Users to run the server when the tests run as root, which PostgreSQL refuses.
SERVANTS = ("postgres", "nobody")


@dataclass
class Cluster:
    """A running server."""

    port: int
    user: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return self.url(name)


def binary(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, or None."""
    versions = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return shutil.which(name) or (versions[-1] if versions else None)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server until the end of the block. `binary("initdb")` has to exist."""
    initdb, server = binary("initdb"), binary("postgres")
    if initdb is None or server is None:
        raise FileNotFoundError(MISSING)
    servant = _servant()
    with tempfile.TemporaryDirectory(prefix="mfc-postgres-") as folder:
        if servant:
            os.chown(folder, servant.pw_uid, servant.pw_gid)
        owner = {"user": servant.pw_uid, "group": servant.pw_gid} if servant else {}
        user = servant.pw_name if servant else getpass.getuser()
        data, port = Path(folder, "data"), free_port()
        made = [initdb, "-D", str(data), "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **owner)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": folder}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [server, "-D", str(data), "-p", str(port), "-c", "fsync=off", *options]
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **owner) as process,
        ):
            found = Cluster(port, user)
            try:
                _wait(found, process, Path(folder, "log"))
                yield found
            finally:
                # At SIGTERM it would wait for connected clients.
                process.send_signal(signal.SIGINT)
                process.wait(30)


def _servant() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in SERVANTS if name in known)


def _wait(found: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(found.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not answer: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
