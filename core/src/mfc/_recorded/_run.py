"""A run as it was recorded: its endpoints and its tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

import attrs

from mfc._recorded._graph import graph_of, parameters_of
from mfc._recorded._metadata import recorded_endpoint
from mfc._recorded._object import Recorded
from mfc._recorded._questions import names_endpoints
from mfc._recorded._task import RecordedTask, tasks_of
from mfc.model import ArtifactRecord
from mfc.query import Query


@attrs.frozen(eq=False)
class RecordedRun(Recorded):
    """A run as it was recorded."""

    def endpoint(self, which: Literal["start", "end"]) -> str:
        """Return the name of the start or the end step.

        It is in the parameters' metadata; a resumed run has it in its graph alone.
        """
        if not names_endpoints(self.record):
            return which
        if recorded := recorded_endpoint(self.scope, self.path, which):
            return recorded
        graph = graph_of(self.scope, parameters_of(self.path))
        if graph is None:
            return which
        return graph.start if which == "start" else graph.end

    def endpoint_task(self, which: Literal["start", "end"]) -> RecordedTask | None:
        """Return the newest task of the start or the end step; None if it has none (yet).

        A step with the usual name is the endpoint: Metaflow refuses other flows that have one.
        """
        task = self._newest_task(which)
        if task is None and (step := self.endpoint(which)) != which:
            task = self._newest_task(step)
        return task

    def end_artifacts(self, names: Collection[str] | None = None) -> dict[str, ArtifactRecord]:
        """Return artifacts of the end task by name, in one question; empty without an end task.

        Args:
            names: which; None for all.
        """
        provider, end = self.scope.provider, self.path.child("end")
        found = list(provider.artifacts(end, names))
        if not found and (step := self.endpoint("end")) != "end":
            end = self.path.child(step)
            found = list(provider.artifacts(end, names))
        tasks = {record.path.parent for record in found}
        if len(tasks) > 1:  # never by Metaflow itself
            newest = next(provider.children(end, Query(limit=1)), None)
            found = [r for r in found if newest is not None and r.path.parent == newest.path]
        return {record.path.name: record for record in found}

    def _newest_task(self, step: str) -> RecordedTask | None:
        record = next(self.scope.below(self.path.child(step), Query(limit=1)), None)
        # Its values are read ahead with those of the other runs of the listing.
        return None if record is None else RecordedTask(self.scope, record, walk=self.walk)

    def tasks(self) -> Iterator[RecordedTask]:
        """Yield the tasks, those of the newest step first; the parameters are left out."""
        for step in self.scope.below(self.path, Query()):
            if not step.path.name.startswith("_"):
                yield from tasks_of(self.scope, step.path)
