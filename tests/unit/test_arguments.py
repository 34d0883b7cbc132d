"""Every parameter of every public function accepts valid values, and refuses all others alike.

A new function or parameter without a row in `CALLS` fails the test.
"""

from __future__ import annotations

import inspect
import operator
import os
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import mfc
from mfc import Client, DataArtifact, Flow, Metaflow, MetaflowCode, Run, Step, Task, Trigger
from mfc.errors import BadArgument, MetaflowException, shown, visible
from mfc.trust import Trust

from .faraway import step_of
from .odd_values import odd_values

#: Tells whether a value is valid for a parameter.
Kind = Callable[[Any], bool]


class Call(NamedTuple):
    """How to pass a value for a parameter, and the values that it accepts."""

    function: str
    parameter: str
    kind: Kind
    give: Callable[[Client, Any], object]
    #: Its name in errors, where it differs.
    named: str = ""


# Kinds


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_column(value: Any) -> bool:
    return is_text(value) and is_name(value)


def is_scalar(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) >= 0
    except (TypeError, ZeroDivisionError):
        return False


def is_flag(value: Any) -> bool:
    plain = value.item() if is_scalar(value) else value
    return isinstance(plain, int) and plain in (0, 1)


def is_time(value: Any) -> bool:
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return not np.isnat(value)
    if isinstance(value, str):
        return bool(re.match(r"2026-|24h$", value))
    impossible = (datetime.min, timedelta.max, pd.NaT)
    return isinstance(value, (date, timedelta)) and not any(value is one for one in impossible)


def is_texts(value: Any) -> bool:
    try:
        return not isinstance(value, (str, Mapping)) and all(map(is_text, value))
    except (TypeError, ZeroDivisionError):
        return False


def is_tag(value: Any) -> bool:
    return is_text(value) and 0 < len(value) <= 500 and visible(value).isprintable()


def is_callable(value: Any) -> bool:
    return callable(value)


def never(value: Any) -> bool:
    return False


def always(value: Any) -> bool:
    return True


def optional(kind: Kind) -> Kind:
    return lambda value: value is None or kind(value)


def either(*kinds: Kind) -> Kind:
    return lambda value: any(kind(value) for kind in kinds)


def word(*words: str) -> Kind:
    return lambda value: isinstance(value, str) and value in words


def instance(*classes: Any) -> Kind:
    return lambda value: isinstance(value, classes)


def has_read(value: Any) -> bool:
    return hasattr(value, "read")


def names_of(level: int) -> Kind:
    return lambda value: (
        isinstance(value, str)
        and value.count("/") == level - 1
        and all(mfc.model.is_name(part) for part in value.split("/"))
    )


def is_attempt(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.isdecimal()) or is_number(value)


def is_name(value: Any) -> bool:
    plain = value.item() if is_scalar(value) else value
    return mfc.model.is_name(plain) or (isinstance(plain, int) and not isinstance(plain, bool))


def is_path(value: Any) -> bool:
    text = is_text(value) and value and "\0" not in value and "\ud800" not in value
    return text or isinstance(value, os.PathLike)


