"""Properties of every log, including arbitrary bytes."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mfc._logs._merge import joined, last_lines, merged
from mfc._logs._merge import moment as time_of

from .log_contents import MOMENTS, SOURCES, START, decorated


@given(st.lists(SOURCES, max_size=3))
def test_joined_is_the_text_of_merged(sources: list[bytes]) -> None:
    text = "".join(message.decode("utf-8", "replace") + "\n" for _, message in merged(sources))
    assert joined(sources) == text


@given(st.lists(st.binary(max_size=80), max_size=3))
def test_any_bytes_are_a_log(sources: list[bytes]) -> None:
    lines = list(merged(sources))
    assert len(lines) == sum(s.count(b"\n") + (s[-1:] not in (b"", b"\n")) for s in sources)
    assert joined(sources) == "".join(m.decode("utf-8", "replace") + "\n" for _, m in lines)


@given(st.lists(SOURCES, max_size=3))
def test_every_source_keeps_its_order(sources: list[bytes]) -> None:
    """Each line carries a mark of its source: the lines of one source come as it gives them alone."""
    alone = [list(merged([source])) for source in sources]
    together = list(merged(sources))
    assert sorted(together) == sorted(line for lines in alone for line in lines)
    marked = [
        b"\n".join(part + b" #%d" % n for part in source.removesuffix(b"\n").split(b"\n"))
        for n, source in enumerate(sources)
    ]
    mixed = [message for _, message in merged(marked)]
    for n, source in enumerate(marked):
        mine = [message for message in mixed if message.endswith(b" #%d" % n)]
        assert mine == [message for _, message in merged([source])]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**12)), unique_by=lambda t: t[1]))
def test_ascending_stamps_come_in_order_of_time(lines: list[tuple[int, int]]) -> None:
    """Metaflow's rule, where it is well defined: all lines sorted by stamp."""
    lines = sorted(lines, key=lambda pair: pair[1])
    sources = [b""] * 4
    for source, microseconds in lines:
        moment = START + timedelta(microseconds=microseconds)
        sources[source] += decorated(moment, b"%d" % microseconds) + b"\n"
    expected = [(START + timedelta(microseconds=n), b"%d" % n) for _, n in lines]
    assert list(merged(sources)) == expected


@given(st.lists(st.lists(st.tuples(MOMENTS, st.integers()), max_size=6), max_size=3))
def test_sources_merge_by_the_earliest_stamp_to_come(
    sources: list[list[tuple[datetime, int]]],
) -> None:
    model = []
    for number, lines in enumerate(sources):
        for place, (moment, mark) in enumerate(lines):
            earliest = min(stamp for stamp, _ in lines[place:])
            model.append((earliest, number, place, moment, b"%d" % mark))
    blobs = [b"".join(decorated(t, b"%d" % mark) + b"\n" for t, mark in lines) for lines in sources]
    assert list(merged(blobs)) == [(moment, message) for *_, moment, message in sorted(model)]


@given(st.lists(st.tuples(SOURCES, st.integers(0, 9)), max_size=3))
def test_the_ends_of_sources_tell_the_last_lines(sources: list[tuple[bytes, int]]) -> None:
    """From any line on, reading to the end gives everything."""
    everything = [(stamp, text) for stamp, text in merged([source for source, _ in sources])]
    starts = [_starts(source)[-1 - at :][:1] for source, at in sources]
    offsets = [start[0] if start else 0 for start in starts]
    while True:
        ends = [
            (source[offset:], offset == 0)
            for (source, _), offset in zip(sources, offsets, strict=True)
        ]
        lines, unread = last_lines(ends, b"")
        assert [(time_of(stamp), text) for stamp, text in lines] == everything[
            len(everything) - len(lines) :
        ]
        if unread is None:
            assert len(lines) == len(everything)
            break
        assert offsets[unread] > 0
        offsets[unread] = max(at for at in _starts(sources[unread][0]) if at < offsets[unread])


def _starts(source: bytes) -> list[int]:
    return [0, *(at + 1 for at, byte in enumerate(source[:-1]) if byte == ord("\n"))]
