"""Providers with one fault each concerning writers, threads, processes or addresses."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

import attrs

from mfc.errors import MetaflowNotFound
from mfc.model import Level
from mfc_testing import MemoryProvider

from .right import (
    Right,
    all_of,
)


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
    """Caches a run: a change of tags shows only to the provider that made it."""

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
    """A cache that is right for one place, and mixes up two."""

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
