"""Faulty plugins written after the clauses, with faults of new kinds."""

from __future__ import annotations

import io
import json
import mmap
import re
import threading
import time

import attrs

from mfc.errors import MetaflowTaggingError, UndecodableArtifact, UntrustedValue
from mfc.hookspecs import Event
from mfc.model import Level

from . import files, others
from .sql import Sql


class FiftyTags(Sql):
    """Reads the first tags of a run, as many as a user may set."""

    def tags(self, text):
        return frozenset(json.loads(text)[:30])


class ShortTags(Sql):
    def tags(self, text):
        return frozenset(tag[:255] for tag in json.loads(text))


class LimitIsAPage(Sql):
    """A limit beyond a page gives a page."""

    def pages(self, where, given, limit):
        return super().pages(where, given, limit if limit is None else min(limit, self.PAGE))


class TimesPutInOrder(Sql):
    """Swaps a time window that goes from late to early."""

    def children(self, path, query):
        if query.since is not None and query.until is not None and query.since > query.until:
            query = attrs.evolve(query, since=query.until, until=query.since)
        return super().children(path, query)


class Between(Sql):
    """`between` has both ends in it."""

    def children(self, path, query):
        if query.since is not None and query.until is not None:
            query = attrs.evolve(query, until=query.until + 1)
        return super().children(path, query)


class NamesInAList(Sql):
    """Names go in one text, with commas between."""

    def children(self, path, query):
        if query.names is not None:
            query = attrs.evolve(query, names=",".join(sorted(query.names)).split(","))
        return super().children(path, query)


class PlainPatternsAreLike(Sql):
    """A pattern without signs is compared by `like`, which knows no case."""

    def conditions(self, query):
        if query.metadata is not None and re.fullmatch(r"\w+", query.metadata[1]):
            query = attrs.evolve(query, metadata=(query.metadata[0], f"(?i:{query.metadata[1]})"))
        return super().conditions(query)


class LastAttemptIsMatched(Sql):
    def children(self, path, query):
        found = super().children(path, query)
        if query.metadata is None or query.limit is not None:
            return found
        return (record for record in found if self.fits(record, *query.metadata))

    def fits(self, record, field, pattern):
        values = list(self.metadata(record.path, (field,)))
        last = max((value.attempt or 0 for value in values), default=0)
        of_last = [value.value for value in values if (value.attempt or 0) == last]
        return any(isinstance(v, str) and re.fullmatch(pattern, v) for v in of_last)


class LatinTags(Sql):
    def write(self, connection, run, tags):
        kept = {tag.encode("latin-1", "replace").decode("latin-1") for tag in tags}
        super().write(connection, run, kept)


class NoSystemTagsForChange(Sql):
    def changed(self, connection, run, change):
        return super().changed(connection, run, lambda tags, _: change(tags, frozenset()))


class SameTagsAreRefused(Sql):
    """A change without effect is an error."""

    def changed(self, connection, run, change):
        def checked(tags, system):
            wanted = change(tags, system)
            if wanted == tags:
                raise MetaflowTaggingError("nothing would change")
            return wanted

        return super().changed(connection, run, checked)


class NoTagsIsNoChange(Sql):
    def changed(self, connection, run, change):
        return super().changed(connection, run, lambda t, s: frozenset(change(t, s)) or t)


class RetagGivesAList(Sql):
    def retag(self, run, change):
        return sorted(super().retag(run, change))


class LaterAttemptsAreTheLast(Sql):
    """A missing attempt is taken for the last one."""

    def artifacts(self, path, names=None, attempt=None):
        found = list(super().artifacts(path, names, attempt))
        if not found and attempt is not None and attempt > 2:
            return super().artifacts(path, names)
        return iter(found)


class NamesAreTuples(Sql):
    def artifacts(self, path, names=None, attempt=None):
        return super().artifacts(path, names if names is None else names + (), attempt)  # noqa: RUF005


class NamesTwiceAreTwo(Sql):
    def metadata(self, path, names=None):
        found = list(super().metadata(path, names))
        if names is not None:
            found = [record for record in found for name in names if name == record.name]
        return iter(found)


class LockStaysWithListings(Sql):
    """An abandoned listing never releases its lock."""

    def __init__(self, *given):
        super().__init__(*given)
        self.lock = threading.Lock()

    def pages(self, where, given, limit):
        if not self.lock.acquire(timeout=1):
            raise RuntimeError("locked")
        yield from super().pages(where, given, limit)
        self.lock.release()


class FlowsAreAsNewAsTheirRuns(Sql):
    def made(self, row):
        found = super().made(row)
        if found.path.level is not Level.FLOW:
            return found
        newest = self.rows("select max(created) from objects where parent = ?", str(found.path))
        return attrs.evolve(found, created=newest[0][0] or found.created)


class TaskIdsAreNumbers(Sql):
    def metadata(self, path, names=None):
        found = super().metadata(path, names)
        if path.level is Level.TASK:
            return found
        return (record for record in found if record.task.name.isdigit())


