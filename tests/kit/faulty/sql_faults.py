"""Providers over a SQL database with one fault each."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import sqlite3
import tempfile
import threading
import time

import attrs

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import Support
from mfc.model import Level, Pathspec, Record

from .sql import FULL, SCHEMA, Database, Sql, matches, nfc

__all__ = ["FAULTY"]


class ChildrenByPrefix(Sql):
    """`like 'Kit/1%'` also has the children of Kit/10."""

    def children(self, path, query):
        conditions = [("o.path like ? and o.level = ?", (f"{path}%", path.level + 1))]
        conditions += self.conditions(query)
        where = " and ".join(text for text, _ in conditions)
        return self.pages(where, [v for _, vs in conditions for v in vs], query.limit)


class ChildrenUnescaped(Sql):
    """`like 'K_t/%'`: an underscore is any letter."""

    def children(self, path, query):
        begins = f"{path}/%" if path.level else "%"
        conditions = [("o.path like ? and o.level = ?", (begins, path.level + 1))]
        conditions += self.conditions(query)
        where = " and ".join(text for text, _ in conditions)
        return self.pages(where, [v for _, vs in conditions for v in vs], query.limit)


class BulkByPrefix(Sql):
    def metadata(self, path, names=None):
        where, given = self.among(names)
        if path.level is Level.TASK:
            return super().metadata(path, names)
        rows = self.rows(
            f"{self.METADATA} where x.task like ?{where}{self.OLDEST}", f"{path}%", *given
        )
        return map(self.noted, rows)


class TaskMetadataByPrefix(Sql):
    def metadata(self, path, names=None):
        where, given = self.among(names)
        rows = self.rows(
            f"{self.METADATA} where substr(x.task, 1, length(?1)) = ?1{where.replace('?', '?2')}"
            f"{self.OLDEST}",
            str(path),
            *given,
        )
        return map(self.noted, rows)


class BulkArtifactsByPrefix(Sql):
    def artifacts(self, path, names=None, attempt=None):
        if path.level is Level.TASK:
            return super().artifacts(path, names, attempt)
        runs = self.rows("select path from objects where path like ? and level = 4", f"{path}%")
        tasks = [Pathspec(tuple(task.split("/"))) for (task,) in runs]
        return iter(
            [
                r
                for t in tasks
                for r in super(BulkArtifactsByPrefix, self).artifacts(t, names, attempt)
            ]
        )


class RetagByPrefix(Sql):
    def write(self, connection, run, tags):
        connection.execute(
            "update objects set tags = ? where path like ?", (json.dumps(sorted(tags)), f"{run}%")
        )


class RetagByRunId(Sql):
    """Other flows may also have runs of that id."""

    def write(self, connection, run, tags):
        connection.execute(
            "update objects set tags = ? where name = ? and level = 2",
            (json.dumps(sorted(tags)), run.name),
        )


class TagsByRunId(Sql):
    OBJECT = (
        "select o.path, o.created, o.user, coalesce(r.tags, '[]'), coalesce(r.system_tags, '[]')"
        " from objects o left join objects r on o.level > 1 and r.path = (select max(p.path) from"
        " objects p where p.level = 2 and p.name = substr(o.run, instr(o.run, '/') + 1))"
    )


class MetadataByTaskId(Sql):
    """Task ids are counted per step, here taken for unique in a run."""

    def metadata(self, path, names=None):
        if path.level is not Level.TASK:
            return super().metadata(path, names)
        where, given = self.among(names)
        rows = self.rows(
            f"{self.METADATA} where x.run = ? and substr(x.task, length(x.step) + 2) = ?"
            f"{where}{self.OLDEST}",
            str(path.up(2)),
            path.name,
            *given,
        )
        return (attrs.evolve(record, task=path) for record in map(self.noted, rows))


class ArtifactsByTaskId(Sql):
    LAST = (
        "(select json_extract(d.value, '$') from metadata d where"
        " d.run = x.run and substr(d.task, length(d.step) + 2) = substr(x.task, length(x.step) + 2)"
        " and d.name = 'attempt-done' order by d.created desc limit 1)"
    )


class AnyCase(Sql):
    """`collate nocase`: many databases compare text that way by default."""

    SCHEMA = SCHEMA.replace("parent text", "parent text collate nocase")


class NamesOfAnyCase(Sql):
    def conditions(self, query):
        for text, given in super().conditions(query):
            yield text.replace("o.name in", "o.name collate nocase in"), given


class UserOfAnyCase(Sql):
    def conditions(self, query):
        for text, given in super().conditions(query):
            yield text.replace("o.user = ?", "o.user like ?"), given


class IdsAreNumbers(Sql):
    """A run's id is kept in a column of numbers: '007' is 7."""

    def made(self, row):
        parts = [str(int(p)) if p.isascii() and p.isdigit() else p for p in row[0].split("/")]
        return super().made(("/".join(parts), *row[1:]))


