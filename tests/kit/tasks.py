"""Providers with one fault each concerning attempts, artifacts or metadata."""

from __future__ import annotations

import attrs

from mfc.model import Level
from mfc_testing import MemoryProvider

from .right import (
    Right,
)


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


class RecentIsLaterOnly(Right):
    def recent(self, run, since):
        return (record for record in super().recent(run, since) if record.created > since)


class RecentByBeginning(Right):
    def recent(self, run, since):
        above = [at for at in self._records if at.level is Level.RUN and at.parent == run.parent]
        alike = [at for at in above if at.name.startswith(run.name)]
        return iter([r for at in alike for r in MemoryProvider.recent(self, at, since)])


class BulkForgetsParameters(Right):
    def metadata(self, path, names=None):
        found = super().metadata(path, names)
        if path.level is not Level.RUN:
            return found
        return (record for record in found if record.task.components[2] != "start")
