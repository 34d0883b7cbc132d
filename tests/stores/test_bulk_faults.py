"""Many values while a store misbehaves: errors stay with their values, and faults are never cached."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers.object_faults import (
    Exchange,
    Fault,
    answer,
    corrupt,
    reset,
    silence,
    slow,
    stall,
    truncate,
)

from mfc import Client, Task, load
from mfc.errors import CorruptBlob, DatastoreError, MetaflowDataMissing, UnreadableBlob
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider

from .conftest import Place

NUMBER = 48
STEP = Pathspec(("Train", "2", "fit"))
#: Seconds within which 48 reads of a dead store end, on a busy machine; each may take three.
BOUND = 75

FAULTS: dict[str, tuple[Fault, type[DatastoreError]]] = {
    "403": (answer(403, "AccessDenied"), UnreadableBlob),
    "404": (answer(404, "NoSuchKey"), MetaflowDataMissing),
    "500": (answer(500, "InternalError"), UnreadableBlob),
    "503": (answer(503, "SlowDown"), UnreadableBlob),
    "expired": (answer(400, "ExpiredToken"), UnreadableBlob),
    "clock": (answer(403, "RequestTimeTooSkewed"), UnreadableBlob),
    "reset": (reset, UnreadableBlob),
    "truncated": (truncate, UnreadableBlob),
    "corrupt": (corrupt, CorruptBlob),
    "silence": (silence, UnreadableBlob),
    "stall": (stall, UnreadableBlob),
}


@dataclass
class Values:
    """The values of a step's tasks in a store."""

    place: Place
    #: SHA-1 of the value of each task.
    keys: list[str]
    provider: MemoryProvider

    def client(self, cache: Path) -> Client:
        cache.mkdir(exist_ok=True)
        config = self.place.config(CLIENT_CACHE_PATH=str(cache))
        return Client(self.provider, namespace=None, config=config)

    def breaks(self, fault: Fault, keys: Iterable[str]) -> None:
        """Break the requests for some of them."""
        these = set(keys)

        def some(exchange: Exchange) -> None:
            path = exchange.handler.path.partition("?")[0]
            (fault if path[-40:] in these else Exchange.send)(exchange)

        self.place.relay.breaks(some)
        self.place.relay.asked.clear()

    def mends(self) -> None:
        self.place.relay.breaks(Exchange.send, 0)
        self.place.relay.asked.clear()


def value(number: int) -> list[int]:
    return list(range(number, number + 50))


@pytest.fixture
def values(place: Place) -> Values:
    above = [Record(Pathspec(STEP.components[:length]), 1) for length in (1, 2, 3)]
    keys, artifacts, done = [], [], []
    for number in range(NUMBER):
        blob = pickle.dumps(value(number), protocol=4)
        key = hashlib.sha1(blob).hexdigest()
        place.bucket.put(f"Train/data/{key[:2]}/{key}", gzip.compress(blob))
        keys.append(key)
        task = Pathspec((*STEP.components, str(number)))
        above.append(Record(task, number + 1))
        done.append(MetadataRecord(task, "attempt-done", "0", "attempt-done", number + 2, 0))
        artifacts.append(
            ArtifactRecord(
                Pathspec((*task.components, "x")),
                number + 1,
                attempt=0,
                sha=key,
                ds_type=place.bucket.ds_type,
                location=f":root:{place.bucket.root}",
                encoding="pickle-v4",
            )
        )
    return Values(place, keys, MemoryProvider(above, artifacts, done))


def loaded(tasks: list[Task]) -> list[Any]:
    return list(load(tasks, "x", errors="return"))


def looped(tasks: list[Task]) -> list[Any]:
    return [caught(lambda task=task: task.data.x) for task in tasks]


