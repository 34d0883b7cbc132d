"""Providers that are wrong in one way each, as real backends are, and the right one they are made of."""

from __future__ import annotations

import copy
import fnmatch
import os
import re
import time
import urllib.parse
from pathlib import Path
from typing import ClassVar

import attrs

from mfc.errors import MetaflowNotFound
from mfc.hookspecs import Capabilities, Support
from mfc.model import ArtifactRecord, Level, Pathspec
from mfc.query import Query
from mfc.testing import MemoryBackend, MemoryProvider

FULL = Capabilities(
    **{f.name: Support.FULL for f in attrs.fields(Capabilities) if f.name != "status"}
)


class Right(MemoryProvider):
    """Does everything itself, counts its reads, and reads no more than is asked for."""

    meter = None
    shared: dict

    def _count(self):
        if self.meter is not None:
            self.meter.add(reads=1)

    def get(self, path, attempt=None):
        self._count()
        return super().get(path, attempt)

    def children(self, path, query):
        self._count()
        return self._counted(super().children(path, query))

    def _counted(self, found):
        for record in found:
            self._count()
            yield record

    def metadata(self, path, names=None):
        self._count()
        return super().metadata(path, names)

    def artifacts(self, path, names=None, attempt=None):
        self._count()
        return super().artifacts(path, names, attempt)


class Place(MemoryBackend):
    """A backend of one kind of provider; `shared` is what several of them may wrongly share."""

    def __init__(self, kind, shared):
        super().__init__(kind(capabilities=kind.declared))
        self._first.shared = shared

    def provider(self, meter):
        made = copy.copy(self._first)
        made.meter = meter
        return made

    def put(self, history):
        super().put(history)
        self._first.shared.clear()


Right.declared = FULL


def all_of(provider, path, query):
    return list(MemoryProvider.children(provider, path, query))


def without(query, *parts):
    return query.only(query.parts() - set(parts))


def filtered(test):
    """Make a provider whose children pass `test(record, query, provider)` for one part of a query."""

    def made(part):
        class Filtered(Right):
            def children(self, path, query):
                if part not in query.parts():
                    return super().children(path, query)
                found = all_of(self, path, without(query, part, "limit"))
                found = [record for record in found if test(record, query, self)]
                return self._counted(found[: query.limit])

        return Filtered

    return made


def newest(provider, task, field):
    values = [r.value for r in MemoryProvider.metadata(provider, task, (field,))]
    return values[-1] if values and isinstance(values[-1], str) else None


def any_value(record, query, provider):
    field, pattern = query.metadata
    values = [r.value for r in MemoryProvider.metadata(provider, record.path, (field,))]
    is_task = record.path.level is Level.TASK
    return is_task and any(isinstance(v, str) and re.fullmatch(pattern, v) for v in values)


def unanchored(record, query, provider):
    field, pattern = query.metadata
    value = newest(provider, record.path, field)
    is_task = record.path.level is Level.TASK
    return is_task and value is not None and re.match(pattern, value) is not None


def tags_of(record):
    return record.tags | record.system_tags


TagsOr = filtered(lambda r, q, _: bool(q.tags & tags_of(r)))("tags")
UserTagsOnly = filtered(lambda r, q, _: q.tags <= r.tags)("tags")
TagsByPart = filtered(lambda r, q, _: all(any(t in own for own in tags_of(r)) for t in q.tags))(
    "tags"
)
UntilInclusive = filtered(lambda r, q, _: r.created <= q.until)("until")
SinceExclusive = filtered(lambda r, q, _: r.created > q.since)("since")
SinceIgnored = filtered(lambda r, q, _: True)("since")
UserOfAnyCase = filtered(lambda r, q, _: (r.user or "").lower() == q.user.lower() and r.user)(
    "user"
)
UserByStart = filtered(lambda r, q, _: r.user is not None and r.user.startswith(q.user))("user")
NamesAsPatterns = filtered(
    lambda r, q, _: any(fnmatch.fnmatchcase(r.path.name, n) for n in q.names)
)("names")
NoNamesIsAll = filtered(lambda r, q, _: not q.names or r.path.name in q.names)("names")
MetadataUnanchored = filtered(unanchored)("metadata")
MetadataOfAnyTime = filtered(any_value)("metadata")


class PartialLosesSystemTags(UserTagsOnly):
    declared = attrs.evolve(FULL, tags=Support.PARTIAL)


