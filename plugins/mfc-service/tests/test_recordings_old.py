"""Old versions of the service, without pages and filters: the client's answers equal today's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from tests.servers.front import Front
from tests.servers.recorded import Old, replaying
from tests.servers.recordings import FOLDER, exchanges

from mfc import Client
from mfc.errors import MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import MetadataProvider
from mfc.model import PendingRecord
from mfc.query import Query
from mfc.tags import TagEdit

from .reading import names, path, provider, said

VERSIONS = ["2.0.4", "2.0.5", "2.1.0", "2.2.4", "2.3.0", "2.4.13", "2.5.0", "2.5.1"]
TASK = path("RetryFlow/5/flaky/41")


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def old(version: str, dataset: str) -> Iterator[Front]:
    recorded = exchanges(f"27_old_service_{version.replace('.', '_')}", exact=True)
    with replaying(Old(version, recorded, dataset)) as server:
        yield server


@pytest.fixture
def then(old: Front) -> MetadataProvider:
    return provider(old.url)


@pytest.fixture
def now(dataset: str) -> MetadataProvider:
    return provider(dataset)


def test_every_recorded_version_is_here() -> None:
    found = {f.stem.removeprefix("27_old_service_") for f in FOLDER.glob("27_*.json")}
    assert found == {v.replace(".", "_") for v in VERSIONS} | {"head"}


@pytest.mark.parametrize(
    ("where", "query"),
    [
        ("FailFlow", Query()),
        ("FailFlow", Query(limit=2)),
        ("FailFlow", Query(status="completed")),
        ("FailFlow", Query(since=1795416134000, until=1795416150000)),
        ("FailFlow", Query(names=["7", "9", "10", "zzz"])),
        ("FailFlow", Query(user="bob", limit=1)),
        ("ForeachFlow", Query(tags=["from-argo"])),
        ("ForeachFlow", Query(tags=["from-argo"], limit=1)),
        ("ForeachFlow/3/work", Query()),
        ("ForeachFlow/3/work", Query(limit=1)),
        ("ForeachFlow/3/work", Query(names=["14", "13", "16", "99"])),
        ("ForeachFlow/3/work", Query(metadata=("foreach-execution-path", "work:1"))),
        ("ForeachFlow/3/work", Query(metadata=("foreach-execution-path", "work:[12]"), limit=1)),
        ("ForeachFlow/3/work", Query(metadata=("attempt", r"\d+"))),
        ("FailFlow/999999", Query()),
    ],
)
def test_a_listing(
    then: MetadataProvider, now: MetadataProvider, where: str, query: Query, request: Any
) -> None:
    expected, got = list(now.children(path(where), query)), list(then.children(path(where), query))
    if query.status:
        # Candidates: all runs that ended well are included, and the client verifies each.
        assert {r.path.name for r in expected} <= set(names(got))
        return
    assert [bare(r) for r in got] == [bare(r) for r in expected]


def bare(record: Any) -> Any:
    """Return the fields of a record without the tags: old versions show those as stored."""
    if isinstance(record, PendingRecord):
        record = record.found()
    return said(attrs.evolve(record, tags=frozenset(), system_tags=frozenset()))


def test_all_flows(then: MetadataProvider, now: MetadataProvider) -> None:
    # The rows that complete the recording leave flows out.
    assert set(names(now.children(path(""), Query()))) <= set(
        names(then.children(path(""), Query()))
    )


def test_missing_objects_are_not_found(then: MetadataProvider) -> None:
    for where in ("NoSuch", "ForeachFlow/3/work/999999", "ForeachFlow/3/work/999999/x"):
        assert then.get(path(where)) is None
    assert then.get(path("FailFlow/99999999999999999999")) is None


def test_objects_by_both_kinds_of_id(then: MetadataProvider, now: MetadataProvider) -> None:
    for where in ("LinearFlow/1", "ForeachFlow/argo-foreachflow-x7k2p"):
        (got, expected) = (bare(source.get(path(where))) for source in (then, now))
        assert got == expected


@pytest.mark.parametrize("where", ["RetryFlow/5", "RetryFlow/5/flaky", "RetryFlow/5/flaky/41"])
def test_artifacts_of_the_attempt_that_counts(
    then: MetadataProvider, now: MetadataProvider, where: str
) -> None:
    got = sorted((bare(r) for r in then.artifacts(path(where))), key=repr)
    assert got == sorted((bare(r) for r in now.artifacts(path(where))), key=repr)


def test_one_artifact_of_the_attempt_that_counts(then: MetadataProvider) -> None:
    # Up to 2.1.0 the service lists an artifact that only a failed attempt has.
    assert then.get(TASK.child("only_in_zero")) is None
    assert not list(then.artifacts(TASK, names=["only_in_zero"]))
    (found,) = then.artifacts(TASK, names=["only_in_two"])
    assert found.attempt == 2
    assert said(found) == said(then.get(TASK.child("only_in_two")))


def test_artifacts_of_an_attempt(version: str, then: MetadataProvider) -> None:
    if number(version) >= (2, 0, 6):
        assert "only_in_zero" in names(then.artifacts(TASK, attempt=0))
        assert then.get(TASK.child("only_in_zero"), attempt=0).attempt == 0
        return
    # Such a service shows only the last attempt, which must not hide that there were others.
    for ask in (
        lambda: list(then.artifacts(TASK, attempt=0)),
        lambda: then.get(TASK.child("only_in_zero"), attempt=0),
    ):
        with pytest.raises(UnreadableRecord, match=r"older than 2\.0\.6.*attempt 2"):
            ask()
    assert "only_in_two" in names(then.artifacts(TASK, attempt=2))
    assert then.get(TASK.child("only_in_two"), attempt=2).attempt == 2
    assert then.get(TASK.child("only_in_zero"), attempt=2) is None
    assert not list(then.artifacts(TASK, attempt=3))


@pytest.mark.parametrize(
    "where", ["RetryFlow/5/flaky/41", "CustomEndsFlow/13", "CustomEndsFlow/13/begin"]
)
def test_metadata(then: MetadataProvider, now: MetadataProvider, where: str) -> None:
    got, expected = ([said(m) for m in source.metadata(path(where))] for source in (then, now))
    if where.count("/") < 3:
        got, expected = sorted(got), sorted(expected)
    assert got == expected


def test_tags_can_be_changed_since_2_3_0(version: str, then: MetadataProvider) -> None:
    change = TagEdit.of(None, ["probe"])
    if number(version) >= (2, 3, 0):
        assert isinstance(then.retag(path("BranchFlow/2"), change), frozenset)
    else:
        with pytest.raises(
            MetaflowTaggingError, match=r"cannot change tags: it is older than 2.3.0"
        ):
            then.retag(path("BranchFlow/2"), change)


def test_a_listing_sends_each_request_once(old: Front, then: MetadataProvider) -> None:
    before = len(old.asked)
    list(then.children(path("FailFlow"), Query(limit=2, user="alice")))
    assert len(old.asked) == before + 1


def test_a_client_describes_runs_as_with_the_current_service(old: Front, dataset: str) -> None:
    def walked(url: str) -> list[Any]:
        client = Client(url, namespace=None)
        runs = [run for flow in ("RetryFlow", "ParallelFlow") for run in client.flow(flow)]
        tasks = [task for run in runs for step in run for task in step]
        return [
            [run.pathspec for run in runs],
            [(task.pathspec, task.current_attempt, task.created_at) for task in tasks],
            [sorted(artifact.id for artifact in task) for task in tasks],
            [sorted(task.metadata_dict) for task in tasks],
        ]

    assert walked(old.url) == walked(dataset)
