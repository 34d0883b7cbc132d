"""The failures of a run, root causes first."""

from __future__ import annotations

import itertools
import operator
import time
from collections.abc import Collection, Iterator

import attrs

from mfc._facts._failure import Failure
from mfc._facts._reading import Told, told
from mfc._facts._unfinished import Step, Unfinished, in_turn
from mfc._recorded._graph import (
    GRAPH,
    SWITCH,
    Graph,
    graph_by_tasks,
    graph_in,
    internal,
    parameters_of,
)
from mfc._recorded._run import RecordedRun
from mfc._recorded._settled import completed
from mfc._recorded._status import STALE, sign_of, standing
from mfc._recorded._task import RecordedTask
from mfc.model import Record
from mfc.query import Query

#: Seconds without a sign of life after which a task of a run that failed has been cut off.
QUIET = 600.0


def failures_of(run: RecordedRun, limit: int | None) -> list[Failure]:
    """Return the failures of a run; `Run.failures` documents them."""
    if limit == 0:
        return []
    return _Look(run).failures(limit)


def failure_of(task: RecordedTask) -> Failure | None:
    """Return the failure of a task, seen by itself; None if it has not failed.

    Raises:
        UnreadableRecord, DatastoreError: what it recorded cannot be read.
    """
    if completed(task):
        return None
    found = Unfinished(task, standing(task))
    if found.standing.status == "completed":
        return None
    chosen = found.standing.started or task.attempt is None
    return told(found).failure if found.failed or (chosen and found.silent(STALE)) else None


def _led(graph: Graph, first: Told, then: Told) -> bool:
    """Tell whether a failure led to another one: the steps follow, the positions agree."""
    agree = all(map(operator.eq, first.position.split(","), then.position.split(",")))
    inside = bool(first.position and then.position)
    return then.failure.step in graph.below(first.failure.step) and (agree or not inside)


class _Look:
    """One look at a run: its steps, its graph, and its tasks that have not completed."""

    def __init__(self, run: RecordedRun) -> None:
        scope, self._run = run.scope, run
        below = scope.below(run.path, Query())
        #: The steps that have begun, oldest first.
        self._steps = [r for r in below if not r.path.name.startswith("_")][::-1]
        self._names = [step.path.name for step in self._steps]
        self._like = next(scope.provider.artifacts(parameters_of(run.path), (GRAPH,)), None)
        self._graph = None if self._like is None else graph_in(scope, self._like)

    def failures(self, limit: int | None) -> list[Failure]:
        steps = [self._step(record) for record in self._steps if not self._passed(record)]
        quick = all(step.can_match and step.graph is not None for step in steps)
        found = [one for step in steps for one in (step.matched() if quick else step.each())]
        if self._at_end and not found:
            return []
        if quick and not any(one.failed for one in found):
            # Marks do not tell of a task that has not begun, nor of the time of the last sign.
            found = [one for step in steps for one in step.each()]
        failed = [one for one in found if one.failed]
        seconds = QUIET if failed else STALE
        roots, collateral = self._sorted(failed, limit)
        if limit is not None and len(roots) >= limit:
            return roots
        # A task that has not begun matters where nothing else went wrong.
        silent = [
            one for one in found if one.silent(seconds) and (one.standing.started or not failed)
        ]
        cut_off = (one.failure for one in in_turn(self._run.scope, told, iter(silent)))
        rest = itertools.chain(
            collateral,
            (attrs.evolve(one, collateral=bool(failed)) for one in cut_off),
            self._never_started(found, silent, seconds),
        )
        return list(itertools.islice(itertools.chain(roots, rest), limit))

    def _step(self, record: Record) -> Step:
        return Step(self._run.scope, record, self._graph, self._like)

    def _passed(self, step: Record) -> bool:
        """Tell whether all tasks of a step completed, as a step that waits for all has begun."""
        graph, name = self._graph, step.path.name
        if graph is None:
            return False
        alone = graph.depth_of(name) == 0
        return any(
            (alone or graph.depth_of(other) == 0) and name not in graph.below(other)
            for other in graph.below(name).intersection(self._names)
        )

    @property
    def _at_end(self) -> bool:
        """Whether the end step has begun; if its tasks completed, those of all others have."""
        return ("end" if self._graph is None else self._graph.end) in self._names

    def _sorted(
        self, failed: list[Unfinished], limit: int | None
    ) -> tuple[list[Failure], list[Failure]]:
        """Return the failures that are root causes, and those that others led to."""
        roots: list[Failure] = []
        collateral: list[Failure] = []
        before: list[Told] = []
        graph = self._whole_graph() if len({f.task.path.parent for f in failed}) > 1 else None
        for one in in_turn(
            self._run.scope, told, iter(failed[:limit] if graph is None else failed)
        ):
            if graph is not None and any(_led(graph, other, one) for other in before):
                collateral.append(attrs.evolve(one.failure, collateral=True))
            else:
                roots.append(one.failure)
                if len(roots) == limit:
                    break
            before.append(one)
        return roots, collateral

    def _whole_graph(self) -> Graph:
        """Return the graph, by what the tasks did where it was not recorded."""
        return self._graph or graph_by_tasks(self._run.scope, self._run.path)

    def _never_started(
        self, found: list[Unfinished], silent: list[Unfinished], seconds: float
    ) -> Iterator[Failure]:
        """Yield the steps that were due and have no task."""
        open_ = {one.task.path.parent.name for one in found}
        over = {one.task.path.parent.name for one in found if one.failed or one in silent}
        graph = self._whole_graph()
        for name in self._due(graph):
            before = [step for step in graph.before(name) if step in self._names]
            if over.intersection(before) or (
                not open_.intersection(before) and self._quiet(found, seconds)
            ):
                yield Failure(
                    str(self._run.path.child(name)),
                    name,
                    kind="never started",
                    message="it was due, no task of it has started",
                    collateral=bool(over),
                )

    def _quiet(self, found: list[Unfinished], seconds: float) -> bool:
        """Tell whether the run gave no sign of life for so long, or is over."""
        scope = self._run.scope
        signs = [self._run.record]
        for step in self._steps:
            if not self._passed(step):
                signs += scope.below(step.path, Query())
        since = (time.time() - seconds) * 1000
        return all(sign_of(record) < since for record in signs) and all(
            one.failed or one.silent(seconds) for one in found
        )

    def _due(self, graph: Graph) -> Iterator[str]:
        """Yield the steps that follow those that have begun, and have not begun themselves."""
        if not self._steps:
            yield graph.start
            return
        due = dict.fromkeys(name for step in self._names for name in graph.after(step))
        for name in due:
            before = graph.before(name)
            begun = [step for step in before if step in self._names]
            waits = graph.type_of(name) == "join" and len(begun) < len(before)
            if name in self._names or waits:
                continue
            if all(name in self._chosen(graph, step) for step in begun):
                yield name

    def _chosen(self, graph: Graph, step: str) -> Collection[str]:
        """Return the steps that follow a step: after a switch, the one that it went on to."""
        after = graph.after(step)
        if graph.type_of(step) != SWITCH:
            return after
        if any(name in self._names for name in after if name != step):
            return ()
        path = self._run.path.child(step)
        newest = next(self._run.scope.provider.children(path, Query(limit=1)), None)
        taken = None if newest is None else internal(self._run.scope, newest.path, "_transition")
        chosen = taken[0] if isinstance(taken, tuple) and taken else ()
        return chosen if isinstance(chosen, list) else ()
