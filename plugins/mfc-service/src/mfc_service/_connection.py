"""Requests to a service: pooled connections, deadlines, retries, errors of mfc."""

from __future__ import annotations

import collections
import json
import os
import re
import threading
import time
import weakref
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urljoin

import attrs
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from mfc.config import Config
from mfc.errors import MetaflowException, Unanswered
from mfc.hookspecs import Hooks, Meter
from mfc.model import Pathspec
from mfc_service._address import Base
from mfc_service._bodies import body_of
from mfc_service._deadline import POOLS, Call
from mfc_service._retries import PASSING, Budget, pause
from mfc_service._rows import impossible
from mfc_service._settings import Settings, settings_of

#: Most seconds to connect, and between two bytes.
CONNECT, SILENCE = 10.0, 30.0
#: Tries of one request, including the first.
TRIES = 6
REDIRECTS = 5
#: Statuses of a redirect.
_ELSEWHERE = (301, 302, 303, 307, 308)
#: Types of JSON bodies, in words.
_KINDS: dict[type[Any], str] = {dict: "an object", list: "a list"}
_NO_CREDENTIALS = "a plugin's credentials for it could not be fetched ({0!r})"
#: Most characters of an unexpected answer that an error shows.
_EXCERPT = 160
#: Words that mark an answer with internals of the service.
_INSIDES = ("pgerror", "psycopg", "traceback", "Traceback", "err_msg", "SELECT ")
#: Bodies of a 404 for a missing object. Any other 404 means a missing endpoint: the service is old,
#: or the URL is another server's.
_MISSING = (b"{}", b'"{}"')
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


