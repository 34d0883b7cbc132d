"""Names with any character reach the service unchanged, and come back."""

from __future__ import annotations

import pytest
from tests.servers.front import front
from tests.servers.metadata import Hub

from mfc.hookspecs import MetadataProvider
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc_testing import History

from .backend import Service
from .reading import names, provider, said

ODD = [
    "%", "%2F", "%2e%2e", "%00", "100%25", " ", "sp ace ", "+", "a+b", "#", "a#b", "?", "a?b=c&d", ";", "=",
    "&", ":", "@", ",", "a,b", "null", "...", "a..b", ".hidden", "~", "'", '"', "<b>", "{}", "[1]", "|", "^",
    "\u00e9", "e\u0301", "\u96ea", "\U0001f40d", "\u202e", "tab\t", "line\n", "cr\r", "x" * 255, "_limit", "$", "*",
]  # fmt: skip


def records(name: str) -> list[Record]:
    """Return a flow, a run, a step and a task which all have this name."""
    paths = [Pathspec((name,) * level) for level in range(1, 5)]
    return [Record(each, 10 + n, "ada") for n, each in enumerate(paths)]


@pytest.fixture(scope="module")
def source(services: Hub) -> MetadataProvider:
    made = Service(*services.new())
    artifacts, metadata = [], []
    for name in ODD:
        task = Pathspec((name,) * 4)
        where = {
            "sha": "0" * 40,
            "ds_type": "local",
            "location": ":root:/x",
            "encoding": "pickle-v4",
        }
        artifacts.append(ArtifactRecord(task.child(name), 20, "ada", attempt=0, **where))
        # Metaflow always stores this field; from it the service tells which attempt counts.
        artifacts.append(ArtifactRecord(task.child("name"), 20, "ada", attempt=0, **where))
        metadata.append(MetadataRecord(task, "attempt-done", "0", "attempt-done", 20, 0))
        metadata.append(MetadataRecord(task, name, f"<{name}>", name, 21, 0))
    made.put(History([r for name in ODD for r in records(name)], artifacts, metadata))
    return provider(made.url)


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_found_by_itself_and_in_listings(source: MetadataProvider, name: str) -> None:
    for record in records(name):
        assert said(source.get(record.path)) == said(record)
        if record.path.level > 1:
            assert names(source.children(record.path.parent, Query())) == [name]
            few, many = Query(names=[name]), Query(names=[name, "other", "a third"])
            for query in (few, many):
                assert names(source.children(record.path.parent, query)) == [name]
    task = records(name)[-1].path
    assert source.get(task.child(name)).path == task.child(name)
    assert source.get(task.child(name), attempt=0).path == task.child(name)
    for where in (task, task.parent, task.up(2)):
        assert names(source.artifacts(where, names=[name])) == [name]
        assert [m.value for m in source.metadata(where, [name])] == [f"<{name}>"]


@pytest.mark.parametrize("name", [n for n in ODD if n.isprintable()])
def test_a_field_of_metadata_selects_tasks(source: MetadataProvider, name: str) -> None:
    task = records(name)[-1].path
    for pattern, found in (("<.*>", [name]), ("<", []), (".*", [name])):
        query = Query(metadata=(name, pattern))
        assert names(source.children(task.parent, query)) == found, pattern


def test_all_names_are_in_one_listing(source: MetadataProvider) -> None:
    assert sorted(names(source.children(Pathspec(), Query()))) == sorted(ODD)


@pytest.mark.parametrize("name", ["x" * 256, "\ud800", "a\udfffb"])
def test_an_impossible_name_is_not_requested(name: str) -> None:
    with front(lambda _: None) as server:
        source = provider(server.url)
        for where in (
            Pathspec((name,)),
            Pathspec(("F", name)),
            Pathspec(("F", "1", "s", "1", name)),
        ):
            assert source.get(where) is None
        assert not list(source.children(Pathspec((name,)), Query()))
        assert not list(source.metadata(Pathspec(("F", "1", "s", name))))
        assert not list(source.artifacts(Pathspec(("F", name, "s")), None))
        assert not server.asked


def test_a_second_spelling_of_a_number_is_another_name(services: Hub) -> None:
    made, run = Service(*services.new()), Pathspec(("F", "7"))
    step = run.child("start")
    made.put(History([Record(each, 10) for each in (run.parent, run, step)], [], []))
    source = provider(made.url)
    assert names(source.children(run, Query())) == ["start"]
    for name in ("07", "007"):
        assert source.get(Pathspec(("F", name))) is None
        assert names(source.children(Pathspec(("F", name)), Query())) == []
    assert source.get(run) is not None
