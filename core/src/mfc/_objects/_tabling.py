"""`mfc.table`: from objects of the Client API to tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mfc._arguments import members, one_of, texts
from mfc._objects._current import limits
from mfc._objects._listing import Listing
from mfc.errors import BadArgument
from mfc.model import Level

if TYPE_CHECKING:
    from mfc._bulk._load import TasksBelow
    from mfc._facts._table import Table
    from mfc._objects._object import MetaflowObject
    from mfc._recorded._object import Recorded
    from mfc._session._scope import Scope

T = TypeVar("T")

_LEVELS = (Level.RUN, Level.STEP, Level.TASK)
_EXPECTED = "runs, steps or tasks, or one Flow, Run or Step that stands for its runs or tasks"


class Rows(Listing[T]):
    """An iterator over runs or tasks, which can become the rows of a table.

    Args:
        found: the runs or tasks.
        described: what they are, for showing.
        scope: where they are looked for.
        level: which of both they are.
    """

    def __init__(self, found: Iterator[T], described: str, scope: Scope, level: Level) -> None:
        super().__init__(found, described, scope)
        self._level = level

    def table(self, *columns: str, errors: Literal["raise", "return"] = "raise") -> Table:
        """Return the objects that were not given out yet as a table; see `mfc.table`."""
        return table(self, columns, errors, self._level)


def table(
    items: Iterable[Any], columns: tuple[str, ...], errors: str, level: Level = Level.RUN
) -> Table:
    """Return the table of some objects; `mfc.table` documents the arguments.

    Args:
        items: the objects.
        columns: names.
        errors: `raise` or `return`.
        level: of the rows, if the first of the items cannot tell.
    """
    # Few readers make one.
    from mfc._facts._columns import Plan
    from mfc._facts._made import table_of

    names = tuple(texts("columns", columns, "names of columns"))
    returned = one_of("errors", errors, ("raise", "return")) == "return"
    level, found = _rows(items, level)
    return table_of(found, Plan.of(names, level), limits, returned=returned)


def _rows(items: Iterable[Any], level: Level) -> tuple[Level, Iterator[Recorded | TasksBelow]]:
    """Return the level of the rows, and what is recorded of each."""
    from mfc._objects._flow import Flow  # it imports this module, as those below do
    from mfc._objects._run import Run
    from mfc._objects._step import Step

    if isinstance(items, Flow):
        return Level.RUN, map(_recorded, items)
    if isinstance(items, Run):
        return Level.TASK, _tasks_of(items, items)
    if isinstance(items, Step):
        return Level.TASK, _tasks_of(items, (items,))
    given = members("items", items, _EXPECTED)
    first = list(itertools.islice(given, 1))
    level = _level_of(first[0]) if first else level
    return level, _of_level(itertools.chain(first, given), level)


def _tasks_of(
    above: MetaflowObject, steps: Iterable[Iterable[MetaflowObject]]
) -> Iterator[Recorded | TasksBelow]:
    from mfc._bulk._load import TasksBelow  # as above

    yield TasksBelow(above._scope, above._record.path)
    for step in steps:
        yield from map(_recorded, step)


def _of_level(items: Iterable[Any], level: Level) -> Iterator[Recorded | TasksBelow]:
    for item in items:
        if _level_of(item) is not level:
            raise BadArgument.of("an item", item, "all to be runs, all steps or all tasks")
        yield _recorded(item)


def _level_of(item: object) -> Level:
    from mfc._objects._object import MetaflowObject  # as above

    if not isinstance(item, MetaflowObject) or item._level not in _LEVELS:
        raise BadArgument.of("an item", item, _EXPECTED)
    return item._level


def _recorded(item: Any) -> Recorded:
    recorded: Recorded = item._recorded
    return recorded
