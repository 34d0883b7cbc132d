"""Network faults during a query: the same answer as without them, or an error of mfc, in time."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from tests.servers.proxy import Cut, Drip, Fault, Hole, Running

from mfc.errors import MetaflowException, MetaflowNotFound, UnreadableRecord
from mfc_service import _connection
from mfc_service._retries import Budget

from . import asking
from .asking import PAGE, QUESTIONS, SHORT, answers, clear, client, in_time, through

#: Faults that a retry overcomes.
PASSING: dict[str, Fault] = {
    "closed instead of an answer": Cut(0),
    "closed when it was asked": Cut(0, delivered=False),
    "reset instead of an answer": Cut(0, reset=True),
    "reset when it was asked": Cut(0, reset=True, delivered=False),
    "cut in the headers": Cut(40),
    "cut in the body": Cut(400),
    "reset in the body": Cut(400, reset=True),
}
#: Faults that last.
LASTING: dict[str, Fault] = {
    **PASSING,
    "black hole": Hole(),
    "answers are lost": Hole(delivered=True),
}


@pytest.fixture(scope="module")
def expected(recorded: str) -> dict[str, object]:
    found = dict(answers(recorded))
    missing = [name for name, value in found.items() if isinstance(value, type) or not value]
    assert missing == ["no such run"]
    assert all(found["parents"])
    assert all(found["children"])
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfc_service._retries._FIRST", 0.01)


@pytest.mark.parametrize("kind", PASSING)
def test_passing_faults_change_no_answer(
    kind: str, proxy: Running, recorded: str, expected: dict[str, object], impatient: None
) -> None:
    url = through(proxy.port, recorded)
    for name in QUESTIONS:
        # The first of three connections, so that any request meets the fault and then succeeds.
        proxy.faults.clear()
        proxy.faults.extend([PASSING[kind], None, None] * 3)
        with in_time():
            assert asking.answer(lambda name=name: QUESTIONS[name](client(url))) == expected[name]


def test_latency_changes_no_answer(
    proxy: Running, recorded: str, expected: dict[str, object]
) -> None:
    proxy.delay = 0.002
    assert answers(through(proxy.port, recorded)) == expected


@pytest.mark.parametrize("kind", LASTING)
def test_lasting_faults_are_an_error_in_time(
    kind: str, proxy: Running, recorded: str, impatient: None
) -> None:
    proxy.always = LASTING[kind]
    url = through(proxy.port, recorded)
    asked = client(url, SHORT)
    with in_time(), pytest.raises(UnreadableRecord) as caught:
        list(asked.flow("ForeachFlow"))
    clear(caught.value)
    assert url in str(caught.value)


def test_a_question_in_the_middle_of_an_outage_is_an_error(
    proxy: Running, recorded: str, expected: dict[str, object], impatient: None
) -> None:
    """However far the query came: an error, and never a wrong answer."""
    url = through(proxy.port, recorded)
    told = 0
    for name in QUESTIONS:
        for good in (1, 2, 4, 7):
            proxy.faults.clear()
            proxy.always, turns = None, proxy.counts["turns"]
            proxy.faults.extend([None] * good)
            proxy.always = Cut(0, reset=True)
            with in_time():
                found = asking.answer(lambda name=name: QUESTIONS[name](client(url)))
            if found is expected[name] is MetaflowNotFound:
                continue  # the hints fetched while the error is shown change nothing
            if proxy.counts["turns"] - turns > good:
                told += 1
                assert isinstance(found, type), (name, good, found)
                assert issubclass(found, UnreadableRecord), (name, good)
            else:
                assert found == expected[name], (name, good)
    assert told > len(QUESTIONS)


def test_refused_connections_are_an_error_until_they_are_not(
    proxy: Running, recorded: str, expected: dict[str, object]
) -> None:
    url = through(proxy.port, recorded)
    asked = client(url)
    runs = QUESTIONS["runs"](asked)
    with proxy.refusing(), in_time(), pytest.raises(UnreadableRecord) as caught:
        QUESTIONS["runs"](client(url, SHORT))
    clear(caught.value)
    assert "is the service up" in str(caught.value)
    assert QUESTIONS["runs"](asked) == runs == expected["runs"]


def test_an_answer_that_drips_ends_at_the_deadline(proxy: Running, recorded: str) -> None:
    # Waiting for the end would take minutes, while each next byte comes soon.
    proxy.always = Drip(0.3)
    asked = client(through(proxy.port, recorded), SHORT)
    with in_time(), pytest.raises(UnreadableRecord, match="MFC_SERVICE_TIMEOUT") as caught:
        list(asked.flow("ForeachFlow"))
    clear(caught.value)


def test_a_slow_answer_is_an_answer(
    proxy: Running, recorded: str, expected: dict[str, object]
) -> None:
    proxy.always = Drip(0.0001)
    url = through(proxy.port, recorded)
    assert QUESTIONS["newest runs"](client(url)) == expected["newest runs"]


def given(rows: Iterator[object]) -> tuple[list[object], MetaflowException | None]:
    found = []
    try:
        for row in rows:
            found.append(row)
    except MetaflowException as error:
        return found, error
    return found, None


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_results_before_a_fault_are_right(
    pages: int, proxy: Running, recorded: str, impatient: None
) -> None:
    whole = [flow.id for flow in client(recorded).flows()]
    proxy.faults.extend([None] * pages)
    proxy.always = Cut(300)
    found, error = given(iter(client(through(proxy.port, recorded)).flows()))
    assert error is not None
    clear(error)
    assert [flow.id for flow in found] == whole[: len(found)]
    assert len(found) == PAGE * pages < len(whole)


def test_the_message_gives_the_timeout(proxy: Running, recorded: str) -> None:
    proxy.always = Hole()
    with in_time(), pytest.raises(UnreadableRecord, match="not answered within 1 s"):
        client(through(proxy.port, recorded), SHORT).run("ForeachFlow/3")


def test_a_last_try_without_time_keeps_the_first_reason(proxy: Running, recorded: str) -> None:
    proxy.faults.append(Cut(0, reset=True))
    proxy.always = Hole()
    with in_time(), pytest.raises(UnreadableRecord, match="is the service up") as caught:
        client(through(proxy.port, recorded), SHORT).run("ForeachFlow/3")
    clear(caught.value)


def test_deadlines_hold_where_threads_wait_for_connections(proxy: Running, recorded: str) -> None:
    """Threads that wait for a connection have deadlines as well."""
    proxy.always = Hole()
    asked = client(through(proxy.port, recorded), SHORT, MFC_SERVICE_CONNECTIONS=2)
    ends: list[object] = []

    def ask() -> None:
        ends.append(asking.answer(lambda: list(asked.flow("ForeachFlow"))))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(16)]
    with in_time(5):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(ends) == len(threads)
    assert all(isinstance(end, type) and issubclass(end, UnreadableRecord) for end in ends)


def test_a_deadline_holds_while_another_has_the_connection(proxy: Running, recorded: str) -> None:
    proxy.always = Hole()
    url = through(proxy.port, recorded)
    patient = client(url, 10 * asking.HANGS, MFC_SERVICE_CONNECTIONS=1)
    asked = client(url, SHORT, MFC_SERVICE_CONNECTIONS=1)

    def wait() -> None:
        with contextlib.suppress(UnreadableRecord):
            patient.flow("FailFlow")

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while not proxy.counts["turns"]:
        time.sleep(0.01)
    with in_time(), pytest.raises(UnreadableRecord, match="MFC_SERVICE_TIMEOUT") as caught:
        asked.flow("ForeachFlow")
    clear(caught.value)
    assert proxy.counts["connections"] == 1


def test_an_answer_may_be_cut_at_any_byte(
    proxy: Running, recorded: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connection, "pause", lambda *_: 0.0)
    monkeypatch.setattr(Budget, "FULL", 1e6)
    asked = client(through(proxy.port, recorded))
    wrong = {}
    for after in range(1, 420):
        proxy.faults.append(Cut(after))
        answer = asking.answer(lambda: QUESTIONS["newest runs"](asked))
        if answer != expected["newest runs"]:
            wrong[after] = answer
    assert wrong == {}


def test_faults_of_one_thread_leave_other_answers_right(
    proxy: Running, recorded: str, expected: dict[str, object]
) -> None:
    proxy.faults.extend(itertools.islice(itertools.cycle([*[None] * 6, Cut(200)]), 70))
    asked = client(through(proxy.port, recorded))
    names = ["runs", "newest runs", "steps", "tasks", "end", "latest"] * 2
    found: list[tuple[str, object]] = []

    def ask(name: str) -> None:
        found.append((name, asking.answer(lambda: QUESTIONS[name](asked))))

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names]
    with in_time():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(name for name, _ in found) == sorted(names)
    assert [(name, answer) for name, answer in found if answer != expected[name]] == []


def test_dropped_connections_are_replaced_at_once(
    proxy: Running, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pause would pass the deadline.
    monkeypatch.setattr("mfc_service._retries._FIRST", 1000.0)
    monkeypatch.setattr("mfc_service._retries._MOST", 1000.0)
    asked = client(through(proxy.port, recorded))
    runs = [run.id for run in asked.flow("ForeachFlow")]
    for drop in (
        proxy.drop_all,
        lambda: proxy.drop_all(reset=True),
        lambda: proxy.faults.append(Cut(0, delivered=False, reused=True)),
        lambda: proxy.faults.append(Cut(0, delivered=False, reset=True, reused=True)),
    ):
        drop()
        assert [run.id for run in asked.flow("ForeachFlow")] == runs
        assert not proxy.faults


def test_a_broken_new_connection_is_retried_after_a_pause(
    proxy: Running, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken new connection is retried only after a pause."""
    monkeypatch.setattr("mfc_service._retries._FIRST", 1000.0)
    monkeypatch.setattr("mfc_service._retries._MOST", 1000.0)
    proxy.always = Cut(0, delivered=False)
    with pytest.raises(UnreadableRecord):
        client(through(proxy.port, recorded)).run("ForeachFlow/3")
    assert proxy.counts["turns"] == 1
