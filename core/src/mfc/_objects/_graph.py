"""The graph of a run as its tasks recorded it, and which tasks are parents and children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from mfc._client import Scope
from mfc._objects._metadata import field_by_task
from mfc.errors import DatastoreError
from mfc.model import ArtifactRecord, Level, Pathspec, Record
from mfc.query import Query

if TYPE_CHECKING:
    from mfc._objects._task import Task

#: Metadata field: the position in each foreach around a task, `stepA:3,stepB:0`.
PATH_FIELD = "foreach-execution-path"
_FOREACH = ("split-foreach", "split-parallel")
_SWITCH = "split-switch"


@attrs.frozen
class Graph:
    """Steps of a flow and what follows what, from artifact `_graph_info`."""

    steps: Mapping[str, Mapping[str, Any]]
    start: str = "start"
    end: str = "end"

    @classmethod
    def of_artifact(cls, value: object) -> Graph | None:
        """Return the graph in the value of `_graph_info`; None if it is something else."""
        if not isinstance(value, dict) or not isinstance(value.get("steps"), dict):
            return None
        steps = {name: node for name, node in value["steps"].items() if isinstance(node, dict)}
        return cls(steps, value.get("start_step") or "start", value.get("end_step") or "end")

    def after(self, step: str) -> list[str]:
        """Return the steps that `step` may go to."""
        return list(self.steps.get(step, {}).get("next") or ())

    def before(self, step: str) -> list[str]:
        """Return the steps that may go to `step`."""
        return [name for name in self.steps if step in self.after(name)]

    def type_of(self, step: str) -> str:
        """Return Metaflow's type of a step: `linear`, `split-foreach`, `join`, …"""
        return str(self.steps.get(step, {}).get("type", ""))

    def joins_foreach(self, step: str) -> bool:
        """Tell whether `step` is the join of a foreach, rather than of branches."""
        if self.type_of(step) != "join":
            return False
        splits = [node for node in self.steps.values() if node.get("matching_join") == step]
        if splits:
            return any(node.get("type") in _FOREACH for node in splits)
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
                graph = Graph.of_artifact(scope.client.plain(record, scope.provider))
            except DatastoreError:
                continue  # the other place may still have it
            if graph is not None:
                return graph
    return None


def parents_of(task: Task) -> Iterator[Record]:
    """Yield the tasks whose results `task` took in, step by step, newest first."""
    scope, path = task._scope, task._record.path
    graph = graph_of(scope, path.up(Level.RUN), path)
    if graph is None:
        return
    step = path.components[2]
    mine = _Position.of(task)
    for name in graph.before(step):
        neighbours = path.up(Level.RUN).child(name)
        for other in _related(scope, neighbours, _above(graph, name, step, mine.foreach)):
            if _passed(scope, graph, (name, step), (other.path, path), mine.iteration, upward=True):
                yield other


def children_of(task: Task) -> Iterator[Record]:
    """Yield the tasks that took in the results of `task`, as `parents_of` does."""
    scope, path = task._scope, task._record.path
    graph = graph_of(scope, path.up(Level.RUN), path)
    if graph is None:
        return
    step = path.components[2]
    mine = _Position.of(task)
    for name in graph.after(step):
        neighbours = path.up(Level.RUN).child(name)
        for other in _related(scope, neighbours, _below(graph, step, name, mine.foreach)):
            if _passed(scope, graph, (step, name), (path, other.path), mine.iteration, upward=False):
                yield other


@attrs.frozen
class _Position:
    """Where a task stands: its foreach path, and a way to learn its turn in a recursive step."""

    foreach: str
    iteration: Callable[[], int | None]

    @classmethod
    def of(cls, task: Task) -> _Position:
        found = task._fields((PATH_FIELD,)).get(PATH_FIELD)
        scope, path = task._scope, task._record.path
        return cls(str(found or ""), lambda: _iteration(scope, path))


def _above(graph: Graph, parent: str, step: str, mine: str) -> Callable[[str], bool] | None:
    """Return the test for a parent's foreach path; None if every task of the step is one."""
    if graph.joins_foreach(step):
        return _deeper(mine)
    if graph.type_of(parent) in _FOREACH:
        return _equal(mine.rpartition(",")[0])
    return _equal(mine)


def _below(graph: Graph, step: str, child: str, mine: str) -> Callable[[str], bool] | None:
    """Return the test for a child's foreach path; None if every task of the step is one."""
    if graph.type_of(step) in _FOREACH:
        return _deeper(mine)
    if graph.joins_foreach(child):
        return _equal(mine.rpartition(",")[0])
    return _equal(mine)


def _deeper(mine: str) -> Callable[[str], bool] | None:
    return (lambda path: path.rpartition(",")[0] == mine) if mine else None


def _equal(mine: str) -> Callable[[str], bool] | None:
    return (lambda path: path == mine) if mine else None


def _related(
    scope: Scope, step: Pathspec, test: Callable[[str], bool] | None
) -> Iterator[Record]:
    tasks = scope.provider.children(step, Query())
    if test is None:
        yield from tasks
        return
    paths = field_by_task(scope, step, PATH_FIELD)
    for task in tasks:
        # A task that recorded no path (Metaflow before 2.16) may be any.
        if task.path not in paths or test(str(paths[task.path])):
            yield task


def _passed(
    scope: Scope,
    graph: Graph,
    steps: tuple[str, str],
    tasks: tuple[Pathspec, Pathspec],
    my_iteration: Callable[[], int | None],
    *,
    upward: bool,
) -> bool:
    """Tell whether results went from the first to the second task, where the graph alone cannot.

    After a switch only the step that was chosen follows; a recursive step passes from one turn
    to the next.
    """
    (above, below), (parent, child) = steps, tasks
    if graph.type_of(above) == _SWITCH and not _chose(scope, parent, below):
        return False
    if below not in graph.after(below):
        return True
    turn = my_iteration() if upward else _iteration(scope, child)
    if above != below:
        return turn in (None, 0)
    before = _iteration(scope, parent) if upward else my_iteration()
    return turn is None or before is None or turn == before + 1


def _chose(scope: Scope, switch: Pathspec, step: str) -> bool:
    """Tell whether a switch task went on to `step`; if it recorded nothing, it may have."""
    transition = _internal(scope, switch, "_transition")
    taken = transition[0] if isinstance(transition, tuple) and transition else None
    return not isinstance(taken, list) or step in taken


def _iteration(scope: Scope, task: Pathspec) -> int | None:
    stack = _internal(scope, task, "_iteration_stack")
    return stack[-1] if isinstance(stack, list) and stack else None


def _internal(scope: Scope, task: Pathspec, name: str) -> object:
    record = scope.provider.get(task.child(name))
    if not isinstance(record, ArtifactRecord):
        return None
    try:
        return scope.client.plain(record, scope.provider)
    except DatastoreError:
        return None


