"""Credentials renewed while a process reads: found anew, once for all threads, without lost reads."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.servers.recorder import Recorder, Said, Seen

from mfc.config import Config
from mfc.hookspecs import Filesystem

from .conftest import filesystem
from .test_as_azure import HOST, SAS, SERVICE, application, signed_by
from .test_as_boto3 import keys, variables
from .test_as_google import account, user
from .vendors import Environment

E = Environment
EXPIRED = "<Error><Code>ExpiredToken</Code><Message>Told to fail.</Message></Error>"


@dataclass(frozen=True)
class Renewal:
    """Credentials of one kind, and their renewal in a running process."""

    ds_type: str
    environment: Environment
    #: Makes new credentials, given the home.
    renew: Callable[[Path], None]
    settings: dict[str, object]


def _set(**given: str) -> Callable[[Path], None]:
    return lambda home: os.environ.update(given)


def _write(path: str, text: str) -> Callable[[Path], None]:
    return lambda home: (home / path).write_text(text) and None


def _nothing(home: Path) -> None:
    """Leave the renewal to the token server, which gives another token each time."""


PROGRAM = "[default]\ncredential_process = cat {home}/keys\n"


def _printed(name: str) -> str:
    known = {"Version": 1, "AccessKeyId": name, "SecretAccessKey": f"secret-of-{name}"}
    return json.dumps(
        {**known, "SessionToken": f"token-of-{name}", "Expiration": "2099-01-01T00:00:00Z"}
    )


PLACE = {SERVICE: HOST}
RENEWALS = {
    "variables of Amazon": Renewal(
        "s3", E("", {}, variables("OLD", "old")), _set(**variables("NEW", "new")), {}
    ),
    "file of Amazon": Renewal(
        "s3",
        E("", {".aws/credentials": f"[default]\n{keys('OLD', 'old')}"}),
        _write(".aws/credentials", f"[default]\n{keys('NEW', 'new')}"),
        {},
    ),
    "program of Amazon": Renewal(
        "s3",
        E("", {".aws/config": PROGRAM, "keys": _printed("OLD")}),
        _write("keys", _printed("NEW")),
        {},
    ),
    "other profile": Renewal(
        "s3",
        E("", {".aws/credentials": f"[default]\n{keys('OLD')}[new]\n{keys('NEW')}"}),
        _set(AWS_PROFILE="new"),
        {},
    ),
    "account of Google": Renewal(
        "gs",
        E(
            "",
            {"a.json": json.dumps(account())},
            {"GOOGLE_APPLICATION_CREDENTIALS": "{home}/a.json"},
        ),
        _nothing,
        {},
    ),
    "user of Google": Renewal(
        "gs",
        E("", {"a.json": json.dumps(user())}, {"GOOGLE_APPLICATION_CREDENTIALS": "{home}/a.json"}),
        _write("a.json", json.dumps(user(refresh_token="new"))),
        {},
    ),
    "application of Azure": Renewal("azure", E("", {}, application()), _nothing, PLACE),
    "signature of Azure": Renewal(
        "azure",
        E("", {}, {"AZURE_STORAGE_SAS_TOKEN": f"{SAS}old"}),
        _set(AZURE_STORAGE_SAS_TOKEN=f"{SAS}new"),
        PLACE,
    ),
    "connection string of Azure": Renewal(
        "azure",
        E("", {}, {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=ours;AccountKey=b2xk"}),
        _set(AZURE_STORAGE_CONNECTION_STRING="AccountName=ours;AccountKey=bmV3"),
        {},
    ),
}


def who(seen: Seen) -> str:
    """Return the credential of a request: a key, a token, a signature."""
    signature = seen.headers.get("authorization", "")
    if "Credential=" in signature:
        return signature.partition("Credential=")[2].partition("/")[0]
    if signature.startswith("SharedKey"):
        return signed_by(seen, {"old": "b2xk", "new": "bmV3"})
    return signature or str(seen.query.get("sig"))


class Store:
    """A store that refuses expired credentials, and a token server that gives each token once."""

    def __init__(self, recorder: Recorder, renewal: Renewal, home: Path) -> None:
        self.recorder, self.renewal, self.home = recorder, renewal, home
        self.expired: set[str] = set()
        #: The store's refusal.
        self.refusal = Said(EXPIRED, 400 if renewal.ds_type == "s3" else 401)
        self.lookups = 0
        self._lock = threading.Lock()
        recorder.answer = self.answer
        self.files: Filesystem = filesystem(
            renewal.ds_type,
            Config({"MFC_READ_TIMEOUT": 20, "S3_RETRY_COUNT": 0, **renewal.settings}),
        )

    def answer(self, seen: Seen) -> Said | None:
        if "an-object" in seen.target:
            return self.refusal if who(seen) in self.expired else None
        if seen.path.endswith("/token"):
            with self._lock:
                self.lookups += 1
                token = {"access_token": f"token-{self.lookups}", "token_type": "Bearer"}
            return Said({**token, "expires_in": 3600, "expires_on": "4000000000"})
        return None

    def read(self, number: int = 0) -> bytes:
        return self.files.cat_file(f"bucket/an-object-{number}")

    def expire(self) -> None:
        """Refuse the credentials used so far."""
        self.expired |= {who(seen) for seen in self.recorder.objects}
        self.recorder.seen.clear()


@pytest.fixture(params=RENEWALS)
def store(
    request: pytest.FixtureRequest, recorder: Recorder, tmp_path: Path, kept_environment: None
) -> Iterator[Store]:
    renewal = RENEWALS[request.param]
    none = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    (E("", {}, none) + renewal.environment).enter(tmp_path, recorder)
    recorder.seen.clear()
    yield Store(recorder, renewal, tmp_path)
    recorder.answer = lambda seen: None


def test_new_credentials_are_found_by_the_next_read(store: Store) -> None:
    assert store.read() == b"it"
    store.expire()
    store.renewal.renew(store.home)
    assert store.read(1) == b"it"
    assert len(store.recorder.objects) == 2


def test_new_credentials_are_found_after_failed_reads(store: Store) -> None:
    assert store.read() == b"it"
    store.expire()
    if not store.lookups:  # a token server gives another token at once
        for number in range(3):
            with pytest.raises(PermissionError, match="may not be read"):
                store.read(number)
    store.renewal.renew(store.home)
    assert store.read(1) == b"it"


@pytest.mark.parametrize("status", [401, 403])
def test_every_kind_of_refusal_renews_the_credentials(store: Store, status: int) -> None:
    store.refusal = Said("", status)
    assert store.read() == b"it"
    store.expire()
    store.renewal.renew(store.home)
    assert store.read(1) == b"it"


def test_credentials_are_renewed_once_for_all_threads(store: Store) -> None:
    assert store.read() == b"it"
    lookups = store.lookups
    store.expire()
    store.renewal.renew(store.home)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(store.read, range(200))) == {b"it"}
    assert store.lookups - lookups <= 1
    refused = len(store.recorder.objects) - 200
    assert refused <= 16  # requests in flight


def test_credentials_may_expire_half_way_through(store: Store) -> None:
    """Reading continues while credentials expire again and again."""

    def read(number: int) -> bytes:
        if number in (50, 100, 150) and store.renewal.renew is _nothing:
            store.expired |= {f"Bearer token-{store.lookups}"}
        return store.read(number)

    with ThreadPoolExecutor(8) as pool:
        if store.renewal.renew is _nothing:
            assert set(pool.map(read, range(200))) == {b"it"}
        else:
            first = list(pool.map(store.read, range(100)))
            store.expire()
            store.renewal.renew(store.home)
            assert {*first, *pool.map(store.read, range(100, 200))} == {b"it"}


def test_a_lasting_refusal_costs_few_requests(store: Store) -> None:
    """A caller without permission for one object gets an error for it, and reads the others."""
    store.refusal = Said("<Error><Code>AccessDenied</Code><Message>No.</Message></Error>", 403)
    assert store.read() == b"it"
    usual = store.answer
    closed = {f"an-object-{number}" for number in range(10)}

    def answer(seen: Seen) -> Said | None:
        return store.refusal if seen.path.rpartition("/")[2] in closed else usual(seen)

    store.recorder.answer = answer
    for number in range(10):
        with pytest.raises(PermissionError, match="403 AccessDenied"):
            store.read(number)
    assert store.lookups <= 3
    assert store.read(11) == b"it"
