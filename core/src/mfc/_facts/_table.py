"""Table: rows and typed columns, as a frozen value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

import attrs

from mfc._facts._cells import same, type_of
from mfc.errors import BadArgument

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


def _frozen(rows: Iterable[Iterable[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, rows))


def _checked(table: Table, _: object, rows: tuple[tuple[Any, ...], ...]) -> None:
    columns = table.columns
    if len(set(columns)) < len(columns):
        raise BadArgument.of("columns", columns, "each name once")
    if any(len(row) != len(columns) for row in rows):
        raise BadArgument("rows have another number of cells than there are columns")


def _types(table: Table) -> tuple[str, ...]:
    return tuple(type_of(row[at] for row in table.rows) for at in range(len(table.columns)))


@attrs.frozen(eq=False, repr=False)
class Table:
    """Rows and typed columns, as `mfc.table` gives them; it shows itself as text and as HTML.

    `len` is the number of rows, and iterating gives each row as a dict. Tables are equal if their
    columns and cells are.
    """

    #: Names of the columns, in the order asked for.
    columns: tuple[str, ...]
    #: The cells of each row, in the order of the columns. None is a missing value.
    rows: tuple[tuple[Any, ...], ...] = attrs.field(converter=_frozen, validator=_checked)
    _kinds: tuple[str, ...] = attrs.field(
        init=False, default=attrs.Factory(_types, takes_self=True)
    )

    @property
    def types(self) -> dict[str, str]:
        """The type of each column: what all of its cells are that are not missing.

        `bool`, `int` (64 bits), `float` (whole numbers among them if floats hold them exactly),
        `str`, `bytes`, `datetime` (with a time zone), `naive datetime`, `date`, `timedelta`,
        `list[str]`; `object` for anything else and for mixed types; `empty` without a value.
        """
        return dict(zip(self.columns, self._kinds, strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict from column to cell."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        if self.columns != other.columns or len(self) != len(other):
            return False
        pairs = zip(self.rows, other.rows, strict=True)
        return all(all(map(same, mine, theirs)) for mine, theirs in pairs)

    def __hash__(self) -> int:
        return hash((self.columns, len(self.rows)))  # cells may have no hash

    # Elsewhere

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each row as a dict from column to cell."""
        return list(self)

    def to_csv(
        self, target: str | os.PathLike[str] | TextIO | None = None, *, guard: bool = True
    ) -> str | None:
        """Write the table as CSV with a header, in UTF-8, quoted as RFC 4180 says.

        Missing values are empty, times are ISO 8601, durations are seconds, lists and mappings are
        JSON, exceptions and other objects are as errors show them.

        Args:
            target: a path, which is replaced; a text file; None returns the text.
            guard: text that a spreadsheet would run as a formula, because it begins with `=`, `+`,
                `-`, `@`, a tab or a carriage return, gets an apostrophe before it; numbers stay.
                False writes all text as it is, for readers that are no spreadsheets.

        Raises:
            BadArgument: `target` is none of these.
            OSError: the file cannot be written.
        """
        from mfc._facts._export import to_csv  # few tables are written

        return to_csv(self, target, guard=guard)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas DataFrame.

        Whole numbers and truths with missing values are `Int64` and `boolean`, text is `string`,
        times are UTC; objects are as they are.

        Raises:
            MissingLibrary: pandas is not installed.
        """
        from mfc._facts._export import to_pandas  # as above

        return to_pandas(self)

    def to_arrow(self) -> pa.Table:
        """Return a pyarrow Table.

        Times are UTC in microseconds. Objects are text as in `to_csv`, and the metadata of such
        a field says `mfc.type: object`.

        Raises:
            MissingLibrary: pyarrow is not installed.
        """
        from mfc._facts._export import to_arrow  # as above

        return to_arrow(self)

    def to_polars(self) -> pl.DataFrame:
        """Return a polars DataFrame: columns as in `to_arrow`, objects as text.

        Raises:
            MissingLibrary: polars is not installed.
        """
        from mfc._facts._export import to_polars  # as above

        return to_polars(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the table to libraries that take Arrow's stream of record batches.

        Raises:
            MissingLibrary: pyarrow is not installed.
        """
        stream: object = self.to_arrow().__arrow_c_stream__(requested_schema)
        return stream

    # Shown

    def __repr__(self) -> str:
        from mfc._facts._show import text  # as above

        return text(self)

    def _repr_html_(self) -> str:
        from mfc._facts._show import html_text  # as above

        return html_text(self)


Table.__module__ = "mfc"  # where users import it from
