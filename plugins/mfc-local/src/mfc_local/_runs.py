"""Listing the runs of a flow, newest first, reading no more of them than are asked for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter, itemgetter

from mfc.errors import UnreadableRecord
from mfc.hookspecs import Meter
from mfc.model import Pathspec, Record
from mfc.query import Query
from mfc_local._json import left_out, names_in, parsed, read_bytes

#: What else lies in the directory of a flow.
_NO_RUNS = frozenset({"_meta", "data", "latest_run"})
#: Digits of a run id that is a time in µs: from the year 2001 to 2286.
_TIME_DIGITS = 16
#: A run's record is written within this time, in ms, of its id. One that claims to be younger
#: was written again when Metaflow changed its tags.
_REWRITTEN = 60_000
#: Runs that are put in order before all others.
_FIRST = 64


def created_at(run_id: str, recorded: int) -> int:
    """Return when a run was created, in ms since 1970 UTC.

    Metaflow changes the recorded time when it changes tags; the id of a local run is the time
    of its creation, and stays.

    >>> created_at("1700000000000000", 1700000000004), created_at("1700000000000000", 1800000000000)
    (1700000000004, 1700000000000)
    """
    if not _is_time(run_id):
        return recorded
    identified = int(run_id) // 1000
    return identified if recorded - identified > _REWRITTEN else recorded


def _is_time(run_id: str) -> bool:
    return len(run_id) == _TIME_DIGITS and run_id.isdecimal()


def run_record(run: Pathspec, content: bytes, file: str) -> Record:
    """Return the record that a run's file holds.

    Raises:
        UnreadableRecord: it holds something else.
    """
    fields = parsed(content, file)
    recorded = fields.get("ts_epoch")
    if isinstance(recorded, int) and not isinstance(recorded, bool):
        fields["ts_epoch"] = created_at(run.name, recorded)
    return Record.of_json(run, fields)


def runs(directory: str, flow: Pathspec, query: Query, meter: Meter) -> Iterator[Record]:
    """Yield the runs of a flow that match, newest first; limit and status are not looked at.

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
    timed = [name for name in names if len(name) == _TIME_DIGITS and name.isdecimal()]
    in_order = _newest_first(_in_window(timed, query))
    # Other ids, of schedulers, say nothing: those runs must be read to be put in order.
    others = list(
        _read(directory, flow, sorted({*names}.difference(timed, _NO_RUNS)), query, meter)
    )
    if not others:
        yield from _read(directory, flow, in_order, query, meter)
        return
    others.sort(key=attrgetter("created"), reverse=True)
    keyed_others = ((record.created, record) for record in others)
    keyed_timed = (
        (int(record.path.name) // 1000, record)
        for record in _read(directory, flow, in_order, query, meter)
    )
    for _, record in heapq.merge(keyed_timed, keyed_others, key=itemgetter(0), reverse=True):
        yield record


def _newest_first(timed: list[str]) -> Iterator[str]:
    """Yield ids that are times, newest first; a few of them before all are sorted."""
    # Of equal length, so as text they sort as the times do.
    first = heapq.nlargest(_FIRST, timed)
    yield from first
    if len(timed) > _FIRST:
        yield from sorted({*timed}.difference(first), reverse=True)


def _in_window(names: list[str], query: Query) -> list[str]:
    """Return the ids that may have been created in the time asked for, without reading them."""
    if query.since is not None:
        earliest = (query.since - _REWRITTEN) * 1000
        names = [name for name in names if int(name) >= earliest]
    if query.until is not None:
        end = query.until * 1000
        names = [name for name in names if int(name) < end]
    return names


def _read(
    directory: str, flow: Pathspec, names: Iterable[str], query: Query, meter: Meter
) -> Iterator[Record]:
    tests, child = query.tests(), flow.child
    reads = size = 0
    try:
        for name in names:
            file = f"{directory}/{name}/_meta/_self.json"
            reads += 1
            try:
                content = read_bytes(file)
                if content is None:
                    continue
                size += len(content)
                record = run_record(child(name), content, file)
            except UnreadableRecord as unreadable:
                left_out(unreadable)
                continue
            for test in tests:
                if not test(record):
                    break
            else:
                meter.add(reads=reads, size=size)  # who gets it may look, and stop
                reads = size = 0
                yield record
    finally:
        meter.add(reads=reads, size=size)
