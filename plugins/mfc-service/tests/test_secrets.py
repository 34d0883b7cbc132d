"""Secrets are never shown: not in errors and their causes, logs, addresses or pickles."""

from __future__ import annotations

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.front import Asked, Front, Reply, front, passed
from tests.servers.ports import free_port

from mfc import Client
from mfc.errors import MetaflowException
from mfc.hookspecs import hookimpl
from mfc.query import Query
from mfc.tags import TagEdit
from mfc_service.auth import BearerToken

from .reading import path, provider

#: Part of every secret; `quoted` in the form of an encoded header.
MARK, QUOTED = "s3cret", ("czNjcmV0", "M2NyZX")
SETTINGS = {
    "METAFLOW_SERVICE_AUTH_KEY": "key-s3cret",
    "METAFLOW_SERVICE_HEADERS": '{"X-Team-s3cret": "blue-s3cret", "Cookie": "c=s3cret"}',
}
FLOW, RUN = path("LinearFlow"), path("LinearFlow/1")


def credited(url: str) -> str:
    return url.replace("://", "://ada:pass-s3cret@")


def clean(text: str) -> bool:
    return MARK not in text and not any(part in text for part in QUOTED)


@pytest.fixture(autouse=True)
def quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Check that no secret reaches the logs of a library or a warning during a test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        yield
    assert clean(caplog.text)
    assert all(clean(str(warning.message)) for warning in warned)


def questions(source: Any) -> Iterator[Callable[[], object]]:
    yield lambda: source.get(FLOW)
    yield lambda: list(source.children(FLOW, Query(tags=["a"])))
    yield lambda: list(source.metadata(RUN))
    yield lambda: list(source.artifacts(RUN))
    yield lambda: source.retag(RUN, TagEdit.of(["a"], ["b"]))
    yield lambda: source.retag(RUN, lambda user, system: user | {"b"})


def failures(source: Any) -> Iterator[BaseException]:
    for ask in questions(source):
        with pytest.raises(MetaflowException, match="127.0.0.1") as caught:
            ask()
        yield caught.value


def shown(error: BaseException) -> str:
    """Return all text of an error that a user may see: its chain, reprs, fields and pickle."""
    texts, chain = ["".join(traceback.format_exception(error))], [error]
    while chain:
        each = chain.pop()
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        chain += [more for more in (each.__cause__, each.__context__) if more is not None]
    return "\n".join([*texts, repr(pickle.dumps(str(error)))])


def rejecting(status: int, body: bytes = b"no", **headers: str) -> Callable[[Asked], Reply]:
    return lambda _: Reply(body, status, headers)


@pytest.mark.parametrize(
    "answer",
    [
        rejecting(400),
        rejecting(401),
        rejecting(403),
        rejecting(404),
        rejecting(500, b'"{\\"err_msg\\": {\\"pgerror\\": \\"SELECT s3cret\\"}}"'),
        rejecting(200, b"<html>"),
        rejecting(302, Location="http://127.0.0.1:1/elsewhere"),
        rejecting(302, Location="http://ada:pass-s3cret@127.0.0.1:1/elsewhere"),
        rejecting(302, Location="https:///"),
    ],
)
def test_in_errors_about_answers(answer: Callable[[Asked], Reply]) -> None:
    with front(answer) as server:
        for source in (
            provider(credited(server.url), SETTINGS),
            provider(server.url, auth=[BearerToken(lambda: "t0ken-s3cret")]),
        ):
            for error in failures(source):
                assert clean(shown(error))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_in_errors_about_connections(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}"
    source = provider(credited(url), {**SETTINGS, "MFC_SERVICE_TIMEOUT": 0.05})
    for error in failures(source):
        assert clean(shown(error))


def test_in_errors_about_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    for proxy in (
        f"http://ada:pass-s3cret@127.0.0.1:{free_port()}",
        "ftp://ada:pass-s3cret@h",
        "http://ada:pass-s3cret@:x",
    ):
        monkeypatch.setenv("http_proxy", proxy)
        source = provider("http://127.0.0.1:1", {"MFC_SERVICE_TIMEOUT": 0.05})
        for error in failures(source):
            assert clean(shown(error))


@pytest.mark.parametrize(
    "address",
    [
        "service@ada:s3cret@host",
        "service@http://ada:s3cret@",
        "service@http://ada:s3cret@host:port",
        "service@http://ada:s3/cret-s3cret@host:port",
        "service@http://ada:s3?cret-s3cret@host:port",
        "service@http://ada:x#s3cret@host",
        "service@ftp://ada:s3cret@host",
        "service@ada:x://s3cret@host",
        "service@http://host/?token=s3cret",
        "service@http://host/?token=a@s3cret",
        "service@http://host/#s3cret",
        "http://ada:s3cret@host/?x",
        "HTTP://ada:s3cret@host/?x",
        "https://ada:s3cret@[::1",
    ],
)
def test_in_errors_about_addresses(address: str) -> None:
    for make in (lambda: provider(address), lambda: Client(address)):
        with pytest.raises(ValueError, match=r"not a URL|not an HTTP URL|query|expected") as caught:
            make()
        assert "s3cret" not in shown(caught.value)
    with pytest.raises(ValueError, match=r"not a URL|not an HTTP URL|query|expected") as caught:
        provider("service", {"METAFLOW_SERVICE_URL": address.removeprefix("service@")})
    assert "s3cret" not in shown(caught.value)


class Plugin:
    """Another plugin, with a token."""

    @hookimpl(optionalhook=True)
    def mfc_service_auth(self, url: str) -> BearerToken:
        return BearerToken(lambda: "t0ken-s3cret")


@pytest.fixture
def service(dataset: str) -> Iterator[Front]:
    with front(lambda asked: passed(asked, dataset)) as server:
        yield server


class TestClients:
    @pytest.fixture
    def client(self, service: Front) -> Client:
        return Client(f"service@{credited(service.url)}", namespace=None, config=SETTINGS)

    def test_reprs_and_addresses_show_no_secret(self, client: Client, service: Front) -> None:
        run = client.flow("LinearFlow").latest_run
        assert service.asked[-1].headers["x-api-key"] == "key-s3cret"
        shown = [repr(client), str(client), repr(run), repr(client.stats)]
        inner = client.provider._provider._inner
        shown += [
            repr(inner),
            inner.address,
            repr(inner._connection),
            repr(inner._connection.settings),
        ]
        shown += [repr(inner._connection._pool), repr(inner._connection.settings.base)]
        assert all(map(clean, shown))

    def test_pickles_hold_no_secret(self, client: Client) -> None:
        flow = client.flow("LinearFlow")
        for thing in (flow, flow.latest_run, flow.latest_run["start"].task["x"]):
            pickled = pickle.dumps(thing)
            assert MARK.encode() not in pickled
            with Client(namespace=None, config=SETTINGS):
                assert repr(pickle.loads(pickled)) == repr(thing)

    def test_a_plugins_token_is_used_and_not_shown(self, service: Front) -> None:
        client = Client(f"service@{service.url}", namespace=None, plugins=[Plugin()])
        assert client.flow("LinearFlow").latest_run is not None
        assert service.asked[-1].headers["Authorization"] == "Bearer t0ken-s3cret"
        settings = client.provider._provider._inner._connection.settings
        auth = settings.auth
        assert clean(repr(client) + repr(auth) + repr(settings))
        with pytest.raises(TypeError, match="not written anywhere"):
            pickle.dumps(auth)
