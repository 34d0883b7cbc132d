"""Listings: page by page where the service can, otherwise as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mfc.errors import Unanswered
from mfc.model import Pathspec
from mfc_service._connection import Answer, Connection, excerpt
from mfc_service._rows import Row, location, serial

#: Factor by which pages grow up to full ones.
_GROWTH = 8
#: Consecutive pages without a new object that are accepted: objects move while others write.
_STALE = 3


def listed(
    connection: Connection,
    path: Pathspec,
    what: str,
    params: Mapping[str, str] | None = None,
    first: int | None = None,
) -> Iterator[Row]:
    """Yield the objects of a listing below `path`, newest first, each once.

    Nothing is yielded if the object is missing. A service without pages answers with the whole
    listing, which is then sorted here; `params` had no effect.

    Args:
        connection: to the service.
        path: of the object that has the listing.
        what: the listing, as its URL ends.
        params: the selection; repeated for each page, as the service requires.
        first: objects of the first page; later ones are larger. None: full pages. 0: the listing
            has no pages.

    Raises:
        Unanswered: the answer is not a listing, or the pages never end.
    """
    where = location(path)
    if where is None:
        return
    size = min(first or connection.page_size, connection.page_size)
    asked = dict(params or {}) if first == 0 else {**(params or {}), "_limit": str(size)}
    cursors: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    stale = 0
    while True:
        answer = connection.get(f"{where}/{what}", asked)
        if answer.lacks(path) and not cursors:
            return
        rows = _rows_of(answer)
        if not answer.paged:
            rows.sort(key=serial, reverse=True)
        following = answer.headers.get("X-Next-Cursor") if answer.paged else None
        if following is None and not cursors:
            yield from rows
            return
        # Pages may shift while others write: each object is given once.
        known = len(seen)
        yield from (row for row in rows if _new(row, seen))
        if following is None:
            return
        stale = 0 if len(seen) > known else stale + 1
        if following in cursors or stale == _STALE:
            raise Unanswered(answer.question, "the service repeats the same page for ever")
        cursors.add(following)
        size = min(size * _GROWTH, connection.page_size)
        asked = {**asked, "_limit": str(size), "_cursor": following}


def _rows_of(answer: Answer) -> list[Row]:
    rows: list[Row] = answer.document(list)
    if not all(isinstance(row, dict) for row in rows):
        reason = f"expected a list of objects, got {excerpt(answer.body)!r}"
        raise Unanswered(answer.question, reason)
    return rows


def _new(row: Row, seen: set[tuple[str, ...]]) -> bool:
    # The name as text: an invalid row is reported when it becomes a record.
    key = tuple(
        str(row.get(name))
        for name in ("flow_id", "run_number", "step_name", "task_id", "name", "attempt_id", "id")
    )
    if key in seen:
        return False
    seen.add(key)
    return True
