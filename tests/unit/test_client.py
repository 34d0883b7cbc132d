from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest

import mfc
from mfc import Client, Flow, Metaflow, MfcWarning, Run, Task, namespace
from mfc.errors import (
    BadArgument,
    ChildNotFound,
    MetaflowDataMissing,
    MetaflowInvalidPathspec,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
    MetaflowTaggingError,
    MetaflowUnknownUser,
    PluginNotFound,
    UntrustedValue,
)
from mfc.model import Record
from mfc_testing import MemoryProvider

from .conftest import TRUE, artifact, metadata

NOBODY = {"METAFLOW_HOME": "/nowhere", "USER": "root"}


def test_two_clients_live_side_by_side(provider: MemoryProvider) -> None:
    ada, everybody = Client(provider, namespace="user:ada"), Client(provider, namespace=None)
    assert [flow.id for flow in ada.flows()] == ["Train"]
    assert [flow.id for flow in everybody.flows()] == ["Score", "Train"]


def test_with_client_makes_it_current_for_the_block_and_its_thread(
    provider: MemoryProvider,
) -> None:
    seen: list[object] = []
    with Client(provider, namespace="user:bob") as bob:
        assert mfc.get_namespace() == "user:bob"
        with Client(provider, namespace=None):
            assert Run("Train/2").id == "2"
        assert Flow("Score").latest_run == bob.run("Score/3")
        thread = threading.Thread(target=lambda: seen.append(mfc._session._reader.CURRENT.get()))
        thread.start()
        thread.join()
    assert seen == [()]


def test_one_client_may_be_current_in_many_threads(provider: MemoryProvider) -> None:
    client, failures = Client(provider, namespace=None), []

    def read() -> None:
        try:
            for _ in range(50):
                with client:
                    assert Run("Train/2").successful
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_objects_keep_the_namespace_and_provider_of_their_making(provider: MemoryProvider) -> None:
    client = Client(provider, namespace="user:ada")
    flow = client.flow("Train")
    client.namespace = "user:bob"
    client.use(MemoryProvider(address="memory@other"))
    assert [run.id for run in flow] == ["2", "1"]
    assert not flow["2"].is_in_namespace()


def test_not_in_namespace_differs_from_not_found(provider: MemoryProvider) -> None:
    client = Client(provider, namespace="user:ada")
    with pytest.raises(
        MetaflowNamespaceMismatch, match=r"Run\('Score/3'\) not in namespace 'user:ada'"
    ):
        client.run("Score/3")
    with pytest.raises(MetaflowNamespaceMismatch):
        client.flow("Score")
    with pytest.raises(MetaflowNotFound, match=r"Run\('Score/4'\) does not exist"):
        client.run("Score/4")
    assert Run("Score/3", client=client, _namespace_check=False).id == "3"


def test_a_missing_child_is_a_key_error_with_a_message(client: Client) -> None:
    run = client.run("Train/2")
    with pytest.raises(KeyError) as caught:
        run["gone"]
    assert str(caught.value) == "Run('Train/2') has no child 'gone'. Train/2 has 'end', 'start'"
    assert isinstance(caught.value, ChildNotFound)
    for bad in ("", "..", "a/b", None):
        assert bad not in run
        with pytest.raises(MetaflowInvalidPathspec):
            run[bad]


def test_an_empty_listing_warns_if_the_namespace_is_the_reason(provider: MemoryProvider) -> None:
    hidden = Client(provider, namespace="user:eve").flows().flows
    assert hidden == []
    assert "namespace 'user:eve'" in repr(hidden)
    assert "namespace(None)" in repr(hidden)
    assert repr(Client(MemoryProvider(), namespace="user:eve").flows().flows) == "[]"
    runs = Client(provider, namespace="user:ada").flow("Train").runs("green")
    assert "namespace(None)" in repr(runs)


def test_status_has_a_reason(client: Client) -> None:
    assert client.run("Train/2").status == "completed"
    failed = client.run("Train/1").status
    assert failed == "failed"
    assert "Train/1/start/1" in failed.reason
    unknown = client.run("Score/3").status
    assert unknown == "unknown"
    assert "last sign of life" in unknown.reason


def test_states_are_known_without_any_value(client: Client) -> None:
    task = client.task("Train/2/end/2")
    assert (task.successful, task.finished) == (True, True)
    assert task["x"].data is False
    with pytest.raises(MetaflowNotFound):
        client.task("Train/2/end/9")


