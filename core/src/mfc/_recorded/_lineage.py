"""Which tasks are the parents and the children of a task.

The graph says which steps come before and after. Of a step in a foreach, tasks at the same position
belong together. A task's position is in its metadata, or (before Metaflow 2.15) in its artifacts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mfc._recorded._graph import (
    FOREACH,
    SWITCH,
    Graph,
    graph_by_tasks,
    graph_of,
    internal,
    parameters_of,
)
from mfc._recorded._metadata import ORIGIN_RUN, field_by_task, origin_name
from mfc._recorded._task import RecordedTask
from mfc._session._scope import Scope
from mfc.errors import DatastoreError, UnreadableRecord
from mfc.model import Level, Pathspec, Record, whole_number
from mfc.query import Query

#: Metadata field: the position in each foreach around a task, `stepA:3,stepB:0`.
PATH_FIELD = "foreach-execution-path"
#: Metadata fields that tell the index of a task in its foreach.
INDEX_FIELDS = (PATH_FIELD, "attempt-done")
_STACK, _PARAMETERS = "_foreach_stack", "_parameters"


def graph_around(scope: Scope, run: Pathspec, task: Pathspec | None) -> Graph:
    """Return the graph of a run: as it was recorded, else by what its tasks did."""
    places = [parameters_of(run)] if task is None else [task, parameters_of(run)]
    return graph_of(scope, *places) or graph_by_tasks(scope, run)


def parents_of(task: RecordedTask) -> Iterator[Record]:
    """Yield the tasks whose results `task` took in, step by step, newest first.

    Raises:
        UnreadableRecord: what was recorded does not tell.
    """
    return _Lineage.of(task).parents()


def children_of(task: RecordedTask) -> Iterator[Record]:
    """Yield the tasks that took in the results of `task`, step by step, newest first.

    Raises:
        UnreadableRecord: what was recorded does not tell.
    """
    return _Lineage.of(task).children()


def index_of(task: RecordedTask, fields: Mapping[str, Any]) -> int | None:
    """Return the index of a task in the innermost foreach around it; None outside of any.

    It is known once an attempt has ended, as in Metaflow.

    Args:
        task: the task.
        fields: its newest metadata, `INDEX_FIELDS` at least.

    Raises:
        DatastoreError: an old task noted it in an artifact alone, which cannot be read.
    """
    if "attempt-done" not in fields:
        return None
    if PATH_FIELD in fields:
        return _last_index(str(fields[PATH_FIELD]))
    stack = task.internal(_STACK)
    index = getattr(stack[-1], "index", None) if isinstance(stack, list) and stack else None
    return index if isinstance(index, int) else None


def _last_index(foreach_path: str) -> int | None:
    """Return the index in the last part of `stepA:3,stepB:0`.

    >>> _last_index("stepA:3,stepB:0")
    0
    """
    return whole_number(foreach_path.rpartition(",")[2].rpartition(":")[2])


class _Lineage:
    """The position of one task in the graph, and the tasks around it.

    Args:
        scope: where it is.
        graph: of its run.
        task: its path.
        position: of the task in each foreach around it, as `PATH_FIELD` spells it; empty outside
            of any, None where that is not known.
        simple: positions of all tasks are in their own metadata.
    """

    def __init__(
        self, scope: Scope, graph: Graph, task: Pathspec, position: str | None, *, simple: bool
    ) -> None:
        self._scope, self._graph, self._task = scope, graph, task
        self._known_position, self._simple = position, simple

    @classmethod
    def of(cls, task: RecordedTask) -> _Lineage:
        """Return the lineage of `task`."""
        path, scope = task.path, task.scope
        graph = graph_around(scope, path.up(Level.RUN), path)
        if path.components[2] == _PARAMETERS:
            return cls(scope, Graph({}), path, "", simple=True)  # it is in no graph
        fields = task.fields((PATH_FIELD,))
        cloned = origin_name(fields.get(ORIGIN_RUN)) is not None
        noted = fields.get(PATH_FIELD)
        if noted:
            return cls(scope, graph, path, str(noted), simple=not cloned)
        if graph.depth_of(path.components[2]) == 0:
            return cls(scope, graph, path, "", simple=True)
        position = position_of(internal(scope, path, _STACK))
        return cls(scope, graph, path, position, simple=False)

    @property
    def _position(self) -> str:
        if self._known_position is None:
            reason = "it did not record where it stands in the foreach around it (yet)"
            raise UnreadableRecord(f"lineage of Task('{self._task}')", reason)
        return self._known_position

    def parents(self) -> Iterator[Record]:
        mine = self._task.components[2]
        before = self._graph.before(mine)
        if mine != _PARAMETERS and self._graph.may_lack(mine):
            raise UnreadableRecord(
                f"lineage of Task('{self._task}')", "its run recorded no graph, nor what led to it"
            )
        for step in before:
            if self._graph.joins_foreach(mine):
                found = self._tasks(step, inner=True)
            else:
                found = self._tasks(step, outer=self._graph.type_of(step) in FOREACH)
            for other in found:
                if self._went(other.path, self._task):
                    yield other

    def children(self) -> Iterator[Record]:
        mine = self._task.components[2]
        for step in self._graph.after(mine):
            if self._graph.type_of(mine) in FOREACH:
                found = self._tasks(step, inner=True)
            else:
                found = self._tasks(step, outer=self._graph.joins_foreach(step))
            for other in found:
                if self._went(self._task, other.path):
                    yield other

    def _tasks(self, step: str, *, inner: bool = False, outer: bool = False) -> Iterator[Record]:
        """Yield the tasks of a step at the position of the task.

        Args:
            step: its name.
            inner: those at positions one foreach further in.
            outer: those at the position around the task's innermost foreach.
        """
        path, provider = self._task.up(Level.RUN).child(step), self._scope.provider
        tasks: Iterator[Record] | list[Record] = provider.children(path, Query())
        if self._known_position is None:
            # With one task on either side, positions are not needed to tell them apart.
            tasks = list(tasks)
            if len(tasks) > 1 or self._has_others():
                tasks = [] if not tasks else self._at(self._position, tasks)
            yield from tasks
            return
        position = self._position.rpartition(",")[0] if outer else self._position
        fitting = re.escape(position) or None
        if inner:
            fitting = f"{re.escape(position)},[^,]*" if position else None
        if fitting is None:
            yield from tasks
        elif provider.capabilities.full("metadata") and self._simple:
            yield from provider.children(path, Query(metadata=(PATH_FIELD, fitting)))
        else:
            yield from self._at(fitting, tasks)

    def _has_others(self) -> bool:
        others = self._scope.provider.children(self._task.parent, Query(limit=2))
        return sum(1 for _ in others) > 1

    def _at(self, fitting: str, tasks: Iterator[Record] | list[Record]) -> Iterator[Record]:
        """Yield the tasks of a step whose position fits, by their metadata or their artifacts."""
        fits, positions = re.compile(fitting).fullmatch, None
        for task in tasks:
            if positions is None:
                step = task.path.parent
                positions = field_by_task(self._scope, step, PATH_FIELD) or self._stacks(step)
            # A task that has not started has no position yet.
            if task.path in positions and fits(str(positions[task.path])):
                yield task

    def _stacks(self, step: Pathspec) -> dict[Pathspec, str]:
        """Return the positions of the tasks of a step by their artifacts, as far as they ended.

        Raises:
            UnreadableRecord: one of them cannot be read.
        """
        found: dict[Pathspec, str] = {}
        for record in self._scope.provider.artifacts(step, (_STACK,)):
            try:
                stack = self._scope.reader.plain(record, self._scope.provider)
            except DatastoreError as cause:
                raise UnreadableRecord(f"lineage of Task('{self._task}')", str(cause)) from cause
            if (position := position_of(stack)) is not None:
                found[record.path.parent] = position
        return found

    def _went(self, parent: Pathspec, child: Pathspec) -> bool:
        """Tell whether results went from one task to the other, where the graph cannot.

        After a switch only the step that was chosen follows; a recursive step passes them from
        one turn to the next.
        """
        above, below = parent.components[2], child.components[2]
        if self._graph.type_of(above) == SWITCH and not self._chose(parent, below):
            return False
        if below not in self._graph.after(below):
            return True
        turn = self._turn(child)
        if above != below:
            return turn in (None, 0)
        before = self._turn(parent)
        return turn is None or before is None or turn == before + 1

    def _chose(self, switch: Pathspec, step: str) -> bool:
        """Tell whether a switch went on to `step`; if it recorded nothing, it may have."""
        transition = internal(self._scope, switch, "_transition")
        taken = transition[0] if isinstance(transition, tuple) and transition else None
        return not isinstance(taken, list) or step in taken

    def _turn(self, task: Pathspec) -> int | None:
        """Return which turn of a recursive step a task is, from 0; None if not recorded."""
        stack = internal(self._scope, task, "_iteration_stack")
        return whole_number(stack[-1]) if isinstance(stack, list) and stack else None


def position_of(stack: object) -> str | None:
    """Return the position that `_foreach_stack` means, as `PATH_FIELD` spells it; None if none."""
    if not isinstance(stack, list):
        return None
    frames = [(getattr(frame, "step", None), getattr(frame, "index", None)) for frame in stack]
    if not all(isinstance(step, str) for step, _ in frames):
        return None
    return ",".join(f"{step}:{index}" for step, index in frames)