def is_address(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


# Calls

ADDRESS = either(is_address, instance(os.PathLike), lambda value: hasattr(value, "address"))
STREAM = "stdout"


def flow(client: Client) -> Flow:
    return client.flow("F")


def run(client: Client) -> Run:
    return client.run("F/1")


def step(client: Client) -> Step:
    return client.step("F/1/fit")


def task(client: Client) -> Task:
    return client.task("F/1/fit/0")


def artifact(client: Client) -> DataArtifact:
    return client.artifact("F/1/fit/0/x")


def objects() -> Iterator[Call]:
    levels = {Flow: 1, Run: 2, Step: 3, Task: 4, DataArtifact: 5}
    for kind, level in levels.items():
        name = kind.__name__
        text = "/".join(["F", "1", "fit", "0", "x"][:level])
        attempt = is_attempt if level > 3 else optional(never)
        yield Call(name, "pathspec", names_of(level), lambda c, v, k=kind: k(v, client=c))
        yield Call(name, "attempt", attempt, lambda c, v, k=kind, t=text: k(t, v, client=c))
        yield Call(
            name,
            "client",
            optional(instance(Client)),
            lambda c, v, k=kind, t=text: in_client(c, k, t, v),
        )
        yield Call(
            name,
            "_namespace_check",
            is_flag,
            lambda c, v, k=kind, t=text: k(t, client=c, _namespace_check=v),
        )
        method = "artifact" if kind is DataArtifact else name.lower()
        yield Call(
            f"Client.{method}", "pathspec", names_of(level), lambda c, v, m=method: getattr(c, m)(v)
        )
        if level > 3:
            yield Call(
                f"Client.{method}",
                "attempt",
                is_attempt,
                lambda c, v, m=method, t=text: getattr(c, m)(t, v),
            )
        yield Call(
            f"{name}.__getitem__",
            "name",
            is_name if level < 5 else always,
            lambda c, v, k=kind, t=text: k(t, client=c)[v],
            "child",
        )


def in_client(client: Client, kind: Any, text: str, value: Any) -> object:
    with client:
        return kind(text, client=value)


def in_block(function: Callable[..., object]) -> Callable[[Client, Any], object]:
    def give(client: Client, value: Any) -> object:
        with client:
            return function(value)

    return give


def run_tags(method: str, *, first: bool = True) -> Callable[[Client, Any], object]:
    def give(client: Client, value: Any) -> object:
        change = getattr(run(client), method)
        return change(value) if first else change([], value)

    return give


TAGS = either(
    lambda v: v is None,
    instance(dict),
    is_tag,
    lambda value: is_texts(value) and all(map(is_tag, value)),
)


def is_empty_list(value: Any) -> bool:
    return isinstance(value, (list, np.ndarray, pd.Series)) and not len(value)


def in_client_metaflow(client: Client, value: Any) -> object:
    with client:
        return Metaflow(client=value)


CALLS: list[Call] = [
    *objects(),
    Call("Metaflow", "client", optional(instance(Client)), in_client_metaflow),
    Call("Metaflow.__getitem__", "name", names_of(1), lambda c, v: c.flows()[v], "pathspec"),
    Call("Flow.runs", "tags", is_text, lambda c, v: flow(c).runs(v)),
    Call("Flow.runs", "since", optional(is_time), lambda c, v: flow(c).runs(since=v)),
    Call("Flow.runs", "until", optional(is_time), lambda c, v: flow(c).runs(until=v)),
    Call("Flow.runs", "status", optional(word(*mfc.query.STATUSES)), lambda c, v: flow(c).runs(status=v)),
    Call("Flow.runs", "user", optional(is_text), lambda c, v: flow(c).runs(user=v)),
    Call("Flow.runs", "limit", optional(is_number), lambda c, v: flow(c).runs(limit=v)),
    Call("Flow.failed_runs", "since", optional(is_time), lambda c, v: flow(c).failed_runs(since=v)),
    Call("Flow.failed_runs", "limit", optional(is_number), lambda c, v: flow(c).failed_runs(limit=v)),
    Call("Run.failures", "limit", optional(is_number), lambda c, v: flow(c).latest_run.failures(limit=v)),
    Call("Run.steps", "tags", is_text, lambda c, v: run(c).steps(v)),
    Call("Run.artifacts", "names", is_text, lambda c, v: run(c).artifacts(v)),
    Call("Run.add_tag", "tag", TAGS, run_tags("add_tag"), "tags_to_add"),
    Call("Run.add_tags", "tags", TAGS, run_tags("add_tags"), "tags_to_add"),
    Call("Run.remove_tag", "tag", TAGS, run_tags("remove_tag"), "tags_to_remove"),
    Call("Run.remove_tags", "tags", TAGS, run_tags("remove_tags"), "tags_to_remove"),
    Call("Run.replace_tag", "tag_to_remove", TAGS, lambda c, v: run(c).replace_tag(v, "x"), "tags_to_remove"),
    Call("Run.replace_tag", "tag_to_add", TAGS, run_tags("replace_tag", first=False), "tags_to_add"),
    Call("Run.replace_tags", "tags_to_remove", TAGS, lambda c, v: run(c).replace_tags(v, ["x"])),
    Call("Run.replace_tags", "tags_to_add", TAGS, run_tags("replace_tags", first=False)),
    Call("Step.tasks", "tags", is_text, lambda c, v: step(c).tasks(v)),
    Call("Step.control_tasks", "tags", is_text, lambda c, v: step(c).control_tasks(v)),
    Call("Step.artifacts", "names", is_text, lambda c, v: step(c).artifacts(v)),
    Call("Task.loglines", "stream", word("stdout", "stderr"), lambda c, v: task(c).loglines(v)),
    Call("Task.loglines", "as_unicode", is_flag, lambda c, v: task(c).loglines(STREAM, v)),
    Call("Task.loglines", "meta_dict", optional(instance(Mapping)), lambda c, v: task(c).loglines(STREAM, meta_dict=v)),
    Call("Task.loglines", "tail", optional(is_number), lambda c, v: task(c).loglines(STREAM, tail=v)),
    Call("Task.loglines", "since", optional(is_time), lambda c, v: task(c).loglines(STREAM, since=v)),
    Call("Task.loglines", "grep", optional(lambda v: isinstance(v, (str, bytes)) and v != "*"), lambda c, v: task(c).loglines(STREAM, grep=v)),
    Call("Task.loglines", "follow", is_flag, lambda c, v: task(c).loglines(STREAM, follow=v)),
    Call("DataArtifact.download", "path", is_path, lambda c, v: artifact(c).download(v)),
    Call("DataArtifact.download", "progress", optional(either(instance(bool), is_callable)), lambda c, v: artifact(c).download("file", (lambda *_: None) if callable(v) else v)),
    Call("MetaflowCode", "flow_name", is_text, in_block(lambda v: MetaflowCode(v, '{"location": "a", "ds_type": "far", "sha": "b"}'))),
    Call("MetaflowCode", "code_package", is_text, in_block(lambda v: MetaflowCode("F", v))),
    Call("Trigger", "events", is_empty_list, in_block(Trigger)),
    Call("Trigger.from_runs", "run_objs", is_empty_list, in_block(Trigger.from_runs)),
    Call("Client", "metadata", optional(ADDRESS), lambda c, v: Client(v)),
    Call("Client", "namespace", optional(is_text), lambda c, v: Client(namespace=v)),
    Call("Client", "config", optional(instance(Mapping)), lambda c, v: Client(config=v)),
    Call("Client", "trust", word("full", "safe", "none"), lambda c, v: Client(trust=v)),
    Call("Client", "plugins", either(is_texts, is_empty_list), lambda c, v: Client(plugins=v)),
    Call("metadata", "ms", either(is_address, instance(os.PathLike)), in_block(mfc.metadata)),
    Call("namespace", "ns", optional(is_text), in_block(mfc.namespace), "namespace"),
    Call("inspect_spin", "datastore_root", either(is_text, instance(os.PathLike)), in_block(mfc.inspect_spin)),
    Call("unpickle", "pickled", either(instance(bytes, bytearray), has_read), in_block(mfc.unpickle)),
    Call("unpickle", "trust", optional(word("full", "safe", "none")), in_block(lambda v: mfc.unpickle(pickle.dumps(1), v))),
    Call("load", "tasks_or_artifacts", is_empty_list, lambda c, v: list(mfc.load(v, "x")), "tasks_or_artifacts|an item"),
    Call("load", "names", is_text, lambda c, v: mfc.load([], v)),
    Call("load", "progress", optional(either(instance(bool), is_callable)), lambda c, v: mfc.load([], "x", progress=v)),
    Call("load", "errors", word("raise", "return"), lambda c, v: mfc.load([], "x", errors=v)),
    Call("table", "items", is_empty_list, lambda c, v: mfc.table(v, "id"), "items|an item"),
    Call("table", "columns", is_column, lambda c, v: mfc.table([], v)),
    Call("table", "errors", word("raise", "return"), lambda c, v: mfc.table([], "id", errors=v)),
    Call("Trust.of", "value", word("full", "safe", "none"), lambda c, v: Trust.of(v), "trust"),
    Call("Trust.safe", "memory", optional(is_number), lambda c, v: Trust.safe(memory=v)),
    Call("Trust.safe", "allow", is_empty_list, lambda c, v: Trust.safe(v), "allow"),
]  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Client:
    return step_of(2).client()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.function}({call.parameter})")
