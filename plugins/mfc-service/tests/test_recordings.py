"""Recorded answers of the real service's versions, through the client: tests/service-recordings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from tests.servers.front import Front, front
from tests.servers.recorded import Replay, replaying
from tests.servers.recordings import Exchange, exchanges, reads

from mfc.errors import MfcWarning
from mfc.hookspecs import MetadataProvider
from mfc.model import Level, Pathspec, is_name
from mfc.query import Query

from .reading import WORDS, path, path_of, provider, said, told

#: Older than the rows of `dataset`: tags and heartbeats changed since, flows were left out.
CHANGED = {"/flows/LinearFlow/runs", "/flows/ForeachFlow/runs", "/flows"}


@functools.cache
def firsts() -> list[Exchange]:
    """Return the first recorded answer of each URL; not those while tags were written (09)."""
    found: dict[str, Exchange] = {}
    for file, exchange in reads():
        if file != "09" and exchange["method"] == "GET":
            found.setdefault(exchange["target"], exchange)
    return list(found.values())


def listings() -> list[Exchange]:
    """Return the recorded listings that are complete and were requested without parameters."""
    lists = (e for e in firsts() if isinstance(e.get("body"), list) and e["status"] == 200)
    plain = (e for e in lists if "?" not in e["target"] and "body_truncated" not in e)
    return [e for e in plain if not e["target"].endswith("/filtered_tasks")]


@pytest.fixture(scope="module")
def replay() -> Iterator[Front]:
    """A service without parameters that answers exactly as recorded."""
    with replaying(Replay(firsts(), whole=True)) as server:
        yield server


@pytest.fixture(scope="module")
def recorded(replay: Front) -> MetadataProvider:
    return provider(replay.url)


class TestSingleObjects:
    """Flows, runs, steps, tasks, artifacts, of any attempt; with string ids, resumed, on S3."""

    def test_an_object_is_as_recorded(self, recorded: MetadataProvider) -> None:
        for exchange in firsts():
            asked = path_and_attempt(exchange["target"])
            if asked is None:
                continue
            got = recorded.get(*asked)
            # By the name 07 the service finds run 7, which is another name.
            if exchange["status"] == 200 and asked[0].components[1:2] != ("07",):
                assert got is not None, exchange["target"]
                assert said(got) == told(exchange["body"])
            else:
                assert got is None, exchange["target"]

    def test_the_recordings_have_objects_of_every_level(self) -> None:
        found = [asked for e in firsts() if (asked := path_and_attempt(e["target"])) is not None]
        assert {asked[0].level for asked in found} == set(Level) - {Level.ROOT}
        assert len(found) > 60

    @pytest.mark.parametrize(
        "where",
        [
            "FailFlow/9999999999",
            "FailFlow/99999999999999999999",
            "FailFlow/²",
            "FailFlow/\N{ARABIC-INDIC DIGIT SEVEN}",
            "FailFlow/7/fan/99999999999999999999",
            "FailFlow/7/fan/99999999999999999999/x",
        ],
    )
    def test_ids_at_which_the_service_fails_are_not_found(
        self, replay: Front, recorded: MetadataProvider, where: str
    ) -> None:
        assert recorded.get(path(where)) is None
        assert replay.asked[-1].target in {e["target"] for e in firsts() if e["status"] == 500}

    def test_null_tags_mean_no_tags(self) -> None:
        with replaying(Replay(exchanges("26"))) as server:
            got = provider(server.url).get(path("ProbeFlow/3051"))
        assert got is not None
        assert got.tags == got.system_tags == frozenset()


def path_and_attempt(target: str) -> tuple[Pathspec, int | None] | None:
    """Return the query for the URL of a single object, where it can be queried."""
    target, _, attempt = target.partition("/attempt/")
    found = path_of(target) if "?" not in target + attempt else None
    if found is None or not found.components or not all(map(is_name, found.components)):
        return None
    if not attempt:
        return found, None
    return (found, int(attempt)) if attempt.isdigit() and int(attempt) < 100 else None


class TestListings:
    """Every recorded listing, from a service that gives it whole and from one with pages."""

    def test_a_listing_is_as_recorded(self, recorded: MetadataProvider) -> None:
        for exchange in listings():
            expected = sorted(map(told, exchange["body"]), key=repr)
            got = sorted(map(said, listed(recorded, exchange["target"])), key=repr)
            assert got == expected, exchange["target"]

    @pytest.mark.parametrize("size", [3, 500])
    def test_the_pages_of_a_listing_are_as_recorded(self, dataset: str, size: int) -> None:
        paged = provider(dataset, {"METAFLOW_SERVICE_PAGE_SIZE": size})
        for exchange in listings():
            if exchange["target"] in CHANGED or (size == 3 and len(exchange["body"]) > 100):
                continue
            expected = sorted(map(told, exchange["body"]), key=repr)
            got = sorted(map(said, listed(paged, exchange["target"])), key=repr)
            assert got == expected, exchange["target"]

    def test_the_recorded_listings_are_of_every_kind(self) -> None:
        kinds = {exchange["target"].rpartition("/")[2] for exchange in listings()}
        assert kinds == {*WORDS, "metadata"}

    def test_children_come_newest_first_with_ties_by_serial(
        self, recorded: MetadataProvider, dataset: str
    ) -> None:
        for exchange in listings():
            where, what, _ = parsed(exchange["target"])
            if what != WORDS[where.level] or what == "artifacts" or exchange["target"] in CHANGED:
                continue
            whole = [str(r.path) for r in recorded.children(where, Query())]
            paged = [str(r.path) for r in provider(dataset).children(where, Query())]
            assert whole == paged, exchange["target"]


def parsed(target: str) -> tuple[Pathspec, str, int | None]:
    """Return the object of a listing, the kind of its members, and its attempt."""
    above, _, what = target.rpartition("/")
    above, _, attempt = above.partition("/attempt/")
    found = path_of(above) if above else Pathspec()
    assert found is not None, target
    return found, what, int(attempt) if attempt else None


def listed(source: MetadataProvider, target: str) -> list[Any]:
    where, what, attempt = parsed(target)
    if what == "metadata":
        return list(source.metadata(where))
    if what == "artifacts":
        return list(source.artifacts(where, attempt=attempt))
    return list(source.children(where, Query()))


class TestPages:
    """The recorded walks, with the recorded cursors: other requests fail."""

    @pytest.mark.parametrize(
        ("where", "what", "size"),
        [
            ("FailFlow", "runs", 2),
            ("ForeachFlow", "runs", 4),
            ("ForeachFlow/3/work", "tasks", 3),
            ("ForeachFlow/argo-foreachflow-x7k2p/work", "tasks", 1),
            ("CustomEndsFlow/13/begin/77", "metadata", 9),
            ("CustomEndsFlow/13", "metadata", 20),
            ("CustomEndsFlow/13/begin/77", "artifacts", 6),
            ("CustomEndsFlow/13/begin", "artifacts", 10),
            ("CustomEndsFlow/13", "artifacts", 15),
        ],
    )
    def test_a_walk_takes_the_recorded_pages(self, where: str, what: str, size: int) -> None:
        prefix = "".join(f"/{w}/{n}" for w, n in zip(WORDS, path(where).components, strict=False))
        of_walk = [e for e in exchanges("11") if e["target"].startswith(f"{prefix}/{what}?_limit=")]
        with replaying(Replay(of_walk)) as server:
            source = provider(server.url, {"METAFLOW_SERVICE_PAGE_SIZE": size})
            got = [said(each) for each in listed(source, f"{prefix}/{what}")]
            assert server.targets() == [e["target"] for e in of_walk]
        rows = [told(row) for e in of_walk for row in e["body"]]
        # The metadata of a task comes oldest first.
        assert got == (rows[::-1] if (what, where.count("/")) == ("metadata", 3) else rows)

    def test_a_flow_with_an_invalid_name_is_left_out_with_a_warning(self) -> None:
        of_walk = [e for e in exchanges("11") if e["target"].startswith("/flows?_limit=")]
        with replaying(Replay(of_walk)) as server:
            source = provider(server.url, {"METAFLOW_SERVICE_PAGE_SIZE": 8})
            with pytest.warns(MfcWarning, match="Odd Näme/x.*left out"):
                got = [said(each) for each in source.children(path(""), Query())]
        rows = [told(row) for e in of_walk for row in e["body"] if "/" not in row["flow_id"]]
        assert got == rows
        assert len(got) > 15

    def test_artifacts_of_dead_attempts_are_not_given(self) -> None:
        task = "/flows/RetryFlow/runs/5/steps/flaky/tasks/41/artifacts"
        recorded = {e["target"]: e for e in exchanges("06")}
        with replaying(Replay(exchanges("06"))) as server:
            got = list(provider(server.url).artifacts(path("RetryFlow/5/flaky/41")))
            assert server.targets() == [f"{task}?_limit=500"]
        paged = {row["name"] for row in recorded[f"{task}?_limit=500"]["body"]}
        assert paged - {r.path.name for r in got} == {"only_in_zero", "only_in_one"}
        whole = sorted(map(told, recorded[task]["body"]), key=repr)
        assert sorted(map(said, got), key=repr) == whole


class TestSelections:
    """A query selects the same objects as the real service, where the service can express it."""

    @pytest.mark.parametrize(
        ("where", "target", "query"),
        [
            ("ForeachFlow", "_tags=exp:1", Query(tags=["exp:1"])),
            ("ForeachFlow", "_tags:all=exp:1,user:bob", Query(tags=["exp:1", "user:bob"])),
            ("LinearFlow", "_tags=with%20space", Query(tags=["with space"])),
            ("LinearFlow", "_tags=unicode-%C3%A9", Query(tags=["unicode-é"])),
            ("ForeachFlow", "user_name=argo-workflows", Query(user="argo-workflows")),
            ("FailFlow", "ts_epoch:ge=1795416150000", Query(since=1795416150000)),
            (
                "FailFlow",
                "ts_epoch:ge=1795416134000&ts_epoch:lt=1795416150000",
                Query(since=1795416134000, until=1795416150000),
            ),
            ("FailFlow", "run_number=7,9", Query(names=["7", "9"])),
            ("FailFlow", "run_number=7,9", Query(names=["7", "9", "10", "nope", "99999999999"])),
            (
                "ForeachFlow",
                "run_id=argo-foreachflow-x7k2p",
                Query(names=["argo-foreachflow-x7k2p", "a,b", "null"]),
            ),
            ("FailFlow", "_limit=2", Query(limit=2)),
            ("FailFlow", "_limit=0", Query(limit=0)),
        ],
    )
    def test_runs(self, dataset: str, where: str, target: str, query: Query) -> None:
        files = (*exchanges("13"), *exchanges("12"), *exchanges("11"))
        wanted = f"/flows/{where}/runs?{target}"
        (rows,) = [e["body"] for e in files if e["target"] == wanted]
        found = list(provider(dataset).children(path(where), query))
        # Some tags are younger than the recording.
        got = [(str(r.path), r.created, r.user) for r in found]
        assert got == [told(row)[:3] for row in rows]

    @pytest.mark.parametrize(
        ("step", "field", "pattern", "target"),
        [
            (
                "ForeachFlow/3/work",
                "foreach-execution-path",
                "work:[12]",
                "%5E%28%3F%3Awork%3A%5B12%5D%29%24",
            ),
            (
                "NestedForeachFlow/4/leaf",
                "foreach-execution-path",
                "mid:1,.*",
                "%5E%28%3F%3Amid%3A1%2C.%2A%29%24",
            ),
            ("RetryFlow/5/flaky", "attempt_ok", "True", "True"),
        ],
    )
    def test_tasks_by_their_metadata(
        self, dataset: str, step: str, field: str, pattern: str, target: str
    ) -> None:
        asked = f"filtered_tasks?metadata_field_name={field}&pattern={target}"
        of_step = "/flows/{}/runs/{}/steps/{}/".format(*step.split("/"))
        (tasks,) = [e["body"] for e in exchanges("15") if e["target"] == of_step + asked]
        found = provider(dataset).children(path(step), Query(metadata=(field, pattern)))
        assert sorted(str(record.path) for record in found) == sorted(tasks)

    def test_the_status_is_used_where_the_last_step_is_named_end(self, dataset: str) -> None:
        target = "/flows/FailFlow/runs?status=completed"
        (rows,) = [e["body"] for e in exchanges("13") if e["target"] == target]
        with front(dataset) as server:
            found = list(provider(server.url).children(path("FailFlow"), Query(status="completed")))
            assert server.asked[0].params["status"] == "completed"
        assert [str(r.path) for r in found] == [told(row)[0] for row in rows]

    @pytest.mark.parametrize("flow", ["CustomEndsFlow", "SingleStepFlow", "CustomEndsFailFlow"])
    def test_all_runs_are_candidates_where_the_last_step_has_another_name(
        self, dataset: str, flow: str
    ) -> None:
        source = provider(dataset)
        everything = list(source.children(path(flow), Query()))
        assert list(source.children(path(flow), Query(status="completed"))) == everything
        assert everything
