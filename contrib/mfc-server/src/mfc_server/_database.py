"""The database, one file of SQLite or PostgreSQL: transactions, serials, creation of tables."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
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
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection

from mfc_server import _sqlite
from mfc_server._limits import THREADS
from mfc_server._redaction import reason, without_password
from mfc_server._schema import NUMBERED, SEQUENCES, TABLES, creation, serials, tasks

#: Seconds to wait for a connection; the pool has one for each thread that uses them.
WAIT = 10
#: Seconds after which an unresponsive PostgreSQL counts as gone.
GONE = 10
#: PostgreSQL's classes of errors caused by the request: values, and limits of the program.
WRONG_DATA = ("22", "54")
#: An arbitrary number, the same in every process: the lock for creating the tables.
CREATING = 7_633_173
#: Rows read at a time.
_ROWS = 5_000
#: A name in the form of a serial.
_NUMBER = re.compile(r"[0-9]{1,18}")


class DatabaseUnusable(Exception):
    """The database cannot be opened, or its tables are not the service's."""


class Database:
    """The six tables, behind transactions.

    Args:
        url: `sqlite:///meta.db` (relative), `sqlite:////srv/meta.db` (absolute), or
            `postgresql://user:password@host/name`.
        seconds: the most time for a reading block, and for a writing block to wait for others;
            None: unlimited.
        create: whether a missing SQLite file is created.

    Raises:
        DatabaseUnusable: the database or its driver is missing, or has foreign tables.
    """

    def __init__(self, url: str, seconds: float | None = None, *, create: bool = True) -> None:
        self._seconds = seconds
        self._engine = _engine(url, create=create)
        #: `sqlite` or `postgresql`.
        self.dialect = self._engine.dialect.name
        # Within the process, writers of a SQLite file queue, because SQLite's own waiting is
        # polling.
        self._writer = threading.Lock() if self.dialect == "sqlite" else None
        try:
            self._create()
        except (DBAPIError, sqlite3.Error) as error:
            self.close()
            raise DatabaseUnusable(f"{self.name}: {reason(error, url)}") from error
        except DatabaseUnusable:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        url = self._engine.url
        shown = url.set(drivername=url.get_backend_name())
        return without_password(shown.render_as_string(hide_password=False))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database until the end of the block."""
        with self._engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.info["clock"].set(self._seconds)
                connection.exec_driver_sql("BEGIN")
            elif self._seconds is not None:
                self._limit(connection, "statement_timeout")
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are durable once the block has ended, or undone.

        A write that has begun is finished, however long it takes; only the wait for others has a
        limit.
        """
        with self._turn(), self._engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.info["clock"].set(None)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif self._seconds is not None:
                self._limit(connection, "lock_timeout")
            yield connection
            connection.commit()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(timeout=-1 if self._seconds is None else self._seconds):
            raise NoConnection("other writes go on for too long")
        try:
            yield
        finally:
            self._writer.release()

    def _limit(self, connection: Connection, setting: str) -> None:
        milliseconds = max(int((self._seconds or 0) * 1000), 1)
        connection.exec_driver_sql(f"SET LOCAL {setting} = {milliseconds}")

    def alive(self) -> bool:
        """Tell whether the database answers."""
        try:
            with self.reading() as connection:
                return bool(connection.scalar(text("SELECT 1")))
        except (DBAPIError, NoConnection):
            return False

    def add(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """Insert a row; give it the next serial if its table has one.

        Returns:
            The row with its serial.

        Raises:
            sqlalchemy.exc.IntegrityError: a duplicate, or the parent is missing.
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
        """Set every sequence behind the largest number in its table, never backwards."""
        for table, column in NUMBERED.items():
            last = max(connection.scalar(select(func.max(column))) or 0, 0)
            if table is tasks:
                last = max(last, _largest_name(connection))
            if self.dialect == "postgresql":
                values = {"name": SEQUENCES[table], "next": last + 1}
                behind = "SELECT setval(:name, greatest(:next, nextval(:name)), false)"
                connection.execute(text(behind), values)
            else:
                of = serials.c.name == SEQUENCES[table]
                last = func.max(serials.c.last, last)
                connection.execute(update(serials).where(of).values(last=last))

    def _create(self) -> None:
        with self.writing() as connection:
            if self.dialect == "postgresql":
                # Two servers that start on an empty database must not create the tables twice.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATING})
            present = set(inspect(connection).get_table_names())
            missing = [table.name for table in TABLES if table.name not in present]
            if missing and len(missing) < len(TABLES):
                raise DatabaseUnusable(
                    f"{self.name} has some of the service's tables, but not {', '.join(missing)}. "
                    "Give an empty database, or a complete one."
                )
            for statement in creation(self.dialect) if missing else ():
                connection.exec_driver_sql(statement)
            self._check_columns(connection)
            if self.dialect == "sqlite":
                known = set(connection.scalars(select(serials.c.name)))
                rows = [{"name": name, "last": 0} for name in {*SEQUENCES.values()} - known]
                if rows:
                    connection.execute(insert(serials), rows)

    def _check_columns(self, connection: Connection) -> None:
        for table in TABLES:
            found = {column["name"] for column in inspect(connection).get_columns(table.name)}
            missing = [column.name for column in table.c if column.name not in found]
            if missing:
                raise DatabaseUnusable(
                    f"{table.name} in {self.name} has no {', '.join(missing)}: it is of an older "
                    "release of Metaflow's service. Let that service migrate it first "
                    "(goose up), then start again."
                )


def is_wrong_data(error: DBAPIError) -> bool:
    """Tell whether a database refused values, as opposed to failing."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(WRONG_DATA) or isinstance(error.orig, sqlite3.DataError)


def retrying(task: Callable[[], Any], times: int = 3) -> Any:
    """Run a transaction; repeat it when PostgreSQL ended it in favour of another one."""
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


def _engine(url: str, *, create: bool) -> Engine:
    shown = without_password(url)
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            _check_file(parsed, shown, create=create)
        elif backend != "postgresql":
            raise DatabaseUnusable(
                f"{shown!r}: only SQLite and PostgreSQL have the service's tables; say "
                "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
            )
        # Settings in the URL take precedence.
        patience = {name: value for name, value in _PATIENCE.items() if name not in parsed.query}
        engine = create_engine(
            parsed,
            connect_args={} if backend == "sqlite" else patience,
            pool_size=THREADS.connections,
            max_overflow=0,
            pool_timeout=WAIT,
            pool_pre_ping=backend != "sqlite",
            json_serializer=_compact,
            json_deserializer=_known,
        )
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError, TypeError) as error:
        raise DatabaseUnusable(
            f"{shown!r} is not a database that mfc-server can use ({reason(error, url)}); say "
            "sqlite:///FILE or, with `pip install mfc-server[postgres]`, "
            "postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _sqlite.prepare)
    return engine


#: Settings of libpq, unless the URL has them, to notice that a server is gone.
_PATIENCE = {
    "connect_timeout": GONE,
    "tcp_user_timeout": GONE * 1000,
    "keepalives_idle": GONE,
    "keepalives_interval": GONE // 2,
    "keepalives_count": 2,
}


def _check_file(url: URL, shown: str, *, create: bool) -> None:
    if url.database in (None, "", ":memory:"):
        raise DatabaseUnusable(f"{shown!r} names no file; say for example sqlite:///meta.db")
    if url.query or "\0" in str(url.database):
        raise DatabaseUnusable(f"{shown!r}: a file has a name alone, as in sqlite:///meta.db")
    if not create and not os.path.isfile(str(url.database)):
        raise DatabaseUnusable(f"{shown!r}: no such file")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _known(stored: str) -> Any:
    """Return the value of a JSON column; NaN and the like, stored by other writers, become null."""
    return json.loads(stored, parse_constant=lambda _: None)


def _largest_name(connection: Connection) -> int:
    """Return the largest numeric name of an imported task, whose serial is another number."""
    imported = select(tasks.c.task_name).where(tasks.c.task_id < 0)
    with connection.execute(imported.execution_options(yield_per=_ROWS)) as rows:
        names = (name for (name,) in rows if name and _NUMBER.fullmatch(name))
        return max(map(int, names), default=0)
