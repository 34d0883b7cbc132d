"""The graph of a run as its tasks recorded it, and which tasks are parents and children."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from mfc._objects._metadata import ORIGIN_RUN, field_by_task, origin_name
from mfc._scope import Scope
from mfc.errors import DatastoreError
from mfc.model import ArtifactRecord, Level, Pathspec, Record, is_name, whole_number
from mfc.query import Query

if TYPE_CHECKING:
    from mfc._objects._task import Task

#: Metadata field: the position in each foreach around a task, `stepA:3,stepB:0`.
PATH_FIELD = "foreach-execution-path"
_FOREACH = ("split-foreach", "split-parallel")
_SWITCH = "split-switch"
#: Attempts that Metaflow makes only to record what `catch` caught.
_FALLBACKS = 3
#: A decorator whose tasks Metaflow never tries again.
_NEVER_AGAIN = "parallel"
#: Metaflow's decorators of steps but for `catch`.
_CATCH_NOTHING = frozenset((
    "timeout", "environment", "secrets", "parallel", "retry", "resources", "batch", "kubernetes",
    "argo_workflows_internal", "step_functions_internal", "airflow_internal",
    "unbounded_test_foreach_internal", "card", "pytorch_parallel", "pypi", "conda",
))  # fmt: skip


class _Node(NamedTuple):
    """One step of a graph, with Metaflow's fields."""

    next: tuple[str, ...] = ()
    type: str = ""
    matching_join: str | None = None
    #: Names of the decorators; None if they are not recorded.
    decorators: frozenset[str] | None = None
    #: How often `retry` tries again, and how many minutes later.
    retry: tuple[int, int] = (0, 0)

    @classmethod
    def of_artifact(cls, node: dict[Any, Any]) -> _Node:
        """Return what is usable of an entry of `_graph_info`: names lead nowhere else."""
        after = node.get("next")
        names = tuple(filter(is_name, after)) if isinstance(after, (list, tuple)) else ()
        return cls(
            names,
            _text(node.get("type")) or "",
            _text(node.get("matching_join")),
            _decorators(node.get("decorators")),
            _retry(node.get("decorators")),
        )


_NO_NODE = _Node()


def _decorators(noted: object) -> frozenset[str] | None:
    if not isinstance(noted, list) or not all(isinstance(entry, dict) for entry in noted):
        return None
    names = [_text(entry.get("name")) for entry in noted]
    return frozenset(name for name in names if name is not None) if all(names) else None


def _retry(noted: object) -> tuple[int, int]:
    for entry in noted if isinstance(noted, list) else ():
        if isinstance(entry, dict) and entry.get("name") == "retry":
            given = entry.get("attributes")
            if isinstance(given, dict):
                times = whole_number(given.get("times"))
                return times or 0, whole_number(given.get("minutes_between_retries")) or 0
    return 0, 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class Graph(NamedTuple):
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

    def cannot_catch(self, step: str) -> bool:
        """Tell whether no decorator of a step can turn its exceptions into a success.

        Of decorators that are not Metaflow's own, nobody knows.
        """
        decorators = self.steps.get(step, _NO_NODE).decorators
        return decorators is not None and decorators <= _CATCH_NOTHING

    def retry_of(self, step: str) -> tuple[int, int]:
        """Return how often a step is tried again, and how many minutes later."""
        node = self.steps.get(step, _NO_NODE)
        return (0, 0) if _NEVER_AGAIN in (node.decorators or ()) else node.retry

    def fallbacks_of(self, step: str) -> int:
        """Return how many more attempts `catch` makes of a step that failed from the outside."""
        return _FALLBACKS if "catch" in (self.steps.get(step, _NO_NODE).decorators or ()) else 0

    def joins_foreach(self, step: str) -> bool:
        """Tell whether `step` is the join of a foreach, rather than of branches."""
        if self.type_of(step) != "join":
            return False
        splits = [node for node in self.steps.values() if node.matching_join == step]
        if splits:
            return any(node.type in _FOREACH for node in splits)
        return len(self.before(step)) == 1  # recorded before matching_join was


def graph_of(scope: Scope, *places: Pathspec) -> Graph | None:
    """Return the graph of a run, from the first of these tasks or steps that has it.

    None where it was not recorded (flows of Metaflow before 2.5).
    """
    for path in places:
        for record in scope.provider.artifacts(path, ("_graph_info",)):
            graph = graph_in(scope, record)
            if graph is not None:
                return graph
    return None


def graph_in(scope: Scope, record: ArtifactRecord) -> Graph | None:
    """Return the graph that an artifact `_graph_info` holds; None if it cannot be read."""
    try:
        return Graph.of_artifact(scope.reader.plain(record, scope.provider))
    except DatastoreError:
        return None


def parameters_of(path: Pathspec) -> Pathspec:
    """Return the step that has the parameters of the run above `path`."""
    return path.up(Level.RUN).child("_parameters")


def parents_of(task: Task) -> Iterator[Record]:
    """Yield the tasks whose results `task` took in, step by step, newest first."""
    lineage = _Lineage.of(task)
    return iter(()) if lineage is None else lineage.parents()


def children_of(task: Task) -> Iterator[Record]:
    """Yield the tasks that took in the results of `task`, step by step, newest first."""
    lineage = _Lineage.of(task)
    return iter(()) if lineage is None else lineage.children()


#: Matches the foreach paths that fit; None if every one does.
_Fitting: TypeAlias = "str | None"


class _Lineage:
    """Where one task stands in the graph, and who stands around it.

    Args:
        scope: where it is.
        graph: of its run.
        task: its path.
        position: of the task in each foreach around it; empty outside of any.
        resumed: the run resumes another one: what was cloned has its position in its origin's
            metadata.
    """

    def __init__(
        self, scope: Scope, graph: Graph, task: Pathspec, position: str, *, resumed: bool
    ) -> None:
        self._scope, self._graph, self._task = scope, graph, task
        self._position, self._resumed = position, resumed

    @classmethod
    def of(cls, task: Task) -> _Lineage | None:
        """Return the lineage of `task`; None where no graph was recorded."""
        path = task._record.path
        graph = graph_of(task._scope, path, parameters_of(path))
        if graph is None:
            return None
        fields = task._fields((PATH_FIELD,))
        cloned = origin_name(fields.get(ORIGIN_RUN)) is not None
        return cls(task._scope, graph, path, str(fields.get(PATH_FIELD) or ""), resumed=cloned)

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

    def _deeper(self) -> _Fitting:
        """Accept positions in a foreach inside of ours."""
        return f"{re.escape(self._position)},[^,]*" if self._position else None

    def _equal(self, *, outer: bool) -> _Fitting:
        """Accept our own position, or the one that the innermost foreach around us is in."""
        mine = self._position.rpartition(",")[0] if outer else self._position
        return re.escape(mine) or None

    def _tasks(self, step: str, fitting: _Fitting) -> Iterator[Record]:
        path, provider = self._task.up(Level.RUN).child(step), self._scope.provider
        if fitting is None:
            yield from provider.children(path, Query())
            return
        # All tasks of a run record their position, or none does: one Metaflow made them.
        if provider.capabilities.full("metadata") and not self._resumed:
            yield from provider.children(path, Query(metadata=(PATH_FIELD, fitting)))
            return
        fits = re.compile(fitting).fullmatch
        positions = field_by_task(self._scope, path, PATH_FIELD)
        for task in provider.children(path, Query()):
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
