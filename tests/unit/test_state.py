"""Pickles and copies of objects: the client that they belong to afterwards, and their trust."""

from __future__ import annotations

import copy
import pickle

import pytest

import mfc
from mfc import Client, Metaflow, Trust, namespace
from mfc.errors import MetaflowException, UntrustedValue
from mfc_testing import MemoryProvider

LIMITED = [Trust.none(), Trust.safe(), Trust.safe(["shop.Basket"])]


def again(thing: object) -> object:
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_stays_with_its_client_and_reads_nothing(provider: MemoryProvider, copied) -> None:
    client = Client(provider, namespace="user:ada", trust="none")
    flows = client.flows()
    things = [flows["Train"], client.run("Train/2"), client.task("Train/2/end/2", attempt=0)]
    before = client.stats
    for thing in things:
        made = copied(thing)
        assert made == thing
        assert made is not thing
        assert made._scope is thing._scope
    assert client.stats == before
    assert copied(flows)._provider is flows._provider
    assert list(copied(flows)) == list(flows)
    with pytest.raises(UntrustedValue):
        copied(client.task("Train/2/end/2").data).x  # noqa: B018


def test_a_copy_changes_only_its_own_tags(client: Client) -> None:
    run = client.run("Train/2")
    made = copy.copy(run)
    made.add_tag("new")
    assert "new" in made.tags
    assert "new" not in run.tags


@pytest.mark.parametrize("trust", LIMITED)
def test_an_unpickled_object_is_trusted_no_more_than_before(
    provider: MemoryProvider, trust: Trust
) -> None:
    limited = Client(provider, namespace=None, trust=trust)
    things = [limited.run("Train/2"), limited.task("Train/2/end/2")["x"], limited.flows()]
    with Client(provider, namespace=None):
        for thing in things:
            assert again(thing)._scope.reader.trust == trust
        assert mfc.Run("Train/2")._scope.reader.trust == Trust.full()


def test_an_unpickled_object_is_trusted_no_more_than_its_new_client(
    provider: MemoryProvider,
) -> None:
    wide = Client(provider, namespace=None).run("Train/2")
    narrow = Client(provider, namespace=None, trust=Trust.safe(["shop.Basket"])).run("Train/2")
    with Client(provider, namespace=None, trust="none") as client:
        assert again(wide)._scope.reader is client._reader
        assert again(narrow)._scope.reader is client._reader
    with Client(provider, namespace=None, trust=Trust.safe(["shop.Apple"])):
        assert again(narrow)._scope.reader.trust == Trust.safe()


def test_reads_of_unpickled_objects_count_with_the_client(provider: MemoryProvider) -> None:
    run = Client(provider, namespace=None, trust="safe").run("Train/2")
    with Client(provider, namespace=None) as client:
        before = client.stats
        assert again(run).successful
        assert (client.stats - before).calls > 1


def test_full_trust_leaves_the_layout_that_metaflow_reads(client: Client) -> None:
    state = client.run("Train/2").__getstate__()
    assert state == {"version": "2.12.27", "data": ["Train/2", None, "memory@", None, False]}


def test_all_flows_are_those_of_the_current_namespace(provider: MemoryProvider) -> None:
    with Client(provider, namespace="user:ada"):
        top = Metaflow()
        assert [flow.id for flow in top] == ["Train"]
        namespace(None)
        assert [flow.id for flow in top.flows] == ["Score", "Train"]
        namespace("user:eve")
        assert "namespace 'user:eve'" in repr(top.flows)


def test_all_flows_know_their_names(provider: MemoryProvider) -> None:
    top = Client(provider, namespace="user:ada").flows()
    assert "Train" in top
    assert "Score" not in top  # outside of the namespace
    assert "Gone" not in top


def test_all_flows_can_be_pickled(provider: MemoryProvider) -> None:
    with Client(provider, namespace=None) as client:
        assert list(again(client.flows())) == list(client.flows())
        made = Metaflow.__new__(Metaflow)
        made.__setstate__({"metadata": "what Metaflow's own pickle has"})
        assert list(made) == list(client.flows())


def failures(client: Client) -> list[MetaflowException]:
    run = client.run("Train/2")
    found = []
    for question in (
        lambda: run["none"],
        lambda: run[".."],
        lambda: run.data.none,
        lambda: run.add_tag(5),
        lambda: client.run(""),
        lambda: client.run("Train"),
        lambda: client.run("Train/9"),
        lambda: client.use("nowhere@"),
        lambda: client.task("Train/2/end/2")["x"].raw,
        lambda: client.task("Train/2/end/2").loglines("x").__next__(),
    ):
        with pytest.raises(MetaflowException) as caught:
            question()
        found.append(caught.value)
    return found


def test_errors_come_back_from_other_processes(client: Client) -> None:
    for error in failures(client):
        made = again(error)
        assert (type(made), str(made)) == (type(error), str(error))


def test_pickles_name_only_public_modules(client: Client) -> None:
    run = client.run("Train/2")
    task = run["end"].task
    things = [
        client.flows(), client.flows().flows, client.flow("Train"), run, run["end"], task, task["x"],
        task.data, task.artifacts, task.metadata, run.status,
        client.task("Train/2/end/2", attempt=0).artifacts, client.stats, *failures(client),
    ]  # fmt: skip
    with client:
        for thing in [*things, mfc.Trigger([{"name": "x"}])]:
            pickled = pickle.dumps(thing)
            assert b"mfc._" not in pickled, (thing, pickled)
            assert len(pickled) < 3_000
            made = pickle.loads(pickled)
            assert made == thing or str(made) == str(thing)


def test_artifacts_come_back_with_their_names(client: Client) -> None:
    artifacts = client.task("Train/2/end/2").artifacts
    with client:
        assert again(artifacts).x == artifacts.x
        assert again(artifacts)._fields == artifacts._fields


def test_objects_take_attributes_of_their_callers(client: Client) -> None:
    run = client.run("Train/2")
    run.note = 1
    assert run.note == 1
    with client:
        assert not hasattr(again(run), "note")


def test_location_is_as_it_was_recorded(client: Client) -> None:
    assert client.artifact("Train/2/end/2/x").location == ":root:/nowhere"
