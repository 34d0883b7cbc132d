"""Hooks that mfc-service calls. `mfc_service.auth` helps to implement them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import hookspec

if TYPE_CHECKING:
    from requests.auth import AuthBase

    from mfc.config import Config


@hookspec
def mfc_service_auth(url: str, config: Config) -> AuthBase | None:
    """Return a callable that authenticates requests to the service at `url`, or None.

    Called once per client. None leaves the service to other plugins. The callable runs for every
    request, in several threads. If it has a method `renew(request)`, that is called for newer
    credentials when a request was answered with 401: see `mfc_service.auth.BearerToken`.
    """
