"""Requests for queries: the parameters sent, and answers that are right without them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
from tests.servers.front import Asked, Front, Reply, front, passed
from tests.servers.metadata import Hub

from mfc.model import Pathspec, Record
from mfc.query import Query
from mfc_testing import History

from .backend import Service
from .reading import names, path, provider

#: One run has every tag of the table; users are in two cases.
TAGS = ("plain", "a,b", "null", "sp ace", "é", "100%", "a_b", '["x"]')
RUN, STEP = path("F/3"), path("F/3/s")


def records() -> Iterator[Record]:
    yield Record(path("F"), 1)
    for number in range(1, 9):
        run = path(f"F/{number}")
        tags = TAGS if number == 3 else [f"only-{number}"]
        user = {1: "Ada", 2: "a,b", 4: "null", 5: None, 6: "aXa"}.get(number, "ada")
        # Pairs share a time.
        yield Record(run, 1000 * (number // 2 + 1), user, frozenset(tags), frozenset(["sys"]))
    yield Record(STEP, 5000, "ada")
    for number in range(1, 8):
        yield Record(STEP.child(f"t-{number}"), 5000 + number // 2, "ada" if number % 2 else "bob")


@pytest.fixture(scope="module")
def service(services: Hub) -> Service:
    made = Service(*services.new())
    made.put(History(list(records())))
    return made


@pytest.fixture(scope="module")
def watched(service: Service) -> Iterator[Front]:
    with front(service.url) as server:
        yield server


def without_parameters(url: str) -> Any:
    """Answer like a service that silently ignores them, and has no order."""

    def answer(asked: Asked) -> Reply:
        reply = passed(asked, url, target=asked.target.partition("?")[0])
        rows = json.loads(reply.content)
        return Reply(sorted(rows, key=lambda row: json.dumps(row)[::-1]), reply.status)

    return answer


QUERIES: list[tuple[Pathspec, Query, dict[str, str]]] = [
    (path("F"), Query(), {}),
    (path("F"), Query(tags=["plain"]), {"_tags": "plain"}),
    (path("F"), Query(tags=["plain", "sys"]), {"_tags": "plain,sys"}),
    (path("F"), Query(tags=["sp ace", "é"]), {"_tags": "sp ace,é"}),
    (path("F"), Query(tags=["100%", "a_b", '["x"]']), {"_tags": '100%,["x"],a_b'}),
    (path("F"), Query(tags=["null"]), {"_tags": "null"}),
    (path("F"), Query(tags=["a,b"]), {}),
    (path("F"), Query(tags=["a,b", "plain"]), {"_tags": "plain"}),
    (path("F"), Query(tags=["a\0b"]), {}),
    (path("F"), Query(tags=["\ud800"]), {}),
    (path("F"), Query(user="ada"), {"user_name": "ada"}),
    (path("F"), Query(user="Ada"), {"user_name": "Ada"}),
    (path("F"), Query(user="a_a"), {"user_name": "a_a"}),
    (path("F"), Query(user="a,b"), {}),
    (path("F"), Query(user="null"), {}),
    (path("F"), Query(user="a\0"), {}),
    (path("F"), Query(user=""), {}),
    (path("F"), Query(user="\ud800"), {}),
    (path("F"), Query(since=2000), {"ts_epoch:ge": "2000"}),
    (path("F"), Query(until=3000), {"ts_epoch:lt": "3000"}),
    (path("F"), Query(since=2000, until=3000), {"ts_epoch:ge": "2000", "ts_epoch:lt": "3000"}),
    (path("F"), Query(since=10**30), {}),
    (path("F"), Query(until=-(10**30)), {}),
    (path("F"), Query(until=2**63 - 1), {"ts_epoch:lt": str(2**63 - 1)}),
    (path("F"), Query(tags=["x" * 300 + str(n) for n in range(40)]), {}),
    (path("F"), Query(names=["1", "2", "3"]), {"run_number": "1,2,3"}),
    (path("F/3/s"), Query(), {}),
    (path("F/3/s"), Query(tags=["plain"]), {}),
    (path("F/3/s"), Query(user="bob", since=5001), {"user_name": "bob", "ts_epoch:ge": "5001"}),
    (path("F/3/s"), Query(names=["t-1", "t-2", "t-9"]), {"task_name": "t-1,t-2,t-9"}),
    (path("F/3"), Query(user="ada"), {}),
    (path(""), Query(since=0), {}),
]


@pytest.mark.parametrize(("where", "query", "params"), QUERIES)
def test_exact_conditions_go_to_the_service_and_the_rest_is_done_here(
    watched: Front, service: Service, where: Pathspec, query: Query, params: dict[str, str]
) -> None:
    before = len(watched.asked)
    got = [str(r.path) for r in provider(watched.url).children(where, query)]
    (asked,) = watched.asked[before:]
    sent = {name: value for name, value in asked.params.items() if name != "_limit"}
    assert {n: sorted(v.split(",")) for n, v in sent.items()} == {
        n: sorted(v.split(",")) for n, v in params.items()
    }
    assert got == expected(where, query)
    with front(without_parameters(service.url)) as silent:
        assert [str(r.path) for r in provider(silent.url).children(where, query)] == got


def expected(where: Pathspec, query: Query) -> list[str]:
    run = next(r for r in records() if r.path == RUN)
    below = [r for r in records() if r.path.parent == where and r.path.level > where.level]
    # Objects below the run carry its tags; times decide first, then serials, which grow.
    if where.level >= 2:
        below = [attrs.evolve(r, tags=run.tags, system_tags=run.system_tags) for r in below]
    matching = [r for r in below if all(test(r) for test in query.tests())]
    return [str(r.path) for r in sorted(matching, key=lambda r: (r.created, r.path.name))[::-1]]


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize(
    "query", [Query(), Query(user="ada"), Query(tags=["a,b"]), Query(user="null")]
)
def test_a_limit_counts_after_everything_else(service: Service, query: Query, limit: int) -> None:
    limited = attrs.evolve(query, limit=limit)
    want = expected(path("F"), query)[:limit]
    with front(without_parameters(service.url)) as silent:
        for url in (service.url, silent.url):
            assert [str(r.path) for r in provider(url).children(path("F"), limited)] == want


@pytest.mark.parametrize("status", ["running", "failed", "unknown"])
def test_a_status_with_another_meaning_is_not_sent(watched: Front, status: str) -> None:
    before = len(watched.asked)
    assert len(list(provider(watched.url).children(path("F"), Query(status=status)))) == 8
    assert not any("status" in asked.params for asked in watched.asked[before:])


@pytest.mark.parametrize(
    "where", [("a\0b", "x"), ("f\ud800", "x"), ("f", "\ud800"), ("", "x"), ("f", "a\0")]
)
def test_unencodable_metadata_matches_nothing(service: Service, where: tuple[str, str]) -> None:
    assert not list(provider(service.url).children(STEP, Query(metadata=where)))


class TestPages:
    def test_pages_have_the_configured_size(self, watched: Front) -> None:
        for size, pages in ((1, 8), (2, 4), (3, 3), (500, 1)):
            before = len(watched.asked)
            source = provider(watched.url, {"METAFLOW_SERVICE_PAGE_SIZE": size})
            assert names(source.children(path("F"), Query())) == list("87654321")
            asked = watched.asked[before:]
            assert [a.params["_limit"] for a in asked] == [str(size)] * pages

    @pytest.mark.parametrize("size", [0, 501, -1, "x", 1.5, "nan", "inf", ""])
    def test_an_invalid_page_size_is_reported(self, size: object) -> None:
        with pytest.raises(ValueError, match="METAFLOW_SERVICE_PAGE_SIZE is .*expected a"):
            provider("http://h", {"METAFLOW_SERVICE_PAGE_SIZE": size})

    def test_only_consumed_pages_are_requested(self, watched: Front) -> None:
        source = provider(watched.url, {"METAFLOW_SERVICE_PAGE_SIZE": 2})
        before = len(watched.asked)
        found = source.children(path("F"), Query())
        assert len(watched.asked) == before
        for consumed, pages in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3)):
            next(found)
            assert len(watched.asked) == before + pages, consumed

    def test_a_limit_bounds_the_requested_rows(self, watched: Front) -> None:
        source = provider(watched.url)
        for query in (Query(limit=1), Query(limit=3, user="ada"), Query(limit=2, since=5)):
            before = len(watched.asked)
            list(source.children(path("F"), query))
            (asked,) = watched.asked[before:]
            assert asked.params["_limit"] == str(query.limit)

    def test_many_names_are_split_into_short_requests(self, watched: Front) -> None:
        wanted = [str(number) for number in range(1, 2000)]
        before = len(watched.asked)
        found = provider(watched.url).children(path("F"), Query(names=wanted))
        assert names(found) == list("87654321")
        asked = watched.asked[before:]
        assert all(len(each.target) < 8000 for each in asked)
        assert len(asked) < 10

    def test_client_side_filters_send_no_more_requests(self, watched: Front) -> None:
        before = len(watched.asked)
        found = provider(watched.url).children(path("F"), Query(user="a,b", limit=1))
        assert names(found) == ["2"]
        assert len(watched.asked) == before + 1

    def test_names_come_in_the_order_of_the_listing(self, services: Hub) -> None:
        made = Service(*services.new())
        runs = [Record(path(f"F/{number}"), 5, "ada") for number in (*range(7, 13), "x", "y")]
        made.put(History([Record(path("F"), 1), *runs]))
        source = provider(made.url)
        assert names(source.children(path("F"), Query())) == ["y", "x", *map(str, range(12, 6, -1))]
        for some in (2, 3):
            for wanted in itertools.combinations([str(number) for number in range(7, 13)], some):
                found = source.children(path("F"), Query(names=wanted))
                assert names(found) == sorted(wanted, key=int, reverse=True)


def test_requests_to_a_paging_service_are_bounded(watched: Front) -> None:
    source = provider(watched.url)
    before = len(watched.asked)
    for where, query, _ in QUERIES:
        list(source.children(where, query))
    for where in (RUN, STEP, STEP.child("t-1")):
        list(source.metadata(where))
        list(source.artifacts(where))
    list(source.artifacts(RUN, attempt=0))
    unbounded = [a.path for a in watched.asked[before:] if bounded(a) is False]
    assert not unbounded


def bounded(asked: Asked) -> bool:
    """Tell whether a request is for a page, or for what the service has no pages of."""
    if asked.path.endswith(("/steps", "/filtered_tasks")) or "/attempt/" in asked.path:
        return True
    single = asked.path.count("/") % 2 == 0
    return single or 1 <= int(asked.params.get("_limit", 0)) <= 500


def test_each_answer_shows_whether_the_service_has_pages(service: Service) -> None:
    # As behind a load balancer, with an old service and a current one.
    turns: list[int] = []

    def answer(asked: Asked) -> Reply:
        turns.append(1)
        old = len(turns) % 2
        return passed(
            asked, service.url, **({"target": asked.target.partition("?")[0]} if old else {})
        )

    with front(answer) as mixed:
        source = provider(mixed.url, {"METAFLOW_SERVICE_PAGE_SIZE": 3})
        for _ in range(4):
            assert names(source.children(path("F"), Query(user="ada"))) == ["8", "7", "3"]


def test_the_base_may_have_a_path(service: Service) -> None:
    assert urlsplit(service.url).path
    assert provider(f"{service.url}/").get(path("F")) is not None