class NewestByName(Sql):
    def pages(self, where, given, limit):
        rows = self.rows(f"{self.OBJECT} where {where} order by o.name desc", *given)
        return iter([self.made(row) for row in rows][:limit])


class NewestByInsertion(Sql):
    def pages(self, where, given, limit):
        rows = self.rows(f"{self.OBJECT} where {where} order by o.rowid desc", *given)
        return iter([self.made(row) for row in rows][:limit])


class TimesAreSortedAsText(Sql):
    def pages(self, where, given, limit):
        rows = self.rows(
            f"{self.OBJECT} where {where} order by cast(o.created as text) desc, o.path", *given
        )
        return iter([self.made(row) for row in rows][:limit])


class NewestBySecond(Sql):
    def pages(self, where, given, limit):
        rows = self.rows(
            f"{self.OBJECT} where {where} order by o.created / 1000 desc, o.path", *given
        )
        return iter([self.made(row) for row in rows][:limit])


class SinceInSeconds(Sql):
    def conditions(self, query):
        for text, given in super().conditions(query):
            yield text.replace("o.created >= ?", "o.created / 1000 >= ? / 1000"), given


class ZeroIsNoTime(Sql):
    def made(self, row):
        found = super().made(row)
        return found if found.created else attrs.evolve(found, created=int(time.time() * 1000))


class ZeroIsNoLimit(Sql):
    def pages(self, where, given, limit):
        return super().pages(where, given, limit or None)


class UntilZeroIsIgnored(Sql):
    def conditions(self, query):
        if not query.until and query.until is not None:
            query = query.only(query.parts() - {"until"})
        return super().conditions(query)


class AttemptZeroIsTheLast(Sql):
    def artifacts(self, path, names=None, attempt=None):
        return super().artifacts(path, names, attempt or None)


class NoUserIsAnyUser(Sql):
    def conditions(self, query):
        return super().conditions(
            query.only(query.parts() - {"user"}) if query.user == "" else query
        )


class PagesByOffset(Sql):
    def pages(self, where, given, limit):
        at = 0
        while limit is None or at < limit:
            page = self.PAGE if limit is None else min(self.PAGE, limit - at)
            rows = self.rows(
                f"{self.OBJECT} where {where} order by o.created desc, o.path limit ? offset ?",
                *given,
                page,
                at,
            )
            yield from map(self.made, rows)
            if len(rows) < page:
                return
            at += page


class PagesByTimeLoseTies(Sql):
    def pages(self, where, given, limit):
        left, last = limit, None
        while left is None or left > 0:
            page = self.PAGE if left is None else min(self.PAGE, left)
            after, more = (" and o.created < ?", (last,)) if last is not None else ("", ())
            rows = self.rows(
                f"{self.OBJECT} where {where}{after} order by o.created desc, o.path limit ?",
                *given,
                *more,
                page,
            )
            yield from map(self.made, rows)
            if len(rows) < page:
                return
            last = rows[-1][1]
            left = None if left is None else left - page


class CursorIsLeftOpen(Sql):
    """A half-read listing keeps its cursor, which keeps writers out."""

    def pages(self, where, given, limit):
        with self.connected() as connection:
            self.meter.add(reads=1)
            rows = connection.execute(
                f"{self.OBJECT} where {where} order by o.created desc, o.path limit ?",
                (*given, self.number(2**60 if limit is None else limit)),
            )
            for row in rows:
                self.meter.add(reads=1)
                yield self.made(row)


class ErrorEndsTheListing(Sql):
    def pages(self, where, given, limit):
        try:
            yield from super().pages(where, given, limit)
        except UnreadableRecord:
            return


class ErrorIsNothing(Sql):
    def get(self, path, attempt=None):
        try:
            return super().get(path, attempt)
        except UnreadableRecord:
            return None


class ErrorIsNoMetadata(Sql):
    def rows(self, statement, *given):
        try:
            return super().rows(statement, *given)
        except UnreadableRecord:
            if statement.startswith(self.METADATA):
                return []
            raise


