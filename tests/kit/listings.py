"""Providers that list, select or find wrongly, with one fault each, as real backends have."""

from __future__ import annotations

import copy
import fnmatch
import urllib.parse

import attrs

from mfc.errors import MetaflowNotFound
from mfc.hookspecs import Support
from mfc.model import ArtifactRecord, Pathspec
from mfc.query import Query
from mfc_testing import MemoryProvider

from .right import (
    FULL,
    Right,
    all_of,
    filtered,
    last_value,
    tags_of,
    unanchored,
    without,
)

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
MetadataOfLastTime = filtered(last_value)("metadata")


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


for _name, _kind in list(globals().items()):
    if isinstance(_kind, type) and _kind.__name__ == "Filtered":
        _kind.__name__ = _name