def test_trust_none_refuses_values_but_not_states(provider: MemoryProvider) -> None:
    client = Client(provider, namespace=None, trust="none")
    assert client.run("Train/2").successful is True
    with pytest.raises(UntrustedValue, match=r"\.raw"):
        client.artifact("Train/2/end/2/x").data  # noqa: B018
    with pytest.raises(BadArgument, match="trust is 'some'"):
        Client(trust="some")


def test_the_error_for_a_missing_value_names_the_places_searched(client: Client) -> None:
    with pytest.raises(MetaflowDataMissing, match="/nowhere/Train/data/24/2473d467"):
        client.artifact("Train/2/end/2/x").raw  # noqa: B018


def test_changed_tags_show_on_the_object(client: Client) -> None:
    run = client.run("Train/2")
    run.add_tags(tag for tag in ["new", "user:ada"])
    assert run.user_tags == {"red", "new"}
    run.replace_tag("red", "green")
    assert run.user_tags == {"new", "green"} == client.run("Train/2").user_tags
    with pytest.raises(MetaflowTaggingError, match="system tag"):
        run.remove_tag("user:ada")
    with pytest.raises(MetaflowTaggingError, match="at least one"):
        run.add_tags([])
    with pytest.raises(
        MetaflowTaggingError, match="tags_to_remove is 'abc'; expected a collection"
    ):
        run.remove_tags("abc")
    with pytest.raises(MetaflowTaggingError, match="tags_to_add is 5; expected a collection"):
        run.replace_tags([], 5)
    for bad in (5, b"b", "", "x" * 501, "\ud800"):
        with pytest.raises(MetaflowTaggingError):
            run.add_tag([bad])
    run.add_tag("é" * 500)


def test_fifty_tags_are_the_most_but_more_may_shrink(provider: MemoryProvider) -> None:
    run = Client(provider, namespace=None).run("Train/2")
    run.add_tags(str(number) for number in range(49))
    with pytest.raises(MetaflowTaggingError, match="beyond 50"):
        run.add_tag("one too many")
    run.replace_tag("red", "swapped")


def test_a_policy_may_forbid_to_change_tags(provider: MemoryProvider) -> None:
    class Policy:
        def default(self) -> str:
            return "everybody"

        def required(self, namespace: str) -> frozenset[str]:
            return frozenset()

        def sees(self, namespace: str, record: Record) -> bool:
            return record.user == "ada"

        def may_retag(self, namespace: str | None, record: Record) -> str | None:
            return "read only"

    class Plugin:
        @staticmethod
        @mfc.hookspecs.hookimpl
        def mfc_namespace_policy() -> Policy:
            return Policy()

    client = Client(provider, plugins=[Plugin])
    assert client.namespace == "everybody"
    assert [flow.id for flow in client.flows()] == ["Train"]
    with pytest.raises(MetaflowTaggingError, match="read only"):
        client.run("Train/2").add_tag("x")


def test_events_of_plugins_and_of_metaflow_add_up(provider: MemoryProvider) -> None:
    class Plugin:
        @staticmethod
        @mfc.hookspecs.hookimpl
        def mfc_trigger(metadata: dict[str, str]) -> list[mfc.hookspecs.Event] | None:
            noted = metadata.get("mine")
            return None if noted is None else [mfc.hookspecs.Event(noted, "1", 1.0, "event")]

    def names(**fields: str) -> list[str | None] | None:
        records = [metadata("Train/2/start/1", *field, 3_001) for field in fields.items()]
        known = MemoryProvider(provider._records.values(), metadata=records)
        trigger = Client(known, namespace=None, plugins=[Plugin]).run("Train/2").trigger
        return None if trigger is None else [event.name for event in trigger]

    theirs = '[{"name": "theirs", "id": "2", "timestamp": 2, "type": "event"}]'
    assert names() is None
    assert names(mine="ours") == ["ours"]
    assert names(**{"execution-triggers": theirs}) == ["theirs"]
    assert names(**{"execution-triggers": theirs, "mine": "ours"}) == ["theirs", "ours"]


def test_an_unknown_user_sees_everything_with_a_warning(provider: MemoryProvider) -> None:
    client = Client(provider, config=mfc.config.Config(environment=NOBODY))
    with pytest.warns(MfcWarning, match="seeing all runs"):
        assert client.namespace is None
    assert len(list(client.flows())) == 2
    with pytest.raises(MetaflowUnknownUser):
        client._reader.reset_namespace()


def test_a_namespace_must_be_text(client: Client) -> None:
    with pytest.raises(BadArgument, match="expected text"):
        client.namespace = 5  # type: ignore[assignment]


def test_a_failing_provider_changes_nothing(client: Client) -> None:
    before = client.provider.address
    with pytest.raises(PluginNotFound, match="nonsense"):
        client.use("nonsense://nowhere")
    assert client.provider.address == before


