"""Lines of a log come in the order in which they were written."""

from __future__ import annotations

from datetime import datetime

import pytest

from mfc._logs._merge import joined, merged

DAY = datetime(2026, 11, 23)


def line(fraction: str, message: bytes, *, second: int = 49, mark: bytes = b"") -> bytes:
    """Return a decorated line with a newline, from some task at 08:39:<second>.<fraction>."""
    stamp = f"2026-11-23T08:39:{second:02}.{fraction}Z".encode()
    return (
        mark
        + b"[MFLOG|0|"
        + stamp
        + b"|task|b0752b00-efbd-4496-b076-3b200f3e5b9f]"
        + message
        + b"\n"
    )


def messages(*sources: bytes) -> list[bytes]:
    return [message for _, message in merged(sources)]


def at(second: int, microsecond: int) -> datetime:
    return DAY.replace(hour=8, minute=39, second=second, microsecond=microsecond)


# What `merge_logs` of Metaflow 2.19.39 (Python 3.11) answered to these sources, recorded with
# `[(str(line.utc_tstamp), line.msg) for line in merge_logs(sources)]`. The first case is the log of
# a real task. In all, every line is well-formed, stamps differ and ascend within a source.
A = b"[MFLOG|0|2026-11-23T08:39:49."
RECORDED = {
    "a real log": (
        [
            A
            + b"990573Z|runtime|08cd50b6-3768-4c93-a371-e5846ef230cb]h\xc3\xa9llo\n"
            + b"[MFLOG|0|2026-11-23T08:39:50.041905Z|runtime|b0752b00-efbd-4496-b076-3b200f3e5b9f]"
            + b"two"
        ],
        [
            ("2026-11-23 08:39:49.990573", b"h\xc3\xa9llo"),
            ("2026-11-23 08:39:50.041905", b"two"),
        ],
    ),
    "interleaved sources": (
        [
            A
            + b"000001Z|runtime|f]Task is starting.\n"
            + A
            + b"900000Z|runtime|a]Task finished.\n",
            A
            + b"000002Z|task|z]one\n"
            + A
            + b"300000Z|task|y]two\r50%\r100%\n"
            + A
            + b"300001Z|task|x]\n",
        ],
        [
            ("2026-11-23 08:39:49.000001", b"Task is starting."),
            ("2026-11-23 08:39:49.000002", b"one"),
            ("2026-11-23 08:39:49.300000", b"two\r50%\r100%"),
            ("2026-11-23 08:39:49.300001", b""),
            ("2026-11-23 08:39:49.900000", b"Task finished."),
        ],
    ),
    "later source first": (
        [A + b"9Z|runtime|a]late\n", A + b"1Z|task|b]early]with|marks\n"],
        [
            ("2026-11-23 08:39:49.100000", b"early]with|marks"),
            ("2026-11-23 08:39:49.900000", b"late"),
        ],
    ),
    "persist marker": (
        [b"[!" + A + b"5Z|task|a]kept\n", b"[!" + A + b"4Z|task|b][MFLOG|0|x nested\n"],
        [
            ("2026-11-23 08:39:49.400000", b"[MFLOG|0|x nested"),
            ("2026-11-23 08:39:49.500000", b"kept"),
        ],
    ),
    "stamps that strptime takes": (
        [
            (
                b"[MFLOG|0|2026-1-2T3:4:5.6Z|task|a]odd\n"
                b"[MFLOG|0|2026-1-2t3:4:5.70Z|task|b]lower case t\n"
            )
        ],
        [("2026-01-02 03:04:05.600000", b"odd"), ("2026-01-02 03:04:05.700000", b"lower case t")],
    ),
    "line ends that are none": (
        [
            A
            + b"1Z|task|a]\xff\xfe\x00bad\n"
            + A
            + b"2Z|task|b]tab\tvt\x0bff\x0cnel\xc2\x85ls\xe2\x80\xa8end\r\n"
        ],
        [
            ("2026-11-23 08:39:49.100000", b"\xff\xfe\x00bad"),
            ("2026-11-23 08:39:49.200000", b"tab\tvt\x0bff\x0cnel\xc2\x85ls\xe2\x80\xa8end\r"),
        ],
    ),
    "brackets and bars in the header": (
        [A + b"1Z|ta]sk|]]id starts with the end\n" + A + b"2Z||a|b|c]bars\n"],
        [
            ("2026-11-23 08:39:49.100000", b"id starts with the end"),
            ("2026-11-23 08:39:49.200000", b"bars"),
        ],
    ),
    "empty sources": (
        [b"", A + b"1Z|task|a]only\n", b""],
        [("2026-11-23 08:39:49.100000", b"only")],
    ),
    "nothing": ([b"", b""], []),
}


@pytest.mark.parametrize("case", RECORDED)
def test_well_formed_logs_read_as_metaflow_reads_them(case: str) -> None:
    sources, recorded = RECORDED[case]
    assert [(str(stamp), message) for stamp, message in merged(sources)] == recorded
    text = "".join(message.decode("utf-8", "replace") + "\n" for _, message in recorded)
    assert joined(sources) == text