class ErrorsOfTheDatabaseLeave(Sql):
    @contextlib.contextmanager
    def connected(self):
        connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        try:
            connection.create_function("matches", 2, matches)
            yield connection
        finally:
            connection.close()


class ConnectionIsLostOnErrors(Sql):
    """Closes its connection only after success."""

    kept: list = []

    @contextlib.contextmanager
    def connected(self):
        with super().connected() as connection:
            other = sqlite3.connect(self.file)
            self.kept.append(other)
            yield connection
            other.close()
            self.kept.remove(other)


class FilterAfterLimit(Sql):
    def children(self, path, query):
        if query.limit is None or not query.tags:
            return super().children(path, query)
        found = super().children(path, query.only(query.parts() - {"tags"}))
        return (r for r in found if query.tags <= r.tags | r.system_tags)


class FirstBatchOnly(Sql):
    def rows(self, statement, *given):
        return super().rows(statement, *given)[:500]

    PAGE = 1000


class ManyNamesFail(Sql):
    """As many variables as names: databases have a limit."""

    def conditions(self, query):
        for text, given in super().conditions(query):
            if query.names is not None and text.startswith("o.name in"):
                yield f"o.name in ({','.join('?' * len(query.names))})", tuple(query.names)
            else:
                yield text, given

    @contextlib.contextmanager
    def connected(self):
        with super().connected() as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
            yield connection


class ManyFieldsFail(Sql):
    def among(self, names):
        if names is None:
            return "", ()
        return f" and x.name in ({','.join('?' * len(names))})", tuple(names)

    @contextlib.contextmanager
    def connected(self):
        with super().connected() as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
            yield connection


class TagsAreCopied(Sql):
    """Tasks keep a copy of their run's tags, from when they were made."""

    def made(self, row):
        found = super().made(row)
        copies = self.shared.setdefault("copies", {})
        if found.path.level <= Level.STEP:
            return found
        tags = copies.setdefault((self.file, found.path), found.tags)
        return attrs.evolve(found, tags=tags)


class AttemptByNumber(Sql):
    """The highest number, not the one that finished last."""

    LAST = (
        "(select max(cast(json_extract(d.value, '$') as int)) from metadata d where d.task = x.task"
        " and d.name = 'attempt-done')"
    )


class AttemptByInsertion(Sql):
    LAST = (
        "(select json_extract(d.value, '$') from metadata d where d.task = x.task"
        " and d.name = 'attempt-done' order by d.rowid desc limit 1)"
    )


class OnlySuccessfulAttempts(Sql):
    def artifacts(self, path, names=None, attempt=None):
        good = {
            (record.path.parent, record.attempt)
            for record in super().artifacts(path, ("_task_ok",), attempt)
            if record.sha == "868436778cb011a1c6230bc12534683ab0b7f1c3"
        }
        found = super().artifacts(path, names, attempt)
        if attempt is not None:
            return found
        return (r for r in found if (r.path.parent, r.attempt) in good)


class MissingOnesFromEarlier(Sql):
    """Artifacts that the last attempt did not write come from the one before."""

    def artifacts(self, path, names=None, attempt=None):
        found = list(super().artifacts(path, names, attempt))
        if attempt is not None or not found or path.level is not Level.TASK:
            return iter(found)
        for earlier in range(found[0].attempt - 1, -1, -1):
            known = {record.path for record in found}
            found += [r for r in super().artifacts(path, names, earlier) if r.path not in known]
        return iter(sorted(found, key=lambda record: record.created, reverse=True))


class ValuesStripped(Sql):
    def value(self, text):
        found = super().value(text)
        return found.strip() if isinstance(found, str) else found


class ValuesCutAtNul(Sql):
    def value(self, text):
        found = super().value(text)
        return found.split("\0")[0] if isinstance(found, str) else found


class ValuesCut(Sql):
    """`varchar(4000)`."""

    def value(self, text):
        found = super().value(text)
        return found[:4000] if isinstance(found, str) else found


class ValuesOfOneLineEnd(Sql):
    def value(self, text):
        found = super().value(text)
        return found.replace("\r\n", "\n") if isinstance(found, str) else found


class ValuesComposed(Sql):
    def value(self, text):
        found = super().value(text)
        return nfc(found) if isinstance(found, str) else found


class ValuesDecodedTwice(Sql):
    """Text that resembles JSON is decoded."""

    def value(self, text):
        found = super().value(text)
        try:
            return json.loads(found) if isinstance(found, str) else found
        except ValueError:
            return found