@pytest.mark.filterwarnings("ignore::mfc.MfcWarning")
def test_argument_is_accepted_or_refused_with_a_message(
    call: Call, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in odd_values().items():
        again = (c for c in "ab") if isinstance(value, Iterator) else value
        members = [value, *members_of(again)]
        taken = call.kind(iter(members[2:]) if again is not value else value)
        try:
            answer = call.give(client, value)
            if isinstance(answer, Iterator):
                list(answer)
        except BadArgument as refused:
            message = str(refused)
            if not taken:
                assert re.search(rf"\b({call.named or call.parameter})\b", message), (name, message)
                assert "expected" in message, (name, message)
                assert any(shown(given) in message for given in members), (name, message)
            assert message.isprintable(), name
            continue
        except MetaflowException as other:
            assert str(other).isprintable(), name  # noqa: PT017 - any error will do
        except OSError:
            assert call.function == "DataArtifact.download", name
        assert taken, name


def members_of(value: Any) -> list[Any]:
    """Return a value and its members: an error may be about one of these."""
    try:
        return [value, *value]
    except Exception:
        return [value]


def public_parameters() -> Iterator[tuple[str, str]]:
    """Yield the functions of the client's public interface, with their parameters."""
    for name in sorted(set(mfc.__all__) - {"MetaflowTrigger"}):
        found = getattr(mfc, name)
        if inspect.isfunction(found):
            yield from ((name, parameter) for parameter in inspect.signature(found).parameters)
        if found in OF_USERS:
            for method, function in inspect.getmembers(found, callable):
                if method in ("__init__", "__getitem__") or not method.startswith("_"):
                    shown_as = name if method == "__init__" else f"{name}.{method}"
                    for parameter in list(inspect.signature(function).parameters):
                        if parameter not in ("self", "scope"):
                            yield shown_as, parameter


#: Classes whose methods take arguments of users.
OF_USERS = (Client, Metaflow, Flow, Run, Step, Task, DataArtifact, MetaflowCode, Trigger, Trust)
#: Methods whose arguments other tests check, or that are not for users.
ELSEWHERE = {
    "Trust": "made by `of` and `safe`",
    "Trust.require_any": "for decoders",
    "Trust.within": "takes a Trust",
    "Trigger.__getitem__": "any key may be asked for, as of a mapping",
    "Client.use": "tested as `metadata`",
    "Client.provider_at": "tested as `metadata`",
    "Client.within": "for the client itself",
    "Client.roots": "for the client itself",
    "Client.place": "for the client itself",
    "Client.filesystem": "for the client itself",
    "Client.wanted": "for the client itself",
    "Client.ahead": "for the client itself",
    "Client.raw": "for the client itself",
    "Client.value": "for the client itself",
    "Client.plain": "for the client itself",
    "Client.events": "for the client itself",
}


def test_every_public_parameter_is_tested() -> None:
    tested = {(call.function, call.parameter) for call in CALLS}
    missing = {
        f"{function}({parameter})"
        for function, parameter in public_parameters()
        if (function, parameter) not in tested and function not in ELSEWHERE
    }
    assert not missing
