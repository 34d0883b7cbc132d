"""Listing the runs of a flow, newest first, reading no more of them than are asked for."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter

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
    return len(run_id) == _TIME_DIGITS and run_id.isdigit() and run_id[0] != "0"


def run_record(run: Pathspec, content: bytes, file: str) -> Record:
    """Return the record that a run's file holds.

    Raises:
        UnreadableRecord: it holds something else.
    """
    fields = parsed(content, file)
    recorded = fields.get("ts_epoch")
    if isinstance(recorded, int):
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
    names = [name for name in names_in(directory) if name not in _NO_RUNS]
    meter.add(reads=1)
    timed = [name for name in names if _is_time(name)]
    timed.sort(reverse=True)  # of equal length, so text sorts as the times do
    # Other ids, of schedulers, say nothing: those runs must be read to be put in order.
    others = list(_read(directory, flow, [n for n in names if not _is_time(n)], query, meter))
    if not others:
        yield from _read(directory, flow, _in_window(timed, query), query, meter)
        return
    others.sort(key=lambda record: record.created, reverse=True)
    keyed_others = ((record.created, record) for record in others)
    keyed_timed = (
        (int(record.path.name) // 1000, record)
        for record in _read(directory, flow, _in_window(timed, query), query, meter)
    )
    for _, record in heapq.merge(keyed_timed, keyed_others, key=itemgetter(0), reverse=True):
        yield record


def _in_window(names: list[str], query: Query) -> Iterator[str]:
    """Yield the ids that may have been created in the time asked for, without reading them."""
    since = 0 if query.since is None else (query.since - _REWRITTEN) * 1000
    until = None if query.until is None else query.until * 1000
    for name in names:
        moment = int(name) if since or until else 0
        if moment < since:
            return
        if until is None or moment < until:
            yield name


def _read(
    directory: str, flow: Pathspec, names: Iterator[str] | list[str], query: Query, meter: Meter
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
                yield record
    finally:
        meter.add(reads=reads, size=size)