@attrs.frozen
class Answer:
    """The service's answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    #: The request, for errors.
    question: str

    @property
    def cut_off(self) -> bool:
        """Whether it ended before its body, which http.client takes for an empty body."""
        length, coding = map(self.headers.get, ("Content-Length", "Transfer-Encoding"))
        # The last header may be cut off in its value.
        told = (length or "").strip().isdigit() or (coding or "").strip().lower() == "chunked"
        empty = self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        return not (self.body or told or empty)

    @property
    def passing(self) -> bool:
        """Whether a retry may succeed."""
        return self.status in PASSING

    @property
    def no_route(self) -> bool:
        """Whether the service lacks the endpoint: it is old, or not a metadata service."""
        return self.status == HTTPStatus.NOT_FOUND and self.body.strip() not in _MISSING

    def lacks(self, path: Pathspec) -> bool:
        """Tell whether the answer means that no object exists at `path`."""
        if self.status == HTTPStatus.NOT_FOUND:
            # Any other 404 comes from a proxy in front of the service.
            return not self.no_route
        return self.status == HTTPStatus.INTERNAL_SERVER_ERROR and impossible(path)

    @property
    def paged(self) -> bool:
        """Whether the service applied limits and filters; otherwise this is the whole listing."""
        return "X-Limit" in self.headers

    def older(self, *version: int) -> bool:
        """Tell whether the answer comes from a service before `version`."""
        found = _VERSION.match(self.headers.get("METADATA_SERVICE_VERSION", ""))
        return found is not None and tuple(map(int, found.groups())) < version

    def document(self, kind: type[Any]) -> Any:
        """Return the body, JSON whatever type it is labelled with.

        Raises:
            Unanswered: the status is not 200, or the body is not such JSON.
        """
        if self.status != HTTPStatus.OK:
            raise refusal(self)
        found = self._json()
        if not isinstance(found, kind):
            reason = f"expected {_KINDS[kind]} in JSON, got {excerpt(self.body)!r}"
            raise Unanswered(self.question, reason)
        return found

    def _json(self) -> Any:
        try:
            return json.loads(self.body, parse_constant=_refused)
        except (ValueError, RecursionError) as cause:
            kind = self.headers.get("Content-Type", "no type")
            raise Unanswered(
                self.question,
                f"the answer is not JSON ({kind:.80}): {excerpt(self.body)!r}. Is this the "
                "service, or a gateway that wants a login?",
            ) from cause


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not of JSON")


class Connection:
    """The connection of this process to a service; threads share it.

    Args:
        settings: the settings of the connection.
        meter: where requests and bytes are counted.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self.settings, self._meter = settings, meter
        self.page_size = settings.page_size
        self._shared: _Pool | None = None

    @property
    def _pool(self) -> _Pool:
        """The connection pool of this process; a forked child must leave its parent's alone."""
        found = self._shared
        if found is None or found.pid != os.getpid():
            found = self._shared = _pool(self.settings)
        return found

    def get(
        self, path: str, params: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Answer:
        """Send a GET request, with retries if necessary.

        Args:
            path: below the base, encoded.
            params: of the query; this method encodes them.
            seconds: the deadline; None takes the settings' one.

        Raises:
            Unanswered: the answer is late, or not the service's.
        """
        url = self.settings.base.url + path + _query(params)
        deadline = time.monotonic() + (self.settings.timeout if seconds is None else seconds)
        attempt, earlier = 0, None
        while True:
            attempt += 1
            found = self._attempted(url, deadline - time.monotonic())
            if isinstance(found, Late) and earlier is not None:
                # The last try had little time, so an earlier error is more telling.
                raise _given_up(earlier, attempt - 1, late=True)
            if isinstance(found, Answer) and not found.passing:
                self._pool.budget.earn()
                return found
            wait = pause(attempt, found.headers if isinstance(found, Answer) else {})
            late = time.monotonic() + wait >= deadline
            if late or not self.may_repeat(attempt):
                raise _given_up(found, attempt, late=late)
            earlier = found
            time.sleep(wait)

    def may_repeat(self, attempt: int) -> bool:
        """Tell whether a retry is allowed after this many tries, and spend it from the budget."""
        return attempt < TRIES and self._pool.budget.spend()

    def patch(self, path: str, document: object, seconds: float) -> Answer:
        """Send a PATCH request once: only the caller can tell whether the change happened.

        Raises:
            Lost: the answer was lost.
            Unanswered: the answer is not the service's.
        """
        data = json.dumps(document).encode()
        with Call(seconds) as call:
            return self._tried("PATCH", self.settings.base.url + path, data, call)

    def _attempted(self, url: str, seconds: float) -> Answer | Lost:
        try:
            with Call(seconds) as call:
                return self._tried("GET", url, None, call)
        except Lost as lost:
            return lost

    def _tried(self, method: str, url: str, data: bytes | None, call: Call) -> Answer:
        """Send a request once, following redirects within the service."""
        renewed = False
        for _ in range(REDIRECTS + 1):
            answer, request = self._sent(method, url, data, call)
            if answer.status == HTTPStatus.UNAUTHORIZED and not renewed and self._renewed(request):
                renewed = True
            elif answer.status in _ELSEWHERE and method == "GET" and "Location" in answer.headers:
                url = self._redirected(url, answer)
            else:
                return answer
        raise Unanswered(f"GET {url}", f"more than {REDIRECTS} redirects; log in at the gateway")

    def _sent(
        self, method: str, url: str, data: bytes | None, call: Call
    ) -> tuple[Answer, requests.PreparedRequest]:
        while True:
            try:
                return self._exchanged(method, url, data, call)
            except Lost:  # noqa: PERF203, it is asked once, or a few times
                # Proxies close idle connections. A retry is free, and stops at the first new
                # connection.
                if method != "GET" or not call.dropped:
                    raise

    def _exchanged(
        self, method: str, url: str, data: bytes | None, call: Call
    ) -> tuple[Answer, requests.PreparedRequest]:
        question = f"{method} {url}"
        pool = self._pool
        try:
            silence = max(min(SILENCE, call.left), 0.001)
            response = pool.session.request(
                method,
                url,
                data=data,
                timeout=(min(CONNECT, silence), silence),
                allow_redirects=False,
                stream=True,
            )
            with response:
                body = body_of(response, question, self.settings.megabytes)
        except (requests.RequestException, HTTPError, OSError, ValueError) as cause:
            # The redirect's target was checked before; only that raises a bare ValueError.
            wrong = isinstance(cause, requests.exceptions.InvalidURL | UnicodeError)
            if (wrong or type(cause) is ValueError) and not call.over:
                raise Unanswered(question, f"it leads to an invalid URL: {cause}") from cause
            if "certificate" in str(cause).lower():
                raise Unanswered(question, _distrust(cause)) from cause
            raise self._lost(question, cause, call) from cause
        except MetaflowException:
            raise
        except Exception as cause:
            if self.settings.auth is None:
                raise self._lost(question, cause, call) from cause
            raise Unanswered(question, _NO_CREDENTIALS.format(cause)) from cause
        finally:
            self._meter.add(reads=1)
        self._meter.add(size=len(body))
        answer = Answer(response.status_code, response.headers, body, question)
        if call.expired:
            raise Late(question, _late(self.settings))
        if answer.cut_off:
            raise Lost(question, "the answer ended in its headers; is the service up?")
        return answer, response.request

    def _lost(self, question: str, cause: Exception, call: Call) -> Lost:
        if call.over:
            return Late(question, _late(self.settings))
        return Lost(question, _reason(cause))

    def _renewed(self, request: requests.PreparedRequest) -> bool:
        renew = getattr(self.settings.auth, "renew", None)
        try:
            return renew is not None and bool(renew(request))
        except MetaflowException:
            raise
        except Exception as cause:
            question = f"{request.method} {request.url}"
            raise Unanswered(question, _NO_CREDENTIALS.format(cause)) from cause

    def _redirected(self, url: str, answer: Answer) -> str:
        """Return the target of a redirect; secrets are sent only to the service itself."""
        try:
            target = urljoin(url, answer.headers["Location"])
            found = parse_url(target)
        except (ValueError, HTTPError) as cause:
            raise Unanswered(answer.question, f"it redirects to an invalid URL: {cause}") from cause
        port = found.port or {"http": 80, "https": 443}.get(found.scheme or "", 0)
        if (found.scheme, found.host, port) != self.settings.base.origin:
            elsewhere = f"{found.scheme}://{found.netloc}"
            raise Unanswered(
                answer.question,
                f"it redirects to {elsewhere:.160}; set METAFLOW_SERVICE_URL to "
                "where the service is, or log in at the gateway",
            )
        return target


class Lost(Unanswered):
    """The answer is missing or incomplete; whether the request arrived is unknown."""


class Late(Lost):
    """The answer did not come before the deadline."""


class NoRoute(Unanswered):
    """The service lacks this endpoint."""


class _Pool:
    """The connections to one service, shared by clients with the same settings."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.budget = Budget()
        self.session = session = requests.Session()
        # The settings hold the environment's values; requests would look them up each time.
        session.trust_env = False
        session.proxies.update(settings.proxies)
        session.verify = settings.authorities or True
        session.cert = settings.certificate
        session.headers["User-Agent"] = "mfc-service"
        session.headers.update(settings.headers)
        session.auth = settings.auth
        adapter = _Adapter(pool_connections=2, pool_maxsize=settings.connections, pool_block=True)
        session.mount("http://", adapter)
        session.mount("https://", adapter)


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager


_lock = threading.Lock()
#: Pools in use, and the most recent ones for clients to come.
_pools: weakref.WeakValueDictionary[object, _Pool] = weakref.WeakValueDictionary()
_recent: collections.deque[_Pool] = collections.deque(maxlen=16)


def _pool(settings: Settings) -> _Pool:
    """Return the pool that clients with these settings share in this process."""
    auth = settings.auth
    key = (
        settings.base.url,
        settings.connections,
        tuple(sorted(settings.headers.items())),
        tuple(sorted(settings.proxies.items())),
        (auth.username, auth.password) if isinstance(auth, HTTPBasicAuth) else id(auth),
        settings.certificate,
        settings.authorities,
    )
    with _lock:
        found = _pools.get(key)
        if found is None or found.pid != os.getpid():
            found = _pools[key] = _Pool(settings)
            _recent.append(found)
    return found


def _after_fork() -> None:
    global _lock  # noqa: PLW0603, another thread may have held it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def connect(base: Base, config: Config, hooks: Hooks, meter: Meter) -> Connection:
    """Return the connection that the settings describe; for errors see `settings_of`."""
    return Connection(settings_of(base, config, hooks), meter)


def _query(params: Mapping[str, str] | None) -> str:
    if not params:
        return ""
    return "?" + "&".join(f"{quote(k, safe=':_')}={quote(v, safe='')}" for k, v in params.items())


def _given_up(found: Answer | Lost, attempt: int, *, late: bool) -> Unanswered:
    if isinstance(found, Lost):
        return found
    more = [f"in {attempt} tries"] if attempt > 1 else []
    told = found.headers.get("Retry-After")
    if told and late:
        shown = excerpt(told.encode())
        more.append(f"(Retry-After: {shown:.40}, which is beyond MFC_SERVICE_TIMEOUT)")
    return refusal(found, " ".join(more))


def refusal(answer: Answer, more: str = "") -> Unanswered:
    """Return the error for an unexpected answer."""
    advice = {
        401: "the caller is not known: set METAFLOW_SERVICE_AUTH_KEY or METAFLOW_SERVICE_HEADERS",
        403: "the caller may not: check METAFLOW_SERVICE_AUTH_KEY and METAFLOW_SERVICE_HEADERS",
        404: "no such endpoint: is METAFLOW_SERVICE_URL a metadata service's?",
    }.get(answer.status)
    told = advice or excerpt(answer.body)
    reason = f"status {answer.status}{' ' + more if more else ''}{': ' + told if told else ''}"
    return (NoRoute if answer.no_route else Unanswered)(answer.question, reason)


def excerpt(body: bytes) -> str:
    """Return a short excerpt of an unexpected answer, without internals of the service."""
    text = body[:4096].decode("utf-8", "replace")
    if any(mark in text for mark in _INSIDES):
        return "the service failed; its log says why"
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
    plain = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    plain = "".join(c if c.isprintable() else " " for c in plain)
    plain = " ".join(plain.split()).strip('"')
    return plain if len(plain) <= _EXCERPT else f"{plain[:_EXCERPT]}…"


def _reason(cause: Exception) -> str:
    if isinstance(cause, requests.Timeout):
        return f"nothing came for {SILENCE:g} s; is the service up, and reachable from here?"
    inner: BaseException = cause
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    said = excerpt(str(inner).encode("utf-8", "replace"))
    return f"no answer ({type(inner).__name__}: {said}); is the service up, and its URL right?"


def _distrust(cause: Exception) -> str:
    return (
        f"TLS failed ({cause}); REQUESTS_CA_BUNDLE names a file with the certificates to trust, "
        "MFC_SERVICE_CERT and MFC_SERVICE_KEY those to show"
    )


def _late(settings: Settings) -> str:
    return f"not answered within {settings.timeout:g} s; MFC_SERVICE_TIMEOUT can be longer"
