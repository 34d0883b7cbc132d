"""Changes of tags under faults: made once, or an error that says which; never blindly repeated.

The way is: client, proxy, gateway, service. The proxy loses requests or answers, the gateway counts
what arrives.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.servers import proxy as proxies
from tests.servers.gateway import Asked, Gateway, Reply, Rule
from tests.servers.proxy import Cut, Fault, Hole, Running

from mfc import Client
from mfc.config import Config
from mfc.errors import MetaflowNotFound, MetaflowTaggingError
from mfc.model import Level, Pathspec
from mfc_service import mfc_metadata_provider
from mfc_service._connection import TRIES

from . import asking
from .asking import SHORT, clear, client, in_time
from .backend import NoHooks

RUN = "BranchFlow/19"
_numbers = itertools.count()


@pytest.fixture
def lossy(gateway: Gateway) -> Iterator[Running]:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with proxies.running((host, int(port))) as made:
        yield made


@pytest.fixture
def asked(lossy: Running) -> Client:
    return client(f"http://127.0.0.1:{lossy.port}")


@pytest.fixture
def tag() -> str:
    return f"tag-{next(_numbers)}"


def tags_now(recorded: str) -> frozenset[str]:
    return client(recorded).run(RUN).user_tags


def answered_late(answer: Reply) -> Rule:
    """Return a rule for a gateway that forwards a change, and then answers something else."""

    def rule(asked: Asked, ask: object) -> Reply:
        found = ask()  # type: ignore[operator]
        return answer if asked.method == "PATCH" else found

    return rule


def only_changes(answer: Reply) -> Rule:
    """Return a rule for a gateway that swallows changes."""
    return lambda asked, ask: answer if asked.method == "PATCH" else ask()


AFTER: dict[str, Fault] = {
    "closed": Cut(0),
    "reset": Cut(0, reset=True),
    "cut in the headers": Cut(30),
    "black hole": Hole(delivered=True),
}
BEFORE: dict[str, Fault] = {
    "closed": Cut(0, delivered=False),
    "reset": Cut(0, delivered=False, reset=True),
    "black hole": Hole(),
}


def seconds(fault: Fault) -> float:
    """Return the time for a change: short, as half of it is spent waiting without an answer."""
    return 4.0 if isinstance(fault, Hole) else asking.TIMEOUT


@pytest.mark.parametrize("kind", AFTER)
def test_a_change_whose_answer_is_lost_is_not_sent_again(
    kind: str, lossy: Running, gateway: Gateway, recorded: str
) -> None:
    tag = f"lost: {kind}"
    run = client(f"http://127.0.0.1:{lossy.port}", seconds(AFTER[kind])).run(RUN)
    lossy.faults.append(AFTER[kind])
    with in_time():
        run.add_tag(tag)
    assert gateway.count("PATCH") == 1
    assert tag in run.user_tags
    assert tag in tags_now(recorded)


@pytest.mark.parametrize("kind", BEFORE)
def test_a_change_that_did_not_arrive_is_sent_again(
    kind: str, lossy: Running, gateway: Gateway, recorded: str
) -> None:
    tag = f"not: {kind}"
    run = client(f"http://127.0.0.1:{lossy.port}", seconds(BEFORE[kind])).run(RUN)
    lossy.faults.append(BEFORE[kind])
    with in_time():
        run.add_tag(tag)
    # After a lost connection, the tags are checked before the change is sent again.
    sent = [(one.method, one.path.rpartition("/")[2]) for one in gateway.asked[1:]]
    assert sent[-2:] == [("GET", "19"), ("PATCH", "mutate")]
    assert gateway.count("PATCH") == 1
    assert tag in tags_now(recorded)


def test_the_last_tag_is_gone_although_the_answer_is_lost(
    asked: Client, lossy: Running, gateway: Gateway, recorded: str, tag: str
) -> None:
    run = asked.run("BranchFlow/2")
    run.replace_tags(list(run.user_tags), [tag])
    lossy.faults.append(Cut(0))
    run.remove_tag(tag)
    assert gateway.count("PATCH") == 2
    assert run.user_tags == client(recorded).run("BranchFlow/2").user_tags == frozenset()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_that_gave_up_waiting_is_not_believed(
    status: int, asked: Client, gateway: Gateway, recorded: str, tag: str
) -> None:
    run = asked.run(RUN)
    gateway.always = answered_late(Reply(status))
    run.add_tag(tag)
    assert gateway.count("PATCH") == 1
    assert tag in tags_now(recorded)


LATE = {
    "truncated": Reply(body=b'{"tags": ["a'),
    "a login": Reply(body=b"<html><title>Sign in</title></html>"),
    "text for tags": Reply(body=b'{"tags": "abc"}'),
    "nothing": Reply(204),
    "a crash": Reply(500, b'{"traceback": "SELECT 1"}'),
}


@pytest.mark.parametrize("kind", LATE)
def test_an_invalid_answer_leaves_the_outcome_unknown(
    kind: str, asked: Client, gateway: Gateway, recorded: str, tag: str
) -> None:
    run = asked.run(RUN)
    gateway.always = answered_late(LATE[kind])
    run.add_tag(tag)
    assert gateway.count("PATCH") == 1
    assert tag in tags_now(recorded)
    assert not tags_now(recorded) & set("abc")
    gateway.always = only_changes(LATE[kind])
    with pytest.raises(MetaflowTaggingError, match="were not changed") as caught:
        run.add_tag(f"{tag}-more")
    clear(caught.value)
    assert gateway.count("PATCH") == 2


def test_the_retry_budget_bounds_changes(
    asked: Client, gateway: Gateway, recorded: str, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfc_service._retries._FIRST", 0.001)
    run = asked.run(RUN)
    gateway.always = only_changes(Reply(503))
    with in_time(), pytest.raises(MetaflowTaggingError, match="were not changed.*503") as caught:
        run.add_tag(tag)
    clear(caught.value)
    assert gateway.count("PATCH") == TRIES
    assert tag not in tags_now(recorded)


def test_other_writers_are_waited_for(
    asked: Client, gateway: Gateway, recorded: str, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict is retried for as long as time is left."""
    monkeypatch.setattr("mfc_service._retries._FIRST", 0.0001)
    run = asked.run(RUN)
    gateway.script.extend([Reply(409, b'"conflict"')] * (TRIES + 2))
    run.add_tag(tag)
    assert gateway.count("PATCH") == TRIES + 3
    assert tag in tags_now(recorded)
    gateway.always = Reply(409, b'"conflict"', {"Retry-After": "60"})
    with in_time(), pytest.raises(MetaflowTaggingError, match="other writers") as caught:
        run.add_tag(f"{tag}-more")
    clear(caught.value)