class EmptyValueIsNone(Sql):
    def value(self, text):
        return super().value(text) or None


class ValuesShared(Sql):
    def value(self, text):
        return self.shared.setdefault(("values", text), super().value(text))


class TypeIsTheName(Sql):
    def noted(self, row):
        return attrs.evolve(super().noted(row), type=row[1])


class AttemptOfMetadataIsNeverNone(Sql):
    def noted(self, row):
        return attrs.evolve(super().noted(row), attempt=row[5] or 0)


class MatchesAnywhere(Sql):
    def conditions(self, query):
        if query.metadata is not None:
            query = attrs.evolve(query, metadata=(query.metadata[0], f".*({query.metadata[1]}).*"))
        return super().conditions(query)


class MatchesUpToALineEnd(Sql):
    @contextlib.contextmanager
    def connected(self):
        def search(pattern, value):
            found = json.loads(value)
            return isinstance(found, str) and re.search(f"^(?:{pattern})$", found) is not None

        with super().connected() as connection:
            connection.create_function("matches", 2, search)
            yield connection


class MatchesAlternativesLoosely(Sql):
    @contextlib.contextmanager
    def connected(self):
        def search(pattern, value):
            found = json.loads(value)
            return isinstance(found, str) and re.search(rf"^{pattern}\Z", found) is not None

        with super().connected() as connection:
            connection.create_function("matches", 2, search)
            yield connection


class MatchesNumbers(Sql):
    @contextlib.contextmanager
    def connected(self):
        def search(pattern, value):
            return re.fullmatch(pattern, str(json.loads(value))) is not None

        with super().connected() as connection:
            connection.create_function("matches", 2, search)
            yield connection


class TagsInTheText(Sql):
    """Tags are looked for in the JSON of all of them, quotes included."""

    def conditions(self, query):
        for tag in sorted(query.tags):
            yield "instr(r.tags || r.system_tags, ?) > 0", (f'"{tag}"',)
        yield from super().conditions(query.only(query.parts() - {"tags"}))


class TagsJoinedByComma(Sql):
    def tags(self, text):
        joined = ",".join(json.loads(text))
        return frozenset(joined.split(",")) if joined else frozenset()


class RunsWithoutTagsAreLost(Sql):
    def conditions(self, query):
        yield from super().conditions(query)
        if not query.parts():
            yield "not (o.level = 2 and o.tags = '[]' and o.system_tags = '[]')", ()


class JoinGivesTwice(Sql):
    """A run with two of the tags comes twice."""

    def pages(self, where, given, limit):
        for record in super().pages(where, given, limit):
            yield record
            if "matches" in where:
                values = list(self.metadata(record.path, (given[-2],)))
                yield from [record] * (len(values) - 1)


class LimitCountsJoinedRows(Sql):
    def children(self, path, query):
        if query.limit is None or query.metadata is None:
            return super().children(path, query)
        found, left = [], query.limit
        for record in super().children(path, query.only(query.parts() - {"limit"})):
            if left <= 0:
                break
            found.append(record)
            left -= len(list(self.metadata(record.path, (query.metadata[0],))))
        return iter(found)


class FlowsOfRuns(Sql):
    """Flows are listed only if they have runs."""

    def children(self, path, query):
        found = super().children(path, query)
        if path.level:
            return found
        return (
            r
            for r in found
            if self.rows("select 1 from objects where level = 2 and flow = ?", r.path.name)
        )


class StepsOfTasks(Sql):
    def children(self, path, query):
        found = super().children(path, query)
        if path.level is not Level.RUN:
            return found
        return (
            r for r in found if self.rows("select 1 from objects where parent = ?", str(r.path))
        )


class UserOfTheRun(Sql):
    OBJECT = Sql.OBJECT.replace("o.user", "coalesce(r.user, o.user)")


class UserOfTheTags(Sql):
    def made(self, row):
        found = super().made(row)
        users = [tag[5:] for tag in found.system_tags if tag.startswith("user:")]
        return attrs.evolve(found, user=users[0] if users and found.user is None else found.user)


class OldEncodingGuessed(Sql):
    def artifact(self, row):
        found = super().artifact(row)
        return attrs.evolve(found, encoding=found.encoding or "pickle-v2")


class HiddenNames(Sql):
    def artifacts(self, path, names=None, attempt=None):
        found = super().artifacts(path, names, attempt)
        return (r for r in found if names is not None or not r.path.name.startswith("_"))


