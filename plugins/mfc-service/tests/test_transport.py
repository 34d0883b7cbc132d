"""Layers between the client and the service: TLS, proxies, gateways that change answers."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.certificates import Authority, authority
from tests.servers.front import Asked, Front, Reply, front, passed

from mfc.errors import BadSetting, Unanswered, UnreadableRecord
from mfc.query import Query

from .reading import names, path, provider

FLOW = path("FailFlow")
RUNS = ["31", "22", "21", "9", "8", "7"]
#: Variables of the environment that affect the connection.
VARIABLES = (
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = authority(tmp_path_factory.mktemp("certificates"))
    made.sign("server")
    made.sign("client", "DNS:client")
    return made


@pytest.fixture
def secure(signer: Authority, dataset: str) -> Iterator[Front]:
    with front(lambda asked: passed(asked, dataset), context=signer.context("server")) as server:
        yield server


class TestTLS:
    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_the_environment_names_what_to_trust(
        self, secure: Front, signer: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, signer.path("ca.pem"))
        assert names(provider(secure.url).children(FLOW, Query())) == RUNS

    def test_a_certificate_of_an_unknown_issuer_is_refused_at_once(self, secure: Front) -> None:
        with pytest.raises(UnreadableRecord, match="TLS failed.*REQUESTS_CA_BUNDLE"):
            provider(secure.url).get(FLOW)
        assert not secure.asked
        assert secure.connections <= 1

    def test_a_certificate_of_another_host_is_refused_at_once(
        self, signer: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        signer.sign("other", "DNS:elsewhere")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", signer.path("ca.pem"))
        with front(lambda _: Reply({}), context=signer.context("other")) as server:
            with pytest.raises(UnreadableRecord, match="TLS failed"):
                provider(server.url).get(FLOW)
            assert not server.asked

    @pytest.mark.parametrize("whole", [False, True])
    def test_a_service_may_want_to_see_a_certificate(
        self, signer: Authority, dataset: str, monkeypatch: pytest.MonkeyPatch, whole: bool
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", signer.path("ca.pem"))
        settings = {
            "MFC_SERVICE_CERT": signer.path("client.pem"),
            "MFC_SERVICE_KEY": signer.path("client.key"),
        }
        if whole:
            both = Path(signer.path("both.pem"))
            both.write_text("".join(Path(p).read_text() for p in settings.values()))
            settings = {"MFC_SERVICE_CERT": str(both)}
        context = signer.context("server", asks=True)
        with front(lambda asked: passed(asked, dataset), context=context) as server:
            assert names(provider(server.url, settings).children(FLOW, Query())) == RUNS
            with pytest.raises(UnreadableRecord, match="certificate"):
                provider(server.url).get(FLOW)

    def test_a_missing_certificate_file_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("MFC_SERVICE_CERT", "MFC_SERVICE_KEY"):
            with pytest.raises(BadSetting, match=f"{name} is '/nowhere.pem'.*a file"):
                provider("https://h", {name: "/nowhere.pem"})
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(
            BadSetting, match="REQUESTS_CA_BUNDLE is '/nowhere.pem' in the environment"
        ):
            provider("https://h")
        assert provider("http://h") is not None


def through(asked: Asked) -> Reply:
    """Answer as a proxy does: the first line has the whole URL."""
    scheme, _, rest = asked.target.partition("://")
    host, _, target = rest.partition("/")
    return passed(asked, f"{scheme}://{host}", target=f"/{target}")


class TestProxies:
    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    def test_a_proxy_of_the_environment_is_used(
        self, dataset: str, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        with front(through) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            assert names(provider(dataset).children(FLOW, Query(limit=6))) == RUNS
            assert proxy.targets() == [f"{dataset}/flows/FailFlow/runs?_limit=6"]

    def test_hosts_in_no_proxy_are_reached_directly(
        self, dataset: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with front(dataset) as service:
            assert names(provider(service.url).children(FLOW, Query())) == RUNS

    def test_tls_goes_through_a_tunnel(
        self, secure: Front, signer: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", signer.path("ca.pem"))
        settings = {"METAFLOW_SERVICE_AUTH_KEY": "s3cret"}
        with front(through) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://ada:pr0xy@"))
            assert names(provider(secure.url, settings).children(FLOW, Query())) == RUNS
            (asked,) = proxy.asked
        assert (asked.method, asked.target) == ("CONNECT", secure.url.partition("://")[2])
        # The proxy sees its own credentials, and none of the service's.
        assert asked.headers["Proxy-Authorization"].startswith("Basic ")
        assert "s3cret" not in repr(asked)
        assert secure.asked[0].headers["x-api-key"] == "s3cret"
        assert "Proxy-Authorization" not in secure.asked[0].headers


class TestChangedAnswers:
    @pytest.mark.parametrize(
        ("coding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
    )
    def test_a_compressed_answer_is_read(
        self, dataset: str, coding: str, packed: Callable[[bytes], bytes]
    ) -> None:
        def answer(asked: Asked) -> Reply:
            assert coding in asked.headers["Accept-Encoding"]
            reply = passed(asked, dataset)
            return Reply(packed(reply.content), 200, {**reply.headers, "Content-Encoding": coding})

        with front(answer) as server:
            assert names(provider(server.url).children(FLOW, Query())) == RUNS

    @pytest.mark.parametrize("label", ["text/plain", "text/html", "application/json", ""])
    def test_json_is_read_whatever_its_content_type(self, dataset: str, label: str) -> None:
        def answer(asked: Asked) -> Reply:
            reply = passed(asked, dataset)
            headers = {k: v for k, v in reply.headers.items() if k.lower() != "content-type"}
            return Reply(reply.body, 200, {**headers, "Content-Type": label})

        with front(answer) as server:
            assert names(provider(server.url).children(FLOW, Query())) == RUNS

    @pytest.mark.parametrize("status", [200, 404, 500])
    def test_a_page_of_html_is_an_error(self, status: int) -> None:
        page = b"<html><head><title>Log in</title></head><body>please</body></html>"
        with front(lambda _: Reply(page, status, {"Content-Type": "text/html"})) as server:
            source = provider(server.url)
            for ask in (lambda: source.get(FLOW), lambda: list(source.children(FLOW, Query()))):
                with pytest.raises(UnreadableRecord, match="Log in|no such endpoint"):
                    ask()

    @pytest.mark.parametrize("body", [b"Not Found", b'{"message": "no Route matched"}', b"", b"[]"])
    def test_a_404_of_a_proxy_is_an_error(self, body: bytes) -> None:
        reason = "is METAFLOW_SERVICE_URL a metadata service"
        with (
            front(lambda _: Reply(body, 404)) as server,
            pytest.raises(UnreadableRecord, match=reason),
        ):
            provider(server.url).get(FLOW)


#: JSON that fits no request.
ODD: list[Any] = [
    {}, {"a": 1}, "x", 7, None, True, [1], ["x"], [None], [[]], "[]", {"flows": []},
]  # fmt: skip


@pytest.mark.parametrize("body", ODD, ids=json.dumps)
class TestOddAnswers:
    def test_an_odd_answer_to_a_listing(self, body: Any) -> None:
        with front(lambda _: Reply(body, 200, {"X-Limit": "500"})) as server:
            source = provider(server.url)
            for ask in (
                lambda: source.children(FLOW, Query()),
                lambda: source.metadata(path("F/1/s/2")),
                lambda: source.artifacts(path("F/1/s")),
                lambda: source.artifacts(path("F/1/s/2"), attempt=0),
            ):
                with pytest.raises(UnreadableRecord, match="expected a list"):
                    list(ask())

    def test_an_odd_answer_for_one_object(self, body: Any) -> None:
        with front(lambda _: Reply(body)) as server:
            for where in ("F", "F/1", "F/1/s", "F/1/s/2", "F/1/s/2/x"):
                with pytest.raises(UnreadableRecord, match="expected (an object|F)|no object"):
                    provider(server.url).get(path(where))


#: Rows with one wrong field.
RUN = {
    "flow_id": "F",
    "run_number": 1,
    "user_name": "ada",
    "ts_epoch": 5,
    "tags": [],
    "system_tags": [],
}


@pytest.mark.parametrize("field", RUN)
@pytest.mark.parametrize("value", [None, [], {}, [[1]], -1, "\0", "", "x/y", True])
def test_rows_with_one_wrong_field_are_left_out_with_a_warning_or_understood(
    field: str, value: Any
) -> None:
    pages = [[{**RUN, field: value}, RUN], [{**RUN, "run_number": 2}]]

    def answer(asked: Asked) -> Reply:
        more = {} if "_cursor" in asked.params else {"X-Next-Cursor": "a+/="}
        return Reply(pages[not more], 200, {"X-Limit": "500", **more})

    with front(answer) as server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = names(provider(server.url).children(path("F"), Query()))
        assert all("left out" in str(warning.message) for warning in told)
        assert len(found) + len(told) in (2, 3)
        assert found[-1] == "2"
        assert server.targets()[-1].endswith("_cursor=a%2B%2F%3D")


def test_deeply_nested_json_is_an_error() -> None:
    reason = "the answer is not JSON"
    with (
        front(lambda _: Reply(b"[" * 200_000)) as server,
        pytest.raises(UnreadableRecord, match=reason),
    ):
        list(provider(server.url).children(FLOW, Query()))


@pytest.fixture(scope="module")
def packed() -> bytes:
    """100 MB of JSON in 100 kB."""
    squeeze = zlib.compressobj(wbits=31)
    parts = [squeeze.compress(b" " * 1_000_000) for _ in range(100)]
    return b"".join([*parts, squeeze.compress(b"[]"), squeeze.flush()])


class TestSizes:
    """Small answers that expand to large ones, from the service or a proxy."""

    def test_body_that_grows_a_thousandfold_is_refused(self, packed: bytes) -> None:
        with front(lambda _: Reply(packed, 200, {"Content-Encoding": "gzip"})) as server:
            source = provider(server.url)
            tracemalloc.start()
            try:
                with pytest.raises(Unanswered, match="more than 200 times its compressed size"):
                    list(source.children(FLOW, Query()))
                assert tracemalloc.get_traced_memory()[1] < 70_000_000
            finally:
                tracemalloc.stop()
            assert len(server.asked) == 1

    @pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,deflate", "gzip , gzip, gzip"])
    def test_body_that_is_compressed_repeatedly_is_refused(
        self, packed: bytes, encoding: str
    ) -> None:
        body = gzip.compress(packed)
        with front(lambda _: Reply(body, 200, {"Content-Encoding": encoding})) as server:
            with pytest.raises(Unanswered, match="compressed repeatedly"):
                list(provider(server.url).children(FLOW, Query()))
            assert len(server.asked) == 1

    def test_body_larger_than_the_setting_is_refused(self) -> None:
        with front(lambda _: Reply(["x" * 100] * 20_000)) as server:
            source = provider(server.url, {"MFC_SERVICE_BODY": 1})
            with pytest.raises(Unanswered, match="larger than 1 MB; MFC_SERVICE_BODY"):
                list(source.children(FLOW, Query()))
            source = provider(server.url, {"MFC_SERVICE_BODY": 3})
            with pytest.raises(Unanswered, match="expected a list of objects"):
                list(source.children(FLOW, Query()))
