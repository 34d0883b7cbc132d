r"""Lines of a task's log, in the order in which they were written.

One stream of one attempt comes from several sources: what the scheduler saw (`runtime`) and
what the task itself wrote (`task`). Every source is a file of lines

    [MFLOG|0|2026-11-23T08:39:49.990573Z|runtime|08cd50b6-…]the message

ended by "\n" alone. `merged` gives lines, `joined` the whole text; they always agree. What
follows a line decides where it stands among the sources, so that the last lines can be told from
the ends of the files: `last_lines`.

Source:
    Metaflow 2.19, mflog version 0 (`metaflow/mflog/mflog.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Stamp and message; stamps are all of one form, and sort as bytes.
Line: TypeAlias = "tuple[bytes, bytes]"

# How a header begins that Metaflow takes for one, if its stamp can be read.
_HEADER = re.compile(rb"(?:\[!)?\[MFLOG\|0\|")
# The longest text that can be a stamp.
_STAMP_LIMIT = 40

# The header as Metaflow's writer makes it. Such stamps are right without parsing them, are all
# of one length, and sort as bytes; anything less usual takes the slow way through `_HEADER`.
_DATE = (
    rb"(?:2\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    rb"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rb"|2\d(?:0[48]|[2468][048]|[13579][26])-02-29)"
)
_TIME = rb"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}"
_START = rb"\[MFLOG\|0\|(" + _DATE + rb"T" + _TIME + rb")Z\|[^|\n]+\|[^\]\n]+\]"
# These two expect a newline before the first line: a pattern that starts with a fixed byte
# skips long messages four times as fast as one anchored with "^".
_USUAL = re.compile(rb"\n" + _START)
_LINE = re.compile(rb"\n(?:" + _START + rb")?(.*)")

# Metaflow's stamp for a line of which nothing is known.
_NO_STAMP = b"3000-01-01T00:00:00.000000"


def merged(sources: Sequence[bytes]) -> Iterator[tuple[datetime, bytes]]:
    r"""Yield the lines of one stream of one attempt in the order they were written.

    A source keeps its own order, also where its clock steps back: what came before the step is
    put where the lines after it belong. Sources are merged by stamp; of lines with equal stamps,
    those of the earlier source come first. A line without a header stays where it is, with the
    stamp of the line before it.

    Args:
        sources: content of the log files, in Metaflow's order of sources; empty for a
            missing one.

    Yields:
        When the line was written (naive, UTC), and its message without header and newline.
        A source that holds no stamp at all comes last, at 3000-01-01.

    Source:
        Metaflow's `merge_logs`, which sorts equal stamps at random and puts lines without a
        header last.

    >>> [message for _, message in merged([b"[MFLOG|0|2026-01-02T03:04:05.6Z|task|id]hello\n"])]
    [b'hello']
    """
    for stamp, message in merge(map(lines_in, sources)):
        yield moment(stamp), message


def moment(stamp: bytes) -> datetime:
    """Return the time, naive and UTC, that a stamp says.

    >>> moment(b"2026-01-02T03:04:05.678901")
    datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    """
    return datetime.fromisoformat(stamp.decode("ascii"))


def last_lines(ends: Sequence[tuple[bytes, bool]], since: bytes) -> tuple[list[Line], int | None]:
    r"""Return the last lines of `merged`, as far as the ends of the sources tell.

    Args:
        ends: of each source, in Metaflow's order, what it ends with, from the beginning of some
            line, and whether that is all of it.
        since: lines are not wanted before the last one with a stamp that is smaller.

    Returns:
        The lines, and the source of which more has to be read to know the one before them; None
        if those are all that are wanted.

    >>> ends = [(b"[MFLOG|0|2026-01-02T03:04:05.678901Z|task|id]hello", True), (b"", True)]
    >>> last_lines(ends, b"")
    ([(b'2026-01-02T03:04:05.678901', b'hello')], None)
    """
    sources = [lines_in(content, whole=whole) for content, whole in ends]
    lines, keys, order = _merge(sources)
    first = bisect_left(order, since, key=keys.__getitem__) if since else 0
    unread, begin = None, 0
    for number, (source, (_, whole)) in enumerate(zip(sources, ends, strict=True)):
        if not whole and not source:
            return [], number
        # Lines before the part that was read have no greater key than that part's first line.
        if not whole and keys[begin] >= since and (place := order.index(begin)) >= first:
            unread, first = number, place
        begin += len(source)
    return [lines[place] for place in order[first:]], unread


def joined(sources: Sequence[bytes]) -> str:
    r"""Return the messages of `merged(sources)`, a newline after each, as text.

    Bytes that are not UTF-8 become U+FFFD.

    Args:
        sources: as of `merged`.

    >>> joined([b"[MFLOG|0|2026-01-02T03:04:05.678901Z|task|id]hello", b""])
    'hello\n'
    """
    present = [source for source in sources if source]
    content = _without_headers(present[0]) if len(present) == 1 else None
    if content is None:
        content = b"".join([message + b"\n" for _, message in merge(map(lines_in, present))])
    return content.decode("utf-8", "replace")


def _without_headers(source: bytes) -> bytes | None:
    """Return the messages of a source, or None if it has headers of an unusual form."""
    content = _USUAL.sub(b"\n", b"\n" + source)
    # Marks that remain are of unusual headers, or of messages that quote one.
    if b"\n[MFLOG|" in content or b"\n[![MFLOG|" in content:
        return None
    return content[1:] if source.endswith(b"\n") else content[1:] + b"\n"


def merge(sources: Iterable[list[Line]]) -> Iterator[Line]:
    """Yield the lines of several sources in the order of `merged`."""
    lines, _, order = _merge(sources)
    return map(lines.__getitem__, order)


def _merge(sources: Iterable[list[Line]]) -> tuple[list[Line], list[bytes], list[int]]:
    """Return all lines, the stamps that they are sorted by, and their places in order."""
    keys: list[bytes] = []
    lines: list[Line] = []
    for source in sources:
        # A clock that steps back must not reorder its own source: keys never decrease. They
        # depend on what follows alone, so that the end of a source is enough to know them.
        keys += [*accumulate((stamp for stamp, _ in reversed(source)), min)][::-1]
        lines += source
    # The sort is stable, so this is a merge of the sources.
    return lines, keys, sorted(range(len(keys)), key=keys.__getitem__)


def lines_in(content: bytes, before: bytes = b"", *, whole: bool = True) -> list[Line]:
    """Return stamp and message of every line of a source, in its order.

    Args:
        content: the source, or what is in it from the beginning of some line on.
        before: the stamp of the line before.
        whole: nothing but `before` comes before `content`. Else the stamp of the first lines may
            be unknown; they are left out.
    """
    if not content:
        return []
    found: list[Line] = _LINE.findall(b"\n" + content.removesuffix(b"\n"))
    if all(stamp for stamp, _ in found):
        return found
    found = [(stamp, message) if stamp else _parsed(message) for stamp, message in found]
    known = next((place for place, (stamp, _) in enumerate(found) if stamp), len(found))
    if not whole:
        found = found[known:]
    elif not before:
        before = found[known][0] if known < len(found) else _NO_STAMP
    stamps = accumulate((stamp for stamp, _ in found), _latest, initial=before)
    next(stamps)
    return list(zip(stamps, (message for _, message in found), strict=True))


def _latest(before: bytes, stamp: bytes) -> bytes:
    return stamp or before


def _parsed(line: bytes) -> tuple[bytes, bytes]:
    """Split a line whose header is unusual; the stamp is empty if it has none."""
    header = _HEADER.match(line)
    if header is None:
        return b"", line
    # Metaflow's pattern goes on with `(.+?)Z\|.+?\|.+?\]`; on a line made for it, that takes
    # time of its length to the third. The first of each mark decides, so these say the same.
    start = header.end()
    end = line.find(b"Z|", start + 1)
    bar = line.find(b"|", end + 3) if end > 0 else -1
    bracket = line.find(b"]", bar + 2) if bar > 0 else -1
    if bracket < 0 or end - start > _STAMP_LIMIT:
        return b"", line
    try:
        # Naive on purpose: the pattern has no zone, and Metaflow's answer is naive UTC.
        stamp = datetime.strptime(line[start:end].decode(), "%Y-%m-%dT%H:%M:%S.%f")  # noqa: DTZ007
    except ValueError:
        return b"", line
    return stamp.isoformat(timespec="microseconds").encode("ascii"), line[bracket + 1 :]
