"""Where plain keys make botocore's answer certain, botocore is not used, and would answer the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.servers.recorder import Recorder

from mfc.config import Config
from mfc_s3._amazon import Amazon, certain
from mfc_s3._botocore import asked

from .test_as_boto3 import CREDENTIALS, read_once, variables
from .vendors import Environment

E = Environment
REGIONS = (
    None,
    "us-east-1",
    "eu-west-1",
    "ap-southeast-2",
    "il-central-1",
    "us-gov-west-1",
    "cn-north-1",
    "eusc-de-east-1",
    "us-iso-east-1",
    "eu-new-9",
    "aws-global",
    "EU-WEST-1",
    "",
)
BUCKETS = (
    "bucket",
    "a-b-c",
    "xyz",
    "with.dots",
    "Capitals",
    "under_score",
    "xn--x",
    "x-s3alias",
    "x--x-s3",
    "ab",
    "a" * 63,
    "a" * 64,
)
ENDPOINTS = (
    None,
    "https://store.example.com",
    "http://127.0.0.1:9000",
    "https://store.example.com/some/path",
    "https://s3.eu-west-1.amazonaws.com",
)
KEYS: tuple[dict[str, str], ...] = (variables("KEY"), variables("KEY", "token"))


@pytest.fixture(autouse=True)
def bare(
    recorder: Recorder, tmp_path: Path, kept_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start as a user without settings."""
    E("").enter(tmp_path, recorder)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        del os.environ[name]
    read_once(monkeypatch)


@pytest.mark.parametrize("keys", KEYS, ids=["keys", "keys and token"])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", BUCKETS)
def test_certain_answers_equal_those_of_botocore(
    name: str, endpoint: str | None, keys: dict[str, str]
) -> None:
    os.environ.update(keys)
    decided = 0
    for region in REGIONS:
        arguments: dict[str, Any] = {"endpoint_url": endpoint} if endpoint else {}
        for in_arguments in (True, False):
            given = dict(arguments)
            os.environ.pop("AWS_DEFAULT_REGION", None)
            if region is not None and in_arguments:
                given["region_name"] = region
            elif region is not None:
                os.environ["AWS_DEFAULT_REGION"] = region
            found = certain(name, given)
            if found is not None:
                decided += 1
                assert found == asked(name, given, {}, unsigned=False)
    usual = name in ("bucket", "a-b-c", "xyz", "a" * 63) and "amazonaws" not in (endpoint or "")
    assert (decided > 0) == usual


UNCERTAIN = {
    "a profile": ({"AWS_PROFILE": "other"}, {}),
    "another endpoint": ({"AWS_ENDPOINT_URL": "https://store.example.com"}, {}),
    "FIPS": ({"AWS_USE_FIPS_ENDPOINT": "true"}, {}),
    "a variable of tomorrow": ({"AWS_SOMETHING_NEW": "1"}, {}),
    "a proxy": ({"https_proxy": "http://127.0.0.1:9"}, {}),
    "certificates": ({"REQUESTS_CA_BUNDLE": "/x"}, {}),
    "half of the keys": ({"AWS_SECRET_ACCESS_KEY": ""}, {}),
    "an argument": ({}, {"config": {}}),
    "half of the keys as arguments": ({}, {"aws_access_key_id": "x"}),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_anything_else_is_not_certain(name: str) -> None:
    os.environ.update(variables("KEY"))
    assert certain("bucket", {}) is not None
    given, arguments = UNCERTAIN[name]
    os.environ.update(given)
    assert certain("bucket", arguments) is None


@pytest.mark.parametrize("path", [CREDENTIALS, ".aws/config"])
def test_a_file_is_not_certain(path: str) -> None:
    os.environ.update(variables("KEY"))
    file = Path(os.environ["HOME"]) / path
    file.parent.mkdir()
    file.touch()
    assert certain("bucket", {}) is None


def test_botocore_is_not_loaded_for_plain_keys() -> None:
    os.environ.update(variables("KEY"))
    assert Amazon(Config()).bucket("bucket").url == "https://bucket.s3.amazonaws.com"
    text = "import sys; from mfc.config import Config; from mfc_s3._amazon import Amazon; Amazon(Config()).bucket('bucket'); print('botocore' in sys.modules, 'requests' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.split() == ["False", "False"]