class UserDenied(Right):
    declared = attrs.evolve(FULL, user=Support.UNSUPPORTED)

    def children(self, path, query):
        found = Right.children(self, path, without(query, "user", "limit"))
        if query.user is not None:
            found = (record for record in found if record.user == query.user)
        return iter(list(found)[: query.limit]) if query.limit is not None else found


class OrderDenied(Right):
    declared = attrs.evolve(FULL, order=Support.UNSUPPORTED)

    def children(self, path, query):
        found = all_of(self, path, without(query, "limit"))
        found.sort(key=lambda record: record.created, reverse=True)
        return self._counted(found[: query.limit])


class BulkDenied(Right):
    declared = attrs.evolve(FULL, bulk=Support.UNSUPPORTED)

    def _answers(self, path):
        return True


class RetagDenied(Right):
    declared = attrs.evolve(FULL, retag=Support.UNSUPPORTED)

    def retag(self, run, change):
        self.capabilities = FULL
        return super().retag(run, change)


class AttemptsDenied(Right):
    declared = attrs.evolve(FULL, attempts=Support.UNSUPPORTED)

    def artifacts(self, path, names=None, attempt=None):
        self._count()
        answering = copy.copy(self)
        answering.capabilities = FULL
        return MemoryProvider.artifacts(answering, path, names, attempt)

    def get(self, path, attempt=None):
        self._count()
        answering = copy.copy(self)
        answering.capabilities = FULL
        return MemoryProvider.get(answering, path, attempt)


class BoolCapability(Right):
    def __init__(self, **options):
        super().__init__(**options)
        self.capabilities = attrs.evolve(self.capabilities, status=False)


class OldestFirst(Right):
    def children(self, path, query):
        found = all_of(self, path, without(query, "limit"))
        return self._counted(found[::-1][: query.limit])


class OrderByName(Right):
    def children(self, path, query):
        found = all_of(self, path, without(query, "limit"))
        found.sort(key=lambda record: record.path.name, reverse=True)
        return self._counted(found[: query.limit])


class TiesByChance(Right):
    calls = 0

    def children(self, path, query):
        type(self).calls += 1
        found = all_of(self, path, without(query, "limit"))
        turn = type(self).calls % max(len(found), 1)
        found = sorted(found[turn:] + found[:turn], key=lambda r: r.created, reverse=True)
        return self._counted(found[: query.limit])


class LimitBeforeFilters(Right):
    def children(self, path, query):
        wanted = query.parts() - {"limit"}
        if query.limit is None or not wanted:
            return super().children(path, query)
        few = all_of(self, path, Query())[: query.limit]
        kept = {r.path for r in all_of(self, path, without(query, "limit"))}
        return self._counted(record for record in few if record.path in kept)


class LimitOffByOne(Right):
    def children(self, path, query):
        if query.limit is not None:
            query = attrs.evolve(query, limit=query.limit + 1)
        return super().children(path, query)


class LastPartWins(Right):
    def children(self, path, query):
        parts = [
            part for part in ("tags", "since", "until", "user", "names") if part in query.parts()
        ]
        return super().children(path, query.only({*parts[-1:], "limit", "metadata"}))


class FirstPageOnly(Right):
    def children(self, path, query):
        return self._counted(all_of(self, path, query)[:1000])


class FirstPageOfBulk(Right):
    def artifacts(self, path, names=None, attempt=None):
        return iter([*super().artifacts(path, names, attempt)][:100])


class PageBorderTwice(Right):
    def children(self, path, query):
        found = all_of(self, path, without(query, "limit"))
        found = [*found[:3], *found[2:]] if len(found) > 3 else found
        return self._counted(found[: query.limit])


class HidesParameters(Right):
    def children(self, path, query):
        found = all_of(self, path, without(query, "limit"))
        found = [record for record in found if record.path.name != "_parameters"]
        return self._counted(found[: query.limit])


class MissingParentRaises(Right):
    def children(self, path, query):
        if path.level and path not in self._records:
            raise MetaflowNotFound(f"{path} does not exist")
        return super().children(path, query)


class NoneForNothing(Right):
    def children(self, path, query):
        return self._counted(found) if (found := all_of(self, path, query)) else None


class ListForIterator(Right):
    def children(self, path, query):
        return list(super().children(path, query))


class Eager(Right):
    def children(self, path, query):
        return iter(list(super().children(path, query)))


class CountsNothing(Right):
    def _count(self):
        pass


class TimesAsText(Right):
    def children(self, path, query):
        return (attrs.evolve(r, created=str(r.created)) for r in super().children(path, query))

    def get(self, path, attempt=None):
        found = super().get(path, attempt)
        if found is None or isinstance(found, ArtifactRecord):
            return found
        return attrs.evolve(found, created=str(found.created))


