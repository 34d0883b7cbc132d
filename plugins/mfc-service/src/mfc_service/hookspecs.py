"""What mfc-service asks of other plugins. `mfc_service.auth` has what helps them to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import hookspec

if TYPE_CHECKING:
    from requests.auth import AuthBase

    from mfc.config import Config


@hookspec
def mfc_service_auth(url: str, config: Config) -> AuthBase | None:
    """How do requests to the service at `url` prove who sends them?

    Asked once per client. None: this is no concern of yours. What is returned is called for every
    request, from several threads; one with a method `renew(request)` is asked for newer
    credentials when a request was answered with 401: see `mfc_service.auth.BearerToken`.
    """