class RetagLosesTheLastWriter(Sql):
    def changed(self, connection, run, change):
        row = connection.execute(
            "select tags, system_tags from objects where path = ? and level = 2", (str(run),)
        ).fetchone()
        if row is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        tags = change(self.tags(row[0]), self.tags(row[1]))
        self.write(connection, run, tags)
        return frozenset(tags)


class RetagKeepsTheTransaction(Sql):
    """On a refusal the transaction stays open, on a connection that is kept."""

    def __init__(self, *given):
        super().__init__(*given)
        self.own = threading.local()

    @contextlib.contextmanager
    def connected(self):
        if getattr(self.own, "connection", None) is None:
            self.own.connection = sqlite3.connect(self.file, timeout=0.5, isolation_level=None)
            self.own.connection.create_function("matches", 2, matches)
        try:
            yield self.own.connection
        except sqlite3.Error as cause:
            raise UnreadableRecord(self.file, str(cause)) from cause

    def changed(self, connection, run, change):
        if not connection.in_transaction:
            connection.execute("begin immediate")
        row = connection.execute(
            "select tags, system_tags from objects where path = ? and level = 2", (str(run),)
        ).fetchone()
        if row is None:
            connection.execute("rollback")
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        tags = change(self.tags(row[0]), self.tags(row[1]))
        self.write(connection, run, tags)
        connection.execute("commit")
        return frozenset(tags)

    def retag(self, run, change):
        try:
            return super().retag(run, change)
        except UnreadableRecord as cause:
            raise MetaflowTaggingError(str(cause)) from cause


class RetagStripsTags(Sql):
    def write(self, connection, run, tags):
        super().write(connection, run, {tag.strip().lower() for tag in tags})


class RetagOnlyAdds(Sql):
    def changed(self, connection, run, change):
        return super().changed(connection, run, lambda t, s: frozenset(change(t, s)) | t)


class RetagKnowsEditsOnly(Sql):
    """Applies a `TagEdit`, but forgets its removals."""

    def retag(self, run, change):
        add = getattr(change, "add", None)
        if add is None:
            return super().retag(run, change)
        return super().retag(run, lambda tags, system: tags | (add - system))


class RetagKnowsNoRules(Sql):
    """Applies an edit itself, without its rules: removal of a system tag, too many tags."""

    def retag(self, run, change):
        if not hasattr(change, "add"):
            return super().retag(run, change)
        return super().retag(run, lambda tags, _: (tags - change.remove) | change.add)


class RetagNeedsNoRun(Sql):
    """A step also has tags: those of its run. So it can be tagged."""

    def write(self, connection, run, tags):
        super().write(connection, run, tags)
        connection.execute("update objects set created = created + 1 where path = ?", (str(run),))


class AlwaysLocal(Sql):
    """Times pass through naive local datetimes."""

    def made(self, row):
        found = super().made(row)
        there = dt.datetime.fromtimestamp(found.created / 1000, dt.timezone.utc)
        naive = there.replace(tzinfo=None)
        return attrs.evolve(found, created=round(naive.timestamp() * 1000))


class MetadataLocal(Sql):
    def noted(self, row):
        found = super().noted(row)
        there = dt.datetime.fromtimestamp(found.created / 1000).isoformat()
        back = dt.datetime.fromisoformat(there).replace(tzinfo=dt.timezone.utc)
        return attrs.evolve(found, created=round(back.timestamp() * 1000))


class SinceLocal(Sql):
    def number(self, number):
        try:
            local = dt.datetime.fromtimestamp(number / 1000)
        except (ValueError, OverflowError, OSError):
            return super().number(number)
        return round(local.replace(tzinfo=dt.timezone.utc).timestamp() * 1000)


class TimesOf32Bits(Sql):
    def made(self, row):
        found = super().made(row)
        return attrs.evolve(found, created=min(found.created, (2**31 - 1) * 1000))


class TimesAreFloats(Sql):
    """Seconds as single precision floats lose milliseconds."""

    def made(self, row):
        found = super().made(row)
        return attrs.evolve(found, created=int(found.created / 1000 * 100) * 10)


class OneConnection(Sql):
    """One connection for all threads, as by default."""

    def __init__(self, *given):
        super().__init__(*given)
        self.connection = sqlite3.connect(self.file, isolation_level=None)
        self.connection.create_function("matches", 2, matches)

    @contextlib.contextmanager
    def connected(self):
        yield self.connection


