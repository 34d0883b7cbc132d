"""The graph of a run as its tasks recorded it, and which tasks are parents and children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from mfc._objects._metadata import field_by_task
from mfc._reader import Scope
from mfc.errors import DatastoreError
from mfc.model import ArtifactRecord, Level, Pathspec, Record, is_name, whole_number
from mfc.query import Query

if TYPE_CHECKING:
    from mfc._objects._task import Task

#: Metadata field: the position in each foreach around a task, `stepA:3,stepB:0`.
PATH_FIELD = "foreach-execution-path"
_FOREACH = ("split-foreach", "split-parallel")
_SWITCH = "split-switch"


@attrs.frozen
class _Node:
    """One step of a graph, with Metaflow's fields."""

    next: tuple[str, ...] = ()
    type: str = ""
    matching_join: str | None = None

    @classmethod
    def of_artifact(cls, node: dict[Any, Any]) -> _Node:
        """Return what is usable of an entry of `_graph_info`: names lead nowhere else."""
        after = node.get("next")
        names = tuple(filter(is_name, after)) if isinstance(after, (list, tuple)) else ()
        return cls(names, _text(node.get("type")) or "", _text(node.get("matching_join")))


_NO_NODE = _Node()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@attrs.frozen
class Graph:
    """Steps of a flow and what follows what, from artifact `_graph_info`."""

    steps: Mapping[str, _Node]
    start: str = "start"
    end: str = "end"

    @classmethod
    def of_artifact(cls, value: object) -> Graph | None:
        """Return the graph that `_graph_info` holds; None if it is something else."""
        if not isinstance(value, dict) or not isinstance(value.get("steps"), dict):
            return None
        steps = {
            name: _Node.of_artifact(node)
            for name, node in value["steps"].items()
            if is_name(name) and isinstance(node, dict)
        }
        start, end = _text(value.get("start_step")), _text(value.get("end_step"))
        return cls(steps, start or "start", end or "end")

    def after(self, step: str) -> list[str]:
        """Return the steps that `step` may go to."""
        return list(self.steps.get(step, _NO_NODE).next)

    def before(self, step: str) -> list[str]:
        """Return the steps that may go to `step`."""
        return [name for name in self.steps if step in self.after(name)]

    def type_of(self, step: str) -> str:
        """Return what Metaflow calls a step: `linear`, `split-foreach`, `join` and so on."""
        return self.steps.get(step, _NO_NODE).type

    def joins_foreach(self, step: str) -> bool:
        """Tell whether `step` is the join of a foreach, rather than of branches."""
        if self.type_of(step) != "join":
            return False
        splits = [node for node in self.steps.values() if node.matching_join == step]
        if splits:
            return any(node.type in _FOREACH for node in splits)
        return len(self.before(step)) == 1  # recorded before matching_join was


def graph_of(scope: Scope, run: Pathspec, task: Pathspec | None = None) -> Graph | None:
    """Return the graph of a run: from `task` if it has finished, else from its parameters.

    None where neither is recorded (flows of Metaflow before 2.5).
    """
    for path in (task, run.child("_parameters")):
        if path is None:
            continue
        for record in scope.provider.artifacts(path, ("_graph_info",)):
            try:
                graph = Graph.of_artifact(scope.reader.plain(record, scope.provider))
            except DatastoreError:
                continue  # the other place may still have it
            if graph is not None:
                return graph
    return None


def parents_of(task: Task) -> Iterator[Record]:
    """Yield the tasks whose results `task` took in, step by step, newest first."""
    lineage = _Lineage.of(task)
    return iter(()) if lineage is None else lineage.parents()


def children_of(task: Task) -> Iterator[Record]:
    """Yield the tasks that took in the results of `task`, step by step, newest first."""
    lineage = _Lineage.of(task)
    return iter(()) if lineage is None else lineage.children()


#: Tells of a foreach path whether it fits; None if every one does.
_Test: TypeAlias = "Callable[[str], bool] | None"


@attrs.frozen
class _Lineage:
    """Where one task stands in the graph, and who stands around it."""

    _scope: Scope
    _graph: Graph
    _task: Pathspec
    #: The task's position in each foreach around it; empty outside of any.
    _position: str

    @classmethod
    def of(cls, task: Task) -> _Lineage | None:
        """Return the lineage of `task`; None where no graph was recorded."""
        path = task._record.path
        graph = graph_of(task._scope, path.up(Level.RUN), path)
        if graph is None:
            return None
        return cls(task._scope, graph, path, str(task._fields((PATH_FIELD,)).get(PATH_FIELD) or ""))

    def parents(self) -> Iterator[Record]:
        mine = self._task.components[2]
        for step in self._graph.before(mine):
            if self._graph.joins_foreach(mine):
                fits = self._deeper()
            else:
                fits = self._equal(outer=self._graph.type_of(step) in _FOREACH)
            for other in self._tasks(step, fits):
                if self._went(other.path, self._task):
                    yield other

    def children(self) -> Iterator[Record]:
        mine = self._task.components[2]
        for step in self._graph.after(mine):
            if self._graph.type_of(mine) in _FOREACH:
                fits = self._deeper()
            else:
                fits = self._equal(outer=self._graph.joins_foreach(step))
            for other in self._tasks(step, fits):
                if self._went(self._task, other.path):
                    yield other

    def _deeper(self) -> _Test:
        """Accept positions in a foreach inside of ours."""
        mine = self._position
        return (lambda position: position.rpartition(",")[0] == mine) if mine else None

    def _equal(self, *, outer: bool) -> _Test:
        """Accept our own position, or the one that the innermost foreach around us is in."""
        mine = self._position.rpartition(",")[0] if outer else self._position
        return (lambda position: position == mine) if mine else None

    def _tasks(self, step: str, fits: _Test) -> Iterator[Record]:
        path = self._task.up(Level.RUN).child(step)
        tasks = self._scope.provider.children(path, Query())
        if fits is None:
            yield from tasks
            return
        positions = field_by_task(self._scope, path, PATH_FIELD)
        for task in tasks:
            # One that recorded no position (Metaflow before 2.16) may be anywhere.
            if task.path not in positions or fits(str(positions[task.path])):
                yield task

    def _went(self, parent: Pathspec, child: Pathspec) -> bool:
        """Tell whether results went from one task to the other, where the graph cannot.

        After a switch only the step that was chosen follows; a recursive step passes them from
        one turn to the next.
        """
        above, below = parent.components[2], child.components[2]
        if self._graph.type_of(above) == _SWITCH and not self._chose(parent, below):
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
        transition = self._internal(switch, "_transition")
        taken = transition[0] if isinstance(transition, tuple) and transition else None
        return not isinstance(taken, list) or step in filter(_text, taken)

    def _turn(self, task: Pathspec) -> int | None:
        """Return which turn of a recursive step a task is, from 0; None if not recorded."""
        stack = self._internal(task, "_iteration_stack")
        return whole_number(stack[-1]) if isinstance(stack, list) and stack else None

    def _internal(self, task: Pathspec, name: str) -> object:
        record = self._scope.provider.get(task.child(name))
        if not isinstance(record, ArtifactRecord):
            return None
        try:
            return self._scope.reader.plain(record, self._scope.provider)
        except DatastoreError:
            return None
