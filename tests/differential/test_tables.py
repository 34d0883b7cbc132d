"""Tables of recorded runs say the same as the objects, in every release and recording."""

from __future__ import annotations

import pathlib
import warnings
from datetime import timezone
from typing import Any

import pytest
from tests.live.steps import Place, memory, service
from tests.servers.metadata import Hub

from mfc import Client, Flow, Table, table
from mfc.errors import MetaflowException, MetaflowNotFound

from .oracle import unpacked
from .released import RELEASES, files, moved, unpack

#: A release without a graph, and a new one, each on other providers.
PLACES = [(kind, release) for kind in ("service", "memory") for release in ("2.3.6", "2.18.13")]
OF_BOTH = ("status", "status_reason", "successful", "finished", "finished_at", "created_at")
OF_RUNS = (
    "id",
    "user",
    "tags",
    *OF_BOTH,
    "data.name",
    "param._graph_info",
    "param.size",
    "param.words",
)
OF_TASKS = ("pathspec", *OF_BOTH, "index", "current_attempt", "data.name", "meta.attempt")


@pytest.mark.parametrize("release", RELEASES)
def test_tables_of_releases(release: str, tmp_path: pathlib.Path) -> None:
    unpack(release, tmp_path)
    compare(Client(tmp_path, namespace=None, trust="safe"))


@pytest.mark.parametrize(("kind", "release"), PLACES)
def test_tables_of_releases_elsewhere(
    kind: str, release: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    place: Place
    if kind == "memory":
        place = memory(tmp_path)
    else:
        hub: Hub = request.getfixturevalue("services")
        place = service(tmp_path, hub)
    for name, content in files(release):
        place.write(name, moved(name, content, release, tmp_path))
    client = place.client()
    flows = ("BranchesFlow", "KeeperFlow")
    compare_flows([client.flow(name) for name in flows])


@pytest.mark.parametrize("root", ["main", "tagged", "aged"])
def test_tables_of_recordings(root: str) -> None:
    folder = unpacked().directories / root
    compare(Client(folder, namespace=None, trust="safe"))


def compare(client: Client) -> None:
    found: list[Flow] = list(client.flows())
    assert found
    compare_flows(found)


def compare_flows(flows: list[Flow]) -> None:
    """Compare tables of all runs and tasks with what the objects say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old records lack what is asked for
        for flow in flows:
            runs = list(flow)
            assert_same(table(runs, *OF_RUNS, errors="return"), runs)
            for run in runs:
                tasks = [task for step in run for task in step]
                assert_same(table(run, *OF_TASKS, errors="return"), tasks)
                assert table(tasks, *OF_TASKS, errors="return") == table(
                    run, *OF_TASKS, errors="return"
                )


def assert_same(found: Table, things: list[Any]) -> None:
    assert len(found) == len(things)
    for thing, row in zip(things, found, strict=True):
        for name, cell in row.items():
            assert said(cell) == expected(thing, name), (thing, name)


def expected(thing: Any, name: str) -> Any:
    try:
        return said(told(thing, name))
    except MetaflowNotFound:
        return None
    except MetaflowException as error:
        return type(error)


def told(thing: Any, name: str) -> Any:
    """Return what an object says of a column."""
    kind, _, field = name.partition(".")
    if kind == "data":
        return getattr(thing.data, field, None)
    if kind == "meta":
        return thing.metadata_dict.get(field)
    if kind == "param":
        task = thing["_parameters"].task
        return task[field].data if task else None
    if name == "status_reason":
        return thing.status.reason
    return thing._record.user if name == "user" else getattr(thing, name)


def said(value: Any) -> Any:
    """Return a value in a form that tables and objects have in common."""
    if isinstance(value, MetaflowException):
        return type(value)
    if isinstance(value, frozenset):
        return tuple(sorted(value))
    if hasattr(value, "astimezone"):
        return value.astimezone(timezone.utc).replace(microsecond=value.microsecond // 1000)
    return str(value) if isinstance(value, str) else value
