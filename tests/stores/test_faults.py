"""Faults of a store and of the network: the right bytes, or an error with the reason, in time."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import time
from pathlib import Path

import pytest
from tests.servers.identity import certificate
from tests.servers.object_faults import (
    Fault,
    answer,
    corrupt,
    relay,
    reset,
    silence,
    slow,
    stall,
    truncate,
)
from tests.servers.ports import free_port

from mfc import Client
from mfc.errors import BadSetting, CorruptBlob
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider

from .conftest import Place

#: Seconds within which a read that may take three has to end, on a busy machine.
BOUND = 30

PASSING: dict[str, tuple[Fault, int]] = {
    "500": (answer(500, "InternalError"), 2),
    "503": (answer(503, "SlowDown"), 3),
    "truncated": (truncate, 1),
    "reset": (reset, 1),
    "silence": (silence, 1),
    "stall": (stall, 1),
    "latency": (slow(0.3), 4),
}


@pytest.mark.parametrize("name", PASSING)
def test_passing_faults_are_retried(place: Place, name: str) -> None:
    place.relay.breaks(*PASSING[name])
    files = place.files()
    assert files.cat_file(place.path) == place.content
    assert files.cat_file(place.path, 1000, 90_000) == place.content[1000:90_000]


#: Lasting faults: the error, and words of its text.
LASTING: dict[str, tuple[Fault, type[OSError], str]] = {
    "403": (answer(403, "AccessDenied"), PermissionError, "may not read it"),
    "401": (answer(401, ""), PermissionError, "credentials"),
    "no key": (answer(404, "NoSuchKey"), FileNotFoundError, "NoSuchKey"),
    "no bucket": (answer(404, "NoSuchBucket"), FileNotFoundError, "no such bucket"),
    "no container": (answer(404, "ContainerNotFound"), FileNotFoundError, "no such container"),
    "expired": (answer(400, "ExpiredToken"), PermissionError, "have expired"),
    "clock": (answer(403, "RequestTimeTooSkewed"), PermissionError, "clock"),
    "signature": (answer(403, "SignatureDoesNotMatch"), PermissionError, "secret key is wrong"),
    "unsigned": (answer(403, "AuthenticationFailed"), PermissionError, "clock"),
    "500": (answer(500, "InternalError"), OSError, "500 InternalError: Told to fail."),
    "503": (answer(503, "SlowDown"), OSError, "fewer requests"),
    "busy": (answer(503, "ServerBusy"), OSError, "store is busy"),
    "truncated": (truncate, OSError, "was not read"),
    "reset": (reset, OSError, "was not read"),
    "silence": (silence, TimeoutError, "MFC_READ_TIMEOUT"),
    "stall": (stall, OSError, "MFC_READ_TIMEOUT"),
}


@pytest.mark.parametrize("name", LASTING)
def test_lasting_faults_are_an_error_with_the_reason(place: Place, name: str) -> None:
    fault, kind, words = LASTING[name]
    place.relay.breaks(fault)
    files = place.files()
    started = time.monotonic()
    with pytest.raises(kind) as failed:
        files.cat_file(place.path)
    assert time.monotonic() - started < BOUND
    text = str(failed.value)
    assert words in text
    assert f"{place.bucket.ds_type}://{place.path}" in text
    assert "Debug source" not in text


def test_changed_bytes_are_detected(place: Place) -> None:
    """A filesystem returns changed bytes; the client checks their hash."""
    blob = pickle.dumps(list(range(1000)), protocol=4)
    sha = hashlib.sha1(blob).hexdigest()
    place.bucket.put(f"Train/data/{sha[:2]}/{sha}", gzip.compress(blob))
    path = Pathspec(("Train", "2", "end", "2", "x"))
    record = ArtifactRecord(
        path,
        1,
        attempt=0,
        sha=sha,
        ds_type=place.bucket.ds_type,
        location=f":root:{place.bucket.root}",
        encoding="pickle-v4",
    )
    above = [Record(Pathspec(path.components[:length]), 1) for length in range(1, 5)]
    done = MetadataRecord(path.parent, "attempt-done", "0", "attempt-done", 2, 0)
    provider = MemoryProvider(above, [record], [done])
    client = Client(provider, namespace=None, config=place.config())
    place.relay.breaks(corrupt)
    with pytest.raises(CorruptBlob):
        _ = client.task("Train/2/end/2")["x"].data
    place.relay.breaks(corrupt, 0)
    assert client.task("Train/2/end/2")["x"].data == list(range(1000))


def test_a_missing_bucket_is_named(place: Place) -> None:
    path = place.path.replace(place.bucket.name, "no-such-bucket")
    with pytest.raises(FileNotFoundError, match="no such (bucket|container)|does not exist"):
        place.files().cat_file(path)


def test_a_closed_port_is_reported(place: Place) -> None:
    url = place.relay.url.replace(place.relay.url.split(":")[2].split("/")[0], str(free_port()))
    with pytest.raises(OSError, match="nothing listens at the endpoint"):
        place.files(url).cat_file(place.path)


def test_an_unknown_host_is_reported(place: Place) -> None:
    url = place.relay.url.replace("127.0.0.1", "store.invalid")
    with pytest.raises(OSError, match="name is not known"):
        place.files(url).cat_file(place.path)


def test_an_untrusted_certificate_is_reported(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(place.bucket.url, certificate(tmp_path)) as secure:
        with pytest.raises(OSError, match="certificate is not trusted"):
            place.files(secure.url).cat_file(place.path)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        assert place.files(secure.url).cat_file(place.path) == place.content


def test_an_authoritys_certificate_as_a_servers_is_reported(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The TLS library refuses it as a server's even where it is trusted; the message gives the reason."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with relay(place.bucket.url, certificate(tmp_path, is_authority=True)) as secure:
        with pytest.raises(OSError, match="certificate of an authority as its own"):
            place.files(secure.url).cat_file(place.path)
        name = f"MFC_{place.bucket.ds_type.upper()}_OPTIONS"
        options = {**place.config().mapping(name), "allow_invalid_certificates": True}
        files = place.files(secure.url, **{name: {**options, **place.based(secure.url)}})
        assert files.cat_file(place.path) == place.content


@pytest.mark.parametrize("seconds", [0, -1, "soon"])
def test_an_invalid_deadline_is_reported(place: Place, seconds: object) -> None:
    with pytest.raises(BadSetting, match="MFC_READ_TIMEOUT"):
        place.files(MFC_READ_TIMEOUT=seconds)


def test_an_infinite_deadline_is_accepted(place: Place) -> None:
    assert place.files(MFC_READ_TIMEOUT="inf").size(place.path) == len(place.content)
