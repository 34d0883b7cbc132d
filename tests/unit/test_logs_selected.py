"""`loglines` with `tail`, `since` and `grep`: the selected lines, and the cost of selecting them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from mfc._logs import _ends
from mfc.errors import BadArgument

from .written_logs import START, WrittenTask, at, line


@pytest.fixture
def written(tmp_path: Path) -> WrittenTask:
    made = WrittenTask(tmp_path)
    made.start()
    return made


def utc(second: float) -> datetime:
    return at(second).replace(tzinfo=timezone.utc)


def texts(written: WrittenTask, **wanted: object) -> list[str]:
    return [text for _, text in written.task.loglines("stdout", **wanted)]


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the zone of a process cannot be chosen on Windows")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def counted(written: WrittenTask) -> WrittenTask:
    """Ten lines, one a second, every second one by the scheduler."""
    for second in range(10):
        source = ("runtime", "task")[second % 2]
        written.write(line(second, f"{source} {second}", source), source)
    return written


@pytest.mark.parametrize("tail", [0, 1, 3, 10, 11, 10**30])
def test_tail_gives_the_last_lines_of_all_sources(counted: WrittenTask, tail: int) -> None:
    everything = list(counted.task.loglines("stdout"))
    assert len(everything) == 10
    assert list(counted.task.loglines("stdout", tail=tail)) == everything[max(10 - tail, 0) :]


def test_tail_counts_the_lines_that_grep_finds(counted: WrittenTask) -> None:
    assert texts(counted, tail=2, grep="^task") == ["task 7", "task 9"]
    assert texts(counted, tail=2, grep="none") == []


@pytest.mark.parametrize(
    "since",
    [
        at(7).replace(tzinfo=timezone.utc),
        at(6.000001).replace(tzinfo=timezone.utc),
        at(7).replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=-11))),
        np.datetime64("2026-11-23T03:39:07"),
        "2026-11-23T03:39:07",
        "2026-11-23T08:39:07Z",
        "2026-11-23T10:39:07+02:00",
    ],
    ids=str,
)
def test_since_takes_naive_times_as_local(
    counted: WrittenTask, since: object, new_york: None
) -> None:
    assert texts(counted, since=since) == ["task 7", "runtime 8", "task 9"]


def test_since_takes_dates_and_old_times(counted: WrittenTask) -> None:
    assert len(texts(counted, since=START.date())) == 10
    assert texts(counted, since=START.date() + timedelta(days=1)) == []
    assert len(texts(counted, since=date(1970, 1, 2))) == 10
    assert (
        len(texts(counted, since=datetime.now(timezone.utc) - at(8).replace(tzinfo=timezone.utc)))
        == 1
    )


def test_since_counts_a_timedelta_back_from_now(written: WrittenTask) -> None:
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    written.write(line((now - START).total_seconds() - 7200, "two hours ago"))
    written.write(line((now - START).total_seconds() - 60, "a minute ago"))
    assert texts(written, since=timedelta(hours=1)) == ["a minute ago"]
    assert texts(written, since=timedelta(seconds=1)) == []


def test_all_parts_must_hold(counted: WrittenTask) -> None:
    assert texts(counted, since=utc(4), grep="task", tail=2) == ["task 7", "task 9"]
    assert texts(counted, since=utc(8), grep="task", tail=2) == ["task 9"]


def test_a_line_without_a_stamp_belongs_to_the_one_before(written: WrittenTask) -> None:
    written.write(line(1, "one") + "more of one\n" + line(2, "two") + "more of two\nand more\n")
    assert texts(written, since=utc(2)) == ["two", "more of two", "and more"]
    assert list(written.task.loglines("stdout", tail=1)) == [(at(2), "and more")]


def test_since_begins_after_the_last_line_before_it(written: WrittenTask) -> None:
    """Even where a clock steps back."""
    written.write(line(9, "before the step") + line(1, "after the step") + line(5, "later"))
    assert texts(written, since=utc(3)) == ["later"]


def test_since_gives_all_lines_of_its_moment(written: WrittenTask) -> None:
    """There are more than the first read has."""
    written.write(line(0, "before") + "".join(line(1, "x" * 100) for _ in range(2000)))
    written.write(line(1, "runtime", "runtime"), "runtime")
    assert written.file().stat().st_size > 200_000
    assert len(texts(written, since=utc(1))) == 2001
    assert len(texts(written, since=utc(0))) == 2002


def test_an_incomplete_line_is_not_counted(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = line(7, "quoted").rstrip()
    written.write(line(1, "one") + line(2, quoted))
    for step in range(1, 60):
        monkeypatch.setattr(_ends, "FIRST_STEP", step)
        assert texts(written, tail=1) == [quoted]
    written.file().write_text(written.file().read_text()[:-1])  # likewise if no newline follows
    for step in range(1, 60):
        monkeypatch.setattr(_ends, "FIRST_STEP", step)
        assert texts(written, tail=1) == [quoted]


def test_selecting_no_line_reads_nothing(counted: WrittenTask) -> None:
    before = counted.client.stats
    assert texts(counted, tail=0) == []
    spent = counted.client.stats - before
    assert (spent.reads, spent.bytes) == (0, 0)


def test_grep_searches_as_re_does(written: WrittenTask) -> None:
    written.write(line(1, "loss 0.5") + line(2, "Loss 0.25") + line(3, "naïve ☃"))
    assert texts(written, grep=r"loss \d") == ["loss 0.5"]
    assert texts(written, grep=re.compile("LOSS", re.IGNORECASE)) == ["loss 0.5", "Loss 0.25"]
    assert texts(written, grep="5$") == ["loss 0.5", "Loss 0.25"]
    assert texts(written, grep="☃") == ["naïve ☃"]
    assert texts(written, grep="☃".encode()) == ["naïve ☃"]
    found = written.task.loglines("stdout", as_unicode=False, grep="na.ve")
    assert [text for _, text in found] == ["naïve ☃".encode()]


def test_grep_sees_undecodable_bytes(written: WrittenTask) -> None:
    written.file().write_bytes(line(1, "").encode()[:-1] + b"caf\xe9\n")
    assert texts(written, grep=rb"\xe9") == ["caf\ufffd"]
    assert texts(written, grep="\ufffd", tail=1) == ["caf\ufffd"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"tail": -1}, "tail is -1; expected a number of lines"),
        ({"tail": "5"}, "tail is '5'"),
        ({"tail": True}, "tail is True"),
        ({"tail": 1.5}, "tail is 1.5"),
        ({"since": "yesterday"}, "since is 'yesterday'; expected a datetime or date"),
        ({"since": 1700000000}, "since is 1700000000; expected a datetime"),
        ({"since": timedelta.max}, "too far away"),
        ({"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "too far away"),
        ({"grep": "["}, r"grep is '\['; expected a regular expression .*re.escape"),
        ({"grep": rb"("}, "expected a regular expression"),
        ({"grep": 5}, "grep is 5; expected a regular expression"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("follow", [False, True])
def test_invalid_selections_are_refused(
    written: WrittenTask, wanted: dict[str, object], says: str, follow: bool
) -> None:
    with pytest.raises(BadArgument, match=says):
        texts(written, follow=follow, **wanted)


def test_an_unknown_stream_is_refused_with_any_selection(written: WrittenTask) -> None:
    for wanted in ({"tail": 1}, {"grep": "x"}, {"follow": True}):
        with pytest.raises(ValueError, match="expected 'stdout' or 'stderr'"):
            list(written.task.loglines("output", **wanted))


def test_an_empty_log_has_no_last_line(written: WrittenTask) -> None:
    assert texts(written, tail=5) == []
    written.write("")
    assert texts(written, tail=5, since=utc(0)) == []
    assert list(written.task.loglines("stderr", tail=5)) == []


# Costs


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> WrittenTask:
    """A log of 10 MB, 100 lines a second, and a short one of the scheduler beside it."""
    made = WrittenTask(tmp_path_factory.mktemp("large"))
    made.start()
    made.write("".join(line(n / 100, f"{n} {'x' * 65}") for n in range(91_000)))
    made.write(line(0, "starting") + line(905, "still there"), "runtime")
    assert made.file().stat().st_size > 10_000_000
    return made


def cost(written: WrittenTask, **wanted: object) -> tuple[int, int, list[str]]:
    """Return reads and bytes of the selection, and its lines."""
    task, before = written.task, written.client.stats
    found = [text for _, text in task.loglines("stdout", **wanted)]
    spent = written.client.stats - before
    return spent.reads, spent.bytes, found


def test_ten_lines_of_ten_megabytes_cost_the_end_of_the_file(large: WrittenTask) -> None:
    reads, size, found = cost(large, tail=10)
    assert [int(text.split()[0]) for text in found] == list(range(90_990, 91_000))
    assert size < 100_000
    assert reads == 4  # the size and the end of either file


def test_since_costs_what_it_gives(large: WrittenTask) -> None:
    _, size, found = cost(large, since=utc(909.9))
    assert [int(text.split()[0]) for text in found] == list(range(90_990, 91_000))
    assert size < 100_000
    _, size, found = cost(large, since=utc(800))
    assert len(found) == 11_001
    assert size < 4 * 11_001 * 125


def test_a_rare_pattern_costs_no_byte_twice(large: WrittenTask) -> None:
    reads, size, found = cost(large, tail=3, grep="^123 ")
    assert len(found) == 1
    assert size == large.file().stat().st_size + large.file("runtime").stat().st_size
    assert reads < 20


# Before mflog


@pytest.fixture
def legacy(written: WrittenTask) -> WrittenTask:
    file = written.file().with_name("0.stdout.log")
    file.write_bytes(b"one\r\ntwo\rthree\n\nfive\xff")
    noted = {"ds_type": "local", "location": str(file), "attempt": 0}
    written.note(0, None, {"log_location_stdout": json.dumps(noted)})
    return written


def test_a_log_without_times_has_a_tail(legacy: WrittenTask) -> None:
    everything = [(None, text) for text in ("one", "two", "three", "", "five\ufffd")]
    assert list(legacy.task.loglines("stdout")) == everything
    for tail in range(7):
        assert list(legacy.task.loglines("stdout", tail=tail)) == everything[max(5 - tail, 0) :]
    assert texts(legacy, grep="^t") == ["two", "three"]
    assert texts(legacy, grep="^t", tail=1) == ["three"]


def test_a_long_line_without_times_is_whole(
    legacy: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy.file().with_name("0.stdout.log").write_bytes(b"one\n" + b"x" * 50)
    monkeypatch.setattr(_ends, "FIRST_STEP", 1)
    assert texts(legacy, tail=1) == ["x" * 50]


def test_a_log_without_times_is_not_selected_by_time(legacy: WrittenTask) -> None:
    with pytest.raises(BadArgument, match=r"F/7/work/1: its log has no times.*2\.2\.10.*tail="):
        texts(legacy, since=utc(1))
