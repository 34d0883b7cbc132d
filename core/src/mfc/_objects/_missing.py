"""Hints for a missing object: the place that was searched, and similar names."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator

from mfc._session._scope import Scope
from mfc.errors import MetaflowException, shown
from mfc.model import Level, Pathspec, Record
from mfc.query import Query

#: Names compared, names listed where all differ too much, and characters shown of each.
_COMPARED, _LISTED, _LONGEST = 500, 5, 100


def hint(scope: Scope, path: Pathspec) -> str:
    """Return a sentence with the first missing level above `path` and names close to it.

    It reads metadata.
    """
    try:
        for level in (Level.FLOW, Level.RUN, Level.STEP, Level.TASK)[: path.level - 1]:
            above = path.up(level)
            if scope.provider.get(above) is None:
                name = f"{level.name.capitalize()}({str(above)!r})"
                return f"{name} does not exist either. {_meant(scope, above)}"
        return _meant(scope, path)
    except MetaflowException as unreadable:  # the object is missing in any case
        return f"What else is there cannot be read: {unreadable}"


def _meant(scope: Scope, path: Pathspec) -> str:
    place = str(path.parent) if path.level > Level.FLOW else scope.provider.address
    found = list(itertools.islice(_names(scope, path.parent, path.name), _COMPARED))
    if not found and path.level is Level.FLOW:
        return "It holds no results; metadata('ADDRESS') or Client('ADDRESS') reads from elsewhere"
    return _suggested(path.name, found, place)


def _names(scope: Scope, above: Pathspec, wanted: str) -> Iterator[str]:
    """Yield the names below `above`, newest first; hidden ones only if `wanted` is hidden."""
    provider = scope.provider
    records: Iterator[Record]
    if above.level is Level.TASK:
        records = iter(provider.artifacts(above))
    elif above.level is Level.ROOT:
        records = provider.children(above, Query())
    else:
        records = scope.below(above, Query())
    for record in records:
        if not record.path.name.startswith("_") or wanted.startswith("_"):
            yield record.path.name


def _suggested(wanted: str, names: Iterable[str], place: str) -> str:
    by_lower = {name[:_LONGEST].lower(): name for name in reversed(list(names))}
    close = difflib.get_close_matches(wanted[:_LONGEST].lower(), by_lower, n=3)
    if close:
        return f"Did you mean {' or '.join(shown(by_lower[name]) for name in close)}?"
    listed = list(reversed(by_lower.values()))
    if not listed:
        return f"{place} is empty so far"
    more = ", …" if len(listed) > _LISTED else ""
    return f"{place} has {', '.join(map(shown, listed[:_LISTED]))}{more}"
