"""The graph of a run as its tasks recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mfc._session._scope import Scope
from mfc.errors import DatastoreError
from mfc.model import ArtifactRecord, Level, Pathspec, is_name, whole_number
from mfc.query import Query

#: The artifact that holds it.
GRAPH = "_graph_info"
#: Its key in the notes of a listing.
_NOTE = "graph"
FOREACH = ("split-foreach", "split-parallel")
SWITCH = "split-switch"
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
    """The steps of a flow and their order, from artifact `_graph_info`."""

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

    def below(self, step: str) -> set[str]:
        """Return the steps that a way leads to from `step`."""
        found, left = set[str](), self.after(step)
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self.after(name)
        return found

    def may_lack(self, step: str) -> bool:
        """Tell whether steps may lead to `step` of which this graph does not know it."""
        if step == self.start or self.before(step):
            return False
        return any(other not in (step, "_parameters") for other in self.steps)

    def type_of(self, step: str) -> str:
        """Return what Metaflow calls a step: `linear`, `split-foreach`, `join` and so on."""
        return self.steps.get(step, _NO_NODE).type

    def cannot_catch(self, step: str) -> bool:
        """Tell whether no decorator of a step can turn its exceptions into a success.

        Decorators that are not Metaflow's own might.
        """
        decorators = self.steps.get(step, _NO_NODE).decorators
        return decorators is not None and decorators <= _CATCH_NOTHING

    def tries_once(self, step: str) -> bool:
        """Tell whether every task of a step has one attempt, as no decorator asks for more."""
        decorators = self.steps.get(step, _NO_NODE).decorators
        return decorators is not None and decorators <= _CATCH_NOTHING - {"retry"}

    def retry_of(self, step: str) -> tuple[int, int]:
        """Return how often a step is tried again, and how many minutes later."""
        node = self.steps.get(step, _NO_NODE)
        return (0, 0) if _NEVER_AGAIN in (node.decorators or ()) else node.retry

    def last_attempt(self, step: str) -> int | None:
        """Return the number of the attempt after which a step is not tried again.

        None where decorators that are not Metaflow's own may ask for more.
        """
        decorators = self.steps.get(step, _NO_NODE).decorators
        if decorators is None or not decorators <= _CATCH_NOTHING | {"catch"}:
            return None
        return self.retry_of(step)[0] + self.fallbacks_of(step)

    def fallbacks_of(self, step: str) -> int:
        """Return how many more attempts `catch` makes of a step that failed from the outside."""
        return _FALLBACKS if "catch" in (self.steps.get(step, _NO_NODE).decorators or ()) else 0

    def joins_foreach(self, step: str) -> bool:
        """Tell whether `step` is the join of a foreach, rather than of branches."""
        if self.type_of(step) != "join":
            return False
        splits = [node for node in self.steps.values() if node.matching_join == step]
        if splits:
            return any(node.type in FOREACH for node in splits)
        return len(self.before(step)) == 1  # recorded before matching_join was

    def depth_of(self, step: str) -> int | None:
        """Return how many foreaches are around a step; None if the graph does not tell."""
        depth, seen = 0, {step}
        while step != self.start:
            before = next((name for name in self.before(step) if name not in seen), None)
            if before is None:
                return None
            depth += (self.type_of(before) in FOREACH) - self.joins_foreach(step)
            seen.add(before)
            step = before
        return depth


def graph_noted(scope: Scope, path: Pathspec, notes: dict[str, Any]) -> Graph | None:
    """Return the graph of the run above `path`; the objects of a listing ask for it once.

    Args:
        scope: where it is read.
        path: of a task or step.
        notes: of the listing. One of its tasks may have told where the graph is.
    """
    if _NOTE not in notes:
        places = [path] if path.level is Level.TASK else []
        notes[_NOTE] = graph_told(scope, notes) or graph_of(scope, *places, parameters_of(path))
    graph: Graph | None = notes[_NOTE]
    return graph


def graph_told(scope: Scope, notes: dict[str, Any]) -> Graph | None:
    """Return the graph if an object of the listing has found it already, else None."""
    if _NOTE not in notes and GRAPH in notes:
        notes[_NOTE] = graph_in(scope, notes[GRAPH])
    graph: Graph | None = notes.get(_NOTE)
    return graph


def graph_of(scope: Scope, *places: Pathspec) -> Graph | None:
    """Return the graph of a run, from the first of these tasks or steps that has it.

    None where it was not recorded (Metaflow before 2.4).
    """
    for path in places:
        for record in scope.provider.artifacts(path, (GRAPH,)):
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


def graph_by_tasks(scope: Scope, run: Pathspec) -> Graph:
    """Return the graph of a run that did not record it, by what its tasks did.

    A task that went well says in `_transition` which steps follow, and by a foreach over what, and
    in `_foreach_stack` how many foreaches are around it. Steps that follow one that has not ended
    are missing.
    """
    steps: dict[str, _Node] = {}
    depths: dict[str, int] = {}
    for step in reversed(list(scope.provider.children(run, Query()))):  # in the order of the run
        name = step.path.name
        steps[name] = _NO_NODE
        for task in scope.provider.children(step.path, Query()):
            if internal(scope, task.path, "_task_ok") is True:
                after, foreach = _transition(internal(scope, task.path, "_transition"))
                kind = FOREACH[0] if foreach else "linear" if len(after) == 1 else "split-static"
                steps[name] = _Node(after, kind if after else "end")
                stack = internal(scope, task.path, "_foreach_stack")
                depths[name] = len(stack) if isinstance(stack, list) else 0
                break
    for name, node in steps.items():
        before = [other for other in steps if name in steps[other].next]
        leaves = any(depths.get(name, 0) < depths.get(other, 0) for other in before)
        if (len(before) > 1 or leaves) and node.type == "linear":
            steps[name] = node._replace(type="join")
    return Graph(steps)


def _transition(value: object) -> tuple[tuple[str, ...], bool]:
    """Return the steps that follow, and whether by a foreach, of what a task recorded."""
    if not isinstance(value, tuple) or not value or not isinstance(value[0], list):
        return (), False
    return tuple(filter(is_name, value[0])), len(value) > 1 and value[1] is not None


def internal(scope: Scope, task: Pathspec, name: str) -> object:
    """Return a value that Metaflow wrote for itself; None if it is missing or unreadable."""
    record = scope.provider.get(task.child(name))
    if not isinstance(record, ArtifactRecord):
        return None
    try:
        return scope.reader.plain(record, scope.provider)
    except DatastoreError:
        return None
