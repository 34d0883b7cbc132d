"""Listings: page by page where the service can, as a whole where it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mfc.errors import UnreadableRecord
from mfc.model import Level
from mfc_service._connection import Answer, Connection, refusal
from mfc_service._rows import Row, serial

#: A page behind which everything is asked at once: by what factor pages grow up to full ones.
_GROWTH = 8


def rows_of(answer: Answer) -> list[Row]:
    """Return the objects of a listing.

    Raises:
        UnreadableRecord: the answer is no listing.
    """
    if answer.status != 200:
        raise refusal(answer)
    found = answer.json
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UnreadableRecord(answer.question, f"expected a list of objects, got {found!r:.80}")
    return found


def pages(
    connection: Connection,
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    level: Level,
    first: int | None = None,
) -> Iterator[list[Row]]:
    """Yield the objects of a listing, newest first, each once.

    A service that understands no pages answers with everything; that is then sorted here, and
    `params` had no effect.

    Args:
        connection: to the service.
        path: of the listing, encoded.
        params: what to select; repeated for each page, as the service wants it.
        level: of the objects.
        first: objects of the first page; later ones are larger. None: full pages.

    Raises:
        UnreadableRecord: no listing, or pages that never end.
    """
    size = min(first or connection.page_size, connection.page_size)
    cursors: set[str] = set()
    seen: set[tuple[Any, ...]] = set()
    cursor: str | None = None
    while True:
        asked = {**(params or {}), "_limit": str(size)}
        if cursor is not None:
            asked["_cursor"] = cursor
        answer = connection.get(path, asked)
        rows = rows_of(answer)
        if not answer.paged:
            rows.sort(key=lambda row: serial(row, level), reverse=True)
        following = answer.headers.get("X-Next-Cursor")
        if following is not None or cursor is not None:
            # Pages may shift while others write: nothing is given twice.
            rows = [row for row in rows if _new(row, seen)]
        yield rows
        if following is None or not answer.paged:
            return
        if following in cursors:
            raise UnreadableRecord(
                answer.question, "the service gives the same page again and again"
            )
        cursors.add(following)
        cursor = following
        size = min(size * _GROWTH, connection.page_size)


def _new(row: Row, seen: set[tuple[Any, ...]]) -> bool:
    key = tuple(
        row.get(name)
        for name in ("flow_id", "run_number", "step_name", "task_id", "name", "attempt_id", "id")
    )
    if key in seen:
        return False
    seen.add(key)
    return True
