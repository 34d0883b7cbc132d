"""`mfc.load`: bulk reading for objects of the Client API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from mfc._arguments import members, one_of, texts
from mfc._bulk._load import ArtifactAt, Item, TaskAt, TasksBelow, values
from mfc._bulk._progress import Progress, reporter
from mfc._objects._artifact import DataArtifact
from mfc._objects._current import limits
from mfc._objects._run import Run
from mfc._objects._step import Step
from mfc._objects._task import Task
from mfc.errors import BadArgument

_EXPECTED = "tasks with names, load(step, 'x'), or artifacts, load(step.artifacts('x'))"


def load(
    items: Iterable[Any], names: tuple[str, ...], progress: Progress, errors: str
) -> Iterator[Any]:
    """Yield many values; `mfc.load` documents the arguments."""
    total = None
    if not isinstance(items, (Run, Step, Task, DataArtifact)):
        given, items = items, members("tasks_or_artifacts", items, _EXPECTED)
        total = len(given) if isinstance(given, Sized) else None
    texts("names", names, "the names of artifacts")
    returned = one_of("errors", errors, ("raise", "return")) == "return"
    failed = (lambda error: error) if returned else None
    reporting = reporter(progress, "values")

    def loaded() -> Iterator[Any]:
        found = _by_name(items) if names else _by_artifact(items)
        with reporting() as told:

            def tell(done: int) -> None:
                told(done, total)

            yield from values(found, names, limits, tell, failed=failed)

    return loaded()


def _by_name(items: Iterable[Any]) -> Iterator[Item]:
    """Yield the tasks whose artifacts are loaded by name; steps and runs stand for their tasks."""
    for item in (items,) if isinstance(items, (Run, Step, Task, DataArtifact)) else items:
        if isinstance(item, (Run, Step)):
            yield TasksBelow(item._scope, item._record.path)
            for step in item if isinstance(item, Run) else (item,):
                yield from map(_task_at, step)
        else:
            yield _task_at(item) if isinstance(item, Task) else _wrong(item)


def _by_artifact(items: Iterable[Any]) -> Iterator[Item]:
    """Yield the artifacts to load; a task stands for its artifacts."""
    for item in (items,) if isinstance(items, (Run, Step, DataArtifact)) else items:
        if isinstance(item, DataArtifact):
            yield ArtifactAt(item._scope, item._record)
        else:
            yield _wrong(item)


def _task_at(task: Task) -> TaskAt:
    return TaskAt(task._scope, task._record.path, task._attempt)


def _wrong(item: object) -> BadArgument:
    return BadArgument.of("an item", item, _EXPECTED)
