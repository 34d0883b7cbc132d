"""Many small metadata services in one process: each has a database behind a path of one server."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from tests.servers.ports import free_port

from mfc_server._app import application
from mfc_server._database import Database


class Hub:
    """A server with any number of services."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._numbers = folder, itertools.count()
        self._apps: dict[str, Any] = {}
        self._databases: list[Database] = []
        self.port = free_port()

    def new(self) -> tuple[str, Database]:
        """Return the URL of a new service, and its database."""
        name = f"b{next(self._numbers)}"
        return self.serve(name, f"sqlite:///{self.folder}/{name}.db")

    def serve(self, name: str, db_url: str) -> tuple[str, Database]:
        """Return the URL, which ends with `name`, of a service on a database, and the database."""
        database = Database(db_url)
        self._databases.append(database)
        self._apps[f"/{name}"] = application(database, prefix=f"/{name}")
        return f"http://127.0.0.1:{self.port}/{name}", database

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = "/" + scope["path"].split("/")[1]
        await self._apps[name](scope, receive, send)

    def close(self) -> None:
        for database in self._databases:
            database.close()


@contextlib.contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """Run a server until the end of the block."""
    made = Hub(folder)
    config = uvicorn.Config(
        made, port=made.port, log_level="warning", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield made
    finally:
        server.should_exit = True
        thread.join(30)
        made.close()