def test_stats_count_queries(client: Client) -> None:
    before = client.stats
    client.run("Train/2")
    assert (client.stats - before).calls == 1


def test_the_global_functions_act_on_the_current_client(provider: MemoryProvider) -> None:
    with Client(provider, namespace="user:ada"):
        assert namespace(None) is None
        assert [flow.id for flow in Metaflow()] == ["Score", "Train"]
        assert mfc.get_metadata() == "memory@"


def test_objects_compare_by_their_identity(provider: MemoryProvider, client: Client) -> None:
    other = Client(provider, namespace=None)
    assert client.run("Train/2") == other.run("Train/2")
    assert len({client.run("Train/2"), other.run("Train/2"), client.run("Train/1")}) == 2
    assert client.run("Train/2") != client.flow("Train")
    assert client.task("Train/2/end/2") != client.task("Train/2/end/2", attempt=0)
    elsewhere = Client(
        MemoryProvider([client.run("Train/2")._record], address="memory@2"), namespace=None
    )
    assert elsewhere.run("Train/2") != client.run("Train/2")


def test_a_repr_reads_nothing(client: Client) -> None:
    task = client.task("Train/2/end/2")
    before = client.stats
    assert repr(task) == "Task('Train/2/end/2')"
    assert "red" in task._repr_html_()
    assert client.stats == before


def test_html_is_escaped(provider: MemoryProvider) -> None:
    client = Client(provider, namespace=None)
    run = client.run("Train/2")
    run.add_tag("<script>")
    assert "<script>" not in run._repr_html_()


def test_completion_offers_children(client: Client) -> None:
    assert client.flow("Train")._ipython_key_completions_() == ["2", "1"]
    assert client.run("Train/2")._ipython_key_completions_() == ["end", "start"]
    assert client.task("Train/2/end/2")._ipython_key_completions_() == ["x"]
    assert "x" in dir(client.task("Train/2/end/2").data)
    assert set(mfc.__all__) < set(dir(mfc))


def test_artifacts_hide_methods_of_their_names(provider: MemoryProvider) -> None:
    provider._artifacts.append(artifact("Train/2/end/2/count", 3_004, TRUE))
    artifacts = Client(provider, namespace=None).task("Train/2/end/2").artifacts
    assert artifacts.count.data is True
    assert artifacts.index(artifacts.x) == 0
    assert artifacts._fields == ("x", "count")
    with pytest.raises(AttributeError, match="no artifact 'gone'"):
        artifacts.gone  # noqa: B018


def test_values_know_their_artifacts(client: Client) -> None:
    task = client.task("Train/2/end/2")
    assert task.data._artifacts == {"x": task["x"]}


def test_attempts_are_for_tasks_and_artifacts(client: Client) -> None:
    with pytest.raises(MetaflowNotFound, match="only tasks and artifacts"):
        Run("Train/2", attempt=0, client=client)
    for bad in (-1, 6, "x", None.__class__):
        with pytest.raises(MetaflowNotFound):
            Task("Train/2/end/2", attempt=bad, client=client)
    assert str(Task("Train/2/end/2", "1", client=client)) == "Task('Train/2/end/2', attempt=1)"


def test_any_fsspec_protocol_stores_artifacts(tmp_path: Path, provider: MemoryProvider) -> None:
    import gzip
    import hashlib
    import pickle

    import fsspec

    value = pickle.dumps({"deep": [1, 2]}, protocol=4)
    key = hashlib.sha1(value).hexdigest()
    fsspec.filesystem("memory").pipe(
        f"/bucket/root/Train/data/{key[:2]}/{key}", gzip.compress(value)
    )
    stored = mfc.model.ArtifactRecord(
        **{
            **mfc.model.attrs.asdict(artifact("Train/2/end/2/deep", 3_004, key), recurse=False),
            "ds_type": "memory",
            "location": ":root:memory://bucket/root",
        }
    )
    provider._artifacts.append(stored)
    client = Client(provider, namespace=None)
    assert client.task("Train/2/end/2").data.deep == {"deep": [1, 2]}
    assert client.stats.bytes > 0


def test_a_client_offers_the_names_of_a_user_alone() -> None:
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names == {
        "artifact",
        "cache",
        "filesystem",
        "flow",
        "flows",
        "namespace",
        "plugins",
        "policy",
        "provider",
        "run",
        "stats",
        "step",
        "task",
        "trust",
        "use",
    }
    assert [name for name in names if not inspect.getdoc(getattr(Client, name))] == []
