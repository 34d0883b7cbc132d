"""Where a service is: its URL, from an address or the settings."""

from __future__ import annotations

import re

import attrs
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from mfc.config import Config
from mfc.errors import BadAddress

SETTING = "SERVICE_URL"
#: What ends a URL's path.
_ENDS = re.compile(r"[?#]")
_EXPECTED = "expected service@http://HOST[:PORT][/PREFIX]"


@attrs.frozen
class Base:
    """The URL of a service; what a person may not see of it is kept apart."""

    #: Without a slash at the end, and without user and password.
    url: str
    #: Scheme, host and port: what a secret may be sent to.
    origin: tuple[str | None, str | None, int]
    #: `user:password` of the URL, None if it has none.
    credentials: str | None = attrs.field(default=None, repr=False)


def base_of(address: str, config: Config) -> Base:
    """Return the service that an address names.

    Args:
        address: `service`, `service@URL`, or the URL.
        config: has the URL if the address has none, and the credentials of that same URL.

    Raises:
        BadAddress: there is no URL, or it is none of HTTP.
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
        # The address that the client shows has no password in it, and still has to work.
        known = _parsed(configured)
        if known.url == base.url:
            return known
    return base


def _parsed(text: str) -> Base:
    try:
        url = parse_url(text.strip())
    except LocationParseError:
        raise BadAddress(f"{_shown(text)!r} is no URL; {_EXPECTED}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise BadAddress(f"{_shown(text)!r} is no URL of HTTP; {_EXPECTED}")
    if url.query or url.fragment:
        raise BadAddress(f"{_shown(text)!r} has a query or a fragment; {_EXPECTED}")
    plain = Url(url.scheme, None, url.host, url.port, (url.path or "").rstrip("/") or None)
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return Base(plain.url, (url.scheme, url.host, port), url.auth)


def _shown(text: str) -> str:
    """Return a URL without what may be secret: what stands before its host, and its query."""
    scheme, mark, rest = text.partition("://")
    if not mark or not scheme.isalnum():
        scheme, mark, rest = "", "", text
    before, _, after = rest.rpartition("@")
    if _ENDS.search(before):
        # A password with such a sign in it, or a query with an @: nobody knows.
        return f"{scheme}{mark}…"
    return scheme + mark + _ENDS.split(after)[0]