class Evolved(Right):
    """Every record of a run tree passes through `seen`."""

    def seen(self, record):
        return record

    def children(self, path, query):
        return (self.seen(record) for record in super().children(path, query))

    def get(self, path, attempt=None):
        found = super().get(path, attempt)
        return found if found is None or isinstance(found, ArtifactRecord) else self.seen(found)


class TimesInSeconds(Evolved):
    def seen(self, record):
        return attrs.evolve(record, created=record.created // 1000)


class NobodyIsText(Evolved):
    def seen(self, record):
        return attrs.evolve(record, user=str(record.user))


class TagsInAList(Evolved):
    def seen(self, record):
        return attrs.evolve(record, tags=list(record.tags))


class TagsOfTheRunOnly(Right):
    def _tagged(self, record):
        return record


class GetOfAnyCase(Right):
    def get(self, path, attempt=None):
        wanted = str(path).lower()
        same = [known for known in self._records if str(known).lower() == wanted]
        return super().get(path if path in self._records or not same else same[0], attempt)


class GetQuotes(Right):
    def get(self, path, attempt=None):
        components = [urllib.parse.unquote(name) for name in path.components]
        return super().get(Pathspec(tuple(components)), attempt)


class EncodesStrictly(Right):
    def get(self, path, attempt=None):
        str(path).encode()
        return super().get(path, attempt)


class TooLongRaises(Right):
    def get(self, path, attempt=None):
        if len(str(path)) > 1000:
            raise OSError(36, "File name too long")
        return super().get(path, attempt)


class StaleNothing(Right):
    def __init__(self, **options):
        super().__init__(**options)
        self._absent = set()

    def get(self, path, attempt=None):
        found = None if path in self._absent else super().get(path, attempt)
        if found is None:
            self._absent.add(path)
        return found


def in_turn(provider, path, names, attempt):
    tasks = [at for at in provider._records if at.level is Level.TASK and at.up(path.level) == path]
    return iter([r for task in tasks for r in provider.artifacts(task, names, attempt)])


class LastBegunCounts(Right):
    def artifacts(self, path, names=None, attempt=None):
        if path.level < Level.TASK:
            return in_turn(self, path, names, attempt)
        if attempt is None:
            attempt = max(
                (r.attempt for r in self._artifacts if r.path.parent == path), default=None
            )
        return super().artifacts(path, names, attempt)


class UnfinishedCounts(Right):
    def artifacts(self, path, names=None, attempt=None):
        if path.level < Level.TASK:
            return in_turn(self, path, names, attempt)
        if attempt is None:
            finished = any(MemoryProvider.metadata(self, path, ("attempt-done",)))
            attempt = attempt if finished else 0
        return super().artifacts(path, names, attempt)


class AttemptIgnored(Right):
    def artifacts(self, path, names=None, attempt=None):
        return super().artifacts(path, names)


class ArtifactsOldestFirst(Right):
    def artifacts(self, path, names=None, attempt=None):
        return iter([*super().artifacts(path, names, attempt)][::-1])


class ArtifactNamesByStart(Right):
    def artifacts(self, path, names=None, attempt=None):
        found = super().artifacts(path, None, attempt)
        return (r for r in found if names is None or r.path.name.startswith(tuple(names)))

    def get(self, path, attempt=None):
        if path.level is not Level.ARTIFACT:
            return super().get(path, attempt)
        return next((r for r in self.artifacts(path.parent, None, attempt) if r.path == path), None)


class OneAttemptForAll(Right):
    def artifacts(self, path, names=None, attempt=None):
        if attempt is None and path.level < Level.TASK:
            done = MemoryProvider.metadata(self, path, ("attempt-done",))
            attempt = max((int(r.value) for r in done), default=None)
        return super().artifacts(path, names, attempt)


class ShaInCapitals(Right):
    def artifacts(self, path, names=None, attempt=None):
        found = super().artifacts(path, names, attempt)
        return (attrs.evolve(r, encoding=r.encoding or "") for r in found)


class MetadataNewestFirst(Right):
    def metadata(self, path, names=None):
        return iter([*super().metadata(path, names)][::-1])


class MetadataNamesByStart(Right):
    def metadata(self, path, names=None):
        found = super().metadata(path)
        return (r for r in found if names is None or r.name.startswith(tuple(names)))


class MetadataNewestOnly(Right):
    def metadata(self, path, names=None):
        last = {(r.task, r.name): r for r in super().metadata(path, names)}
        return iter(sorted(last.values(), key=lambda record: record.created))


class MetadataAsText(Right):
    def metadata(self, path, names=None):
        return (attrs.evolve(r, value=str(r.value)) for r in super().metadata(path, names))


class BulkForgetsParameters(Right):
    def metadata(self, path, names=None):
        found = super().metadata(path, names)
        if path.level is not Level.RUN:
            return found
        return (record for record in found if record.task.components[2] != "start")


class WithoutLock(Right):
    def retag(self, run, change):
        record = self._records.get(run)
        if record is None:
            raise MetaflowNotFound(str(run))
        tags = change(record.tags, record.system_tags)
        self._records[run] = attrs.evolve(record, tags=tags)
        return tags


class LockOfItsOwn(WithoutLock):
    def retag(self, run, change):
        import threading

        with vars(self).setdefault("own", threading.RLock()):
            return super().retag(run, change)


class RetagMakesRuns(Right):
    def retag(self, run, change):
        if run not in self._records:
            change(frozenset(), frozenset())
            return frozenset()
        return super().retag(run, change)


class RetagEvolves(Right):
    """Changes something else of a run too."""

    also: ClassVar[dict] = {}

    def retag(self, run, change):
        with self._lock:
            tags = super().retag(run, change)
            self._records[run] = attrs.evolve(self._records[run], **self.also)
            return tags


class RetagDropsSystemTags(RetagEvolves):
    also: ClassVar[dict] = {"system_tags": frozenset()}


class RetagTouchesTheTime(RetagEvolves):
    also: ClassVar[dict] = {"created": 1_800_000_000_000}


class RetagForgetsOnRefusal(Right):
    def retag(self, run, change):
        with self._lock:
            if run in self._records:
                before = self._records[run]
                self._records[run] = attrs.evolve(before, tags=frozenset())
                tags = change(before.tags, before.system_tags)
                self._records[run] = attrs.evolve(before, tags=tags)
                return tags
            return super().retag(run, change)


class RetagShowsAllTags(Right):
    def retag(self, run, change):
        return super().retag(run, lambda tags, system: change(tags | system, system) - system)


class RetagReturnsAll(Right):
    def retag(self, run, change):
        tags = super().retag(run, change)
        return tags | self._records[run].system_tags


class StaleTags(Right):
    """Keeps what it has got of a run; who changes tags through it is the only one to see."""

    def __init__(self, **options):
        super().__init__(**options)
        self._kept = {}

    def get(self, path, attempt=None):
        if path.level is not Level.RUN:
            return super().get(path, attempt)
        if path not in self._own() and (found := super().get(path)) is not None:
            self._own()[path] = found
        return self._own().get(path)

    def _own(self):
        return self._kept.setdefault(id(self), {})

    def retag(self, run, change):
        self._own().clear()
        return super().retag(run, change)


class SharedByPlaces(Right):
    """A cache that is never wrong in one place, and knows nothing of there being two."""

    def children(self, path, query):
        if query.parts():
            return super().children(path, query)
        if path not in self.shared:
            self.shared[path] = list(MemoryProvider.children(self, path, query))
        return self._counted(self.shared[path])

    def retag(self, run, change):
        try:
            return super().retag(run, change)
        finally:
            self.shared.clear()


class OneListingAtATime(Right):
    def children(self, path, query):
        self._cursor = all_of(self, path, query)
        return self._read()

    def _read(self):
        while self._cursor:
            self._count()
            yield self._cursor.pop(0)


class OneQuestionAtATime(Right):
    def get(self, path, attempt=None):
        self._wanted = path
        time.sleep(0.0002)
        return super().get(self._wanted, attempt)


class DiesInChildren(Right):
    def __init__(self, **options):
        super().__init__(**options)
        self._process = os.getpid()

    def get(self, path, attempt=None):
        if os.getpid() != self._process:
            raise RuntimeError("connection of another process")
        return super().get(path, attempt)


class LeavesFilesOpen(Right):
    kept: ClassVar[list] = []

    def get(self, path, attempt=None):
        if path.level is Level.FLOW:
            self.kept.append(open(os.devnull))
        return super().get(path, attempt)


class ClosesByChance(Right):
    def get(self, path, attempt=None):
        if path.level is Level.FLOW:
            open(__file__).readline()
        return super().get(path, attempt)


class AddressIsAPath(Right):
    def __init__(self, **options):
        super().__init__(**options)

    @property
    def address(self):
        return Path(self._address)

    @address.setter
    def address(self, address):
        self._address = address


class OneAddressForAll(Right):
    @property
    def address(self):
        return "memory@"

    @address.setter
    def address(self, address):
        pass


class EveryRootIsOurs(Right):
    def root(self, ds_type):
        return "/data"


QUERY = frozenset({"query-limit", "query-combined", "listing-many", "listing-ties"})
#: What is wrong, and the clauses that have to say so: these and no others.
BROKEN = [
    (OldestFirst, {"listing-order"}),
    (OrderByName, {"listing-order"}),
    (TiesByChance, {"listing-ties"}),
    (TagsOr, {"query-tags"}),
    (UserTagsOnly, {"query-tags"}),
    (TagsByPart, {"query-tags"}),
    (UntilInclusive, {"query-until"}),
    (SinceExclusive, {"query-since"}),
    (SinceIgnored, {"query-since"}),
    (UserOfAnyCase, {"query-user"}),
    (UserByStart, {"query-user"}),
    (NamesAsPatterns, {"query-names", "names-literal"}),
    (NoNamesIsAll, {"query-names"}),
    (MetadataUnanchored, {"query-metadata"}),
    (MetadataOfAnyTime, {"query-metadata"}),
    (PartialLosesSystemTags, {"query-tags"}),
    (UserDenied, {"query-user"}),
    (OrderDenied, {"listing-order"}),
    (BulkDenied, {"bulk-metadata", "bulk-artifacts"}),
    (RetagDenied, {"retag-declared"}),
    (AttemptsDenied, {"attempt-asked"}),
    (BoolCapability, {"capabilities", "query-status"}),
    (LimitBeforeFilters, {"query-combined"}),
    (LimitOffByOne, QUERY),
    (LastPartWins, {"query-combined"}),
    (FirstPageOnly, {"listing-many"}),
    (FirstPageOfBulk, {"bulk-many"}),
    (PageBorderTwice, {"listing-complete", "listing-many", "query-combined"}),
    (HidesParameters, {"listing-complete"}),
    (MissingParentRaises, {"listing-missing"}),
    (NoneForNothing, {"listing-iterator"}),
    (ListForIterator, {"listing-iterator", "listing-lazy"}),
    (Eager, {"listing-lazy"}),
    (CountsNothing, {"meter"}),
    (TimesAsText, {"record-types"}),
    (TimesInSeconds, {"record-values"}),
    (NobodyIsText, {"record-values"}),
    (TagsInAList, {"record-types"}),
    (TagsOfTheRunOnly, {"record-tags", "retag-below", "query-tags"}),
    (GetOfAnyCase, {"names-case"}),
    (GetQuotes, {"names-awkward", "names-literal"}),
    (EncodesStrictly, {"get-absent", "errors"}),
    (TooLongRaises, {"get-absent", "errors", "retag-missing"}),
    (StaleNothing, {"fresh"}),
    (LastBegunCounts, {"attempt-last", "attempt-unfinished"}),
    (UnfinishedCounts, {"attempt-unfinished"}),
    (AttemptIgnored, {"attempt-asked"}),
    (ArtifactsOldestFirst, {"artifacts-order"}),
    (ArtifactNamesByStart, {"artifacts-names"}),
    (OneAttemptForAll, {"bulk-artifacts"}),
    (ShaInCapitals, {"artifact-values"}),
    (MetadataNewestFirst, {"metadata-order"}),
    (MetadataNamesByStart, {"metadata-names"}),
    (MetadataNewestOnly, {"metadata-complete"}),
    (MetadataAsText, {"metadata-values"}),
    (BulkForgetsParameters, {"bulk-metadata"}),
    (WithoutLock, {"retag-threads", "retag-writers"}),
    (LockOfItsOwn, {"retag-writers"}),
    (RetagMakesRuns, {"retag-missing"}),
    (RetagDropsSystemTags, {"retag-keeps"}),
    (RetagTouchesTheTime, {"retag-keeps"}),
    (RetagForgetsOnRefusal, {"retag-refused"}),
    (RetagShowsAllTags, {"retag-sees"}),
    (RetagReturnsAll, {"retag-written"}),
    (StaleTags, {"retag-written"}),
    (SharedByPlaces, {"places-apart"}),
    (OneListingAtATime, {"interleaved"}),
    (OneQuestionAtATime, {"threads"}),
    (DiesInChildren, {"fork"}),
    (LeavesFilesOpen, {"nothing-left-open"}),
    (ClosesByChance, {"nothing-left-open"}),
    (AddressIsAPath, {"address"}),
    (OneAddressForAll, {"places-apart"}),
    (EveryRootIsOurs, {"root"}),
]
