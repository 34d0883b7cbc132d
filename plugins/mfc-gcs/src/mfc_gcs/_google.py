"""Opening buckets of Google Cloud Storage, with google-auth for the credentials."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from datetime import timezone
from typing import Any
from urllib.parse import quote

import attrs

from mfc.config import Config
from mfc_objectstore.files import Bucket, Cloud
from mfc_objectstore.machine import channel_of_requests, endpoint, header_safe, options_of
from mfc_objectstore.secrets import safely, scrubbed

_OPTIONS, _VARIABLE = "MFC_GS_OPTIONS", "GOOGLE_APPLICATION_CREDENTIALS"
#: Known options: the endpoint, the credentials, and whether any certificate is accepted.
_KNOWN = (
    "application_credentials",
    "base_url",
    "bearer_token",
    "service_account",
    "service_account_key",
    "skip_signature",
)
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only",)
_UNIVERSE = "googleapis.com"
#: Seconds before its expiry at which a token is renewed. Source: google-auth's REFRESH_THRESHOLD.
_MARGIN = 225
#: Least seconds for which a token is used, however soon it is said to expire.
_LEAST = 5


class Google(Cloud):
    """Cloud Storage, with the settings and credentials that Metaflow's users have for it.

    Args:
        config: the client's settings.

    Raises:
        BadSetting: an option is unknown.

    Source:
        Metaflow 2.19, `plugins.gcp.gs_storage_client_factory`: `google.auth.default` finds the
            credentials.
    """

    ds_type = "gs"

    def __init__(self, config: Config) -> None:
        self._options = options_of(config, _OPTIONS, _KNOWN)
        if base := self._options.get("base_url"):
            endpoint(base, f"{_OPTIONS}: base_url", "the settings")

    def bucket(self, name: str) -> Bucket:
        """Return the recipe for opening a bucket."""
        options = self._options
        place, setting = _place(options.get("base_url"))
        url = f"{endpoint(place, setting, 'the environment')}/{quote(name, safe='')}"
        is_open = setting.startswith((_OPTIONS, "STORAGE_EMULATOR_HOST"))
        if options.get("skip_signature", is_open):  # emulators take unsigned requests
            return self._bucket(url, {})
        if token := options.get("bearer_token"):
            return self._bucket(url, {"authorization": f"Bearer {token}"})
        from google.auth.transport.requests import Request  # 150 ms, and emulators do without

        credentials = safely(lambda: _credentials(options), _told)
        universe = getattr(credentials, "universe_domain", _UNIVERSE)
        if universe != _UNIVERSE and not is_open:
            raise PermissionError(
                f"The credentials for Google Cloud Storage are of {universe}, not {_UNIVERSE}; to "
                f'read there, set {_OPTIONS}={{"base_url": "https://storage.{universe}", '
                '"skip_signature": false}'
            )

        def renew() -> Bucket:
            headers: dict[str, str] = {}
            safely(lambda: credentials.before_request(Request(), "GET", url, headers), _told)
            made = self._bucket(url, headers)
            return attrs.evolve(made, until=_until(credentials), renew=renew)

        return renew()

    def _bucket(self, url: str, headers: dict[str, str]) -> Bucket:
        way = channel_of_requests(url)
        if not all(header_safe(*value.split(" ")) for value in headers.values()):
            raise PermissionError("The token or quota project for Google has line breaks or blanks")
        return Bucket(url, client={**way, "default_headers": headers} if headers else way)


def _place(base: str | None) -> tuple[str, str]:
    """Return the URL of Cloud Storage, and the setting that gives it.

    Source:
        google-cloud-storage 3, `Client`: an emulator, an override of the endpoint, or Google's own.
    """
    if base:
        return base, f"{_OPTIONS}: base_url"
    for name in ("STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE"):
        if found := os.environ.get(name):
            return found if "://" in found else f"http://{found}", name
    if os.environ.get("GOOGLE_API_USE_MTLS_ENDPOINT") == "always":
        return f"https://storage.mtls.{_UNIVERSE}", "GOOGLE_API_USE_MTLS_ENDPOINT"
    return f"https://storage.{_UNIVERSE}", "Google's own"


def _credentials(options: dict[str, Any]) -> Any:
    """Return credentials of google-auth: those in the options, or its defaults."""
    import google.auth._cloud_sdk  # as above
    from google.auth.credentials import with_scopes_if_required

    auth: Any = google.auth
    path = options.get("service_account") or options.get("application_credentials")
    usual = auth._cloud_sdk.get_application_default_credentials_path()  # noqa: SLF001
    with warnings.catch_warnings():
        # The warning is about files from strangers; the user chose these.
        warnings.simplefilter("ignore", DeprecationWarning)
        if text := options.get("service_account_key"):
            given = json.loads(text) if isinstance(text, str) else text
            return auth.load_credentials_from_dict(given, scopes=_SCOPES)[0]
        if path:
            return auth.load_credentials_from_file(os.path.expanduser(path), scopes=_SCOPES)[0]
        if os.environ.get(_VARIABLE) in (None, "", usual) and os.path.isfile(usual):
            # `default` finds the same, but runs gcloud for a project, which takes seconds.
            found, _ = auth.load_credentials_from_file(usual)
            return with_scopes_if_required(found, _SCOPES)  # type: ignore[no-untyped-call]
    return auth.default(scopes=_SCOPES)[0]


def _until(credentials: Any) -> float:
    """Return when a token expires, in seconds since 1970."""
    if credentials.expiry is None:
        return math.inf
    end: float = credentials.expiry.replace(tzinfo=timezone.utc).timestamp()
    return max(end - _MARGIN, time.time() + _LEAST)


def _told(error: Exception) -> str:
    """Return the text for an error of google-auth, or of the settings that it reads."""
    from google.auth import exceptions  # as above

    text = scrubbed(error.args[0] if error.args else error)
    if isinstance(error, exceptions.RefreshError):
        text = f"the token server refused: {text}"
    elif isinstance(error, exceptions.TransportError):
        text = f"the token server was not reached: {text}"
    elif not isinstance(error, exceptions.GoogleAuthError):
        text = f"their file cannot be used, make a new one ({type(error).__name__})"
    return (
        "No credentials for Google Cloud Storage (GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth "
        f"application-default login`, or the machine's; for public buckets set {_OPTIONS}="
        f'{{"skip_signature": true}}): {text}'
    )
