"""Environments of a user and their readers: files and variables, a vendor's library, and mfc."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.recorder import Recorder, Seen

from mfc.config import Config

from .conftest import filesystem

#: Variables of this machine that affect no test.
KEPT = ("PATH", "TMPDIR", "SSL_CERT_FILE", "PYTHONPATH")


@dataclass(frozen=True)
class Environment:
    """Files below the home, variables, and Metaflow's settings; `{home}` stands for the home."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: Environment) -> Environment:
        return Environment(
            f"{self.name}, {other.name}",
            {**self.files, **other.files},
            {**self.variables, **other.variables},
            {**self.settings, **other.settings},
        )

    def enter(self, home: Path, recorder: Recorder) -> None:
        """Set up the environment of this process."""
        for name in list(os.environ):
            if name not in KEPT and not name.startswith(("COV", "PYTEST")):
                del os.environ[name]
        usual = {
            "HOME": str(home),
            "HTTPS_PROXY": recorder.url,
            "HTTP_PROXY": recorder.url,
            "AWS_CA_BUNDLE": str(recorder.authority),
            "REQUESTS_CA_BUNDLE": str(recorder.authority),
        }
        for path, text in self.files.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._filled(text, home, recorder))
        for name, value in {**usual, **self.variables}.items():
            if value != UNSET:
                os.environ[name] = self._filled(value, home, recorder)

    def _filled(self, text: str, home: Path, recorder: Recorder) -> str:
        filled = text.replace("{home}", str(home)).replace("{recorder}", recorder.url)
        return filled.replace("{bare}", recorder.url.removeprefix("http://"))


UNSET = "<unset>"


@dataclass(frozen=True)
class Outcome:
    """The request for one object; empty where reading was refused."""

    requests: tuple[tuple[str, ...], ...]
    error: BaseException | None = field(default=None, compare=False)


def outcome(
    recorder: Recorder, read: Callable[[], Any], told: Callable[[Seen], tuple[str, ...]]
) -> Outcome:
    """Return the request of a read."""
    recorder.seen.clear()
    error: BaseException | None = None
    try:
        read()
    except BaseException as raised:
        error = raised
    found = dict.fromkeys(told(seen) for seen in recorder.objects)
    return Outcome(tuple(found), error)


def read_by_mfc(ds_type: str, path: str, settings: Mapping[str, Any]) -> bytes:
    """Read an object as a client does."""
    config = Config({"MFC_READ_TIMEOUT": 5, **settings})
    return filesystem(ds_type, config).cat_file(path)
