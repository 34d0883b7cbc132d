"""Exceptions and results of plugins outside the contract are errors that name the plugin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mfc import Client, load
from mfc.errors import (
    BrokenPlugin,
    MetaflowException,
    PluginError,
    Unanswered,
    UnreadableBlob,
)
from mfc.hookspecs import Capabilities, Event, hookimpl
from mfc.model import PendingRecord
from mfc_testing import MemoryProvider

from .faraway import Results, plugin_of, step_of

FOREIGN = (AttributeError("x"), KeyError("x"), StopIteration("x"), TypeError("x"), SystemExit(3))


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*_: object, **__: object) -> Any:
        raise error

    return method


def raising_midway(error: BaseException) -> Callable[..., Any]:
    def method(self: object, *given: Any, **named: Any) -> Iterator[Any]:
        raise error
        yield None

    return method


async def coroutine(*_: object, **__: object) -> None:
    """An async method, by mistake."""


async def async_generator(*_: object, **__: object) -> Any:
    """An async listing, by mistake."""
    yield None


def answering(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


#: Queries of a client that reach each method of a provider.
PROVIDER: dict[str, list[Callable[[Client], object]]] = {
    "get": [
        lambda c: c.run("F/1"),
        lambda c: hasattr(c.task("F/1/fit/0"), "x"),
        lambda c: c.step("F/1/fit")["0"],
        lambda c: "0" in c.step("F/1/fit"),
    ],
    "children": [
        lambda c: list(c.flow("F")),
        lambda c: c.flow("F").latest_run,
        lambda c: c.flow("F").latest_successful_run,
        lambda c: list(c.flows()),
    ],
    "metadata": [lambda c: c.task("F/1/fit/0").metadata_dict, lambda c: c.task("F/1/fit/0").stdout],
    "artifacts": [
        lambda c: list(c.task("F/1/fit/0")),
        lambda c: c.task("F/1/fit/0").artifacts,
        lambda c: list(load(c.step("F/1/fit"), "x")),
    ],
    "retag": [lambda c: c.run("F/1").add_tag("new")],
}
BROKEN: dict[str, Callable[..., Any]] = {
    **{f"raises {type(error).__name__}": raising(error) for error in FOREIGN},
    "is async": coroutine,
    "answers an object": answering(object()),
    "answers a number": answering(5),
}
LISTINGS: dict[str, Callable[..., Any]] = {
    **{f"raises {type(error).__name__} midway": raising_midway(error) for error in FOREIGN},
    "is an async generator": async_generator,
    "answers None": answering(None),
    "answers other records": lambda *_: iter([object()]),
}


def client_of(method: str, function: Callable[..., Any]) -> Client:
    results = step_of(2)
    provider = type("Provider", (type(results.provider()),), {method: function})
    made = results.provider()
    made.__class__ = provider
    return results.client(made)


@pytest.mark.parametrize("way", [*BROKEN, *LISTINGS])
@pytest.mark.parametrize("method", PROVIDER)
def test_provider_that_misbehaves_is_named_with_its_method(method: str, way: str) -> None:
    function = (BROKEN | LISTINGS)[way]
    if way in LISTINGS and method in ("get", "retag") and way != "is an async generator":
        function = raising(KeyError(way))
    for ask in PROVIDER[method]:
        with pytest.raises(BrokenPlugin) as caught:
            ask(client_of(method, function))
        assert f"Plugin Provider: Provider.{method} " in str(caught.value)


@pytest.mark.parametrize("error", [Unanswered("far", "asleep"), MemoryError(), KeyboardInterrupt()])
def test_errors_of_the_contract_and_of_the_system_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        client_of("get", raising(error)).run("F/1")
    assert caught.value is error


def test_error_of_a_provider_takes_the_place_of_a_value() -> None:
    found = list(load(client_of("artifacts", coroutine).step("F/1/fit"), "x", errors="return"))
    assert found
    assert all(isinstance(error, PluginError) for error in found)


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("address", 5, "Provider.address answered 5; expected text"),
        ("address", None, "Provider.address answered None"),
        ("capabilities", {}, r"Provider.capabilities answered \{\}; expected a Capabilities"),
        ("address", property(raising(KeyError("x"))), "Provider.address failed: KeyError: 'x'"),
    ],
)
def test_provider_with_wrong_attributes_is_refused(attribute: str, value: Any, says: str) -> None:
    own = {
        "address": "x@",
        "capabilities": Capabilities(),
        attribute: value,
        "__init__": lambda self: None,
    }
    kind = type("Provider", (MemoryProvider,), own)
    with pytest.raises(BrokenPlugin, match=says):
        Client(kind())


@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("method", ["default", "required", "sees", "may_retag"])
def test_policy_that_misbehaves_is_an_error_naming_it(method: str, way: str) -> None:
    class Policy:
        def default(self) -> str:
            return "user:ada"

        def required(self, namespace: str) -> frozenset[str]:
            return frozenset()

        def sees(self, namespace: str, record: object) -> bool:
            return True

        def may_retag(self, namespace: str | None, record: object) -> None:
            return None

    setattr(Policy, method, BROKEN[way])
    plugin = SimpleNamespace(
        mfc_namespace_policy=hookimpl(lambda config: Policy()), __name__="strict"
    )
    client = Client(step_of(1).provider(), plugins=[plugin])

    def use() -> None:
        list(client.flow("F"))
        client.run("F/1").add_tag("x")

    with pytest.raises(BrokenPlugin, match=rf"Plugin strict: Policy.{method} (failed|answered)"):
        use()


@pytest.mark.parametrize("error", FOREIGN[:4])
def test_decoder_that_fails_is_named(error: BaseException) -> None:
    decoder = SimpleNamespace(decode=raising(error))
    plugin = SimpleNamespace(
        mfc_artifact_decoder=hookimpl(lambda encoding: decoder), __name__="odd"
    )
    results = step_of(1)
    client = Client(results.provider(), namespace=None, plugins=[plugin_of(results.store), plugin])
    with pytest.raises(BrokenPlugin, match="Plugin odd: SimpleNamespace.decode failed"):
        client.task("F/1/fit/0")["x"].data  # noqa: B018


HOOKS = {
    "mfc_metadata_provider": (lambda address: object(), lambda c: c.use("odd@x")),
    "mfc_filesystem": (lambda ds_type: object(), lambda c: c.filesystem("odd")),
    "mfc_namespace_policy": (lambda config: object(), lambda c: c.policy),
    "mfc_artifact_decoder": (lambda encoding: object(), lambda c: c.task("F/1/fit/0")["x"].data),
    "mfc_trigger": (lambda metadata: [object()], lambda c: c.run("F/1").trigger),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_with_a_wrong_result_is_named(hook: str) -> None:
    function, ask = HOOKS[hook]
    results = step_of(1)
    results.task("F/1/start/9")
    plugin = SimpleNamespace(**{hook: hookimpl(function)}, __name__="odd")
    chosen = [plugin] if hook == "mfc_filesystem" else [plugin_of(results.store), plugin]
    client = Client(results.provider(), namespace=None, plugins=chosen)
    with pytest.raises(BrokenPlugin, match=f"Plugin odd: hook {hook} answered"):
        ask(client)


@pytest.mark.parametrize("answer", [5, "text", {"name": "x"}, [Event(), None]])
def test_trigger_must_answer_with_events(answer: object) -> None:
    plugin = SimpleNamespace(mfc_trigger=hookimpl(lambda metadata: answer), __name__="odd")
    results = step_of(1)
    results.task("F/1/start/9")
    with pytest.raises(BrokenPlugin, match="hook mfc_trigger answered .*; expected Event objects"):
        Client(results.provider(), namespace=None, plugins=[plugin]).run("F/1").trigger  # noqa: B018


@pytest.mark.parametrize("hook", HOOKS)
def test_async_hook_is_refused_at_once(hook: str) -> None:
    async def answer() -> None:
        """Answer asynchronously."""

    plugin = SimpleNamespace(**{hook: hookimpl(answer)}, __name__="odd")
    with pytest.raises(BrokenPlugin, match=f"its hook {hook} is async"):
        Client(plugins=[plugin])


def test_check_asks_hooks_that_need_no_backend(site: Any) -> None:
    site.plugin("odd", "@hookimpl\ndef mfc_metadata_provider(address):\n    return object()")
    site.plugin("late", "@hookimpl\nasync def mfc_filesystem(ds_type):\n    return None")
    site.plugin("wild", "@hookimpl\ndef mfc_trigger(metadata):\n    return metadata['events']")
    site.plugin("fine", "@hookimpl\ndef mfc_filesystem(ds_type):\n    return Anything()")
    done = site.command("-m", "mfc", "plugins", "--check", "--json")
    found = {plugin["name"].split()[0]: plugin["error"] for plugin in json.loads(done.stdout)}
    assert done.returncode == 1
    assert "hook mfc_metadata_provider answered <object object" in found["mfc-odd"]
    assert "it lacks address, capabilities, root, get, children" in found["mfc-odd"]
    assert (
        found["mfc-late"] == "its hook mfc_filesystem is async; hooks answer when they are called"
    )
    assert found["mfc-wild"] == "hook mfc_trigger failed: KeyError: 'events'"
    assert found["mfc-fine"] is None


def test_check_shows_all_problems_of_a_plugin(site: Any) -> None:
    site.plugin(
        "odd",
        "MFC_CONTRACT = 'one'\nMFC_CAPABILITIES = {}\n"
        "@hookimpl\nasync def mfc_filesystem(ds_type):\n    return None\n"
        "@hookimpl\nasync def mfc_trigger(metadata):\n    return None",
    )
    site.plugin(
        "half",
        "class Files:\n"
        "    async def size(self, path): ...\n"
        "    def cat_file(self, path): ...\n"
        "    open = 5\n"
        "class Policy:\n"
        "    def default(self, config): ...\n"
        "    def required(self, namespace): ...\n"
        "    def sees(self, record): ...\n"
        "    def may_retag(self, namespace, record): ...\n"
        "@hookimpl\ndef mfc_filesystem(ds_type):\n    return Files()\n"
        "@hookimpl\ndef mfc_namespace_policy():\n    return Policy()\n"
        "@hookimpl\ndef mfc_trigger(metadata):\n    return [5]",
    )
    done = site.command("-m", "mfc", "plugins", "--check", "--json")
    found = {plugin["name"].split()[0]: plugin["error"] for plugin in json.loads(done.stdout)}
    assert done.returncode == 1
    for problem in (
        "its MFC_CONTRACT is 'one'",
        "its MFC_CAPABILITIES is {}",
        "its hook mfc_filesystem is async",
        "its hook mfc_trigger is async",
    ):
        assert problem in found["mfc-odd"]
    for problem in (
        "Files.size is async",
        "Files.cat_file cannot be called as the contract says: got an unexpected keyword",
        "Files.open answered 5; expected a method",
        "Policy.default cannot be called as the contract says: missing a required argument",
        "Policy.sees cannot be called as the contract says: too many positional arguments",
        "hook mfc_trigger answered 5; expected Event objects",
    ):
        assert problem in found["mfc-half"]


@pytest.mark.parametrize("error", FOREIGN)
def test_pending_record_is_guarded(error: BaseException) -> None:
    def children(self: object, path: Any, query: object) -> Iterator[Any]:
        return iter([PendingRecord(path.child("1"), raising(error))])

    client = client_of("children", children)
    with pytest.raises(
        BrokenPlugin, match=r"Provider.children, a record that is found later, failed"
    ):
        next(iter(client.flow("F"))).created_at  # noqa: B018


@pytest.mark.parametrize("patience", ["60", None, -1, True, float("nan")])
def test_patience_is_a_number_of_seconds(patience: object) -> None:
    client = client_of("patience", patience)  # type: ignore[arg-type]
    with pytest.raises(
        BrokenPlugin, match=r"Provider.patience answered .*; expected a number of s"
    ):
        _ = client.provider.patience  # type: ignore[attr-defined]


def test_tags_other_than_text_are_an_error() -> None:
    client = client_of("retag", answering(frozenset({1})))
    with pytest.raises(BrokenPlugin, match=r"Provider.retag answered .*frozenset of text"):
        client.run("F/1").add_tag("x")


def test_check_reports_the_other_project_of_this_name(site: Any) -> None:
    site.install("mfc", {})
    done = site.command("-m", "mfc", "plugins", "--check")
    assert done.returncode == 1
    assert "Distribution mfc 1.0 is installed. It is another project" in done.stderr
    assert site.command("-m", "mfc", "plugins").returncode == 0


def test_listing_escapes_text_of_plugins(site: Any) -> None:
    site.plugin("odd", "raise RuntimeError('\\x1b]0;title\\x07\\nmore \\u202e')")
    done = site.command("-m", "mfc", "plugins")
    assert "\\x1b]0;title\\x07\\nmore \\u202e" in done.stdout.replace("\n" + " " * 16, " ")
    assert "\x1b" not in done.stdout + done.stderr


def test_results_are_read_through_the_guard() -> None:
    assert list(load(step_of(3).client().step("F/1/fit"), "x")) == [2, 1, 0]
    with pytest.raises(MetaflowException):
        Results().client().run("F/1")


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("mfc_safe_classes", 5),
        ("mfc_safe_classes", "a.B"),
        ("mfc_safe_classes", [1]),
        ("mfc_value_builders", 5),
        ("mfc_value_builders", "a.B"),
        ("mfc_value_builders", {"a.B": 5}),
        ("mfc_value_builders", {5: str}),
        ("mfc_value_builders", {"a.B": coroutine}),
    ],
)
def test_builder_that_misbehaves_is_named(hook: str, answer: object) -> None:
    plugin = SimpleNamespace(**{hook: hookimpl(lambda: answer)}, __name__="odd")
    results = step_of(1, lambda _: {"a": 1})
    client = Client(
        results.provider(), namespace=None, trust="safe", plugins=[plugin_of(results.store), plugin]
    )
    with pytest.raises(BrokenPlugin, match=f"Plugin odd: hook {hook} answered"):
        client.task("F/1/fit/0")["x"].data  # noqa: B018


@pytest.mark.parametrize("answer", ["text", [1], {}, None, 5])
def test_filesystem_without_bytes_is_an_error(answer: object) -> None:
    results = step_of(1)
    results.store.cat_file = lambda path, start=None, end=None: answer  # type: ignore[method-assign]
    task = results.client().task("F/1/fit/0")
    for ask in (lambda: task["x"].data, task["x"].open, lambda: list(load([task], "x"))):
        with pytest.raises(UnreadableBlob, match="cat_file answered .*; expected bytes"):
            ask()


def test_unreachable_filesystem_is_reported() -> None:
    results = step_of(1)
    results.store.cat_file = raising(TimeoutError())  # type: ignore[method-assign]
    with pytest.raises(UnreadableBlob, match="the store did not answer in time"):
        results.client().task("F/1/fit/0").data.x  # noqa: B018
