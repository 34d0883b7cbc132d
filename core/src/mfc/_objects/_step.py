"""Step: all tasks of one step of a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mfc._arguments import texts
from mfc._objects._artifact import DataArtifact, artifacts_below
from mfc._objects._listing import Listing
from mfc._objects._object import MetaflowObject
from mfc._objects._tabling import Rows
from mfc._objects._task import Task
from mfc._recorded._graph import Graph, graph_of, parameters_of
from mfc._recorded._lineage import graph_around
from mfc._recorded._object import Recorded
from mfc._recorded._task import end_of_step
from mfc._recorded._times import local_time
from mfc.errors import UnreadableRecord
from mfc.model import Level
from mfc.query import Query

if TYPE_CHECKING:
    from mfc._objects._run import Run

_CONTROL, _PARAMETERS = "control_task", "_parameters"


def _is_control(task: Task) -> bool:
    noted = (entry.value for entry in task.metadata if entry.name == "internal_task_type")
    return _CONTROL in task.tags or _CONTROL in noted


class Step(MetaflowObject):
    """One step of a run. `Step("Flow/7/train")`; iterating gives its tasks, newest first."""

    __slots__ = ()
    _level = Level.STEP
    _child_class = Task
    if TYPE_CHECKING:
        parent: Run

    @classmethod
    def _above(cls) -> type[Run]:
        from mfc._objects._run import Run  # it imports this module

        return Run

    @property
    def _recorded(self) -> Recorded:
        """What was recorded."""
        return Recorded(self._scope, self._record)

    def __iter__(self) -> Iterator[Task]:
        """Yield the tasks, newest first."""
        return self._children(hidden=True)

    def __getitem__(self, name: str) -> Task:
        """Return the task with this id.

        Raises:
            ChildNotFound: the task does not exist; a KeyError.
        """
        found: Task = super().__getitem__(name)
        return found

    @property
    def task(self) -> Task | None:
        """The newest task; the only one, unless the step is in a foreach."""
        return next(self._listed(self._child_records(Query(limit=1))), None)

    def tasks(self, *tags: str) -> Rows[Task]:
        """Return an iterator over the tasks, newest first, if the run has all of `tags`.

        `.table(…)` of it is a table of them; see `mfc.table`.
        """
        wanted = texts("tags", tags)
        found = (task for task in self if task.tags.issuperset(wanted))
        return Rows(found, f"tasks of {self.pathspec}", self._scope, Level.TASK)

    def artifacts(self, *names: str) -> Iterator[DataArtifact]:
        """Yield the artifacts of all tasks, newest task first; pass them to `load` for the values.

        When a loop reads their `.data` one after the other, the next artifacts of the same name
        are prefetched, where that saves time.

        Args:
            names: names of artifacts, in this order; by default all that do not begin with `_`.
                Missing artifacts are skipped.
        """
        wanted = texts("names", names)
        described = f"artifacts of {self.pathspec}: {', '.join(wanted) or 'all'}"
        return Listing(artifacts_below(self, self, wanted), described, self._scope)

    @property
    def control_task(self) -> Task | None:
        """The control task of a `@parallel` or unbounded step; None for other steps."""
        return next(self.control_tasks(), None)

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """Yield the control tasks, newest first, if the run has all of `tags`."""
        return filter(_is_control, self.tasks(*tags))

    @property
    def finished_at(self) -> datetime | None:
        """Time when the last of the tasks ended: naive, local time.

        None while a task has not ended.

        Raises:
            NoTasks: the step has no tasks; a ValueError, as in Metaflow.
        """
        newest = end_of_step(self._scope, self._record.path)
        return None if newest is None else local_time(newest)

    @property
    def environment_info(self) -> Any:
        """The recorded environment of the newest task; see `Task.environment_info`."""
        task = self.task
        return task.environment_info if task else None

    @property
    def origin_pathspec(self) -> str | None:
        """The same step in the run that its run resumes; None without one."""
        origin = self.parent.origin_pathspec
        return f"{origin}/{self.id}" if origin else None

    @property
    def parent_steps(self) -> Iterator[Step]:
        """The existing steps before this one; branches that were not taken do not exist.

        Raises:
            UnreadableRecord: the records do not show the graph.
        """
        graph = self._graph()
        if self.id in (_PARAMETERS, graph.start):
            return
        if graph.may_lack(self.id):
            reason = "its run recorded no graph, nor what led to it"
            raise UnreadableRecord(f"parents of {self}", reason)
        yield from self._existing(graph.before(self.id))

    @property
    def child_steps(self) -> Iterator[Step]:
        """The existing steps after this one (so far)."""
        graph = self._graph()
        if self.id != graph.end:
            yield from self._existing(graph.after(self.id))

    def _graph(self) -> Graph:
        path = self._record.path
        if (graph := graph_of(self._scope, parameters_of(path))) is not None:
            return graph
        task = self.task
        return graph_around(self._scope, path.parent, task._record.path if task else None)

    def _existing(self, names: list[str]) -> Iterator[Step]:
        run, scope = self._record.path.parent, self._scope.unchecked()
        steps = {r.path.name: r for r in scope.provider.children(run, Query(names=names))}
        for name in names:
            if name in steps:
                yield Step._of(scope, steps[name])
