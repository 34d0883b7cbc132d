"""Concurrent calls: bounded, ordered, with a timeout."""

from __future__ import annotations

import gc
import gzip
import hashlib
import itertools
import math
import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from mfc._concurrency import _threads
from mfc._concurrency._calls import Limits, Overdue, SideBySide, Untried, in_order
from mfc._storage._spool import pour
from mfc_testing import _isolation

from .faraway import output, process


def calls(cost: int = 0, keep: float = 0, **limits: Any) -> SideBySide[Any]:
    return SideBySide(Limits(**{"patience": math.inf, **limits}), cost, len, keep=keep)


def values(answers: Any) -> list[Any]:
    return [outcome.get() for _, outcome in answers]


def test_results_have_the_order_of_the_items() -> None:
    def slow_at_first(i: int) -> str:
        time.sleep(0.001 * (20 - i))
        return str(i)

    answers = in_order(range(20), lambda i: (i, lambda: slow_at_first(i)), calls(width=8))
    assert values(answers) == [str(i) for i in range(20)]


def test_the_first_result_comes_before_the_last_item_is_read() -> None:
    taken = []

    def source():
        for i in itertools.count():
            taken.append(i)
            yield i

    answers = in_order(source(), lambda i: (i, lambda: "x"), calls(width=4))
    assert next(answers)[0] == 0
    assert len(taken) < 300
    answers.close()
    before = len(taken)
    time.sleep(0.05)
    assert len(taken) == before


@pytest.mark.parametrize("width", [1, 2, 7])
def test_calls_in_flight_are_bounded_by_the_width(width: int) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def call() -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.03)
        with lock:
            now[0] -= 1
        return ""

    list(in_order(range(40), lambda i: (i, call), calls(width=width)))
    assert most[0] == width


def test_bytes_of_pending_results_are_bounded() -> None:
    begun = []

    def plan(i: int) -> Any:
        def call() -> bytes:
            begun.append(i)
            return bytes(100)

        return i, call

    for taken, _ in enumerate(in_order(range(50), plan, calls(100, memory=500, width=32)), 1):
        time.sleep(0.002)
        assert len(begun) - taken <= 5
    assert len(begun) == 50


def test_a_call_larger_than_the_memory_runs_alone() -> None:
    answers = in_order(range(5), lambda i: (i, lambda: bytes(1000)), calls(100, memory=10))
    assert values(answers) == [bytes(1000)] * 5


def test_results_may_be_taken_in_any_order_within_the_memory() -> None:
    several = calls(100, memory=250)
    wanted = [several.want(i, lambda: bytes(100)) for i in range(6)]
    for call in [wanted[i] for i in (5, 0, 4, 1, 3, 2)]:
        assert several.take(call).get() == bytes(100)


def test_equal_keys_are_one_call() -> None:
    made = []

    def plan(i: int) -> Any:
        return i % 3, lambda: made.append(i) or f"{i % 3}"

    answers = in_order(range(300), plan, calls(keep=10_000))
    assert values(answers) == [str(i % 3) for i in range(300)]
    assert len(made) == 3


def test_a_result_is_kept_until_its_last_use() -> None:
    made: list[int] = []
    wanted = calls()
    for _ in range(3):
        call = wanted.want("key", lambda: made.append(1) or "x")
    assert [wanted.take(call).get() for _ in range(2)] == ["x", "x"]
    assert wanted.take(wanted.want("key", lambda: made.append(1) or "y")).get() == "x"
    assert made == [1]


def test_stopping_early_starts_no_more_calls() -> None:
    begun: list[int] = []

    def call(i: int) -> str:
        begun.append(i)
        time.sleep(0.01)
        return "x"

    answers = in_order(range(50), lambda i: (i, lambda: call(i)), calls(width=1))
    next(answers)
    answers.close()
    number = len(begun)
    time.sleep(0.2)
    assert len(begun) <= number + 1