def caught(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except DatastoreError as error:
        return error


LOOPED = ("404", "truncated", "corrupt", "stall")
WAYS = [*((name, loaded) for name in FAULTS), *((name, looped) for name in LOOPED)]


@pytest.mark.parametrize(("name", "read"), WAYS)
def test_some_failing_values_leave_the_others_right(
    values: Values, name: str, read: Callable[[list[Task]], list[Any]], tmp_path: Path
) -> None:
    fault, kind = FAULTS[name]
    broken = values.keys[3::16]
    values.breaks(fault, broken)
    client = values.client(tmp_path / "cache")
    tasks = list(client.step(str(STEP)))
    found = read(tasks)
    for task, one in zip(tasks, found, strict=True):
        key = values.keys[int(task.id)]
        if key in broken:
            assert type(one) is kind
            assert one.subject == f"{task.pathspec}/x"
            assert f"{values.place.bucket.name}/some/root/Train/data/{key[:2]}/{key}" in str(one)
        else:
            assert one == value(int(task.id))
    assert client.cache.info().blobs == NUMBER - len(broken)
    values.mends()
    again = values.client(tmp_path / "cache")
    assert list(load(again.step(str(STEP)), "x")) == [value(int(task.id)) for task in tasks]
    assert {path[-40:] for path in values.place.relay.asked} == set(broken)


@pytest.mark.parametrize("read", [loaded, looped])
@pytest.mark.parametrize("name", ["403", "corrupt", "silence"])
def test_a_dead_store_fails_in_bounded_time(
    values: Values, name: str, read: Callable[[list[Task]], list[Any]], tmp_path: Path
) -> None:
    """In far less time than one deadline per value."""
    fault, kind = FAULTS[name]
    values.breaks(fault, values.keys)
    client = values.client(tmp_path / "cache")
    tasks = list(client.step(str(STEP)))
    started = time.monotonic()
    found = read(tasks)
    assert time.monotonic() - started < BOUND
    assert {type(one) for one in found} == {kind}
    assert [one.subject for one in found] == [f"{task.pathspec}/x" for task in tasks]
    assert client.cache.info().blobs == 0
    if name == "silence":
        assert len({path[-40:] for path in values.place.relay.asked}) < NUMBER / 2
        assert "it was not tried" in str(found[-1])


def test_the_first_error_is_raised_in_order(values: Values, tmp_path: Path) -> None:
    values.breaks(answer(403, "AccessDenied"), values.keys[3:4])
    step = values.client(tmp_path / "cache").step(str(STEP))
    ids = [int(task.id) for task in step]
    found = load(step, "x")
    right = [next(found) for _ in range(ids.index(3))]
    assert right == [value(number) for number in ids[: ids.index(3)]]
    with pytest.raises(UnreadableBlob, match=f"{STEP}/3/x.*AccessDenied"):
        next(found)


def another_object(exchange: Exchange) -> None:
    """Answer with the bytes of another object, whole and well-formed."""
    blob = gzip.compress(pickle.dumps("another", protocol=4))
    exchange.status, exchange.body = 200, blob
    names = {
        "content-length",
        "content-range",
        "content-md5",
        "x-goog-hash",
        "x-ms-blob-content-md5",
    }
    kept = [(name, value) for name, value in exchange.headers if name.lower() not in names]
    size = ("Content-Range", f"bytes 0-{len(blob) - 1}/{len(blob)}")
    exchange.headers = [*kept, ("Content-Length", str(len(blob))), size]
    exchange.status = 206
    exchange.send()


@pytest.mark.parametrize("fault", [corrupt, another_object, truncate])
@pytest.mark.parametrize("read", [loaded, looped])
def test_a_wrong_answer_is_fetched_again(
    values: Values, fault: Fault, read: Callable[[list[Task]], list[Any]], tmp_path: Path
) -> None:
    spoiled: set[str] = set()

    def once(exchange: Exchange) -> None:
        path = exchange.handler.path.partition("?")[0]
        is_first = path not in spoiled
        spoiled.add(path)
        (fault if is_first else Exchange.send)(exchange)

    values.place.relay.breaks(once)
    client = values.client(tmp_path / "cache")
    tasks = list(client.step(str(STEP)))
    assert read(tasks) == [value(int(task.id)) for task in tasks]
    assert len(values.place.relay.asked) == 2 * NUMBER
    assert client.cache.info().blobs == NUMBER


@pytest.mark.parametrize("caching", ["1", "0"])
def test_threads_on_one_listing_make_each_request_once(
    values: Values, caching: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFC_CACHE", caching)
    tasks = list(values.client(tmp_path / "cache").step(str(STEP)))
    values.place.relay.asked.clear()
    values.place.relay.breaks(slow(0.01))
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda task: task["x"].data, tasks))
    assert found == [value(int(task.id)) for task in tasks]
    asked = Counter(path[-40:] for path in values.place.relay.asked)
    assert asked == Counter(values.keys)
