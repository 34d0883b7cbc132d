"""Removal of secrets from texts of libraries."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

#: Names of secret variables and options, and the names that only sound secret.
_SECRET = re.compile(r"secret|token|key|passw|sas|signature|connection_string", re.IGNORECASE)
_PUBLIC = re.compile(r"(key_?id|_file|_uri|_url|_path|_folder)$", re.IGNORECASE)
#: Shorter values are left in: they are parts of words.
_SHORTEST = 5
_NAMES = r"\b(?:\w*secret\w*|\w*passw\w*|\w*token|sig|signature|\w+_?key)"
#: Users in URLs, queries of URLs, and values with a secret's name.
_PATTERNS = (
    (re.compile(r"(?<=://)[^/\s'\"]*@"), ""),
    (re.compile(r"(?<=[\w/])\?[^\s'\"<>),]*=[^\s'\"<>),]*"), "?…"),
    (re.compile(rf"(?i)({_NAMES}['\"]?\s*[=:]\s*)['\"]?[^\s'\",;}}]+"), r"\1…"),
    (re.compile(r"-----BEGIN.*", re.DOTALL), "…"),
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), r"\1 …"),
)


def secret(name: str) -> bool:
    """Tell by its name whether a setting or variable is secret.

    >>> secret("AWS_SECRET_ACCESS_KEY"), secret("AWS_ACCESS_KEY_ID")
    (True, False)
    """
    return bool(_SECRET.search(name)) and not _PUBLIC.search(name)


def scrubbed(text: object, known: Iterable[object] = ()) -> str:
    """Return a text on one line, without secrets and what looks like one.

    Args:
        text: what a library or a server said.
        known: secrets that the text may quote, besides those in the environment.

    >>> scrubbed("GET https://u:pw@host/c/k?sv=1&sig=abc failed", ["pw"])
    'GET https://host/c/k?… failed'
    """
    line = " ".join(str(text).split())
    values = [value for name, value in os.environ.items() if secret(name)]
    for value in sorted({*values, *map(str, known)}, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            line = line.replace(value, "…").replace(" ".join(value.split()), "…")
    for pattern, put in _PATTERNS:
        line = pattern.sub(put, line)
    return line


def safely(ask: Callable[[], T], tell: Callable[[Exception], str | Exception]) -> T:
    """Return the result of a cloud's library, with errors that quote nothing secret.

    Args:
        ask: calls the library.
        tell: returns the exception to raise for an error of the library's, or its text.

    Raises:
        PermissionError: with the text of `tell`; a missing file is named.
    """
    try:
        return ask()
    except OSError as error:
        told = tell(error)
        if error.filename and not isinstance(told, Exception):
            told = f"{told}: {error.filename}: {error.strerror}"
    except Exception as error:  # noqa: BLE001 - of any library that reads settings of users
        told = tell(error)
    raise told if isinstance(told, Exception) else PermissionError(told)