def test_a_recent_result_is_kept() -> None:
    made = []

    def plan(i: int) -> Any:
        return i % 3, lambda: made.append(i) or f"{i % 3}"

    assert values(in_order(range(30), plan, calls(keep=10_000, ahead=1)))[-1] == "2"
    assert len(made) == 3


@pytest.mark.parametrize("size", [1, 200])
def test_kept_results_are_bounded(size: int) -> None:
    """With tiny answers, their containers take most of the memory."""
    made = []

    def plan(i: int) -> Any:
        return i % 5, lambda: made.append(i) or "four" * size

    values(in_order(range(50), plan, calls(keep=2000, ahead=1)))
    assert len(made) == 50


def test_a_failure_is_raised_in_order() -> None:
    def call(i: int) -> str:
        if i == 3:
            raise LookupError(i)
        return str(i)

    answers = in_order(range(9), lambda i: (i, lambda: call(i)), calls())
    assert values(itertools.islice(answers, 3)) == ["0", "1", "2"]
    _, outcome = next(answers)
    with pytest.raises(LookupError):
        outcome.get()
    assert values(answers) == ["4", "5", "6", "7", "8"]


def test_a_failing_iterable_fails_after_its_items() -> None:
    def source():
        yield from range(3)
        raise ZeroDivisionError

    got = []
    with pytest.raises(ZeroDivisionError):
        got.extend(i for i, _ in in_order(source(), lambda i: (i, lambda: ""), calls()))
    assert got == [0, 1, 2]


def test_a_hanging_call_times_out_and_the_others_complete() -> None:
    over = threading.Event()

    def call(i: int) -> str:
        if i in (1, 2):
            over.wait()
        return str(i)

    answers = in_order(range(6), lambda i: (i, lambda: call(i)), calls(patience=0.2))
    outcomes = [outcome for _, outcome in answers]
    over.set()
    assert [type(o.error) for o in outcomes[1:3]] == [Overdue, Overdue]
    assert [o.value for o in outcomes if o.error is None] == ["0", "3", "4", "5"]


@pytest.mark.parametrize(("width", "expected"), [(2, Overdue), (8, str)])
def test_an_abandoned_hanging_call_blocks_no_other(width: int, expected: type) -> None:
    over, wanted = threading.Event(), calls(width=width, patience=0.2)
    for call in [wanted.want(i, over.wait) for i in range(4)]:
        wanted.drop(call)
    last = wanted.want("last", lambda: "last")
    deadline = time.monotonic() + 30
    while last.outcome is None and time.monotonic() < deadline:
        wanted.wait(last)
    over.set()
    assert last.outcome is not None
    assert isinstance(last.outcome.error or last.outcome.value, expected)


def test_a_late_result_frees_its_slot() -> None:
    over, wanted = threading.Event(), calls(width=2, patience=0.1)
    late = [wanted.want(i, over.wait) for i in range(2)]
    assert {type(wanted.take(call).error) for call in late} == {Overdue}
    over.set()
    deadline = time.monotonic() + 30
    while isinstance(wanted.take(wanted.want("next", lambda: "x")).error, Overdue):
        assert time.monotonic() < deadline


def test_few_idle_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    crew, over, before = _threads.Crew(), threading.Event(), threading.active_count()
    monkeypatch.setattr(_threads, "_IDLE", 5)
    for _ in range(30):
        crew.start(over.wait)
    assert threading.active_count() >= before + 30
    over.set()
    deadline = time.monotonic() + 30
    while threading.active_count() > before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_queueing_does_not_count_towards_the_timeout() -> None:
    wanted = calls(width=1, patience=0.9)
    some = [wanted.want(i, lambda i=i: time.sleep(0.4) or str(i)) for i in range(4)]
    assert [wanted.take(some[i]).get() for i in (2, 0, 1, 3)] == ["2", "0", "1", "3"]


