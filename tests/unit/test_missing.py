"""The error for a missing object: its message, and the cost of the message."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from mfc import Client, MetaflowNotFound
from mfc.errors import ArtifactNotFound, ChildNotFound, Unanswered
from mfc_testing import MemoryProvider

from .conftest import record
from .faraway import Asked, step_of

Ask = Callable[[Client], object]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda c: c.flow("Trian"), "Flow('Trian') does not exist in memory@. Did you mean 'Train'?"),
        (lambda c: c.flow("train"), "Flow('train') does not exist in memory@. Did you mean 'Train'?"),
        (lambda c: c.flow("Zzz"), "Flow('Zzz') does not exist in memory@. memory@ has 'Score', 'Train'"),
        (lambda c: c.run("Train/9"), "Run('Train/9') does not exist in memory@. Train has '2', '1'"),
        (
            lambda c: c.run("Trian/2"),
            ("Run('Trian/2') does not exist in memory@. Flow('Trian') does not exist either. "
            "Did you mean 'Train'?"),
        ),
        (
            lambda c: c.task("Train/2/ende/2"),
            ("Task('Train/2/ende/2') does not exist in memory@. Step('Train/2/ende') does not exist "
            "either. Did you mean 'end'?"),
        ),
        (
            lambda c: c.artifact("Train/2/end/2/y"),
            "DataArtifact('Train/2/end/2/y') does not exist in memory@. Train/2/end/2 has 'x'",
        ),
        (lambda c: c.run("Train/2")["stat"], "Run('Train/2') has no child 'stat'. Did you mean 'start'?"),
        (lambda c: c.run("Train/2").data.y, "Task('Train/2/end/2') has no artifact 'y'. Train/2/end/2 has 'x'"),
        (lambda c: c.task("Train/2/end/2")["_sucess"], "Task('Train/2/end/2') has no child '_sucess'. Did you mean '_success'?"),
        (
            lambda c: c.run("Train/2")["\x1b[31m"],
            "Run('Train/2') has no child '\\x1b[31m'. Train/2 has 'end', 'start'",
        ),
    ],
)  # fmt: skip
def test_error_names_the_place_and_similar_names(client: Client, ask: Ask, says: str) -> None:
    with pytest.raises(MetaflowNotFound) as caught:
        ask(client)
    assert str(caught.value) == says


def test_error_in_an_empty_place_says_how_to_read_another() -> None:
    client = Client(MemoryProvider(), namespace=None)
    with pytest.raises(
        MetaflowNotFound, match="in memory@. It holds no results; metadata\\('ADDRESS'\\)"
    ):
        client.flow("Train")
    bare = Client(MemoryProvider([record("F", 1)]), namespace=None)
    with pytest.raises(MetaflowNotFound, match="F is empty so far"):
        bare.run("F/1")


def test_nothing_is_read_for_an_error_that_is_not_shown() -> None:
    results = step_of(2)
    provider = results.provider()
    client = results.client(provider)
    task = client.task("F/1/fit/1")
    before = len(provider.asked)
    assert not hasattr(task.data, "z")
    with pytest.raises(KeyError):
        task["z"]
    assert [way for way, _ in provider.asked[before:]] == ["get", "artifacts"] * 2
    with pytest.raises(ArtifactNotFound) as caught:
        task.data.z  # noqa: B018
    said = str(caught.value)
    asked = len(provider.asked)
    assert (str(caught.value), len(provider.asked)) == (said, asked)


def test_error_is_pickled_with_its_message(client: Client) -> None:
    for ask in (lambda: client.run("Train/9"), lambda: client.run("Train/2")["stat"]):
        with pytest.raises(MetaflowNotFound) as caught:
            ask()
        made = pickle.loads(pickle.dumps(caught.value))
        assert str(made) == str(caught.value)
        assert type(made) is type(caught.value)


def test_error_is_shown_when_the_rest_cannot_be_read() -> None:
    class Gone(Asked):
        def children(self, path, query):
            raise Unanswered("far", "it went away")

    results = step_of(1)
    provider = Gone(results.records.values(), results.artifacts, results.metadata)
    with pytest.raises(ChildNotFound) as caught:
        results.client(provider).step("F/1/fit")["7"]
    assert str(caught.value) == (
        "Step('F/1/fit') has no child '7'. What else is there cannot be read: "
        "Cannot read far: it went away"
    )


def test_names_hidden_by_the_namespace_are_not_suggested(provider: MemoryProvider) -> None:
    records = [record("Train/9", 5_000, "eve", system_tags=["user:eve"])]
    for each in records:
        provider._records[each.path] = each
    with pytest.raises(MetaflowNotFound, match="Train has '2', '1'"):
        Client(provider, namespace="user:ada").run("Train/7")


def test_very_long_and_very_many_names_are_bounded() -> None:
    records = [record("F", 1), *(record(f"F/{'r' * 1000}{i}", i) for i in range(2000))]
    client = Client(MemoryProvider(records), namespace=None)
    with pytest.raises(MetaflowNotFound) as caught:
        client.run("F/" + "q" * 100_000)
    assert len(str(caught.value)) < 110_000
