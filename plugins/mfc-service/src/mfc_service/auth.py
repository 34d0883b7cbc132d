"""Ways to authenticate requests, for plugins that implement `mfc_service_auth`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from requests import PreparedRequest
from requests.auth import AuthBase

_all: weakref.WeakSet[BearerToken] = weakref.WeakSet()


def _renew_locks() -> None:
    for each in _all:
        each._lock = threading.Lock()  # noqa: SLF001 - another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class BearerToken(AuthBase):
    """A token in the header `Authorization` that is fetched when needed, and again on 401.

    ::

        @hookimpl
        def mfc_service_auth(url, config):
            return BearerToken(lambda: fetch_token_somehow())

    Args:
        fetch: returns a valid token; it runs once, however many threads wait for the token.
    """

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token: str | None = None
        _all.add(self)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the token into a request."""
        with self._lock:
            if self._token is None:
                self._token = self._fetch()
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def renew(self, request: PreparedRequest) -> bool:
        """Fetch a new token unless another thread has since `request` was made; return True."""
        with self._lock:
            if request.headers.get("Authorization") == f"Bearer {self._token}":
                self._token = self._fetch()
        return True

    def __repr__(self) -> str:
        return "<BearerToken>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a token is not written anywhere; its fetcher makes another one")
