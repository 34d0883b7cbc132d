"""The columns that a table can have."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from mfc.errors import BadArgument
from mfc.model import Level, is_name

_ALL = (
    "id", "pathspec", "flow", "user", "created_at", "finished_at",
    "tags", "user_tags", "system_tags",
)  # fmt: skip
_ENDS = ("status", "status_reason", "successful", "finished", "duration")
#: The attributes that are columns, by the level of the rows.
ATTRIBUTES = {
    Level.RUN: (*_ALL, *_ENDS),
    Level.STEP: (*_ALL, "run"),
    Level.TASK: (*_ALL, *_ENDS, "run", "step", "index", "current_attempt"),
}
#: The columns of a table that was asked for none.
DEFAULTS = {
    Level.RUN: ("pathspec", "status", "user", "created_at", "finished_at", "user_tags"),
    Level.STEP: ("pathspec", "created_at", "finished_at"),
    Level.TASK: ("pathspec", "status", "index", "created_at", "finished_at"),
}
#: What comes before the names of other columns.
_KINDS = ("param", "data", "meta")
_EXPECTED = "an attribute such as 'status', an artifact's name, 'data.x', 'param.x' or 'meta.x'"


class Column(NamedTuple):
    """A column: its source and the name there."""

    #: `attribute`, `param`, `data` or `meta`.
    kind: str
    name: str


@attrs.frozen
class Plan:
    """What is read for each row of a table."""

    level: Level
    #: Names of the columns, as they were given.
    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, names: tuple[str, ...], level: Level) -> Plan:
        """Return the plan for columns, or for the usual ones.

        Args:
            names: as users give them.
            level: of the rows: run, step or task.

        Raises:
            BadArgument: a name cannot be a column of such rows, or is given twice.
        """
        names = names or DEFAULTS[level]
        for name in names:
            if names.count(name) > 1:
                raise BadArgument.of("columns", name, "each column once")
        return cls(level, names, tuple(_column(name, level) for name in names))

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the names of one source, each once."""
        return tuple(dict.fromkeys(name for k, name in self.columns if k == kind))

    def has(self, *attributes: str) -> bool:
        """Tell whether one of these attributes is a column."""
        return any(Column("attribute", name) in self.columns for name in attributes)


def _column(given: str, level: Level) -> Column:
    kind, dot, name = given.partition(".")
    if not dot or kind not in _KINDS:
        kind, name = "attribute" if given in ATTRIBUTES[level] else "data", given
    if not is_name(name):
        raise BadArgument.of("columns", given, _EXPECTED)
    if level is Level.STEP and kind in ("data", "meta"):
        known = ", ".join(map(repr, ATTRIBUTES[level]))
        expected = f"for steps {known} or 'param.x'; table(step, …) has rows of its tasks"
        raise BadArgument.of("columns", given, expected)
    return Column(kind, name)
