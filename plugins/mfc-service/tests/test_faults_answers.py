"""Wrong answers: an error that describes them, and never a result."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.servers.gateway import Asked, Gateway, Reply, Rule

from mfc import MfcWarning
from mfc.errors import Unanswered
from mfc_service._connection import NoRoute

from .asking import LEAF, QUESTIONS, RUN, answer, clear, client, in_time

Ask = Callable[..., Reply]
LOGIN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>password</body></html>"
DATABASE = {"err_msg": {"pgerror": 'ERROR: relation "runs_v3"', "pgcode": "42P01", "diag": {}}}
CRASH = {"traceback": "Traceback (most recent call last):\n SELECT * FROM runs_v3", "status": 500}


def at(location: str, status: int = 302) -> Reply:
    return Reply(status, headers={"Location": location})


def cut(asked: Asked, ask: Ask) -> Reply:
    found = ask()
    return replace(found, body=found.body[: len(found.body) // 2])


def json_of(value: object) -> Reply:
    return Reply(body=json.dumps(value).encode(), headers={"X-Limit": "3"})


WRONG: dict[str, tuple[Rule, str]] = {
    "overloaded": (Reply(429, b"slow down"), "status 429 in [2-6] tries: slow down"),
    "bad gateway": (Reply(502, LOGIN), "status 502 in [2-6] tries: Sign in"),
    "no service": (Reply(503), "status 503 in [2-6] tries$"),
    "late gateway": (Reply(504, b"upstream timed out"), "status 504 in [2-6] tries: upstream"),
    "database": (Reply(500, json.dumps(json.dumps(DATABASE)).encode()), "status 500: the service"),
    "crash": (Reply(500, json.dumps(CRASH).encode()), "status 500: the service failed; its log"),
    "crash with 200": (json_of(CRASH), "the service failed"),
    "who are you": (Reply(401), "METAFLOW_SERVICE_AUTH_KEY"),
    "not you": (Reply(403, LOGIN), "METAFLOW_SERVICE_AUTH_KEY"),
    "another's 404": (Reply(404, b"<h1>default backend - 404</h1>"), "is METAFLOW_SERVICE_URL a"),
    "an empty 404": (Reply(404), "is METAFLOW_SERVICE_URL a"),
    "teapot": (Reply(418, b"\x1b[31mshort\x00 and stout"), "status 418: .*short and stout"),
    "no content": (Reply(204), "status 204"),
    "not modified": (Reply(304), "status 304"),
    "nothing": (Reply(), "not JSON"),
    "login": (Reply(body=LOGIN, headers={"Content-Type": "text/html"}), "gateway that wants a l"),
    "cut in half": (cut, "not JSON"),
    "length too small": (lambda _, ask: replace(ask(), length=7), "not JSON"),
    "length too large": (lambda _, ask: replace(ask(), length=10**6), "is the service up"),
    "not UTF-8": (Reply(body=b'[{"flow_id": "\xff\xfe"}]'), "not JSON"),
    "too deep": (Reply(body=b"[" * 100_000 + b"]" * 100_000), "not JSON"),
    "deep objects": (Reply(body=b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "not JSON"),
    "not a number": (Reply(body=b'[{"flow_id": "F", "run_number": NaN}]'), "not JSON"),
    "infinite": (Reply(body=b'{"flow_id": "F", "ts_epoch": -Infinity}'), "not JSON"),
    "too many digits": (
        Reply(body=b"[%s]" % (b"9" * 10_000)),
        "not JSON|list of objects|an object",
    ),
    "text": (json_of("pong"), "expected (a list|an object)"),
    "null": (json_of(None), "expected (a list|an object)"),
    "list of numbers": (json_of([1, 2]), "expected (a list|an object)"),
    "list of nothing": (json_of([None]), "expected (a list|an object)"),
    "large header": (Reply(headers={"X-Much": "x" * 70_000}), "is the service up"),
    "many headers": (Reply(headers={f"X-{n}": "x" for n in range(200)}), "is the service up"),
    "redirect loop": (lambda asked, _: at(asked.path), "more than 5 redirects"),
    "elsewhere": (
        at("https://login.example.com/?next=x"),
        "redirects to https://login.example.com",
    ),
    "elsewhere by name": (at("//login.example.com/"), "redirects to http://login.example.com"),
    "no redirect": (Reply(302), "status 302"),
    "no URL": (at("http://[::1"), "invalid URL"),
    "no URL either": (at("http://a:b:c/"), "invalid URL|redirects to"),
    "to no page": (at("mailto:ada@example.com"), "redirects to"),
    "into a file": (at("file:///etc/passwd"), "redirects to file"),
}
#: One query of each kind of request.
WAYS = {
    "an object": lambda c: c.flow("ForeachFlow"),
    "a listing": lambda c: [run.id for run in c.flow("ForeachFlow")],
    "tasks": QUESTIONS["tasks"],
    "latest successful": QUESTIONS["latest successful"],
    "failed": QUESTIONS["failed"],
    "status": lambda c: str(c.run("FailFlow/7").status),
    "parents": QUESTIONS["parents"],
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfc_service._retries._FIRST", 0.01)


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_is_an_error(kind: str, gateway: Gateway) -> None:
    rule, expected = WRONG[kind]
    gateway.always = rule
    for ask in (WAYS["an object"], lambda c: list(c.flows())):
        with in_time(), pytest.raises(Unanswered) as caught:
            ask(client(gateway.url))
        clear(caught.value)
        assert f"GET {gateway.url}/flows" in str(caught.value)
        assert re.search(expected, str(caught.value)), str(caught.value)
    assert len(gateway.asked) <= 2 * 6


@pytest.mark.parametrize("kind", ["crash", "another's 404", "login", "cut in half", "no service"])
def test_a_wrong_answer_later_on_is_an_error(kind: str, gateway: Gateway, recorded: str) -> None:
    """An error however late in the query it comes."""
    for name, ask in WAYS.items():
        expected = ask(client(recorded))
        told = 0
        for good in (1, 2, 4, 6):
            before = len(gateway.asked)
            gateway.script.clear()
            gateway.script.extend([lambda _, ask: ask()] * good)
            gateway.always = WRONG[kind][0]
            with in_time():
                found = answer(lambda ask=ask: ask(client(gateway.url)))
            if len(gateway.asked) - before > good:
                told += 1
                assert found in (Unanswered, NoRoute), (name, good, found)
            elif name != "an object":
                assert found == expected, (name, good)
        assert told or name == "an object"


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", ""])
def test_the_type_of_the_answer_does_not_matter(kind: str, gateway: Gateway, recorded: str) -> None:
    gateway.always = lambda _, ask: replace(
        found := ask(), headers={**found.headers, "Content-Type": kind}
    )
    assert QUESTIONS["runs"](client(gateway.url)) == QUESTIONS["runs"](client(recorded))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_that_stay_are_followed(status: int, gateway: Gateway, recorded: str) -> None:
    def moved(asked: Asked, ask: Ask) -> Reply:
        if asked.path.startswith("/new"):
            return ask(asked.path.removeprefix("/new"))
        return at(f"/new{asked.path}", status)

    gateway.always = moved
    assert QUESTIONS["runs"](client(gateway.url)) == QUESTIONS["runs"](client(recorded))


def test_secrets_go_nowhere_else(gateway: Gateway) -> None:
    gateway.always = at("http://localhost:9/flows")
    with pytest.raises(Unanswered) as caught:
        list(client(gateway.url, METAFLOW_SERVICE_AUTH_KEY="k3y").flows())
    assert gateway.asked[0].headers["x-api-key"] == "k3y"
    assert "k3y" not in repr(caught.value) + str(caught.value)


# Pages


def runs_and_error(gateway: Gateway) -> tuple[list[str], Unanswered | None]:
    found = []
    try:
        with in_time():
            for run in client(gateway.url, METAFLOW_SERVICE_PAGE_SIZE=2).flow("ForeachFlow"):
                found.append(run.id)
    except Unanswered as error:
        clear(error)
        return found, error
    return found, None


def of_runs(change: Callable[[Asked, Ask, int], Reply]) -> Rule:
    """Return a rule for pages of runs, numbered from 0; other requests go to the server.

    The request that checks for the parent is not a page.
    """
    numbers = itertools.count()

    def rule(asked: Asked, ask: Ask) -> Reply:
        page = "/runs?" in asked.path and not asked.path.endswith("?_limit=1")
        return change(asked, ask, next(numbers)) if page else ask()

    return rule


@pytest.fixture
def whole(recorded: str) -> list[str]:
    found = [run.id for run in client(recorded).flow("ForeachFlow")]
    assert len(found) == len(set(found)) == 6
    return found


def with_cursor(reply: Reply, cursor: str, body: bytes | None = None) -> Reply:
    headers = {**reply.headers, "X-Next-Cursor": cursor}
    return replace(reply, headers=headers, body=reply.body if body is None else body)


ENDLESS: dict[str, Callable[[Asked, Ask, int], Reply]] = {
    "the same cursor": lambda _, ask, n: with_cursor(ask(), "again"),
    "the same page": lambda asked, ask, n: with_cursor(ask(asked.path.partition("&")[0]), f"c{n}"),
    "empty pages": lambda _, ask, n: with_cursor(ask(), f"c{n}", b"[]"),
    "empty pages later": lambda _, ask, n: ask() if n == 0 else with_cursor(ask(), f"c{n}", b"[]"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_pages_that_never_end_are_an_error(kind: str, gateway: Gateway, whole: list[str]) -> None:
    gateway.always = of_runs(
        lambda asked, ask, n: ENDLESS[kind](
            asked, lambda path=None: ask(path if path or n == 0 else asked.path.split("&")[0]), n
        )
    )
    found, error = runs_and_error(gateway)
    assert error is not None
    assert "the same page for ever" in str(error)
    assert found == whole[: len(found)]
    assert len(gateway.asked) <= (3 if kind == "the same cursor" else 5)


def test_rows_that_moved_to_the_next_page_are_given_once(
    gateway: Gateway, whole: list[str]
) -> None:
    before: list[Any] = []

    def moved(_: Asked, ask: Ask, number: int) -> Reply:
        found = ask()
        rows = json.loads(found.body)
        shifted, before[:] = [*before, *rows], rows[-1:]
        return replace(found, body=json.dumps(shifted).encode())

    gateway.always = of_runs(moved)
    assert runs_and_error(gateway) == (whole, None)


def test_pages_may_be_smaller_than_they_were_asked_for(gateway: Gateway, whole: list[str]) -> None:
    gateway.always = of_runs(
        lambda asked, ask, n: ask(re.sub(r"_limit=\d+", "_limit=1", asked.path))
    )
    assert runs_and_error(gateway) == (whole, None)
    assert len(gateway.asked) == 1 + len(whole)


def test_a_service_may_be_older_on_the_next_page(gateway: Gateway, whole: list[str]) -> None:
    """Behind one address, only some services may understand pages."""
    gateway.always = of_runs(
        lambda asked, ask, n: ask() if n == 0 else ask(asked.path.partition("?")[0])
    )
    assert runs_and_error(gateway) == (whole, None)


MIDST: dict[str, Rule] = {
    "object gone": Reply(404, b"{}"),
    "no such endpoint": Reply(404, b"404: Not Found"),
    "login": Reply(body=LOGIN),
    "bad cursor": Reply(400, b'"Invalid cursor"'),
    "crash": Reply(500, json.dumps(CRASH).encode()),
    "storm": Reply(503),
    "cut": cut,
}


@pytest.mark.parametrize("kind", MIDST)
def test_a_listing_never_ends_early(kind: str, gateway: Gateway, whole: list[str]) -> None:
    def after_two(asked: Asked, ask: Ask, number: int) -> Reply:
        rule = MIDST[kind]
        if number < 2:
            return ask()
        return rule if isinstance(rule, Reply) else rule(asked, ask)

    gateway.always = of_runs(after_two)
    found, error = runs_and_error(gateway)
    assert found == whole[:4]
    assert error is not None


# Rows


@pytest.mark.parametrize(
    "spoilt",
    [None, True, [], {}, 1.5, "", "..", "a/b", "a\0b"],
    ids=repr,
)
def test_an_object_without_a_name_is_left_out_with_a_warning(
    spoilt: object, gateway: Gateway, whole: list[str]
) -> None:
    def spoil(_: Asked, ask: Ask, number: int) -> Reply:
        found = ask()
        rows = json.loads(found.body)
        rows[1]["run_number"] = spoilt
        return replace(found, body=json.dumps(rows).encode())

    gateway.always = of_runs(spoil)
    with pytest.warns(MfcWarning, match="left out"):
        found = [
            run.id
            for run in client(gateway.url, METAFLOW_SERVICE_PAGE_SIZE=500).flow("ForeachFlow")
        ]
    assert found == [whole[0], *whole[2:]]


@pytest.mark.parametrize("field", ["field_name", "name", "task_id", "ts_epoch", "attempt_id"])
@pytest.mark.parametrize("spoilt", [None, [1], {"a": 1}, "x"], ids=repr)
def test_rows_with_wrong_fields_are_reported(field: str, spoilt: object, gateway: Gateway) -> None:
    """A wrong field in a row of metadata or artifacts is either reported or irrelevant."""

    def spoil(asked: Asked, ask: Ask) -> Reply:
        found = ask()
        rows = json.loads(found.body)
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            return found
        rows[0][field] = spoilt
        return replace(found, body=json.dumps(rows).encode())

    gateway.always = spoil
    asked = client(gateway.url, METAFLOW_SERVICE_PAGE_SIZE=500)
    questions = [
        QUESTIONS["metadata"],
        QUESTIONS["artifacts"],
        QUESTIONS["tasks"],
        lambda c: [task.metadata_dict.get("attempt") for task in c.step(LEAF)],
        lambda c: [task.id for task in c.step(LEAF).tasks()] if hasattr(c, "tasks") else None,
        lambda c: c.run(RUN).status,
    ]
    import warnings

    for question in questions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MfcWarning)
            answer(lambda question=question: question(asked))


def test_tasks_found_by_metadata_have_names(gateway: Gateway) -> None:
    gateway.always = lambda asked, ask: (
        json_of([None, 1]) if "filtered_tasks" in asked.path else ask()
    )
    found = answer(lambda: [[p.id for p in t.parent_tasks] for t in client(gateway.url).step(LEAF)])
    assert found is Unanswered
