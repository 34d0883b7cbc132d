"""Removal of secrets from addresses and messages that are printed or logged."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: Shortest text that is treated as a secret within a message.
SHORTEST = 3
#: A secret parameter of a URL.
_PARAMETER = re.compile(r"(?i)([?&;][^=&;]*(?:pass|secret|token|key)[^=&;]*=)([^&;]*)")


def without_password(url: str) -> str:
    """Return a URL, well-formed or not, without its secrets.

    >>> without_password("postgresql://ada:p@ss/word@db/meta?sslpassword=x&a=b")
    'postgresql://ada:***@db/meta?sslpassword=***&a=b'
    """
    before, own, secret, after = _divided(url)
    return _PARAMETER.sub(r"\1***", f"{before}{own}:***@{after}" if secret else url)


def _divided(url: str) -> tuple[str, str, str, str]:
    """Split a URL into the text before the user, the user, the password and the text behind its @.

    The largest part that may be a password is treated as one, even in a misspelt URL.
    """
    front, at, after = url.rpartition("@")
    before, marks, user = front.partition("//")
    if not marks:
        before, user = "", front
    own, colon, secret = user.partition(":")
    return (before + marks, own, secret, after) if at and colon else (url, "", "", "")


def _secrets(url: str) -> set[str]:
    """Return every spelling of the secrets in a URL."""
    found = {_divided(url)[2], *(match[2] for match in _PARAMETER.finditer(url))}
    # A library that splits the URL elsewhere may show a part of a secret.
    found |= {part for each in found for part in re.split(r"[:@/?#]", each)}
    return {spelt for each in found for spelt in (each, unquote(each)) if len(spelt) >= SHORTEST}


def reason(error: BaseException, url: str = "") -> str:
    """Return a library's message on one line, without the secrets of a URL."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    said = said.splitlines()[0]
    for secret in sorted(_secrets(url), key=len, reverse=True):
        said = said.replace(secret, "***")
    return said