def test_the_awaited_call_takes_precedence() -> None:
    """Answers that are not needed now must not hold its memory."""
    wanted = calls(100, memory=10)
    some = [wanted.want(i, lambda i=i: bytes(100 + i)) for i in range(4)]
    assert len(wanted.take(some[0]).get()) == 100
    late = wanted.want("late", lambda: b"late")
    deadline = time.monotonic() + 30
    while late.outcome is None and time.monotonic() < deadline:
        wanted.wait(late)
    assert wanted.take(late).get() == b"late"
    assert [len(wanted.take(call).get()) for call in some[1:]] == [101, 102, 103]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_calls_run_without_new_threads(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    begin, left = threading.Thread.start, [None] * threads

    def start(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        begin(thread)

    monkeypatch.setattr(_threads, "_crew", _threads.Crew())
    monkeypatch.setattr(threading.Thread, "start", start)
    answers = in_order(range(50), lambda i: (i, lambda: time.sleep(0.003) or str(i)), calls())
    assert values(answers) == [str(i) for i in range(50)]
    packed = [gzip.compress(os.urandom(2**22))] * 3
    expected = hashlib.sha1(b"".join(packed)).hexdigest()
    assert pour(packed, len, packed=False) == expected


def test_a_value_can_be_read_when_the_interpreter_ends() -> None:
    """Since Python 3.12, threads can no longer be started then."""
    code = """
    import atexit
    client = step_of(5).client(**OFF)
    client.filesystem("far")
    atexit.register(lambda: print([task.data.x for task in client.step("F/1/fit")]))
    """
    assert output(code) == "[4, 3, 2, 1, 0]"


def test_a_loop_in_a_reference_cycle_may_be_collected_by_any_thread() -> None:
    """Even by a thread that has the lock of its calls."""
    wanted = calls(patience=30)  # but a deadlocked thread has the lock that is needed to report it
    answers = in_order(range(3), lambda i: (i, lambda: time.sleep(0.01) or "x"), wanted)
    next(answers)
    cycle: list[Any] = [answers]
    cycle.append(cycle)

    def size(answer: str) -> int:
        gc.collect()
        return len(answer)

    wanted._size = size
    gc.disable()
    try:
        late = wanted.want("late", lambda: "x")
        del answers, cycle
        assert wanted.take(late).get() == "x"
    finally:
        gc.enable()


def test_the_breaker_opens_when_all_calls_in_flight_hang() -> None:
    over, begun = threading.Event(), []

    def call(i: int) -> str:
        begun.append(i)
        over.wait()
        return ""

    answers = in_order(range(500), lambda i: (i, lambda: call(i)), calls(width=3, patience=0.1))
    errors = [type(outcome.error) for _, outcome in answers]
    over.set()
    assert set(errors) == {Overdue, Untried}
    assert len(begun) <= 6


def test_the_breaker_opens_after_consecutive_slow_failures() -> None:
    down, begun = [True], []

    def call(i: int) -> str:
        begun.append(i)
        if down[0]:
            time.sleep(0.2)
            raise TimeoutError
        return str(i)

    answers = in_order(range(500), lambda i: (i, partial(call, i)), calls(patience=0.6))
    first = [next(answers)[1].error for _ in range(100)]
    assert {type(error) for error in first} == {TimeoutError, Untried}
    assert len(begun) < 20
    down[0] = False
    time.sleep(0.7)
    assert [o.value for _, o in answers if o.error is None] == [str(i) for i in range(100, 500)]


def test_a_success_keeps_the_breaker_closed() -> None:
    def call(i: int) -> str:
        if i % 6:
            time.sleep(0.06)
            raise TimeoutError
        return str(i)

    answers = in_order(range(36), lambda i: (i, partial(call, i)), calls(width=1, patience=0.2))
    assert {type(outcome.error) for i, outcome in answers if i % 6} == {TimeoutError}


def test_slow_calls_reduce_the_concurrency() -> None:
    """On a connection that bears one call per third of the patience, fewer than eight calls run at once."""
    most, now = [0], [0]

    def call() -> str:
        now[0] += 1
        most[0] = max(most[0], now[0])
        line.submit(time.sleep, 0.1).result()
        now[0] -= 1
        return ""

    with ThreadPoolExecutor(1) as line:
        answers = in_order(range(12), lambda i: (i, call), calls(width=32, patience=1.0))
        assert all(outcome.error is None for _, outcome in answers)
    assert most[0] < 8


@pytest.mark.parametrize(
    ("wait", "size", "by_turns"), [(0, 10, True), (0, 1 << 17, False), (0.01, 10, False)]
)
def test_small_results_of_fast_calls_are_batched(wait: float, size: int, by_turns: bool) -> None:
    made = []

    def call() -> bytes:
        time.sleep(wait)
        made.append(1)
        return bytes(size)

    answers = in_order(range(1000), lambda i: (i, call), calls(width=8))
    grew = 0
    for i, _ in answers:
        before = len(made)
        if i in range(100, 500):
            time.sleep(0.002)
            grew += len(made) - before
    assert (grew < 40) == by_turns
    assert len(made) == 1000


@pytest.mark.parametrize(("width", "most"), [(4, 4), (32, 20)])
def test_fast_calls_use_few_threads(width: int, most: int) -> None:
    now, lock, counted = [0], threading.Lock(), []

    def call() -> bytes:
        with lock:
            now[0] += 1
            counted.append(now[0])
        time.sleep(0.0003)
        with lock:
            now[0] -= 1
        return b"x"

    assert len(values(in_order(range(2000), lambda i: (i, call), calls(width=width)))) == 2000
    assert max(counted) <= width
    assert 1 < statistics.median(counted[1000:]) <= most


def test_a_forked_child_can_make_calls() -> None:
    _isolation.needs_fork()
    answers = in_order(
        range(60), lambda i: (i, lambda: time.sleep(0.002) or str(i)), calls(width=8)
    )
    first = [next(answers)[0] for _ in range(5)]
    rest = _isolation.answered(_isolation.forked(lambda: values(answers)))
    assert (first, rest) == ([0, 1, 2, 3, 4], [str(i) for i in range(5, 60)])
    assert values(answers) == [str(i) for i in range(5, 60)]


@pytest.mark.parametrize("leave", ["give up", "take", "drop"])
def test_a_child_forked_while_a_result_is_stored_can_make_calls(leave: str) -> None:
    _isolation.needs_fork()
    noting, over = threading.Event(), threading.Event()

    def size(answer: str) -> int:
        if answer == "late":
            noting.set()
            over.wait(60)
        return 1

    wanted = SideBySide(Limits(), 0, size)
    first = wanted.want(1, lambda: time.sleep(0.01) or "first")
    while first.outcome is None:
        wanted.wait(first)
    wanted.want(2, lambda: "late")
    assert noting.wait(60)
    acts = {
        "give up": wanted.give_up,
        "take": lambda: wanted.take(first),
        "drop": lambda: wanted.drop(first),
    }
    child = _isolation.forked(lambda: acts[leave]() and None)
    over.set()
    assert _isolation.answered(child) is None


def test_the_interpreter_ends_while_calls_hang() -> None:
    code = """
    import threading
    from mfc._concurrency._calls import *
    calls = SideBySide(Limits(patience=0.1))
    wanted = [calls.want(i, threading.Event().wait) for i in range(5)]
    print(type(calls.take(wanted[0]).error).__name__)
    """
    assert output(code) == "Overdue"


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
def test_an_interrupt_ends_the_wait() -> None:
    code = """
    import threading
    from mfc._concurrency._calls import *
    def plan(i):
        print("begun", flush=True)
        return i, threading.Event().wait
    try:
        list(in_order(range(3), plan, SideBySide(Limits())))
    except KeyboardInterrupt:
        print("interrupted")
    """
    with process(code) as child:
        for _ in range(3):
            child.stdout.readline()
        time.sleep(0.2)  # into the wait
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (out.strip(), child.returncode) == ("interrupted", 0), err
