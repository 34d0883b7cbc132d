"""Secrets never leave a store's plugin, whatever is malformed, and neither does a library's panic."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.recorder import Recorder, Said

from mfc.config import Config
from mfc.errors import BadSetting, MetaflowException

from .conftest import filesystem
from .test_as_azure import SERVICE, application
from .test_as_boto3 import keys, read_once, variables
from .test_as_google import account, federated, user
from .vendors import Environment

E = Environment
#: A mark in every secret, and in the base64 of keys.
MARK = "pLaNtEdSeCrEt"
CODED = base64.b64encode(MARK.encode()).decode()
#: Insertions that invalidate a value.
SPOILT = ("", "\n", "\r\n", " ", "\t", '"', "'", "\\n", "%", "%zz", "\x00", "é", "\u2028", ";", "&", "=", "?", "{", "\ud800")  # fmt: skip

SETTINGS: dict[str, list[tuple[str, Environment]]] = {
    "s3": [
        ("variables", E("", {}, variables(f"{MARK}X", f"{MARK}X"))),
        ("secret alone", E("", {}, {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": f"{MARK}X"})),
        ("half", E("", {}, {"AWS_SECRET_ACCESS_KEY": f"{MARK}X"})),
        ("file", E("", {".aws/credentials": f"[default]\n{keys('key', f'{MARK}X')}"})),
        ("bad line", E("", {".aws/credentials": f"[default]\naws_secret_access_key {MARK}X\n"})),
        ("no section", E("", {".aws/credentials": f"aws_secret_access_key = {MARK}X\n"})),
        ("twice", E("", {".aws/credentials": f"[default]\n{keys(f'{MARK}X')}[default]\n{keys(f'{MARK}X')}"})),
        ("bad configuration", E("", {".aws/config": f"[default]\n s3 = {MARK}X\n  {MARK}X\n"})),
        ("program", E("", {".aws/config": f"[default]\ncredential_process = sh -c 'echo {MARK}X; echo {MARK}X >&2; exit 1'\n"})),
        ("program of nonsense", E("", {".aws/config": f"[default]\ncredential_process = echo {MARK}X\n"})),
        ("arguments", E("", {}, {}, {"DATATOOLS_CLIENT_PARAMS": {"aws_access_key_id": f"{MARK}X", "aws_secret_access_key": f"{MARK}X", "aws_session_token": f"{MARK}X"}})),
        ("unknown argument", E("", {}, {}, {"DATATOOLS_CLIENT_PARAMS": {"aws_secret": f"{MARK}X"}})),
        ("arguments that are not JSON", E("", {}, {}, {"DATATOOLS_CLIENT_PARAMS": f'{{"aws_secret_access_key": "{MARK}X"'})),
        ("a list of arguments", E("", {}, {}, {"DATATOOLS_CLIENT_PARAMS": f'["{MARK}X"]'})),
        ("arguments of nonsense", E("", {}, {}, {"DATATOOLS_CLIENT_PARAMS": {"config": f"{MARK}X"}})),
        ("options", E("", {}, variables("k"), {"MFC_S3_OPTIONS": {"aws_secret_access_key": f"{MARK}X", "nonsense": f"{MARK}X"}})),
        ("options that are not JSON", E("", {}, variables("k"), {"MFC_S3_OPTIONS": f"{MARK}X"})),
        ("session", E("", {}, variables("k"), {"DATATOOLS_SESSION_VARS": {"profile": f"{MARK}X"}})),
        ("user in the endpoint", E("", {}, variables("k"), {"S3_ENDPOINT_URL": f"https://user:{MARK}X@store.example.com"})),
        ("user in boto3's endpoint", E("", {}, {**variables("k"), "AWS_ENDPOINT_URL": f"https://user:{MARK}X@store.example.com"})),
        ("query of the endpoint", E("", {}, variables("k"), {"S3_ENDPOINT_URL": f"https://store.example.com/?sig={MARK}X"})),
        ("user of the proxy", E("", {}, {**variables("k"), "HTTPS_PROXY": f"http://user:{MARK}X@127.0.0.1:9"})),
    ],
    "gs": [
        ("key", E("", {"a.json": json.dumps(account(private_key=f"-----BEGIN PRIVATE KEY-----\n{MARK}X\n-----END PRIVATE KEY-----\n"))})),
        ("key on one line", E("", {"a.json": json.dumps(account(private_key=f"-----BEGIN PRIVATE KEY-----\\n{MARK}X\\n-----END PRIVATE KEY-----"))})),
        ("half a file", E("", {"a.json": f'{{"private_key": "{MARK}X"'})),
        ("a text", E("", {"a.json": f'"{MARK}X"'})),
        ("another file", E("", {"a.json": f"[default]\naws_secret_access_key = {MARK}X\n"})),
        ("user", E("", {"a.json": json.dumps(user(refresh_token=f"{MARK}X", client_secret=f"{MARK}X"))})),
        ("federated", E("", {"a.json": json.dumps(federated({"file": "{home}/t"})), "t": f"{MARK}X"})),
        ("federated by JSON", E("", {"a.json": json.dumps(federated({"file": "{home}/t", "format": {"type": "json", "subject_token_field_name": "x"}})), "t": f"{MARK}X"})),
        ("federated by a program", E("", {"a.json": json.dumps(federated({"executable": {"command": f"echo {MARK}X"}}))}, {"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"})),
        ("token", E("", {}, {}, {"MFC_GS_OPTIONS": {"bearer_token": f"{MARK}X"}})),
        ("key as option", E("", {}, {}, {"MFC_GS_OPTIONS": {"service_account_key": f"{MARK}X"}})),
        ("unknown option", E("", {}, {}, {"MFC_GS_OPTIONS": {"secret": f"{MARK}X"}})),
        ("options that are not JSON", E("", {}, {}, {"MFC_GS_OPTIONS": f'{{"bearer_token": "{MARK}X"'})),
        ("user in the place", E("", {}, {}, {"MFC_GS_OPTIONS": {"base_url": f"https://user:{MARK}X@store.example.com"}})),
        ("user in the emulator", E("", {}, {"STORAGE_EMULATOR_HOST": f"http://user:{MARK}X@127.0.0.1:9"})),
        ("obstore's own", E("", {"a.json": json.dumps(account())}, {"GOOGLE_BEARER_TOKEN": f"{MARK}X", "GOOGLE_SERVICE_ACCOUNT_KEY": f"{MARK}X"})),
    ],
    "azure": [
        ("key", E("", {}, {"AZURE_STORAGE_KEY": f"{CODED}X"})),
        ("plain key", E("", {}, {"AZURE_STORAGE_KEY": f"{MARK}X"})),
        ("signature", E("", {}, {"AZURE_STORAGE_SAS_TOKEN": f"sv=1&sig={MARK}X"})),
        ("half a signature", E("", {}, {"AZURE_STORAGE_SAS_TOKEN": f"{MARK}X"})),
        ("connection string", E("", {}, {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=ours;AccountKey={MARK}X"})),
        ("broken connection string", E("", {}, {"AZURE_STORAGE_CONNECTION_STRING": f"AccountKey={MARK}X"})),
        ("connection string with an endpoint", E("", {}, {"AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint=https://u:{MARK}X@h.example.com;AccountKey={MARK}X;AccountName=a"})),
        ("application", E("", {}, application(AZURE_CLIENT_SECRET=f"{MARK}X"))),
        ("application and a bad tenant", E("", {}, application(AZURE_CLIENT_SECRET=f"{MARK}X", AZURE_TENANT_ID="a b"))),
        ("certificate", E("", {"c.pem": f"{MARK}X"}, application(AZURE_CLIENT_SECRET="", AZURE_CLIENT_CERTIFICATE_PATH="{home}/c.pem"))),
        ("password", E("", {}, application(AZURE_CLIENT_SECRET="", AZURE_USERNAME="u", AZURE_PASSWORD=f"{MARK}X"))),
        ("key as option", E("", {}, {}, {"MFC_AZURE_OPTIONS": {"account_key": f"{MARK}X"}})),
        ("signature as option", E("", {}, {}, {"MFC_AZURE_OPTIONS": {"sas_key": f"{MARK}X"}})),
        ("token as option", E("", {}, {}, {"MFC_AZURE_OPTIONS": {"token": f"{MARK}X"}})),
        ("secret as option", E("", {}, {}, {"MFC_AZURE_OPTIONS": {"client_secret": f"{MARK}X"}})),
        ("unknown option", E("", {}, {}, {"MFC_AZURE_OPTIONS": {"secret": f"{MARK}X"}})),
        ("options that are not JSON", E("", {}, {}, {"MFC_AZURE_OPTIONS": f"{MARK}X"})),
        ("signature in the endpoint", E("", {}, {}, {SERVICE: f"https://ours.blob.core.windows.net/?sig={MARK}X"})),
        ("signature in a bad endpoint", E("", {}, {}, {SERVICE: f"ours.blob.core.windows.net/?sig={MARK}X"})),
        ("signature and a bad port", E("", {}, {}, {SERVICE: f"https://ours.blob.core.windows.net:x/?sig={MARK}X"})),
        ("user in the endpoint", E("", {}, {}, {SERVICE: f"https://u:{MARK}X@ours.blob.core.windows.net"})),
        ("obstore's own", E("", {}, {"AZURE_STORAGE_KEY": CODED, "AZURE_STORAGE_ENCRYPTION_KEY": f"{MARK}X"})),
    ],
}  # fmt: skip
CASES = [(ds_type, name) for ds_type, cases in SETTINGS.items() for name, _ in cases]
#: Answers of a store, which may quote the request.
ANSWERS = {
    "objects": None,
    "403": Said("<Error><Code>AccessDenied</Code><Message>No.</Message></Error>", 403),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 read each of its own data files once."""
    read_once(monkeypatch)


