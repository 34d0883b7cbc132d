from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from mfc import Client
from mfc.errors import BadArgument
from mfc.hookspecs import Capabilities, Support
from mfc.model import Record
from mfc.query import Query
from mfc_testing import MemoryProvider

from .conftest import path


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def test_times_may_be_given_in_any_form() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    expected = int(moment.timestamp() * 1000)
    assert Query(since=moment).since == expected
    assert Query(since="2026-03-01T12:00:00+00:00").since == expected
    assert Query(since=expected).since == expected
    midnight = datetime(2026, 3, 1).astimezone()
    assert Query(until=date(2026, 3, 1)).until == int(midnight.timestamp() * 1000)
    hour_ago = Query(since=timedelta(hours=1)).since
    assert hour_ago is not None
    assert abs(hour_ago - (datetime.now().timestamp() - 3600) * 1000) < 60_000


@pytest.mark.parametrize(
    "parts",
    [
        {"since": "soon"},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": True},
        {"status": "fine"},
        {"until": 3.5},
    ],
)
def test_an_invalid_part_is_reported(parts: dict[str, object]) -> None:
    with pytest.raises(BadArgument, match="expected"):
        Query(**parts)


EVERYTHING = {"tags", "since", "until", "user", "names", "metadata", "limit"}


@pytest.mark.parametrize(
    "capabilities",
    [
        Capabilities(),
        Capabilities(tags=Support.FULL, limit=Support.FULL),
        Capabilities(**dict.fromkeys(EVERYTHING, Support.FULL)),
        Capabilities(**dict.fromkeys(EVERYTHING, Support.PARTIAL)),
        Capabilities(order=Support.UNSUPPORTED, attempts=Support.UNSUPPORTED),
    ],
)
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["2", "1"]),
        ({"limit": 1}, ["2"]),
        ({"limit": 0}, []),
        ({"user": "ada"}, ["2", "1"]),
        ({"user": "bob"}, []),
        ({"since": at(2_000)}, ["2"]),
        ({"until": at(3_000)}, ["1"]),
        ({"since": at(1_000), "until": at(1_000)}, []),
        ({"status": "completed"}, ["2"]),
        ({"status": "failed"}, ["1"]),
        ({"status": "failed", "limit": 1}, ["1"]),
        ({"status": "running"}, []),
        ({"status": "completed", "user": "ada", "since": at(3_000), "limit": 1}, ["2"]),
    ],
)
def test_the_answer_is_the_same_for_any_capabilities(
    provider: MemoryProvider,
    capabilities: Capabilities,
    asked: dict[str, object],
    expected: list[str],
) -> None:
    provider.capabilities = capabilities
    client = Client(provider, namespace=None)
    assert [run.id for run in client.flow("Train").runs(**asked)] == expected


def test_tags_match_user_and_system_tags(provider: MemoryProvider) -> None:
    flow = Client(provider, namespace=None).flow("Train")
    assert [run.id for run in flow.runs("user:ada", "red")] == ["2"]
    assert list(flow.runs("red", "blue")) == []


def test_a_query_can_be_cut_to_some_parts() -> None:
    query = Query(tags=["a"], since=1, until=2, status="failed", user="u", limit=3)
    assert query.only({"tags", "user"}) == Query(tags=["a"], user="u")
    assert query.only(()) == Query()
    assert query.only(query.parts()) == query


def test_record_tests_ignore_status_and_limit() -> None:
    assert Query(status="failed", limit=2).tests() == []
    record = Record(path("F/1"), 5, "ada", frozenset("a"), frozenset("s"))
    assert all(
        test(record) for test in Query(tags=["a", "s"], since=5, until=6, user="ada").tests()
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"since": timedelta.max},
        {"until": datetime.min},
        {"since": "0001-01-01"},
        {"tags": [["a"]]},
        {"tags": 5},
    ],
)
def test_impossible_times_and_tags_are_a_bad_argument(asked: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        Query(**asked)