def test_equal_stamps_keep_the_order_of_the_file() -> None:
    assert messages(b"".join(line("5", m) for m in (b"z", b"a", b"m"))) == [b"z", b"a", b"m"]


def test_equal_stamps_of_two_sources_come_in_the_order_of_the_sources() -> None:
    runtime = line("5", b"runtime 1") + line("5", b"runtime 2")
    task = line("5", b"task 1", mark=b"[!") + line("6", b"task 2")
    assert messages(runtime, task) == [b"runtime 1", b"runtime 2", b"task 1", b"task 2"]
    assert messages(task, runtime) == [b"task 1", b"runtime 1", b"runtime 2", b"task 2"]


def test_a_clock_that_steps_back_does_not_reorder_its_source() -> None:
    stepped = line("900000", b"before") + line("100000", b"after") + line("950000", b"last")
    other = line("500000", b"other") + line("920000", b"other, late")
    assert list(merged([stepped, other])) == [
        (at(49, 900000), b"before"),
        (at(49, 100000), b"after"),
        (at(49, 500000), b"other"),
        (at(49, 920000), b"other, late"),
        (at(49, 950000), b"last"),
    ]


def test_a_line_without_header_stays_where_it_is() -> None:
    source = b"leading\n\n" + line("1", b"one") + b"bare\n" + line("3", b"three") + b"end"
    other = line("2", b"two")
    assert list(merged([source, other])) == [
        (at(49, 100000), b"leading"),
        (at(49, 100000), b""),
        (at(49, 100000), b"one"),
        (at(49, 100000), b"bare"),
        (at(49, 200000), b"two"),
        (at(49, 300000), b"three"),
        (at(49, 300000), b"end"),
    ]
    assert joined([source, other]) == "leading\n\none\nbare\ntwo\nthree\nend\n"


def test_a_source_without_any_stamp_comes_last_with_metaflows_stamp() -> None:
    never = datetime(3000, 1, 1)
    assert list(merged([b"bare\n", line("1", b"one")])) == [
        (at(49, 100000), b"one"),
        (never, b"bare"),
    ]


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-23T08:39:49",  # no fraction
        "2026-11-23T08:39:49.",
        "2026-11-23T08:39:49.1234567",
        "2026-11-23 08:39:49.123456",
        "2026-11-31T08:39:49.123456",
        "2026-02-29T08:39:49.123456",
        "2100-02-29T08:39:49.123456",
        "2026-11-23T24:39:49.123456",
        "2026-11-23T08:39:60.123456",  # Metaflow refuses leap seconds as well
        "0000-11-23T08:39:49.123456",
        "\udcff",
    ],
)
def test_a_stamp_that_strptime_refuses_makes_a_bare_line(stamp: str) -> None:
    bare = b"[MFLOG|0|" + stamp.encode("utf-8", "surrogateescape") + b"Z|task|id]text"
    assert messages(bare + b"\n") == [bare]
    assert joined([bare]) == bare.decode("utf-8", "replace") + "\n"


@pytest.mark.parametrize(
    "stamp",
    [
        "2028-02-29T00:00:00.000000",
        "2000-02-29T23:59:59.999999",
        "2400-02-29T00:00:00.000000",
        "0001-01-01T00:00:00.000000",
        "3500-12-31T00:00:00.000000",
        "1999-10-30T00:00:00.000000",
    ],
)
def test_unusual_but_valid_stamps_are_read(stamp: str) -> None:
    source = f"[MFLOG|0|{stamp}Z|task|id]text\n".encode()
    assert list(merged([source])) == [(datetime.fromisoformat(stamp), b"text")]
    assert joined([source]) == "text\n"


@pytest.mark.parametrize(
    "other",
    [b"[MFLOG|1|2026-11-23T08:39:49.5Z|task|id]x", b" [MFLOG|0|2026-11-23T08:39:49.5Z|task|id]x"],
    ids=["unknown version", "indented"],
)
def test_text_that_resembles_a_header_stays_text(other: bytes) -> None:
    assert messages(other) == [other]
    assert joined([other]) == other.decode() + "\n"


def test_a_message_may_quote_a_header() -> None:
    quoted = line("7", b"").rstrip() + b"quoted"
    source = line("123456", quoted) + line("200000", b"next")
    assert messages(source) == [quoted, b"next"]
    assert joined([source]) == quoted.decode() + "\nnext\n"


def test_undecodable_bytes_do_not_lose_the_log() -> None:
    source = line("123456", b"caf\xe9 \xe2\x82") + line("200000", b"next")
    assert joined([source]) == "caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}\nnext\n"


@pytest.mark.parametrize("sources", [[], [b""], [b"", b""]])
def test_an_empty_log_has_no_lines(sources: list[bytes]) -> None:
    assert list(merged(sources)) == []
    assert joined(sources) == ""


def test_one_newline_is_one_empty_line() -> None:
    assert messages(b"\n") == [b""]
    assert joined([b"\n"]) == "\n"
