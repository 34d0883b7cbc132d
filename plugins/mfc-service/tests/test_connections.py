"""Connections: pooled among the clients of a process, bounded, and new in a forked child."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.servers.front import Asked, Front, Reply, front, passed

from mfc import Client
from mfc.errors import BadSetting
from mfc.query import Query

from .forks import forked, needs_fork, with_threads
from .reading import Metered, names, path, provider

FLOW = path("FailFlow")
RUNS = ["31", "22", "21", "9", "8", "7"]


@pytest.fixture
def service(dataset: str) -> Iterator[Front]:
    with front(dataset) as server:
        yield server


class Busy:
    """A service at which requests wait for each other; it notes how many run at once.

    Args:
        expected: number of requests that must have arrived before it answers any.
    """

    def __init__(self, expected: int) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        self.expected, self.together = expected, threading.Event()

    def __call__(self, asked: Asked) -> Reply:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == self.expected:
                self.together.set()
        self.together.wait(20)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return Reply(
            {
                "flow_id": "FailFlow",
                "user_name": None,
                "ts_epoch": 1,
                "tags": None,
                "system_tags": None,
            }
        )


def test_sequential_requests_share_one_connection(service: Front) -> None:
    for _ in range(10):
        assert provider(service.url).get(FLOW) is not None
    assert (len(service.asked), service.connections) == (10, 1)


@pytest.mark.parametrize(("settings", "most"), [({}, 8), ({"MFC_SERVICE_CONNECTIONS": 2}, 2)])
@pytest.mark.parametrize("credentials", ["", "ada:secret@"])
def test_clients_share_a_bounded_number_of_connections(
    settings: dict[str, Any], most: int, credentials: str
) -> None:
    busy = Busy(most)
    with front(busy) as server:
        url = server.url.replace("://", f"://{credentials}")
        clients = [provider(url, settings) for _ in range(10)]
        with ThreadPoolExecutor(30) as threads:
            assert all(threads.map(lambda n: clients[n % 10].get(FLOW), range(30)))
        assert (server.connections, server.most, busy.most) == (most, most, most)


@pytest.mark.parametrize("wrong", [0, 65, "many", 2.5])
def test_an_invalid_number_of_connections_is_reported(wrong: object) -> None:
    with pytest.raises(BadSetting, match="MFC_SERVICE_CONNECTIONS is .*expected a"):
        provider("http://h", {"MFC_SERVICE_CONNECTIONS": wrong})


def test_clients_with_different_keys_never_share_one(service: Front) -> None:
    keys = [f"key-{number}" for number in range(5)]
    for key in keys * 2:
        provider(service.url, {"METAFLOW_SERVICE_AUTH_KEY": key}).get(FLOW)
    assert [asked.headers["x-api-key"] for asked in service.asked] == keys * 2
    of_keys = {(asked.connection, asked.headers["x-api-key"]) for asked in service.asked}
    assert len({connection for connection, _ in of_keys}) == len(of_keys) == 5


def test_connections_close_with_their_last_client(service: Front) -> None:
    for number in range(40):
        provider(service.url, {"METAFLOW_SERVICE_AUTH_KEY": f"key-{number}"}).get(FLOW)
    gc.collect()
    until(lambda: service.open <= 20)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_a_connection_that_the_service_closed_is_replaced(dataset: str) -> None:
    hasty = lambda asked: Reply(  # noqa: E731
        passed(asked, dataset).body, 200, {"Connection": "close"}
    )
    with front(hasty) as server:
        for _ in range(3):
            assert provider(server.url).get(FLOW) is not None
        assert server.connections == 3


def test_requests_and_bytes_are_counted(service: Front) -> None:
    meter = Metered()
    source = provider(service.url, {"METAFLOW_SERVICE_PAGE_SIZE": 2}, meter)
    assert names(source.children(FLOW, Query())) == RUNS
    assert meter.reads == len(service.asked) == 3
    assert meter.size > 1000


def test_objects_are_found_again_by_address_where_they_are_unpickled(service: Front) -> None:
    with Client(f"service@{service.url}", namespace=None) as client:
        run = client.flow("FailFlow").latest_run
    pickled = pickle.dumps(run)
    with Client(namespace=None):
        again = pickle.loads(pickled)
        assert [step.id for step in again] == [step.id for step in run]
    assert service.connections == 1


@needs_fork
@with_threads
class TestForks:
    def test_a_child_has_connections_of_its_own(self, service: Front) -> None:
        source = provider(service.url)
        assert source.get(FLOW) is not None
        assert forked(lambda: names(source.children(FLOW, Query())) == RUNS) == 0
        assert names(source.children(FLOW, Query())) == RUNS
        # Both use what they have: the parent its first connection, the child its own.
        assert [asked.connection for asked in service.asked] == [1, 2, 1]

    def test_a_child_of_a_client_works(self, service: Front) -> None:
        client = Client(f"service@{service.url}", namespace=None)
        flow = client.flow("FailFlow")
        assert [run.id for run in flow] == RUNS
        assert forked(lambda: [run.id for run in flow] == RUNS) == 0
        assert forked(lambda: flow["8"].successful) == 0
        assert flow["8"].successful

    def test_children_forked_while_requests_run_work_and_so_does_the_parent(
        self, service: Front
    ) -> None:
        source = provider(service.url, {"METAFLOW_SERVICE_PAGE_SIZE": 2})
        client = Client(f"service@{service.url}", namespace=None)
        done = threading.Event()

        def go_on() -> int:
            count = 0
            while not done.is_set():
                assert names(source.children(FLOW, Query())) == RUNS
                count += 1
            return count

        with ThreadPoolExecutor(4) as threads:
            pending = [threads.submit(go_on) for _ in range(4)]
            until(lambda: len(service.asked) > 8)
            try:
                for _ in range(6):
                    assert forked(lambda: names(source.children(FLOW, Query())) == RUNS) == 0
                    assert forked(lambda: len(list(client.flow("FailFlow"))) == 6) == 0
            finally:
                done.set()
            assert all(each.result(60) for each in pending)
