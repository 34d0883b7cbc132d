"""The right provider, from which the faulty ones are made, and its fixtures."""

from __future__ import annotations

import copy
import re

import attrs

from mfc.hookspecs import Capabilities, Support
from mfc.model import Level
from mfc_testing import MemoryBackend, MemoryProvider

FULL = Capabilities(
    **{f.name: Support.FULL for f in attrs.fields(Capabilities) if f.name != "status"}
)


class Right(MemoryProvider):
    """Does everything itself, counts its reads, and reads only as much as necessary."""

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
    """A backend of one kind of provider; `shared` holds state that faulty ones share."""

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


def texts(record, field, provider):
    if record.path.level is not Level.TASK:
        return []
    values = [r.value for r in MemoryProvider.metadata(provider, record.path, (field,))]
    return [value for value in values if isinstance(value, str)]


def last_value(record, query, provider):
    field, pattern = query.metadata
    return any(re.fullmatch(pattern, v) for v in texts(record, field, provider)[-1:])


def unanchored(record, query, provider):
    field, pattern = query.metadata
    return any(re.match(pattern, value) for value in texts(record, field, provider))


def tags_of(record):
    return record.tags | record.system_tags
