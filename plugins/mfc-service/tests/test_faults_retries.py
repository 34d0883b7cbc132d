"""Retries: how often and when, counted where the requests arrive."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from tests.servers.gateway import Gateway, Reply

from mfc.errors import Unanswered
from mfc_service._connection import TRIES
from mfc_service._retries import Budget, pause

from .asking import QUESTIONS, answer, clear, client, in_time

STORM = Reply(503)


def ask(gateway: Gateway, timeout: float = 30) -> object:
    asked = client(gateway.url, timeout)
    return answer(lambda: asked.flow("ForeachFlow"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfc_service._retries._FIRST", 0.001)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_overload_changes_no_answer(
    status: int, gateway: Gateway, recorded: str, impatient: None
) -> None:
    gateway.script.extend([Reply(status)] * (TRIES - 1))
    assert QUESTIONS["runs"](client(gateway.url)) == QUESTIONS["runs"](client(recorded))
    paths = [asked.path for asked in gateway.asked]
    assert paths[:TRIES] == ["/flows/ForeachFlow/runs?_limit=1"] * TRIES
    assert paths[TRIES] != paths[0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 418, 500, 501])
def test_lasting_errors_are_not_retried(status: int, gateway: Gateway) -> None:
    gateway.always = Reply(status)
    assert issubclass(ask(gateway), Unanswered)
    assert len(gateway.asked) == 1


def test_tries_of_one_request_are_bounded(gateway: Gateway, impatient: None) -> None:
    gateway.always = STORM
    assert ask(gateway) is Unanswered
    assert len(gateway.asked) == TRIES


def test_the_retry_budget_bounds_all_requests(
    gateway: Gateway, recorded: str, impatient: None
) -> None:
    """All queries together retry no more than the budget allows."""
    gateway.always = STORM
    questions = 80
    assert {ask(gateway) for _ in range(questions)} == {Unanswered}
    assert len(gateway.asked) == questions + Budget.FULL
    gateway.always = None
    assert QUESTIONS["runs"](client(gateway.url)) == QUESTIONS["runs"](client(recorded))


def test_threads_share_the_retry_budget(gateway: Gateway, impatient: None) -> None:
    gateway.always = STORM
    asked = client(gateway.url, 30)
    ends: list[object] = []

    def work() -> None:
        ends.extend(answer(lambda: asked.flow("ForeachFlow")) for _ in range(10))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    with in_time(30):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert ends == [Unanswered] * 80
    assert len(gateway.asked) == 80 + Budget.FULL


def test_successful_requests_refill_the_retry_budget(gateway: Gateway, impatient: None) -> None:
    gateway.always = STORM
    for _ in range(40):
        ask(gateway)
    gateway.always = None
    for _ in range(12):
        ask(gateway)
    before = len(gateway.asked)
    gateway.always = STORM
    assert [ask(gateway) for _ in range(4)] == [Unanswered] * 4
    assert len(gateway.asked) - before == 4 + int(12 * Budget.EARNED)


def in_two_seconds() -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("kind", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(kind: str, status: int, gateway: Gateway) -> None:
    told = "1" if kind == "seconds" else in_two_seconds()
    gateway.script.append(Reply(status, headers={"Retry-After": told}))
    with in_time():
        assert ask(gateway).id == "ForeachFlow"
    first, second = gateway.asked
    # A date has no fractions of a second.
    assert second.at - first.at > 0.9


@pytest.mark.parametrize("told", ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_beyond_the_deadline_fails_at_once(told: str, gateway: Gateway) -> None:
    gateway.always = Reply(429, b"quota", {"Retry-After": told})
    with in_time(10), pytest.raises(Unanswered, match="status 429 .Retry-After: ") as caught:
        client(gateway.url, 30).flow("ForeachFlow")
    clear(caught.value)
    assert len(gateway.asked) == 1


NONSENSE = [
    "", "soon", "nan", "inf", "-5", "1e9", "0x10", "1_000", "٣", "Mon, 99 Foo 2026 99:99:99 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan", "0", "; ,",
    "Thu, 01 Jan 1970 00:00:00 GMT",
]  # fmt: skip


@pytest.mark.parametrize("told", NONSENSE)
def test_an_invalid_retry_after_is_ignored(told: str) -> None:
    for attempt in (1, 3):
        found = pause(attempt, {"Retry-After": told})
        assert 0.05 * 2 ** (attempt - 1) <= found <= 0.1 * 2 ** (attempt - 1) or found > 10**6


def test_odd_retry_after_values_do_not_stop_retries(gateway: Gateway) -> None:
    for told in ("nan", "soon", "-5"):
        gateway.script.append(Reply(503, headers={"Retry-After": told}))
    with in_time():
        assert ask(gateway).id == "ForeachFlow"
    assert len(gateway.asked) == 4


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "2"}, {"Retry-After": "0"}])
def test_pauses_grow_and_have_jitter(headers: dict[str, str]) -> None:
    told = float(headers.get("Retry-After", 0))
    before = 0.0
    for attempt in range(1, 7):
        found = [pause(attempt, headers) - told for _ in range(50)]
        assert len({round(one, 9) for one in found}) > 40
        assert before <= min(found)
        assert 0 < min(found) < max(found) < 10
        before = max(found) * 0.9
    assert all(pause(attempt, headers) < 20 for attempt in (10, 100, 1000))


def test_a_retry_waits_for_its_pause(gateway: Gateway) -> None:
    gateway.script.extend([STORM] * 3)
    ask(gateway)
    times = [asked.at for asked in gateway.asked]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert [gap > least for gap, least in zip(gaps, (0.04, 0.09, 0.19), strict=True)] == [True] * 3


def test_the_last_pause_does_not_pass_the_deadline(gateway: Gateway) -> None:
    gateway.always = Reply(503, headers={"Retry-After": "1"})
    start = time.monotonic()
    assert ask(gateway, timeout=1.5) is Unanswered
    assert time.monotonic() - start < 10
    assert len(gateway.asked) == 2
