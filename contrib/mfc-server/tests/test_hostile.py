"""Arbitrary requests: each is refused with a message, or its rows can be read again."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc_server._app import table
from mfc_server.testing import Running

NUMBERS = itertools.count()
WRITES = [(verb, path) for path, verbs in table().items() for verb in verbs if verb != "GET"]
READS = [path for path, verbs in table().items() if "GET" in verbs]
MANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def world(url: str, session: requests.Session) -> dict[str, str]:
    """Make a flow with all kinds of objects; return the names for the routes."""
    flow = f"Flow{next(NUMBERS)}"
    made = {"user_name": "ada", "tags": ["a"], "system_tags": ["user:ada"]}
    session.post(f"{url}/flows/{flow}", json={}, timeout=30).raise_for_status()
    run = session.post(f"{url}/flows/{flow}/run", json=made, timeout=30).json()["run_number"]
    step = f"{url}/flows/{flow}/runs/{run}/steps/start"
    session.post(f"{step}/step", json=made, timeout=30).raise_for_status()
    task = session.post(f"{step}/task", json=made, timeout=30).json()["task_id"]
    return {
        "flow": flow,
        "run": str(run),
        "step": "start",
        "task": str(task),
        "name": "name",
        "attempt": "0",
    }


def at(path: str, names: dict[str, str]) -> str:
    for part, name in names.items():
        path = path.replace(f"{{{part}}}", quote(name, safe=""))
    return path


def strict(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair
    return found


def check_listings(url: str, session: requests.Session, names: dict[str, str]) -> None:
    """Check that every listing answers 200 and JSON, whole and in pages."""
    for path in READS:
        for query in ("", "?_limit=500"):
            answer = session.get(url + at(path, names) + query, timeout=60)
            assert answer.status_code in (200, 404), (path, query, answer.text)
            strict(answer.text)
            if path.rpartition("/")[2] in (
                "flows",
                "runs",
                "steps",
                "tasks",
                "metadata",
                "artifacts",
            ):
                assert answer.status_code == 200
                assert isinstance(answer.json(), list)


#: JSON as text, because Python's own encoder writes only some of the valid JSON.
ATOMS = st.sampled_from(
    [
        "null", "true", "false", "0", "-1", "1.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-Infinity",
        "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 30, "1" * 5000, "0.1e-400", "-0",
        '""', '"a"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"a\\u0000b"', '"\U0001f600"', '"\\uffff"',
        '"\u0065\u0301"', '"\u00e9"', '"null"', '"NaN"', '"%s"', '"\'; DROP TABLE flows_v3; --"', '"\u202e\u0007"',
        json.dumps("x" * 255), json.dumps("x" * 256), json.dumps("\u00e9" * 255), json.dumps("\U0001f600" * 255), json.dumps("x" * 100_000),
        "[" * 70 + "]" * 70, "[" * 2_000 + "]" * 2_000, "[]", "{}", '{"a": NaN}', '["a", 1]', '["a", null]', '["a", ["b"]]', '["\\ud800"]',
        '["\\u0000"]', "[NaN]", "[1e999]", '["a", "a"]', '[""]', '"\ud800"', "\ufeff1", "01", "'a'", "", '"\n"', "1_0", "tRue", '{"a": 1, "a": 2}',
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "tags", "system_tags", "user_name", "run_number", "task_id", "run_id", "task_name", "ts_epoch", "flow_id", "step_name", "last_heartbeat_ts",
        "field_name", "value", "type", "name", "location", "ds_type", "sha", "content_type", "attempt_id", "tags_to_add", "tags_to_remove", "id", "\\ud800",
    ]
)  # fmt: skip
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: f"[{','.join(found)}]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda found: "{" + ",".join(f'"{key}": {value}' for key, value in found) + "}"
        ),
    ),
    max_leaves=6,
)
OBJECTS = st.lists(st.tuples(KEYS, VALUES), max_size=5).map(
    lambda found: "{" + ",".join(f'"{key}": {value}' for key, value in found) + "}"
)
ROWS = st.lists(OBJECTS, max_size=3).map(lambda found: f"[{','.join(found)}]")
BODIES = st.one_of(OBJECTS, ROWS, VALUES)
SEGMENTS = st.sampled_from(
    [
        "F", "é", "e\u0301", "a/b", "..", ".", "%", "a b", "\U0001f600", "x" * 255, "x" * 256, "\u00e9" * 255, "\U0001f600" * 255, "x" * 5_000, "0",
        "-1", "07", "1.0", "1e5", "9223372036854775807", "9223372036854775808", "9" * 30, "9" * 5_000, "²", "\uff11", "\0", "a\0", "null", "'", '"', "\\",
        "\n", "\u202e", "?", "#", ";", "+", "NaN", "ping", "healthcheck",
    ]
)  # fmt: skip
#: Raw bytes, which text cannot express.
RAW_SEGMENTS = ["%FF", "%ED%A0%80", "%C3", "%C0%AF", "%zz", "%", "%1", "%F5%80%80%80"]


def send(session: requests.Session, method: str, url: str, body: str) -> requests.Response:
    data = body.encode("utf-8", "surrogatepass")
    headers = {"Content-Type": "application/json"}
    return session.request(method, url, data=data, headers=headers, timeout=60)


def check_answer(answer: requests.Response, what: object) -> None:
    if answer.text.startswith(("404: ", "405: ")):
        return  # libraries resolve dots in a path
    assert answer.status_code in (200, 400, 404, 408, 409, 413, 422, 431), (what, answer.text[:500])
    strict(answer.text)
    assert "Traceback" not in answer.text
    assert "SELECT" not in answer.text
    assert "INSERT" not in answer.text


@settings(max_examples=40, **MANY)
@given(data=st.data())
def test_listings_are_answered_after_any_write(
    shared: Running, session: requests.Session, data: st.DataObject
) -> None:
    names = world(shared.url, session)
    for method, path in WRITES:
        bodies = ROWS | BODIES if path.endswith(("/metadata", "/artifact")) else OBJECTS | BODIES
        body = data.draw(bodies)
        # Existing and missing parents are equally likely.
        below = {**names, **({"flow": data.draw(SEGMENTS)} if path == "/flows/{flow}" else {})}
        if path.endswith("/step"):
            below["step"] = data.draw(SEGMENTS)
        check_answer(
            send(session, method, shared.url + at(path, below), body), (method, path, body)
        )
    check_listings(shared.url, session, names)


@settings(max_examples=40, **MANY)
@given(atom=ATOMS, key=KEYS)
def test_every_value_in_every_position(
    shared: Running, session: requests.Session, atom: str, key: str
) -> None:
    names = world(shared.url, session)
    good = {
        "metadata": {"field_name": '"f"', "value": '"v"', "type": '"t"'},
        "artifact": {"name": '"n"', "location": '"l"', "ds_type": '"s3"', "attempt_id": "0"},
    }
    for method, path in WRITES:
        row = {**good.get(path.rpartition("/")[2], {}), key: atom}
        body = "{" + ",".join(f'"{name}": {value}' for name, value in row.items()) + "}"
        body = f"[{body}]" if path.endswith(("/metadata", "/artifact")) else body
        for sent in (body, body.replace(atom, f"[{atom}]") if atom else "[", atom):
            check_answer(
                send(session, method, shared.url + at(path, names), sent), (method, path, sent)
            )
    check_listings(shared.url, session, names)


@settings(max_examples=40, **MANY)
@given(data=st.data())
def test_names_of_any_text_are_kept_as_they_are(
    shared: Running, session: requests.Session, data: st.DataObject
) -> None:
    names = world(shared.url, session)
    for method, path in [*WRITES, *(("GET", path) for path in READS)]:
        below = {part: data.draw(st.just(name) | SEGMENTS) for part, name in names.items()}
        body = data.draw(OBJECTS) if method != "GET" else ""
        url = shared.url + at(path, below)
        check_answer(send(session, method, url, body), (method, url, body))
    check_listings(shared.url, session, names)


@pytest.mark.parametrize(
    "name", ["é", "e\u0301", "a/b", "a b", "\U0001f600", "x" * 255, "²", "'", "\u202e", "?", "%41"]
)
def test_a_name_is_found_only_by_itself(
    shared: Running, session: requests.Session, name: str
) -> None:
    url = f"{shared.url}/flows/{quote(name, safe='')}"
    session.post(url, json={}, timeout=30)
    assert session.get(url, timeout=30).json()["flow_id"] == name
    assert name in [
        flow["flow_id"] for flow in session.get(f"{shared.url}/flows", timeout=30).json()
    ]


@pytest.mark.parametrize("segment", RAW_SEGMENTS)
def test_an_undecodable_path_is_refused(shared: Running, segment: str) -> None:
    def count() -> int:
        return len(requests.get(f"{shared.url}/flows", timeout=30).json())

    before = count()
    address = urlsplit(shared.url)
    for method, path in [*WRITES, *(("GET", path) for path in READS if "{" in path)]:
        target = path
        for part in ("flow", "run", "step", "task", "name", "attempt"):
            target = target.replace(f"{{{part}}}", segment)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.putrequest(method, target)
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}")
        answer = connection.getresponse()
        assert answer.status == 400, (method, target)
        assert isinstance(json.loads(answer.read()), str)
        connection.close()
    assert count() == before


QUERIES = st.sampled_from(
    ["_limit", "_cursor", "_tags", "_tags:any", "_tags:likeany", "_tags:x", "user", "user_name", "user_name:li", "user_name:co", "user_name:is", "run_number",
     "run_number:lt", "ts_epoch:ge", "ts_epoch:co", "last_heartbeat_ts", "tags", "tags:ne", "system_tags", "status", "status:ne", "task_id", "task_name",
     "pattern", "metadata_field_name", "flow_id:zz", "x", ""]
)  # fmt: skip
ARGUMENTS = (
    SEGMENTS
    | ATOMS
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        [
            "a,b",
            ",",
            "null",
            "running,failed",
            "1,2",
            "%",
            "_",
            "\\",
            "*",
            "(",
            "[",
            "a{1000}",
            "(?=a)",
            "[NaN]",
            '"\\ud800"',
            "eyJ9",
            "0,null",
            "-0",
            "+1",
            " 1",
            "1_0",
        ]
    )
)


@settings(max_examples=200, **MANY)
@given(path=st.sampled_from(READS), query=st.lists(st.tuples(QUERIES, ARGUMENTS), max_size=3))
def test_any_query_is_answered(
    shared: Running, session: requests.Session, path: str, query: list[tuple[str, str]]
) -> None:
    names = getattr(test_any_query_is_answered, shared.url, None) or world(shared.url, session)
    setattr(test_any_query_is_answered, shared.url, names)
    told = "&".join(f"{quote(k)}={quote(v.encode('utf-8', 'surrogatepass'))}" for k, v in query)
    answer = session.get(f"{shared.url}{at(path, names)}?{told}", timeout=60)
    check_answer(answer, (path, query))


@pytest.mark.parametrize(
    "query",
    ["user_name=%FF", "%FF=1", "pattern=%ED%A0%80", "_cursor=%C3", "user_name=%00", "pattern=a%00"],
)
def test_an_undecodable_query_is_refused(shared: Running, query: str) -> None:
    for path in ("/flows", "/flows/F/runs", "/flows/F/runs/1/steps/s/filtered_tasks"):
        answer = requests.get(f"{shared.url}{path}?{query}", timeout=30)
        assert answer.status_code == 400
        assert isinstance(answer.json(), str)
