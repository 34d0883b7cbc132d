"""Addresses and settings of a service, and the messages for invalid ones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.servers.front import Asked, Reply, front, passed
from tests.servers.metadata import Hub

from mfc import Client
from mfc.config import Config
from mfc.errors import BadAddress, BadSetting
from mfc.query import Query
from mfc_service import mfc_metadata_provider
from mfc_service._address import base_of

from .reading import Answered, Metered, names, path, provider


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("service@http://host", "http://host"),
        ("service@http://host/", "http://host"),
        ("service@http://host:8080", "http://host:8080"),
        ("service@https://host/metaflow/v1///", "https://host/metaflow/v1"),
        ("http://host/a%20b", "http://host/a%20b"),
        ("https://host", "https://host"),
        ("HTTPS://HOST:1/Path", "https://host:1/Path"),
        ("service@http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("service@http://ada:secret@host", "http://host"),
        ("service@ http://host \n", "http://host"),
        ("service", "http://configured/x"),
        ("service@", "http://configured/x"),
    ],
)
def test_an_address_gives_a_url_and_round_trips(address: str, url: str) -> None:
    settings = {"METAFLOW_SERVICE_URL": "http://ada:pw@configured/x/"}
    made = provider_at(address, settings)
    assert made.address == f"service@{url}"
    assert provider_at(made.address, settings).address == made.address


def provider_at(address: str, settings: dict[str, str]):
    config = Config(overrides=settings, environment={})
    return mfc_metadata_provider(address, config, Metered(), Answered())


@pytest.mark.parametrize(
    "address",
    ["", "services", "local@/x", "/http://h", "./service", "ftp://h", "httpx://h", "service:x"],
)
def test_other_addresses_are_left_to_other_plugins(address: str) -> None:
    assert provider_at(address, {}) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("service", "names no URL, and METAFLOW_SERVICE_URL is not set"),
        ("service@", "names no URL, and METAFLOW_SERVICE_URL is not set"),
        ("service@host", "'host' is not an HTTP URL"),
        ("service@host:8080", "'host:8080' is not an HTTP URL"),
        ("service@/data", "'/data' is not an HTTP URL"),
        ("service@ftp://host", "'ftp://host' is not an HTTP URL"),
        ("service@http://", "'http://' is not an HTTP URL"),
        ("http:///flows", "'http:///flows' is not an HTTP URL"),
        ("http://host:port", "'http://host:port' is not a URL;"),
        ("http://host:99999", "'http://host:99999' is not a URL;"),
        ("http://[::1", "is not a URL;"),
        ("http://host/?a=b", "'http://host/' has a query or a fragment"),
        ("http://host/#a", "'http://host/' has a query or a fragment"),
    ],
)
def test_an_invalid_address_is_reported(address: str, reason: str) -> None:
    with pytest.raises(BadAddress) as caught:
        provider_at(address, {})
    assert reason in str(caught.value)
    assert "expected service@http://HOST[:PORT][/PREFIX]" in str(caught.value)


def test_credentials_of_the_setting_are_for_its_url_alone() -> None:
    config = Config(overrides={"METAFLOW_SERVICE_URL": "http://ada:pw@host/x"}, environment={})
    assert base_of("service@http://host/x/", config).credentials == "ada:pw"
    for other in ("http://host/y", "http://host:81/x", "https://host/x", "http://bob@host/x"):
        assert base_of(f"service@{other}", config).credentials in (None, "bob")


@pytest.mark.parametrize("wrong", ["soon", 0, -1, "nan", "inf"])
def test_an_invalid_timeout_is_reported(wrong: object) -> None:
    with pytest.raises(BadSetting, match="MFC_SERVICE_TIMEOUT is .*expected"):
        provider("http://h", {"MFC_SERVICE_TIMEOUT": wrong})


@pytest.mark.parametrize("prefix", ["", "/metaflow", "/a/b%20c", "/caf%C3%A9"])
def test_a_service_may_answer_below_a_path(dataset: str, prefix: str) -> None:
    def answer(asked: Asked) -> Reply:
        assert asked.target.startswith(f"{prefix}/flows/")
        return passed(asked, dataset, target=asked.target.removeprefix(prefix))

    with front(answer) as server:
        found = provider(f"{server.url}{prefix}/").children(path("FailFlow"), Query())
        assert names(found) == ["31", "22", "21", "9", "8", "7"]


def test_a_service_may_have_an_address_of_ipv6(dataset: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with front(lambda asked: passed(asked, dataset), host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert provider(server.url).get(path("FailFlow")) is not None


class TestClients:
    """As users give addresses."""

    def test_by_the_settings_of_metaflow(
        self, services: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, _ = services.new()
        monkeypatch.setenv("METAFLOW_DEFAULT_METADATA", "service")
        monkeypatch.setenv("METAFLOW_SERVICE_URL", url)
        monkeypatch.chdir(tmp_path)
        client = Client(namespace=None)
        assert client.provider.address == f"service@{url}"
        assert list(client.flows()) == []

    def test_by_a_url(self, dataset: str) -> None:
        for address in (dataset, f"service@{dataset}", f"{dataset}/"):
            run = Client(address, namespace=None).run("FailFlow/8")
            assert run.successful
            assert {step.id for step in run} == {"end", "join", "fan", "start"}
