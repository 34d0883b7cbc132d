"""List the runs of a flow, newest first, reading only as many as the caller consumes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter

from mfc.errors import UnreadableRecord
from mfc.hookspecs import Meter
from mfc.model import Pathspec, Record
from mfc.query import Query
from mfc_local._ends import may_be_completed
from mfc_local._json import left_out, names_in, parsed, read_bytes

#: Other entries in the directory of a flow.
_NO_RUNS = frozenset({"_meta", "data", "latest_run"})
#: Digits of a run id that is a time in µs: from the year 2001 to 2286.
_TIME_DIGITS = 16
#: A run's record is written within this time, in ms, of its id. A record with a later time was
#: written again when Metaflow changed the tags, or was copied from elsewhere.
_AT_ONCE = 1000
#: That time, in ms, for nearly all runs. Beyond it, the run's first step tells whether the record
#: was written again.
_USUAL = 50
#: Runs that are sorted before all others are.
_SORTED_FIRST = 64


def created_at(run_id: str, recorded: int) -> int:
    """Return when a run was created, in ms since 1970 UTC.

    Metaflow changes the recorded time when it changes tags; the id of a local run is the time
    of its creation, and stays.

    >>> created_at("1700000000000000", 1700000000004), created_at("1700000000000000", 1700000001004)
    (1700000000004, 1700000000000)
    """
    if not _is_time(run_id):
        return recorded
    identified = int(run_id) // 1000
    return recorded if -_AT_ONCE <= recorded - identified <= _AT_ONCE else identified


def _is_time(run_id: str) -> bool:
    return len(run_id) == _TIME_DIGITS and run_id.isdecimal()


def run_record(run: Pathspec, content: bytes, file: str) -> Record:
    """Return the record that a run's file holds.

    Raises:
        UnreadableRecord: the file is not a run's record.
    """
    fields = parsed(content, file)
    recorded, name = fields.get("ts_epoch"), run.name
    if type(recorded) is int and _is_time(name):  # as nearly always, and listings are long
        identified = int(name) // 1000
        if not -_USUAL <= recorded - identified <= _USUAL:
            created = created_at(name, recorded)
            first = _first_step(file) if created != identified else None
            fields["ts_epoch"] = identified if first is not None and first < created else created
    return Record.of_json(run, fields)


def _first_step(file: str) -> int | None:
    """Return when the parameters of a run were written, None if that is unknown."""
    step = f"{file.removesuffix('/_meta/_self.json')}/_parameters/_meta/_self.json"
    try:
        content = read_bytes(step)
        recorded = None if content is None else parsed(content, step).get("ts_epoch")
    except UnreadableRecord:
        return None
    return recorded if isinstance(recorded, int) else None


def runs(directory: str, flow: Pathspec, query: Query, meter: Meter) -> Iterator[Record]:
    """Yield the runs of a flow that match, newest first.

    The query's limit is ignored. For a query for completed runs, some of the others are left out at
    little cost, not all.

    Args:
        directory: the flow's.
        flow: its path.
        query: what is wanted.
        meter: where reads are counted.

    Raises:
        UnreadableRecord: the directory may not be listed.
    """
    names = names_in(directory)
    meter.add(reads=1)
    if query.names is not None:
        names = [name for name in names if name in query.names]
    timed = [name for name in names if _is_time(name)]
    others = sorted({*names}.difference(timed, _NO_RUNS)) if len(timed) < len(names) else []
    del names  # listings are long, and so is the reading of them
    wanted = _Wanted(directory, flow, query, meter)
    by_time = filter(None, map(wanted.run, _newest_first(_in_window(timed, query))))
    # Ids of schedulers carry no time: those runs must be read to be sorted.
    unordered = sorted(
        filter(None, map(wanted.run, others)), key=attrgetter("created"), reverse=True
    )
    try:
        if unordered:
            yield from heapq.merge(by_time, unordered, key=_age, reverse=True)
        else:
            yield from by_time
    finally:
        wanted.count()


def _age(run: Record) -> int:
    """Return the sort key of a run: the time that its id is, or the recorded one."""
    name = run.path.name
    return int(name) // 1000 if _is_time(name) else run.created


def _newest_first(timed: list[str]) -> Iterator[str]:
    """Yield ids that are times, newest first; the first few before all are sorted."""
    # The ids have equal length, so their text sorts as the times do.
    first = heapq.nlargest(_SORTED_FIRST, timed)
    yield from first
    if len(timed) > _SORTED_FIRST:
        yield from sorted({*timed}.difference(first), reverse=True)


def _in_window(names: list[str], query: Query) -> list[str]:
    """Return the ids that may have been created in the queried time, without reading the runs."""
    if query.since is not None:
        earliest = (query.since - _AT_ONCE) * 1000
        names = [name for name in names if int(name) >= earliest]
    if query.until is not None:
        end = (query.until + _AT_ONCE) * 1000
        names = [name for name in names if int(name) < end]
    return names


class _Wanted:
    """Reads runs of a flow, one after the other, and skips those outside the query.

    Args:
        directory: the flow's.
        flow: its path.
        query: what is wanted.
        meter: where reads are counted, in batches.
    """

    def __init__(self, directory: str, flow: Pathspec, query: Query, meter: Meter) -> None:
        self._directory, self._flow, self._meter = directory, flow.components, meter
        self._tests = query.tests()
        self._completed = query.status == "completed"
        self._reads = self._size = 0

    def run(self, name: str) -> Record | None:
        """Return the run's record, None if it is missing or outside the query."""
        run = f"{self._directory}/{name}"
        if self._completed and not may_be_completed(run, self._meter):
            return None
        file = f"{run}/_meta/_self.json"
        self._reads += 1
        try:
            content = read_bytes(file)
            if content is None:
                return None
            self._size += len(content)
            record = run_record(Pathspec((*self._flow, name)), content, file)
        except UnreadableRecord as unreadable:
            left_out(unreadable)
            return None
        for test in self._tests:
            if not test(record):
                return None
        self._meter.add(reads=self._reads, size=self._size)  # the caller may look, and stop
        self._reads = self._size = 0
        return record

    def count(self) -> None:
        """Count the reads since the last call."""
        self._meter.add(reads=self._reads, size=self._size)
        self._reads = self._size = 0