@dataclass
class Stage:
    """A server, a home, and all output."""

    recorder: Recorder
    home: Path
    log: pytest.LogCaptureFixture
    output: pytest.CaptureFixture[str]


@pytest.fixture
def stage(
    recorder: Recorder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    kept_environment: None,
) -> Iterator[Stage]:
    caplog.set_level(logging.INFO)
    yield Stage(recorder, tmp_path, caplog, capfd)
    recorder.answer = lambda seen: None


def spoilt(value: Any, part: str) -> Any:
    """Return a value with something put where it says X after the mark."""
    if isinstance(value, dict):
        return {name: spoilt(one, part) for name, one in value.items()}
    return value.replace(f"{MARK}X", f"{MARK}{part}").replace(f"{CODED}X", f"{CODED}{part}")


def leaks(text: str) -> bool:
    return MARK in text or CODED in text


def walked(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            left += [one.__cause__, one.__context__]
            yield one


def tried(ds_type: str, given: dict[str, Any]) -> BaseException | None:
    """Read an object; return the exception."""
    try:
        files = filesystem(ds_type, Config({"MFC_READ_TIMEOUT": 3, "S3_RETRY_COUNT": 0, **given}))
        assert not leaks(f"{files!r} {vars(files)}")
        files.cat_file("bucket/an-object")
        assert not leaks(f"{files!r} {vars(files)}")
    except AssertionError:
        raise
    except BaseException as error:
        return error
    return None


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("ds_type", "name"), CASES)
def test_no_secret_leaves(stage: Stage, ds_type: str, name: str, answer: str) -> None:
    environment = dict(SETTINGS[ds_type])[name]
    stage.recorder.answer = lambda seen: ANSWERS[answer] if "an-object" in seen.target else None
    quiet = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": "{home}/a.json",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9",
        "AZURE_TOKEN_CREDENTIALS": "prod",
        "NO_PROXY": "127.0.0.1",
    }
    for number, part in enumerate(SPOILT if answer == "objects" else ("",)):
        home = stage.home / str(number)
        home.mkdir()
        files = {
            path: spoilt(text, part).encode("utf-8", "replace").decode()
            for path, text in environment.files.items()
        }
        usable = {key: spoilt(value, part) for key, value in environment.variables.items()}
        if any("\x00" in value or "\ud800" in value for value in usable.values()):
            continue  # a process's variables cannot contain it
        place = (
            {SERVICE: "https://ours.blob.core.windows.net"}
            if ds_type == "azure" and "AZURE_STORAGE_CONNECTION_STRING" not in usable
            else {}
        )
        given = {**place, **spoilt(dict(environment.settings), part)}
        (E("", {}, quiet) + E("", files, usable)).enter(home, stage.recorder)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            error = tried(ds_type, given)
        assert error is None or isinstance(error, (OSError, MetaflowException)), (part, error)
        for one in walked(error):
            fields = f"{one!r} {one} {getattr(one, '__notes__', '')} {vars(one)}"
            assert not leaks(fields), (part, fields)
            assert not leaks(pickle.dumps(one).decode("latin-1"))
        if error is not None:
            assert not leaks("".join(traceback.format_exception(error)))
        assert not leaks(" ".join(str(one.message) for one in warned))
    assert not leaks(stage.log.text)
    out, err = stage.output.readouterr()
    assert not leaks(out + err)
    assert "panicked" not in err


