"""Authentication: which credentials are sent, to which host, and how often they are fetched."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from requests.auth import AuthBase
from tests.servers.front import Asked, Front, Reply, front, passed

from mfc.errors import BadSetting, MetaflowTaggingError, PluginConflict, UnreadableRecord
from mfc.query import Query
from mfc.tags import TagEdit
from mfc_service.auth import BearerToken

from .forks import forked, needs_fork, with_threads
from .reading import path, provider

FLOW = path("LinearFlow")
RUN = path("LinearFlow/1")


@pytest.fixture
def watched(dataset: str) -> Iterator[Front]:
    with front(dataset) as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, without a .netrc unless a test writes one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


def header(server: Front, name: str) -> str | None:
    return {k.lower(): v for k, v in server.asked[-1].headers.items()}.get(name)


class TestSettings:
    def test_the_key_goes_out_as_metaflow_sends_it(self, watched: Front) -> None:
        provider(watched.url, {"METAFLOW_SERVICE_AUTH_KEY": "s3cret"}).get(FLOW)
        assert header(watched, "x-api-key") == "s3cret"

    def test_headers_go_out_with_every_request(self, watched: Front) -> None:
        given = {"METAFLOW_SERVICE_HEADERS": '{"X-Team": "blue", "Authorization": "t0ken", "N": 7}'}
        source = provider(watched.url, given)
        source.get(FLOW)
        list(source.children(FLOW, Query()))
        for _ in watched.asked:
            assert header(watched, "x-team") == "blue"
            assert header(watched, "authorization") == "t0ken"
            assert header(watched, "n") == "7"

    def test_headers_of_other_tools_are_not_sent(self, watched: Front) -> None:
        provider(watched.url).get(FLOW)
        assert {name.lower() for name in watched.asked[-1].headers} == {
            "host", "user-agent", "accept-encoding", "accept", "connection",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("METAFLOW_SERVICE_HEADERS", '{"Authorization": "s3cret"'),
            ("METAFLOW_SERVICE_HEADERS", '["s3cret"]'),
            ("METAFLOW_SERVICE_HEADERS", "s3cret"),
            ("METAFLOW_SERVICE_HEADERS", '{"A": "s3cret\\r\\nX-Evil: 1"}'),
            ("METAFLOW_SERVICE_HEADERS", '{"A s3cret": "1"}'),
            ("METAFLOW_SERVICE_HEADERS", '{"A\\r\\ns3cret": "1"}'),
            ("METAFLOW_SERVICE_HEADERS", '{"": "s3cret"}'),
            ("METAFLOW_SERVICE_HEADERS", '{"A": "s3cret \\u2713"}'),
            ("METAFLOW_SERVICE_HEADERS", '{"A": ["s3cret"]}'),
            ("METAFLOW_SERVICE_HEADERS", '{"A": null, "B": "s3cret"}'),
            ("METAFLOW_SERVICE_AUTH_KEY", "s3cret\n"),
            ("METAFLOW_SERVICE_AUTH_KEY", "s3cret✓"),
        ],
    )
    def test_an_invalid_header_value_is_reported(self, setting: str, value: str) -> None:
        with pytest.raises(BadSetting, match=rf"{setting} is '…' in .*; expected ") as caught:
            provider("http://h", {setting: value})
        assert "s3cret" not in repr(caught.getrepr(showlocals=False, style="short"))

    def test_spaces_around_a_value_do_no_harm(self, watched: Front) -> None:
        provider(watched.url, {"METAFLOW_SERVICE_HEADERS": {"A": "  t0ken\t"}}).get(FLOW)
        assert header(watched, "a") == "t0ken"


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class TestPasswords:
    def test_credentials_of_the_address(self, watched: Front) -> None:
        url = watched.url.replace("://", "://ada:p%40ss@")
        source = provider(url)
        source.get(FLOW)
        assert header(watched, "authorization") == basic("ada:p@ss")
        assert source.address == f"service@{watched.url}"

    def test_credentials_of_the_setting_for_the_same_url(self, watched: Front) -> None:
        settings = {"METAFLOW_SERVICE_URL": watched.url.replace("://", "://ada:secret@")}
        for address in ("service", watched.url):
            provider(address, settings).get(FLOW)
            assert header(watched, "authorization") == basic("ada:secret")
        with front(lambda _: Reply({}, 404)) as other:
            provider(other.url, settings).get(FLOW)
            assert header(other, "authorization") is None

    def test_credentials_of_netrc(self, watched: Front, home: Path) -> None:
        (home / ".netrc").write_text("machine 127.0.0.1 login ada password secret\n")
        (home / ".netrc").chmod(0o600)
        provider(watched.url).get(FLOW)
        assert header(watched, "authorization") == basic("ada:secret")

    @pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
    def test_a_header_that_was_set_wins_over_netrc(
        self, watched: Front, home: Path, name: str
    ) -> None:
        (home / ".netrc").write_text("machine 127.0.0.1 login ada password secret\n")
        (home / ".netrc").chmod(0o600)
        source = provider(watched.url, {"METAFLOW_SERVICE_HEADERS": {name: "Bearer t0ken"}})
        source.get(FLOW)
        assert header(watched, "authorization") == "Bearer t0ken"


class Claims(AuthBase):
    def __call__(self, request: Any) -> Any:
        request.headers["X-Signed"] = f"{request.method} {request.path_url}"
        return request


class TestPlugins:
    def test_a_plugin_may_sign_each_request(self, watched: Front) -> None:
        list(provider(watched.url, auth=[Claims()]).children(FLOW, Query()))
        assert header(watched, "x-signed") == "GET /flows/LinearFlow/runs?_limit=500"

    def test_two_plugins_are_a_conflict(self) -> None:
        with pytest.raises(
            PluginConflict, match="Several plugins serve authentication at http://h:"
        ):
            provider("http://h", auth=[Claims(), BearerToken(str)])

    @pytest.mark.parametrize(
        "failure", [KeyError("vault"), RuntimeError("vault"), TypeError("vault")]
    )
    def test_the_error_of_a_plugin_is_shown(self, watched: Front, failure: Exception) -> None:
        def fetch() -> str:
            raise failure

        source = provider(watched.url, auth=[BearerToken(fetch)])
        with pytest.raises(UnreadableRecord, match="credentials .* could not be fetched .*vault"):
            source.get(FLOW)
        with pytest.raises(MetaflowTaggingError, match="could not be fetched .*vault"):
            source.retag(RUN, TagEdit.of(None, ["x"]))


class Gate:
    """Accepts requests with the newest token; counts the tokens that were fetched."""

    def __init__(self, url: str, *, opens: bool = True) -> None:
        self.url, self.opens, self.fetched, self.valid = url, opens, 0, 1
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        if self.opens and asked.headers.get("Authorization") == f"Bearer t0ken-{self.valid}":
            return passed(asked, self.url)
        return Reply({"message": "token expired"}, 401)

    def fetch(self) -> str:
        with self.lock:
            self.fetched += 1
            return f"t0ken-{self.fetched}"


class TestTokens:
    def test_a_token_is_fetched_when_needed_and_kept(self, dataset: str) -> None:
        gate = Gate(dataset)
        with front(gate) as server:
            source = provider(server.url, auth=[BearerToken(gate.fetch)])
            assert gate.fetched == 0
            for _ in range(3):
                assert source.get(FLOW) is not None
            assert (gate.fetched, len(server.asked)) == (1, 3)

    def test_an_expired_token_is_renewed_once_for_all_threads(self, dataset: str) -> None:
        gate = Gate(dataset)
        with front(gate) as server:
            source = provider(server.url, auth=[BearerToken(gate.fetch)])
            assert source.get(FLOW) is not None
            gate.valid = 2
            together = threading.Barrier(8)

            def ask(_: int) -> object:
                together.wait(30)
                return source.get(FLOW)

            with ThreadPoolExecutor(8) as threads:
                assert all(threads.map(ask, range(8)))
            assert gate.fetched == 2

    def test_a_rejected_token_ends_with_an_error(self, dataset: str) -> None:
        gate = Gate(dataset, opens=False)
        with front(gate) as server:
            source = provider(server.url, auth=[BearerToken(gate.fetch)])
            with pytest.raises(UnreadableRecord, match="status 401: the caller is not known"):
                source.get(FLOW)
            assert (gate.fetched, len(server.asked)) == (2, 2)

    def test_a_change_of_tags_is_sent_again_with_the_new_one(self, dataset: str) -> None:
        gate = Gate(dataset)
        gate.valid = 2
        with front(gate) as server:
            source = provider(server.url, auth=[BearerToken(gate.fetch)])
            assert source.retag(RUN, TagEdit.of(["not there"], None)) is not None
            assert [asked.method for asked in server.asked] == ["PATCH", "PATCH"]

    def test_a_key_that_is_wrong_is_not_tried_again(self) -> None:
        with front(lambda _: Reply("x-api-key is wrong", 401)) as server:
            source = provider(server.url, {"METAFLOW_SERVICE_AUTH_KEY": "s3cret"})
            with pytest.raises(UnreadableRecord, match="401.*METAFLOW_SERVICE_AUTH_KEY"):
                source.get(FLOW)
            assert len(server.asked) == 1

    @needs_fork
    @with_threads
    def test_a_child_forked_during_a_fetch_fetches_its_own_token(self, dataset: str) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def fetch() -> str:
            inside.set()
            go_on.wait(30 if os.getpid() == parent else 0)
            return "t0ken-1"

        parent, token = os.getpid(), BearerToken(fetch)
        with front(Gate(dataset)) as server:
            source = provider(server.url, auth=[token])
            with ThreadPoolExecutor(1) as threads:
                pending = threads.submit(source.get, FLOW)
                assert inside.wait(30)
                assert forked(lambda: source.get(FLOW) is not None) == 0
                go_on.set()
                assert pending.result(30) is not None


class TestRedirects:
    def test_redirects_within_the_service_are_followed_with_the_key(self, dataset: str) -> None:
        def answer(asked: Asked) -> Reply:
            if asked.path.startswith("/moved"):
                return passed(asked, dataset, target=asked.target.removeprefix("/moved"))
            return Reply(b"", 307, {"Location": f"/moved{asked.target}"})

        with front(answer) as server:
            source = provider(server.url, {"METAFLOW_SERVICE_AUTH_KEY": "s3cret"})
            assert source.get(FLOW) is not None
            assert header(server, "x-api-key") == "s3cret"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_to_other_hosts_are_not_followed(self, watched: Front, status: int) -> None:
        away = Reply(b"", status, {"Location": f"{watched.url}/flows/LinearFlow"})
        with front(lambda _: away) as gateway:
            settings = {"METAFLOW_SERVICE_AUTH_KEY": "s3cret"}
            source = provider(gateway.url.replace("://", "://ada:secret@"), settings)
            with pytest.raises(UnreadableRecord, match="redirects to http://127.0.0.1:.*log in"):
                source.get(FLOW)
            with pytest.raises(MetaflowTaggingError):
                source.retag(RUN, TagEdit.of(None, ["x"]))
        assert not watched.asked

    @pytest.mark.parametrize("target", ["http://h:port", "mailto:ada@h", "http://h:99999/x"])
    def test_redirects_to_an_invalid_url_are_reported(self, target: str) -> None:
        away = Reply(b"", 302, {"Location": target})
        with (
            front(lambda _: away) as gateway,
            pytest.raises(UnreadableRecord, match="it redirects to"),
        ):
            provider(gateway.url).get(FLOW)

    def test_circular_redirects_end_with_an_error(self) -> None:
        with front(lambda asked: Reply(b"", 302, {"Location": asked.target})) as server:
            with pytest.raises(UnreadableRecord, match="more than 5 redirects"):
                provider(server.url).get(FLOW)
            assert len(server.asked) == 6
