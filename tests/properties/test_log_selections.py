"""Selections by `tail`, `since` and `grep` equal those of the whole log, however it is read."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import fsspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc import Client, Task
from mfc._logs import _ends
from mfc.model import Pathspec, Record
from mfc_testing import MemoryProvider

from .log_contents import MOMENTS, SOURCES, START

PATH = Pathspec(("F", "7", "work", "1"))
TASK: Task = Client(
    MemoryProvider([Record(PATH.up(level), 1) for level in (1, 2, 3, 4)]), namespace=None
).task(str(PATH))
FILES = fsspec.filesystem("memory")
ROOT = "log-selections/root"

TAILS = st.none() | st.integers(1, 3) | st.integers(0, 6)
TIMES = st.none() | MOMENTS | MOMENTS.map(lambda moment: moment + timedelta(microseconds=1))
PATTERNS = st.none() | st.sampled_from(["", "0", rb"[\x80-\xff]", "^.{3}$", "MFLOG", "\ufffd"])
#: Bytes of the first step back; most are too few for a line.
STEPS = st.sampled_from([1, 2, 7, 30, 80, 200, 100_000])
#: Enough examples to meet rare logs.
MANY = settings(max_examples=400)
#: A log from before mflog: lines with every line end.
PLAIN = st.lists(st.sampled_from([b"a", b"0\xff", b"\n", b"\r", b"\r\n"]), min_size=2).map(b"".join)


def put(name: str, content: bytes) -> None:
    FILES.pipe(f"{ROOT}/{PATH}/{name}", content)


def lines(known: dict[str, Any], **wanted: Any) -> list[Any]:
    return list(TASK.loglines("stdout", False, known, **wanted))


@MANY
@given(st.tuples(SOURCES, SOURCES), TAILS, TIMES, PATTERNS, STEPS)
def test_a_selection_is_that_of_the_whole_log(
    sources: tuple[bytes, bytes],
    tail: int | None,
    since: Any,
    grep: Any,
    step: int,
) -> None:
    put("0.runtime_stdout.log", sources[0])
    put("0.task_stdout.log", sources[1])
    known = {"ds-type": "memory", "ds-root": ROOT, "attempt": "0"}
    expected = lines(known)
    if since is not None:
        before = [n for n, (stamp, _) in enumerate(expected, 1) if stamp < since]
        expected = expected[max(before, default=0) :]
    expected = selected(expected, tail, grep)
    with patch.object(_ends, "FIRST_STEP", step):
        assert lines(known, tail=tail, since=since, grep=grep) == expected


@MANY
@given(PLAIN, TAILS, PATTERNS, st.integers(1, 5))
def test_a_selection_before_mflog_is_that_of_the_whole_log(
    content: bytes, tail: int | None, grep: Any, step: int
) -> None:
    put("0.stdout.log", content)
    noted = {"ds_type": "memory", "location": f"{ROOT}/{PATH}/0.stdout.log", "attempt": 0}
    known = {"log_location_stdout": json.dumps(noted)}
    assert b"".join(text for _, text in lines(known)) == b"".join(content.splitlines())
    expected = selected(lines(known), tail, grep)
    with patch.object(_ends, "FIRST_STEP", step):
        assert lines(known, tail=tail, grep=grep) == expected


def selected(found: list[Any], tail: int | None, grep: Any) -> list[Any]:
    if isinstance(grep, bytes):
        found = [line for line in found if re.search(grep, line[1])]
    elif grep is not None:
        found = [line for line in found if re.search(grep, line[1].decode("utf-8", "replace"))]
    return found if tail is None else found[max(len(found) - tail, 0) :]


def test_stamps_in_order_are_selected_one_by_one() -> None:
    """In a log whose clock goes forward, `since` decides on each line alone."""
    stamps = [START + timedelta(seconds=n) for n in range(9)]
    content = [f"[MFLOG|0|{stamp.isoformat()}.000000Z|t|i]x\n".encode() for stamp in stamps]
    put("0.runtime_stdout.log", b"".join(content[::2]))
    put("0.task_stdout.log", b"".join(content[1::2]))
    known = {"ds-type": "memory", "ds-root": ROOT, "attempt": "0"}
    for since in stamps:
        assert [stamp for stamp, _ in lines(known, since=since)] == [
            s for s in stamps if s >= since
        ]
