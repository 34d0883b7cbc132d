"""Right plugins with unusual implementations: the kit must find them right."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import mmap
import os
import queue
import random
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import attrs

from mfc import Client
from mfc.errors import (
    BadArgument,
    MetaflowNotFound,
    MetaflowTaggingError,
    Unanswered,
    UndecodableArtifact,
)
from mfc.hookspecs import Support
from mfc.model import Level, PendingRecord
from mfc.query import PARTS

from . import files, others
from .sql import FULL, SCHEMA, Sql, matches


class FoundLater(Sql):
    """Listings give names; the rest of a record is loaded on first use."""

    def pages(self, where, given, limit):
        for record in super().pages(where, given, limit):
            yield PendingRecord(record.path, lambda path=record.path: self.got(path))

    def got(self, path):
        return Sql.get(self, path)

    def get(self, path, attempt=None):
        found = super().get(path, attempt)
        if found is None or path.level is Level.ARTIFACT:
            return found
        return PendingRecord(path, lambda: self.got(path))


class ComparesAndSwaps(Sql):
    """Writes only if the record is unchanged since it was read, and otherwise starts again."""

    def changed(self, connection, run, change):
        while True:
            self.meter.add(reads=1)
            row = connection.execute(
                "select tags, system_tags from objects where path = ? and level = 2", (str(run),)
            ).fetchone()
            if row is None:
                raise MetaflowNotFound(f"Run('{run}') does not exist")
            tags = change(self.tags(row[0]), self.tags(row[1]))
            done = connection.execute(
                "update objects set tags = ? where path = ? and tags = ?",
                (json.dumps(sorted(tags)), str(run), row[0]),
            )
            if done.rowcount:
                return frozenset(tags)


class GivesUpRaces(Sql):
    """Tries twice, and then reports that other writers won."""

    def changed(self, connection, run, change):
        for _ in range(2):
            row = connection.execute(
                "select tags, system_tags from objects where path = ? and level = 2", (str(run),)
            ).fetchone()
            if row is None:
                raise MetaflowNotFound(f"Run('{run}') does not exist")
            tags = change(self.tags(row[0]), self.tags(row[1]))
            done = connection.execute(
                "update objects set tags = ? where path = ? and tags = ?",
                (json.dumps(sorted(tags)), str(run), row[0]),
            )
            if done.rowcount:
                return frozenset(tags)
        raise MetaflowTaggingError("other writers won each time")


class ConnectionPerThread(Sql):
    """Keeps a connection for each thread of each process."""

    def __init__(self, *given):
        super().__init__(*given)
        self.own = threading.local()

    @contextlib.contextmanager
    def connected(self):
        try:
            if getattr(self.own, "process", None) != os.getpid():
                self.own.connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
                self.own.connection.create_function("matches", 2, matches)
                self.own.process = os.getpid()
            yield self.own.connection
        except sqlite3.Error as cause:
            raise Unanswered(self.address, str(cause)) from cause


class Pool(Sql):
    """Lends connections from a pool."""

    def __init__(self, *given):
        super().__init__(*given)
        self.free, self.process = queue.LifoQueue(), os.getpid()

    @contextlib.contextmanager
    def connected(self):
        if self.process != os.getpid():
            self.free, self.process = queue.LifoQueue(), os.getpid()
        try:
            try:
                connection = self.free.get_nowait()
            except queue.Empty:
                connection = sqlite3.connect(
                    self.file, timeout=30, isolation_level=None, check_same_thread=False
                )
                connection.create_function("matches", 2, matches)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self.free.put(connection)
        except sqlite3.Error as cause:
            raise Unanswered(self.address, str(cause)) from cause

    def __del__(self):
        with contextlib.suppress(queue.Empty):
            while True:
                self.free.get_nowait().close()


class OtherCollation(Sql):
    """Names sort without case, and ties by number of row."""

    SCHEMA = SCHEMA.replace("name text, run", "name text collate nocase, run")

    def conditions(self, query):
        for text, given in super().conditions(query):
            yield (
                text.replace("o.name in", "cast(o.name as blob) in").replace(
                    "(select value from", "(select cast(value as blob) from"
                ),
                given,
            )

    def pages(self, where, given, limit):
        rows = self.rows(
            f"{self.OBJECT} where {where} order by o.created desc, o.name desc, o.rowid limit ?",
            *given,
            self.number(2**60 if limit is None else limit),
        )
        return iter([self.made(row) for row in rows])


class WriteAhead(Sql):
    SCHEMA = f"pragma journal_mode = wal; {SCHEMA}"


class Threads(Sql):
    """Sends its queries in threads of its own."""

    def rows(self, statement, *given):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(super().rows, statement, *given).result()


class LargePages(Sql):
    PAGE = 5_000


class SmallPages(Sql):
    PAGE = 7


class OneByOne(Sql):
    """Reports before and after, holding a lock of its own."""

    def __init__(self, *given):
        super().__init__(*given)
        self.lock = threading.RLock()

    def rows(self, statement, *given):
        with self.lock:
            self.meter.add(size=10)
            try:
                return super().rows(statement, *given)
            finally:
                self.meter.add(cache_hits=1)


class NoMoreThanMust(Sql):
    """The least that a provider can."""

    capabilities = attrs.evolve(
        FULL,
        **dict.fromkeys(
            (*PARTS, "bulk", "attempts", "retag", "order", "status"), Support.UNSUPPORTED
        ),
    )

    def children(self, path, query):
        found = list(super().children(path, query.only(())))
        return iter(sorted(found, key=lambda record: record.path.name))

    def artifacts(self, path, names=None, attempt=None):
        return super().artifacts(path, names) if path.level is Level.TASK else iter(())

    def metadata(self, path, names=None):
        return super().metadata(path, names) if path.level is Level.TASK else iter(())

    def get(self, path, attempt=None):
        return super().get(path)

    def retag(self, run, change):
        raise MetaflowTaggingError("read only")


class KnowsStatus(Sql):
    """Answers the status by using the client itself."""

    capabilities = attrs.evolve(FULL, status=Support.FULL)

    def children(self, path, query):
        if query.status is None:
            return super().children(path, query)
        found = super().children(path, query.only(query.parts() - {"status", "limit"}))
        if path.level is Level.FLOW:
            plain = Sql(self.file, self.meter)
            runs = Client(plain, namespace=None).flow(path.name).runs(status=query.status)
            wanted = {run.pathspec for run in runs}
            found = (record for record in found if str(record.path) in wanted)
        return itertools.islice(found, query.limit)


class Remembers(Sql):
    """Caches its answers as long as the database is unchanged."""

    def __init__(self, *given):
        super().__init__(*given)
        self.kept, self.lock = {}, threading.Lock()

    def rows(self, statement, *given):
        with contextlib.suppress(OSError):
            found = os.stat(self.file)
            key = statement, given, found.st_mtime_ns, found.st_size
            journal = os.path.exists(f"{self.file}-journal")
            age = time.time_ns() - found.st_mtime_ns
            # A file may be written twice within one tick of the clock.
            if not journal and age > 10**9:
                with self.lock:
                    if key in self.kept:
                        self.meter.add(reads=1, cache_hits=1)
                        return self.kept[key]
                rows = super().rows(statement, *given)
                with self.lock:
                    self.kept[key] = rows
                return rows
        return super().rows(statement, *given)


class Renamed(Sql):
    """Has more attributes than the contract requires."""

    name = "renamed"
    patience = 5.0

    def close(self):
        """Do nothing."""

    def root(self, ds_type):
        return "/data" if ds_type == "local" else None


def some(seed):
    """Return a provider with random capabilities, which it implements to the letter."""
    chance = random.Random(seed)
    levels = list(Support)
    chosen = {part: chance.choice(levels) for part in PARTS if part not in ("status", "limit")}
    useful = {part for part, level in chosen.items() if level is not Support.UNSUPPORTED}
    exact = {part for part, level in chosen.items() if level is Support.FULL}
    chosen["limit"] = chance.choice([Support.FULL, Support.UNSUPPORTED])
    chosen["bulk"] = chance.choice(levels)
    chosen["order"] = chance.choice([Support.FULL, Support.UNSUPPORTED])

    class Some(Sql):
        capabilities = attrs.evolve(FULL, **chosen)

        def children(self, path, query):
            limit = query.limit if chosen["limit"] is Support.FULL else None
            asked = query.parts() & useful
            found = super().children(path, query.only(asked - {"limit"}))
            if asked - exact and not query.parts() & {"limit"}:
                # Partly: the answer includes some records that do not match.
                right = {record.path for record in found}
                found = (
                    record
                    for number, record in enumerate(
                        super().children(path, query.only(asked & exact))
                    )
                    if record.path in right or number % 3 == 0
                )
            if chosen["order"] is Support.UNSUPPORTED:
                found = iter(sorted(found, key=lambda record: record.path.name))
            return itertools.islice(found, limit)

        def metadata(self, path, names=None):
            bulk = chosen["bulk"] is not Support.UNSUPPORTED
            return super().metadata(path, names) if bulk or path.level is Level.TASK else iter(())

        def artifacts(self, path, names=None, attempt=None):
            bulk = chosen["bulk"] is not Support.UNSUPPORTED
            if bulk or path.level is Level.TASK:
                return super().artifacts(path, names, attempt)
            return iter(())

    Some.__name__ = f"Some{seed}"
    return Some


PROVIDERS = [
    FoundLater, ComparesAndSwaps, GivesUpRaces, ConnectionPerThread, Pool, OtherCollation, WriteAhead,
    Threads, LargePages, SmallPages, OneByOne, NoMoreThanMust, KnowsStatus, Remembers, Renamed,
    *map(some, range(6)),
]  # fmt: skip


class Mapped(files.Folder):
    """Files are mapped into memory, and copied from there."""

    def cat_file(self, path, start=None, end=None):
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return b""
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return mapped[start:end]


class Spooled(files.Bucket):
    """Opens a copy that disappears when it is closed."""

    def open(self, path, mode="rb"):
        content = self.cat_file(path)
        copied = tempfile.SpooledTemporaryFile(max_size=1 << 20)
        copied.write(content)
        copied.seek(0)
        return copied


class InChunks(files.Bucket):
    """Reads everything in chunks, side by side."""

    CHUNK = 1 << 16

    def cat_file(self, path, start=None, end=None):
        size = self.store.head(path)
        if size is None:
            raise self.missing(path)
        first, last = start or 0, size if end is None else min(end, size)
        starts = range(first, last, self.CHUNK)

        def part(at):
            return super(InChunks, self).cat_file(path, at, min(at + self.CHUNK, last))

        with ThreadPoolExecutor(4) as pool:
            return b"".join(pool.map(part, starts))


class RawReader(files.Folder):
    """Gives buffered readers of its own making."""

    def open(self, path, mode="rb"):
        return io.BufferedReader(io.FileIO(path, "r"), 1 << 12)


FILES = [Mapped, Spooled, InChunks, RawReader]


class SeesAll(others.Policy):
    def sees(self, namespace, record):
        return True

    def required(self, namespace):
        return frozenset()


class KnowsItsNamespaces(others.Policy):
    def sees(self, namespace, record):
        if namespace not in ("user:ada", "user:bob", "blue", "red", "BLUE"):
            raise BadArgument.of("namespace", namespace, "user:ada, user:bob, blue or red")
        return super().sees(namespace, record)


class BySystemTags(others.Policy):
    """Owners by system tags; projects by user tags."""

    def sees(self, namespace, record):
        if namespace.startswith("user:"):
            return namespace in record.system_tags
        return namespace in record.tags


class RequiresNothing(others.Policy):
    def required(self, namespace):
        return frozenset()


POLICIES = [KnowsItsNamespaces, BySystemTags, RequiresNothing]


def as_a_tuple(metadata):
    found = others.right_trigger(metadata)
    return None if found is None else tuple(found)


def backwards(metadata):
    found = others.right_trigger(metadata)
    return None if found is None else found[::-1]


def generated(metadata):
    found = others.right_trigger(metadata)
    yield from found or ()


TRIGGERS = {"as_a_tuple": as_a_tuple, "backwards": backwards}


class TextDecoder(others.Decoder):
    """Any bytes that are UTF-8 are a text, and all of them count."""

    SAMPLES = [(text.encode(), text) for text in ("größe", "a\nb", "x" * 500, "[1]", "{}")]
    DAMAGED = [b"\xff\xfe", b"a\x80"]

    def decode(self, blob, artifact, trust):
        if trust.level == "none":
            return super().decode(blob, artifact, trust)
        try:
            if not blob:
                raise ValueError("no text")
            return blob.decode("utf-8")
        except ValueError as cause:
            raise UndecodableArtifact(str(artifact.path), artifact.store, str(cause)) from cause


class JsonDecoder(others.Decoder):
    """JSON, with blanks around it or not."""

    SAMPLES = [(json.dumps(v).encode(), v) for v in ([1, 2], {"a": None}, "text", 5.5, True)]
    DAMAGED = [b"[1,", b"\x80", b"{"]

    def decode(self, blob, artifact, trust):
        if trust.level == "none":
            return super().decode(blob, artifact, trust)
        return self.parsed(blob, artifact)


DECODERS = [TextDecoder, JsonDecoder]