class RecentInSeconds(Sql):
    def recent(self, run, since):
        return super().recent(run, since // 1000 * 1000)


class RecentOfTheRunByPrefix(Sql):
    def recent(self, run, since):
        rows = self.rows(
            f"{self.METADATA} where x.run like ? and x.created >= ?{self.OLDEST}", f"{run}%", since
        )
        return map(self.noted, rows)


class MetadataByValueOnce(Sql):
    METADATA = Sql.METADATA.replace("select x", "select distinct x", 1)

    def metadata(self, path, names=None):
        found = {(r.task, r.name, repr(r.value)): r for r in super().metadata(path, names)}
        return iter(found.values())


class MetadataInOrderOfNames(Sql):
    OLDEST = " order by x.name, x.created"


class ListingsKeptForASecond(Sql):
    def children(self, path, query):
        key = (self.file, path, query)
        kept = self.shared.setdefault("kept", {})
        if key not in kept or kept[key][0] < time.monotonic() - 60:
            kept[key] = time.monotonic(), list(super().children(path, query))
        return iter(kept[key][1])


class MetadataKept(Sql):
    """Assumes that metadata of a task never changes."""

    def metadata(self, path, names=None):
        key = (self.file, path, names and tuple(sorted(names)))
        kept = self.shared.setdefault("noted", {})
        if key not in kept:
            found = list(super().metadata(path, names))
            if found:
                kept[key] = found
            return iter(found)
        return iter(kept[key])


class FinishedAttemptsKept(Sql):
    """Artifacts of a finished task are kept: a later attempt is not seen."""

    def artifacts(self, path, names=None, attempt=None):
        key = (self.file, path, names and tuple(sorted(names)), attempt)
        kept = self.shared.setdefault("made", {})
        if key not in kept:
            found = list(super().artifacts(path, names, attempt))
            if not found:
                return iter(())
            kept[key] = found
        run = self.get(path.up(2))
        return (attrs.evolve(r, tags=run.tags) for r in kept[key])


class KeptWithoutTheAttempt(Sql):
    def get(self, path, attempt=None):
        if path.level is not Level.ARTIFACT:
            return super().get(path, attempt)
        kept = self.shared.setdefault("got", {})
        found = super().get(path, attempt)
        if found is None:
            return kept.get((self.file, path, 1)) if attempt == 1 else None
        return kept.setdefault((self.file, path, found.attempt), found) if attempt == 0 else found


class TemporaryFilesStay(Sql):
    def children(self, path, query):
        handle, name = tempfile.mkstemp(prefix="listing-")
        os.close(handle)
        self.shared["name"] = name
        return super().children(path, query)


class MemoryOfTheFirst(Sql):
    """Records are made once: later changes stay invisible."""

    def get(self, path, attempt=None):
        if path.level is Level.ARTIFACT:
            return super().get(path, attempt)
        kept = self.shared.setdefault("records", {})
        found = super().get(path)
        if found is None:
            return None
        return attrs.evolve(
            kept.setdefault((self.file, path), found),
            tags=found.tags,
            system_tags=found.system_tags,
        )


class StatusTooLittle(Sql):
    """Declared partial; but a run whose end is retried is missing among the completed."""

    capabilities = attrs.evolve(FULL, status=Support.PARTIAL)

    def children(self, path, query):
        found = super().children(path, query.only(query.parts() - {"status", "limit"}))
        if query.status == "completed":
            found = (r for r in found if self.completed(r.path))
        return iter(list(found)[: query.limit])

    def completed(self, run):
        ends = self.rows("select path from objects where parent = ?", f"{run}/end")
        return any(
            record.value == "0"
            for (end,) in ends
            for record in self.metadata(Pathspec(tuple(end.split("/"))), ("attempt-done",))
        )


class TagsArePartial(Sql):
    """Partial, but only the user tags: too little."""

    capabilities = attrs.evolve(FULL, tags=Support.PARTIAL, limit=Support.UNSUPPORTED)

    def conditions(self, query):
        for tag in sorted(query.tags):
            yield "exists (select 1 from json_each(r.tags) where value = ?)", (tag,)
        yield from super().conditions(query.only(query.parts() - {"tags"}))

    def children(self, path, query):
        return super().children(path, query.only(query.parts() - {"limit"}))


class LongNamesCut(Sql):
    def made(self, row):
        parts = [part[:100] for part in row[0].split("/")]
        return super().made(("/".join(parts), *row[1:]))


FAULTY = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Sql) and kind is not Sql
]
assert Record
assert Database