class NobodyIsUnknown(Sql):
    def made(self, row):
        found = super().made(row)
        return attrs.evolve(found, user=found.user or "unknown")


class RecentOfTheLastAttempt(Sql):
    def recent(self, run, since):
        found = list(super().recent(run, since))
        last = {}
        for record in found:
            last[record.task] = max(last.get(record.task, 0), record.attempt or 0)
        return iter([r for r in found if (r.attempt or 0) == last[r.task]])


class AddressGrows(Sql):
    """The address contains the number of tag changes."""

    def retag(self, run, change):
        try:
            return super().retag(run, change)
        finally:
            self.address = f"{self.address}#"


class DefaultsToYesterday(Sql):
    """Without `since` a listing goes back a limited time."""

    def children(self, path, query):
        if path.level is Level.FLOW and query.since is None:
            query = attrs.evolve(query, since=int(time.time() * 1000) - 20 * 365 * 86_400_000)
        return super().children(path, query)


PROVIDERS = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Sql) and kind is not Sql
]


class OpenRangesAreShort(files.Bucket):
    """A range without an end gives the next 8 MB at most, or here 100 KB."""

    def cat_file(self, path, start=None, end=None):
        if start is not None and end is None:
            end = start + 100_000
        return super().cat_file(path, start, end)


class OpensWhatIsNotThere(files.Bucket):
    """A missing file is reported only when it is read."""

    def open(self, path, mode="rb"):
        try:
            return super().open(path)
        except FileNotFoundError:
            return io.BytesIO()


class FoldersAreEmptyFiles(files.Bucket):
    def missing(self, path):
        return super().missing(path)

    def cat_file(self, path, start=None, end=None):
        try:
            return super().cat_file(path, start, end)
        except IsADirectoryError:
            return b""


class DotsGo(files.Bucket):
    """Names end without dots and blanks, as on Windows."""

    def key(self, path):
        return "/".join(part.rstrip(". ") or part for part in path.split("/"))


class PlusIsABlank(files.Bucket):
    def key(self, path):
        return path.replace("+", " ")


class SizesKeptForAWhile(files.Bucket):
    def size(self, path):
        known = self.shared.get(path)
        if known is None or known[0] < time.monotonic() - 60:
            known = self.shared[path] = time.monotonic(), super().size(path)
        return known[1]


class ReadsTheBlock(files.Bucket):
    """`read(5)` gives the whole block that was fetched."""

    class Reader(io.BytesIO):
        def read(self, size=-1):
            return super().read(size if size is None or size < 0 or size > 6 else 512)

    def open(self, path, mode="rb"):
        return self.Reader(self.cat_file(path))


FILES = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, files.Bucket) and kind is not files.Bucket
]


class HidesWhatIsOld(others.Policy):
    def sees(self, namespace, record):
        return super().sees(namespace, record) and (
            record.path.level < Level.TASK or record.created < 1_004
        )


class RequiresNothingAtAll(others.Policy):
    def required(self, namespace):
        return None


class ReasonIsAWord(others.Policy):
    def may_retag(self, namespace, record):
        return super().may_retag(namespace, record) and "no"


class SeesWhatItSaw(others.Policy):
    """A run once seen in one namespace is seen in all."""

    def sees(self, namespace, record):
        if super().sees(namespace, record):
            self.kept[record.path.components[1]] = True
        return record.path.components[1] in self.kept


POLICIES = [HidesWhatIsOld, RequiresNothingAtAll, ReasonIsAWord, SeesWhatItSaw]


def whole_seconds_as_text(metadata):
    found = others.right_trigger(metadata)
    return found and [
        Event(e.name, e.id, e.timestamp and str(int(e.timestamp)), e.type) for e in found
    ]


def without_time_is_none(metadata):
    found = others.right_trigger(metadata)
    return found and [event for event in found if event.timestamp is not None]


def one_event_per_field(metadata):
    found = others.right_trigger(metadata)
    return found[0] if found and len(found) == 1 else found


TRIGGERS = {
    function.__name__: function
    for function in (whole_seconds_as_text, without_time_is_none, one_event_per_field)
}


class NeedsAName(others.FileDecoder):
    """Assumes that every file has a name."""

    def decode_file(self, file, artifact, trust):
        assert file.name
        return super().decode_file(file, artifact, trust)


class MapsTheFile(others.FileDecoder):
    """Assumes that every file has a number."""

    def decode_file(self, file, artifact, trust):
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return self.decode(bytes(mapped), artifact, trust)


class ErrorsWithoutAPath(others.Decoder):
    def failed(self, artifact, why):
        return UndecodableArtifact("an artifact", "", why)


class NothingIsTrustedAtPlain(others.Decoder):
    """Knows only three levels of trust."""

    def decode(self, blob, artifact, trust):
        if {"none": False, "safe": True, "full": True}[trust.level]:
            return super().decode(blob, artifact, trust)
        raise UntrustedValue(str(artifact.path), artifact.store, "nothing is trusted")


DECODERS = [NeedsAName, MapsTheFile, ErrorsWithoutAPath, NothingIsTrustedAtPlain]
