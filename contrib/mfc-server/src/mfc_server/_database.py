"""The database, one file of SQLite or PostgreSQL: transactions, serials, creation of tables."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from mfc_server import _sqlite
from mfc_server._schema import NUMBERED, SEQUENCES, TABLES, creation, serials

#: Connections at most, and seconds to wait for one.
CONNECTIONS, WAIT = 32, 10


class DatabaseUnusable(Exception):
    """The database cannot be opened, or its tables are not the service's."""


class Database:
    """The six tables, behind transactions.

    Args:
        url: `sqlite:///meta.db` (relative), `sqlite:////srv/meta.db` (absolute), or
            `postgresql://user:password@host/name`.

    Raises:
        DatabaseUnusable: no such database, no driver for it, or foreign tables in it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        #: `sqlite` or `postgresql`.
        self.dialect = self._engine.dialect.name
        # Within the process, writers of a SQLite file queue; its own waiting is by polling.
        self._writer = threading.Lock() if self.dialect == "sqlite" else contextlib.nullcontext()
        try:
            self._create()
        except DBAPIError as error:
            self.close()
            raise DatabaseUnusable(f"{self.name}: {_reason(error)}") from error
        except DatabaseUnusable:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Give back every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database until the end of the block."""
        with self._engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are durable when the block has ended, or undone."""
        with self._writer, self._engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    def alive(self) -> bool:
        """Tell whether the database answers."""
        try:
            with self.reading() as connection:
                return bool(connection.scalar(text("SELECT 1")))
        except DBAPIError:
            return False

    def add(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """Insert a row; give it the next serial if its table has one.

        Returns:
            The row with its serial.

        Raises:
            sqlalchemy.exc.IntegrityError: duplicate, or no such parent.
        """
        full = dict(row)
        if table in NUMBERED and NUMBERED[table].name not in full:
            full[NUMBERED[table].name] = self.serial(connection, table)
        connection.execute(insert(table), [full])
        return full

    def serial(self, connection: Connection, table: Table, count: int = 1) -> int:
        """Take `count` serials of a table; return the first."""
        if self.dialect == "postgresql":
            statement = text("SELECT nextval(:name) FROM generate_series(1, :count)")
            values = {"name": SEQUENCES[table], "count": count}
            return int(min(connection.scalars(statement, values)))
        taken = update(serials).where(serials.c.name == SEQUENCES[table])
        taken = taken.values(last=serials.c.last + count).returning(serials.c.last)
        return int(connection.scalar(taken) or 0) - count + 1

    def renumber(self, connection: Connection) -> None:
        """Let every sequence go on behind the largest serial that its table holds."""
        for table, column in NUMBERED.items():
            last = max(connection.scalar(select(func.max(column))) or 0, 0)
            if self.dialect == "postgresql":
                values = {"name": SEQUENCES[table], "next": last + 1}
                connection.execute(text("SELECT setval(:name, :next, false)"), values)
            else:
                of = serials.c.name == SEQUENCES[table]
                last = func.max(serials.c.last, last)
                connection.execute(update(serials).where(of).values(last=last))

    def _create(self) -> None:
        with self.writing() as connection:
            present = set(inspect(connection).get_table_names())
            missing = [table.name for table in TABLES if table.name not in present]
            if missing and len(missing) < len(TABLES):
                raise DatabaseUnusable(
                    f"{self.name} has some of the service's tables, but not {', '.join(missing)}. "
                    "Give an empty database, or a complete one."
                )
            for statement in creation(self.dialect) if missing else ():
                connection.exec_driver_sql(statement)
            if self.dialect == "sqlite":
                known = set(connection.scalars(select(serials.c.name)))
                rows = [{"name": name, "last": 0} for name in {*SEQUENCES.values()} - known]
                if rows:
                    connection.execute(insert(serials), rows)


def retrying(task: Callable[[], Any], times: int = 3) -> Any:
    """Do a transaction; do it again when PostgreSQL ended it in favour of another one."""
    for attempt in range(times):
        try:
            return task()
        except DBAPIError as error:  # noqa: PERF203, at most three times
            # 40001: could not serialise; 40P01: deadlock.
            if getattr(error.orig, "sqlstate", None) not in ("40001", "40P01"):
                raise
            if attempt == times - 1:
                raise
            time.sleep(0.01 * 2**attempt)
    return None


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        settings: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0}
        if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise DatabaseUnusable(f"{url!r} names no file; say for example sqlite:///meta.db")
        engine = create_engine(
            parsed,
            pool_timeout=WAIT,
            pool_pre_ping=parsed.get_backend_name() != "sqlite",
            json_serializer=_compact,
            **settings,
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise DatabaseUnusable(
            f"{url!r} is no database that mfc-server can use ({error}); say sqlite:///FILE or, "
            "with `pip install mfc-server[postgres]`, postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite.prepare)
    elif engine.dialect.name != "postgresql":
        raise DatabaseUnusable(f"{url!r}: only SQLite and PostgreSQL have the service's tables")
    return engine


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else str(error)