ODD = st.text(st.sampled_from("aZ0:/@.[]%?#&=-_ \t\n\r\"'\\{}<>|^`~é\u2028"), max_size=12)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ds_type=st.sampled_from(["s3", "gs", "azure"]),
    url=st.tuples(st.sampled_from(["http://", "https://", "HTTP://", "ftp://", ""]), ODD, ODD),
    other=ODD,
)
def test_invalid_settings_do_not_panic(
    stage: Stage, ds_type: str, url: tuple[str, str, str], other: str
) -> None:
    """Any text in an endpoint, a region or a key gives bytes, or an error of mfc."""
    E("", {}, {"AWS_EC2_METADATA_DISABLED": "true"}).enter(stage.home, stage.recorder)
    place = f"{url[0]}{url[1]}127.0.0.1{url[2]}"
    given = {
        "s3": {"S3_ENDPOINT_URL": place, "DATATOOLS_CLIENT_PARAMS": {"aws_access_key_id": f"k{other}", "aws_secret_access_key": f"s{other}", "region_name": f"r{other}"}},
        "gs": {"MFC_GS_OPTIONS": {"base_url": place, "bearer_token": f"t{other}", "skip_signature": False}},
        "azure": {SERVICE: place, "MFC_AZURE_OPTIONS": {"account_key": CODED, "account_name": f"a{other}"}},
    }[ds_type]  # fmt: skip
    error = tried(ds_type, given)
    assert error is None or isinstance(error, (OSError, BadSetting)), error
    assert "panicked" not in stage.output.readouterr().err


@pytest.mark.parametrize("blank", ["\n", " ", "\t", "\r\n"])
@pytest.mark.parametrize("ds_type", ["s3", "gs", "azure"])
def test_blanks_around_an_endpoint_are_stripped(
    recorder: Recorder, ds_type: str, blank: str, tmp_path: Path, kept_environment: None
) -> None:
    E("", {}, variables("key")).enter(tmp_path, recorder)
    url = f"{blank}https://store.example.com{blank}"
    given = {
        "s3": {"S3_ENDPOINT_URL": url},
        "gs": {"MFC_GS_OPTIONS": {"base_url": url}},
        "azure": {SERVICE: url, "MFC_AZURE_OPTIONS": {"skip_signature": True}},
    }[ds_type]
    recorder.seen.clear()
    assert tried(ds_type, given) is None
    assert {seen.host for seen in recorder.seen} == {"store.example.com"}
