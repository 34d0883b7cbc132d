"""Who reads: Google's application default credentials, without its libraries where possible."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import timezone
from typing import Any

import attrs

from mfc_objectstore.machine import answers

_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
#: Kinds of credentials that obstore reads itself.
_KNOWN = ("service_account", "authorized_user")
#: Scopes that reading needs.
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only",)
_METADATA = "169.254.169.254"


@attrs.frozen
class Credentials:
    """Credentials as obstore takes them."""

    #: Options of the store.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Gives tokens, and new ones when they expire; None if obstore gets them itself.
    provider: Callable[[], Any] | None = attrs.field(default=None, repr=False)


def credentials(environment: Mapping[str, str]) -> Credentials:
    """Return the application default credentials.

    Raises:
        PermissionError: there are none, their file cannot be read, or they need google-auth.

    Source:
        Google, how application default credentials work: the variable, gcloud's file, the machine.
    """
    if any(map(environment.get, ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"))):
        return Credentials()  # obstore's own variables
    if environment.get("GOOGLE_SKIP_SIGNATURE", "").lower() in ("1", "true"):
        return Credentials({"skip_signature": True})
    path = environment.get(_VARIABLE) or _of_gcloud(environment)
    if environment.get(_VARIABLE) or os.path.exists(path):
        kind = _kind(path)
        if kind in _KNOWN:
            return Credentials({"application_credentials": path})
        return _of_google_auth(kind, path)
    place = environment.get("GCE_METADATA_HOST") or environment.get("GCE_METADATA_IP") or _METADATA
    if not answers(f"http://{place}"):
        raise PermissionError(
            f"No credentials for Google Cloud Storage: neither {_VARIABLE} nor {path} names any, "
            f"and no metadata server is at {place}; run `gcloud auth application-default login`, "
            'or for public buckets set MFC_GS_OPTIONS={"skip_signature": true}'
        )
    return Credentials()


def _of_gcloud(environment: Mapping[str, str]) -> str:
    """Return the file that `gcloud auth application-default login` writes."""
    appdata = os.path.join(environment.get("APPDATA", ""), "gcloud")
    usual = appdata if os.name == "nt" else os.path.expanduser("~/.config/gcloud")
    folder = environment.get("CLOUDSDK_CONFIG") or usual
    return os.path.join(folder, "application_default_credentials.json")


def _kind(path: str) -> str:
    """Return what kind of credentials a file has."""
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["type"])
    except OSError as cause:
        reason = cause.strerror or str(cause)
    except (ValueError, KeyError, TypeError):
        reason = "it is not the JSON of credentials"
    raise PermissionError(
        f"No credentials for Google Cloud Storage: {path} ({_VARIABLE}) cannot be used: {reason}"
    )


def _of_google_auth(kind: str, path: str) -> Credentials:
    """Return credentials of a federated or impersonated identity."""
    try:
        import google.auth  # 150 ms, and few kinds of credentials need it
        from google.auth.transport.requests import Request
    except ImportError as missing:
        raise PermissionError(
            f"No credentials for Google Cloud Storage: those in {path} are of type {kind!r}, which "
            "needs google-auth: pip install 'mfc-gcs[google-auth]'"
        ) from missing
    try:
        found, _ = google.auth.default(scopes=_SCOPES)
    except (google.auth.exceptions.GoogleAuthError, ValueError) as cause:
        raise PermissionError(
            f"No credentials for Google Cloud Storage: {path} cannot be used: {cause}"
        ) from cause
    request = Request()

    def token() -> dict[str, Any]:
        found.refresh(request)  # type: ignore[no-untyped-call]
        expiry = found.expiry.replace(tzinfo=timezone.utc) if found.expiry else None
        return {"token": found.token, "expires_at": expiry}

    return Credentials(provider=token)