def test_the_outcome_is_unknown_without_an_answer(lossy: Running, tag: str) -> None:
    run = client(f"http://127.0.0.1:{lossy.port}", 2 * SHORT).run(RUN)
    lossy.always = Hole(delivered=True)
    with in_time(), pytest.raises(MetaflowTaggingError, match="is not known") as caught:
        run.add_tag(tag)
    clear(caught.value)


def test_refused_connections_are_an_error_in_time(
    lossy: Running, gateway: Gateway, tag: str
) -> None:
    run = client(f"http://127.0.0.1:{lossy.port}", 2 * SHORT).run(RUN)
    with lossy.refusing(), in_time(), pytest.raises(MetaflowTaggingError) as caught:
        run.add_tag(tag)
    clear(caught.value)
    assert gateway.count("PATCH") == 0


@pytest.mark.parametrize(
    "answer",
    [Reply(401), Reply(403), Reply(302, headers={"Location": "/x"}), Reply(404, b"<p>gone</p>")],
    ids=lambda reply: str(reply.status),
)
def test_a_refusal_is_reported_at_once(
    answer: Reply, asked: Client, gateway: Gateway, tag: str
) -> None:
    run = asked.run(RUN)
    gateway.always = only_changes(answer)
    with pytest.raises(
        MetaflowTaggingError, match=f"status {answer.status}|no metadata service"
    ) as caught:
        run.add_tag(tag)
    clear(caught.value)
    assert gateway.count("PATCH") == 1


def test_a_deleted_run_is_not_found(asked: Client, gateway: Gateway, tag: str) -> None:
    run = asked.run(RUN)
    gateway.always = only_changes(Reply(404, b"{}"))
    with pytest.raises(MetaflowNotFound):
        run.add_tag(tag)


class Toggle:
    """A change that cancels itself when made twice; it records the tags that it was given."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.given: list[frozenset[str]] = []

    def __call__(self, user: frozenset[str], system: frozenset[str]) -> frozenset[str]:
        self.given.append(user)
        return user ^ {self._tag}


@pytest.mark.parametrize("kind", ["after", "before"])
def test_a_change_that_is_not_idempotent_is_made_once(
    kind: str, lossy: Running, gateway: Gateway, recorded: str, tag: str
) -> None:
    config = Config({"MFC_SERVICE_TIMEOUT": asking.TIMEOUT})
    meter = type("Meter", (), {"add": lambda self, **_: None})()
    address = f"service@http://127.0.0.1:{lossy.port}"
    provider = mfc_metadata_provider(address, config, meter, NoHooks())
    change = Toggle(tag)
    for expected in (True, False):
        lossy.faults.extend([None, Cut(0) if kind == "after" else Cut(0, delivered=False)])
        found = provider.retag(Pathspec.parse(RUN, Level.RUN), change)
        assert (tag in found) is expected
        assert (tag in tags_now(recorded)) is expected
    assert gateway.count("PATCH") == 2


def test_internals_of_the_service_are_not_shown(asked: Client, gateway: Gateway, tag: str) -> None:
    run = asked.run(RUN)
    body = json.dumps(json.dumps({"err_msg": {"pgerror": "SELECT x", "pgcode": "42P01"}})).encode()
    for status in (400, 422, 500):
        gateway.always = only_changes(replace(Reply(body=body), status=status))
        with pytest.raises(MetaflowTaggingError) as caught:
            run.add_tag(tag)
        clear(caught.value)
