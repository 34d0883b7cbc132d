"""The URL of a service, from an address or the settings."""

from __future__ import annotations

import re

import attrs
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from mfc.config import Config
from mfc.errors import BadAddress

SETTING = "SERVICE_URL"
#: Characters that end a URL's path.
_ENDS = re.compile(r"[?#]")
_EXPECTED = "expected service@http://HOST[:PORT][/PREFIX]"


@attrs.frozen
class Base:
    """The URL of a service, with its secret parts kept apart."""

    #: Without a trailing slash, user and password.
    url: str
    #: Scheme, host and port: secrets are sent only there.
    origin: tuple[str | None, str | None, int]
    #: `user:password` of the URL, None without them.
    credentials: str | None = attrs.field(default=None, repr=False)


def base_of(address: str, config: Config) -> Base:
    """Return the service that an address names.

    Args:
        address: `service`, `service@URL`, or the URL.
        config: has the URL if the address has none, and the credentials of that same URL.

    Raises:
        BadAddress: the URL is missing, or is not an HTTP URL.
    """
    configured = config.text(SETTING)
    given = address.removeprefix("service").removeprefix("@")
    if not given:
        if not configured:
            raise BadAddress(
                f"{address!r} names no URL, and METAFLOW_SERVICE_URL is not set; {_EXPECTED}"
            )
        return _parsed(configured)
    base = _parsed(given)
    if base.credentials is None and configured:
        # The client shows the address, so the password is left out; the address must still work.
        known = _parsed(configured)
        if known.url == base.url:
            return known
    return base


def _parsed(text: str) -> Base:
    try:
        url = parse_url(text.strip())
    except LocationParseError:
        raise BadAddress(f"{_shown(text)!r} is not a URL; {_EXPECTED}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise BadAddress(f"{_shown(text)!r} is not an HTTP URL; {_EXPECTED}")
    if url.query or url.fragment:
        raise BadAddress(f"{_shown(text)!r} has a query or a fragment; {_EXPECTED}")
    plain = Url(url.scheme, None, url.host, url.port, (url.path or "").rstrip("/") or None)
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return Base(plain.url, (url.scheme, url.host, port), url.auth)


def _shown(text: str) -> str:
    """Return a URL without its user and its query, which may be secret."""
    scheme, mark, rest = text.partition("://")
    if not mark or not scheme.isalnum():
        scheme, mark, rest = "", "", text
    before, _, after = rest.rpartition("@")
    if _ENDS.search(before):
        # With such a sign in the password, or an @ in the query, the end of the secret is unknown.
        return f"{scheme}{mark}…"
    return scheme + mark + _ENDS.split(after)[0]
