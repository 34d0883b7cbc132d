"""Checks of every request: its key, its origin, its body."""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote

import anyio
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mfc_server._call import Refused
from mfc_server._limits import LARGE_BODIES, LARGE_BODY, MAX_BODY

#: Paths that need no key: whether the server is alive, and nothing else.
OPEN = ("/ping", "/healthcheck")
#: Methods that change nothing.
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]\\?#]*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
#: A valid path of a client: every % begins two digits.
_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)


class Entrance:
    """Checks the origin and the key of a request, and leaves the path encoded.

    Args:
        app: the application behind.
        api_key: required value of the header `x-api-key`; None: no key is required.
        prefix: path in front of all endpoints.
        hosts: names of this server, besides those that cannot belong to another.
    """

    def __init__(
        self, app: ASGIApp, api_key: str | None, prefix: str, hosts: Iterable[str] = ()
    ) -> None:
        self._app, self._key = app, api_key.encode() if api_key else None
        self._open = {prefix + path for path in OPEN}
        self._hosts = own_names(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] == "http":
            raw = _ABSOLUTE.sub(b"", scope["raw_path"], count=1) or b"/"
            # Encoded, because a name may contain a slash.
            scope["path"] = raw.decode("latin-1")
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = _headers(scope)
        if self._key is not None:
            opened = scope["method"] == "GET" and scope["path"] in self._open
            given = headers.get("x-api-key", [])
            right = len(given) == 1 and secrets.compare_digest(
                given[0].encode("latin-1"), self._key
            )
            if not (opened or right):
                return refused(401, "x-api-key is missing or wrong")
        elif (wrong := self._foreign_host(headers)) is not None:
            return refused(403, wrong)
        if scope["method"] not in SAFE:
            return _cross_site(headers) or _unreadable(headers)
        return None

    def _foreign_host(self, headers: dict[str, list[str]]) -> str | None:
        """Return the error in the host name of a request.

        A web page can make its own name resolve to this machine, and would then be same-site with a
        server without a key.
        """
        for given in headers.get("host", []):
            name = _host_name(given)
            if name is None:
                return f"{given!r:.80} is not the name of a host"
            if not is_own(name, self._hosts):
                return (
                    f"{name!r:.80} is not a known name of this server; if it is one, start the "
                    "server with --allow-host and that name, or with a key"
                )
        return None


def own_names(hosts: Iterable[str]) -> frozenset[str]:
    """Return the names of this machine and the given ones, in the form for comparison."""
    own = [socket.gethostname(), socket.getfqdn(), *hosts]
    return frozenset(name.lower().rstrip(".") for name in own)


def is_own(name: str, known: Collection[str]) -> bool:
    """Tell whether a host name is this server's, rather than a stranger's.

    Addresses, and names without a dot, cannot be registered by a stranger.

    >>> [is_own(name, ["meta.org"]) for name in ("127.0.0.1", "::1", "db", "meta.org", "evil.org")]
    [True, True, True, True, False]
    """
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return "." not in name or name in known or name.endswith(".localhost") or "*" in known
    return True


def _host_name(given: str) -> str | None:
    found = _HOST.fullmatch(given)
    return found[1].strip("[]").lower().rstrip(".") if found else None


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _cross_site(headers: dict[str, list[str]]) -> Response | None:
    """Refuse a change that another site's page sends through a browser."""
    own = {host.lower() for host in headers.get("host", [])}
    for origin in headers.get("origin", []):
        scheme, _, host = origin.lower().partition("://")
        if scheme not in ("http", "https") or _with_port(scheme, host) not in {
            _with_port(scheme, each) for each in own
        }:
            return refused(403, f"changes from pages of {origin!r:.80} are not accepted")
    if any(site not in ("same-origin", "none") for site in headers.get("sec-fetch-site", [])):
        return refused(403, "changes from pages of other sites are not accepted")
    return None


def _with_port(scheme: str, host: str) -> str:
    return host if re.search(r":[0-9]+\Z", host) else f"{host}:{443 if scheme == 'https' else 80}"


def _unreadable(headers: dict[str, list[str]]) -> Response | None:
    """Refuse bodies other than JSON: forms and texts are the types that foreign pages can send."""
    for kind in headers.get("content-type", []):
        essence, _, parameters = kind.partition(";")
        charset = re.search(r"charset=\"?([^\s\";]*)", parameters, re.IGNORECASE)
        if not _JSON_TYPE.fullmatch(essence.strip()):
            return refused(415, f"Content-Type has to be application/json, not {kind!r:.80}")
        if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            return refused(415, f"the body has to be UTF-8, not {charset[1]!r:.80}")
    for coding in headers.get("content-encoding", []):
        if coding.strip().lower() not in ("", "identity"):
            return refused(415, f"Content-Encoding {coding!r:.80} is not understood; send it plain")
    return None


def refused(status: int, message: object) -> Response:
    """Return a refusal in the service's form: JSON, labelled as text."""
    return PlainTextResponse(json.dumps(message), status)


class Bodies:
    """Reads request bodies, within a limit of size and time, and few large ones at once.

    Args:
        seconds: for all of one body.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._large = anyio.Semaphore(LARGE_BODIES)

    async def read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body; None if the client left.

        Raises:
            Refused: the body is too large, or too slow.
        """
        length = next((v for n, v in scope["headers"] if n == b"content-length"), b"0")
        if length.isdigit() and int(length[:20]) > MAX_BODY:
            raise _too_large()
        parts: list[bytes] = []
        held = False
        try:
            with anyio.fail_after(self._seconds):
                while True:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size = sum(map(len, parts))
                    if size > MAX_BODY:
                        raise _too_large()
                    if not message.get("more_body", False):
                        return b"".join(parts)
                    if size > LARGE_BODY:
                        parts = [b"".join(parts)]
                        if not held:
                            await self._large.acquire()
                            held = True
        except TimeoutError as error:
            message_of = f"the body did not arrive within {self._seconds:g} seconds"
            raise Refused(408, message_of) from error
        finally:
            if held:
                self._large.release()


def _too_large() -> Refused:
    return Refused(413, f"the body has more than {MAX_BODY} bytes; send several smaller ones")


def decoded(segment: str) -> str:
    """Return the name that a segment of a path encodes.

    Raises:
        Refused: the segment is not valid UTF-8.
    """
    try:
        if not _ENCODED.fullmatch(segment):
            raise ValueError("% without two digits")
        return unquote(segment, errors="strict")
    except ValueError as error:
        raise Refused(
            400, f"{segment!r:.80} in the path has to be UTF-8, percent-encoded"
        ) from error


def parameters(query: bytes, most: int) -> list[tuple[str, str]]:
    """Return the parameters of a query.

    Raises:
        Refused: there are too many, or their bytes are not UTF-8.
    """
    try:
        found: Any = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=most
        )
    except ValueError as error:
        if query.count(b"&") >= most:
            raise Refused(400, f"the query has more than {most} parameters") from error
        raise Refused(400, "the query has to be UTF-8, percent-encoded") from error
    if any("\0" in text for pair in found for text in pair):
        raise Refused(400, "the query has a NUL character, which no database stores")
    return list(found)
