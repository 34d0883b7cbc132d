"""A right provider over a SQL database, as an outsider would write it; the base of faulty ones."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import unicodedata

import attrs

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, Unanswered, UnreadableRecord
from mfc.hookspecs import Capabilities, Support
from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record

FULL = Capabilities(
    **{
        f.name: Support.FULL
        for f in attrs.fields(Capabilities)
        if f.name not in ("status", "remote")
    }
)
SCHEMA = """
create table objects (path text primary key, parent text, level int, name text, run text, flow text,
    created int, user text, tags text, system_tags text);
create index children on objects (parent, created desc, path);
create table artifacts (task text, step text, run text, name text, attempt int, created int,
    user text, sha text, ds_type text, location text, encoding text,
    primary key (task, name, attempt));
create table metadata (task text, step text, run text, name text, value text, type text,
    created int, attempt int, primary key (task, name, created));
create index of_steps on metadata (step);
create index of_runs on metadata (run);
"""


def matches(pattern, value):
    found = json.loads(value)
    return isinstance(found, str) and re.fullmatch(pattern, found) is not None


class Database:
    """One file."""

    provider_class: type

    def __init__(self, kind, directory, shared=None):
        self.kind, self.file, self.shared = kind, str(directory / "records.db"), shared
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.executescript(getattr(kind, "SCHEMA", SCHEMA))

    def provider(self, meter):
        return self.kind(self.file, meter, self.shared)

    def put(self, history):
        with contextlib.closing(sqlite3.connect(self.file, timeout=5)) as connection, connection:
            for record in history.records:
                path, tags = record.path, sorted(record.tags)
                row = (str(path), str(path.parent), path.level, path.name, str(path.up(2)))
                row += (path.components[0], record.created, record.user)
                row += (json.dumps(tags), json.dumps(sorted(record.system_tags)))
                connection.execute(f"replace into objects values ({','.join('?' * 10)})", row)
            for made in history.artifacts:
                at = made.path
                row = (str(at.parent), str(at.up(3)), str(at.up(2)), at.name, made.attempt)
                row += (made.created, made.user, made.sha, made.ds_type, made.location)
                row += (made.encoding,)
                connection.execute(f"replace into artifacts values ({','.join('?' * 11)})", row)
            for noted in history.metadata:
                at = noted.task
                row = (str(at), str(at.parent), str(at.up(2)), noted.name, json.dumps(noted.value))
                row += (noted.type, noted.created, noted.attempt)
                connection.execute(f"replace into metadata values ({','.join('?' * 8)})", row)


class Sql:
    """Queries the database for everything, page by page; each call has a connection of its own."""

    capabilities = FULL
    PAGE = 100

    def __init__(self, file, meter, shared=None):
        self.file, self.meter, self.shared = file, meter, shared
        self.address = f"sql@{file}"

    def root(self, ds_type):
        return None

    @contextlib.contextmanager
    def connected(self):
        try:
            connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            try:
                connection.create_function("matches", 2, matches)
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as cause:
            raise Unanswered(self.address, str(cause)) from cause

    def rows(self, statement, *given):
        try:
            "".join(str(value) for value in given).encode()
        except UnicodeEncodeError:
            return []  # invalid Unicode is not in the database
        with self.connected() as connection:
            self.meter.add(reads=1)
            return connection.execute(statement, given).fetchall()

    # Records

    OBJECT = (
        "select o.path, o.created, o.user, coalesce(r.tags, '[]'), coalesce(r.system_tags, '[]')"
        " from objects o left join objects r on r.path = o.run and o.level > 1"
    )

    def made(self, row):
        path, created, user, tags, system = row
        return Record(
            Pathspec(tuple(path.split("/"))), created, user, self.tags(tags), self.tags(system)
        )

    def tags(self, text):
        return frozenset(json.loads(text))

    def get(self, path, attempt=None):
        if path.level is Level.ARTIFACT:
            return next(self.artifacts(path.parent, (path.name,), attempt), None)
        rows = self.rows(f"{self.OBJECT} where o.path = ?", str(path))
        return self.made(rows[0]) if rows else None

    def conditions(self, query):
        for tag in sorted(query.tags):
            yield (
                (
                    "exists (select 1 from json_each(r.tags) where value = ?"
                    " union select 1 from json_each(r.system_tags) where value = ?)"
                ),
                (tag, tag),
            )
        if query.since is not None:
            yield "o.created >= ?", (self.number(query.since),)
        if query.until is not None:
            yield "o.created < ?", (self.number(query.until),)
        if query.user is not None:
            yield "o.user = ?", (query.user,)
        if query.names is not None:
            yield (
                "o.name in (select value from json_each(?))",
                (json.dumps(sorted(query.names)),),
            )
        if query.metadata is not None:
            field, pattern = query.metadata
            yield (
                (
                    "o.level = 4 and exists (select 1 from metadata m where m.task = o.path"
                    " and m.name = ? and matches(?, m.value))"
                ),
                (field, pattern),
            )

    def number(self, number):
        return max(-(2**63), min(number, 2**63 - 1))

    def children(self, path, query):
        conditions = [("o.parent = ? and o.level = ?", (str(path), path.level + 1))]
        conditions += self.conditions(query)
        where = " and ".join(text for text, _ in conditions)
        given = [value for _, values in conditions for value in values]
        return self.pages(where, given, query.limit)

    def pages(self, where, given, limit):
        left, last = limit, None
        while left is None or left > 0:
            page = self.PAGE if left is None else min(self.PAGE, left)
            after, more = "", ()
            if last is not None:
                after = " and (o.created < ? or o.created = ? and o.path > ?)"
                more = (last[1], last[1], last[0])
            rows = self.rows(
                f"{self.OBJECT} where {where}{after} order by o.created desc, o.path limit ?",
                *given,
                *more,
                page,
            )
            yield from map(self.made, rows)
            if len(rows) < page:
                return
            last = rows[-1]
            left = None if left is None else left - page

    # Tasks

    COLUMN = {Level.TASK: "task", Level.STEP: "step", Level.RUN: "run"}

    def among(self, names):
        if names is None:
            return "", ()
        texts = [name for name in {*names} if name.isascii() or encodable(name)]
        return " and x.name in (select value from json_each(?))", (json.dumps(texts),)

    def noted(self, row):
        task, name, value, kind, created, attempt = row
        path = Pathspec(tuple(task.split("/")))
        return MetadataRecord(path, name, self.value(value), kind, created, attempt)

    def value(self, text):
        return json.loads(text)

    METADATA = "select x.task, x.name, x.value, x.type, x.created, x.attempt from metadata x"
    OLDEST = " order by x.created, x.name"

    def metadata(self, path, names=None):
        where, given = self.among(names)
        rows = self.rows(
            f"{self.METADATA} where x.{self.COLUMN[path.level]} = ?{where}{self.OLDEST}",
            str(path),
            *given,
        )
        return map(self.noted, rows)

    def recent(self, run, since):
        rows = self.rows(
            f"{self.METADATA} where x.run = ? and x.created >= ?{self.OLDEST}", str(run), since
        )
        return map(self.noted, rows)

    LAST = (
        "(select json_extract(d.value, '$') from metadata d where d.task = x.task"
        " and d.name = 'attempt-done' order by d.created desc limit 1)"
    )
    ARTIFACT = (
        "select x.task, x.name, x.created, x.user, x.attempt, x.sha, x.ds_type, x.location,"
        " x.encoding, r.tags, r.system_tags"
        " from artifacts x left join objects r on r.path = x.run"
    )
    NEWEST = " order by x.created desc, x.name"

    def artifact(self, row):
        task, name, created, user, attempt, sha, ds_type, location, encoding, tags, system = row
        return ArtifactRecord(
            Pathspec((*task.split("/"), name)),
            created,
            user,
            self.tags(tags or "[]"),
            self.tags(system or "[]"),
            attempt,
            sha,
            ds_type,
            location,
            encoding,
        )

    def artifacts(self, path, names=None, attempt=None):
        where, given = self.among(names)
        wanted, which = f"cast({self.LAST} as int)", ()
        if attempt is not None:
            wanted, which = "?", (attempt,)
        rows = self.rows(
            f"{self.ARTIFACT} where x.{self.COLUMN[path.level]} = ? and x.attempt = {wanted}"
            f"{where}{self.NEWEST}",
            str(path),
            *which,
            *given,
        )
        return map(self.artifact, rows)

    # Tags

    def retag(self, run, change):
        try:
            str(run).encode()
        except UnicodeEncodeError:
            raise MetaflowNotFound(f"Run('{run}') does not exist") from None
        try:
            with self.connected() as connection:
                return self.changed(connection, run, change)
        except Unanswered as cause:
            raise MetaflowTaggingError(f"Not written: {cause}") from cause

    def changed(self, connection, run, change):
        connection.execute("begin immediate")
        try:
            self.meter.add(reads=1)
            row = connection.execute(
                "select tags, system_tags from objects where path = ? and level = 2", (str(run),)
            ).fetchone()
            if row is None:
                raise MetaflowNotFound(f"Run('{run}') does not exist")
            tags = change(self.tags(row[0]), self.tags(row[1]))
            self.write(connection, run, tags)
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
        return frozenset(tags)

    def write(self, connection, run, tags):
        connection.execute(
            "update objects set tags = ? where path = ?", (json.dumps(sorted(tags)), str(run))
        )


def encodable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def nfc(text):
    return unicodedata.normalize("NFC", text)


def unreadable(path, cause):
    return UnreadableRecord(str(path), str(cause))
