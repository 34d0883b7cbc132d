"""Tables as people see them: text for terminals, HTML for notebooks."""

from __future__ import annotations

import html

from mfc._facts._cells import Cells, cut, display, width
from mfc.errors import visible

#: Rows that are shown.
_MOST = 20
_NUMBERS = ("int", "float", "timedelta")


def text(table: Cells) -> str:
    """Return a table as lines: columns are aligned, numbers to the right."""
    header = [cut(visible(name)) for name in table.columns]
    body = [[cut(display(cell)) for cell in row] for row in table.rows[:_MOST]]
    right = [kind in _NUMBERS for kind in table.types.values()]
    widths = [max(map(width, column)) for column in zip(header, *body, strict=True)]
    lines = [
        "  ".join(map(_padded, line, widths, right)).rstrip()
        for line in (header, ["-" * each for each in widths], *body)
    ]
    return "\n".join([*lines, *([_rest(table)] if _rest(table) else [])])


def html_text(table: Cells) -> str:
    """Return a table as HTML; all text is escaped."""
    right = [' style="text-align: right"' * (kind in _NUMBERS) for kind in table.types.values()]
    header = "".join(f"<th>{html.escape(visible(name))}</th>" for name in table.columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{style}>{html.escape(display(cell))}</td>"
            for style, cell in zip(right, row, strict=True)
        )
        + "</tr>"
        for row in table.rows[:_MOST]
    )
    rest = f"<p>{_rest(table)}</p>" if _rest(table) else ""
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _rest(table: Cells) -> str:
    """Return the line below a table: how many more rows it has, or that it is empty."""
    more = len(table) - _MOST
    if more > 0:
        return f"… {more} more row{'s' if more > 1 else ''}"
    return "" if len(table) else "0 rows"


def _padded(shown: str, size: int, right: bool) -> str:  # noqa: FBT001 - an element of a column
    space = " " * (size - width(shown))
    return f"{space}{shown}" if right else f"{shown}{space}"
