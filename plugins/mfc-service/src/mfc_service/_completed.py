"""Runs that ended well, found without listing all the others.

The service has a status of runs: `completed` if the newest attempt of a step named `end`
succeeded. These are good candidates, which the client verifies, as long as the flow's last step
has that name; runs with another last step are never `completed` there.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from mfc.model import Pathspec, Record
from mfc.query import Query

_VERSION = re.compile(r"metaflow_version:(\d+)\.(\d+)\.(\d+)")
#: Versions of Metaflow since which a task records how it ended, and the last step may have any
#: name.
_TELLS, _NAMED_AT_WILL = (2, 2, 5), (2, 19, 23)

#: Seconds for which the newest run seen is taken for the newest.
_LATELY = 5.0

Listed = Callable[..., Iterator[Record]]


class Completed:
    """Lists candidates for `status="completed"`.

    Args:
        listed: lists runs, with further parameters of the service.
        ends_at_end: tells whether a run's last step is named `end`.
    """

    def __init__(self, listed: Listed, ends_at_end: Callable[[Pathspec], bool]) -> None:
        self._listed, self._ends_at_end = listed, ends_at_end
        #: Runs whose last step is named `end`, by flow; that cannot change.
        self._usual: dict[Pathspec, Pathspec] = {}
        #: The newest runs that listings gave, by flow and query, with the time of the listing.
        self._seen: dict[tuple[Pathspec, Query], tuple[float, Record]] = {}

    def watched(self, flow: Pathspec, query: Query, runs: Iterator[Record]) -> Iterator[Record]:
        """Yield `runs`, a listing of one run, and note its run as the newest."""
        for run in runs:
            self._seen[flow, query] = time.monotonic(), run
            yield run

    def runs(self, flow: Pathspec, query: Query) -> Iterator[Record]:
        """Yield runs, newest first; all that ended well are among them."""
        everything = attrs.evolve(query, status=None, limit=None)
        narrow: dict[str, Any] = {"status": "completed"}
        few = attrs.evolve(everything, limit=1)
        candidates = self._listed(flow, attrs.evolve(few, limit=query.limit or 1), narrow)
        first = next(candidates, None)
        if first is None or not self._trusted(flow, few, first):
            return self._listed(flow, everything)
        return itertools.chain([first], candidates)

    def _trusted(self, flow: Pathspec, few: Query, first: Record) -> bool:
        """Tell whether the service's status is reliable for the runs of a flow.

        It is if the newest run and the first candidate end at `end`. It is unreliable for runs of a
        Metaflow that did not record how a task ended.
        """
        if not _version(first) >= _TELLS:
            return False
        newest = self._newest(flow, few)
        if newest is None or newest.path == first.path or _version(newest) < _NAMED_AT_WILL:
            return newest is not None
        if self._usual.get(flow) == newest.path:
            return True
        if self._ends_at_end(newest.path):
            self._usual[flow] = newest.path
            return True
        return False

    def _newest(self, flow: Pathspec, few: Query) -> Record | None:
        at, run = self._seen.get((flow, few), (0.0, None))
        if run is not None and time.monotonic() - at < _LATELY:
            return run
        return next(self._listed(flow, few), None)


def _version(record: Record) -> tuple[int, ...]:
    """Return the version of the Metaflow that made a run; the oldest if it is unknown."""
    found = next(filter(None, map(_VERSION.match, record.system_tags)), None)
    return tuple(map(int, found.groups())) if found else (0,)
