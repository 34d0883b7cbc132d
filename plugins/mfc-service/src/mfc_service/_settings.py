"""The settings of a connection, from the client's settings, the environment and other plugins."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

import attrs
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies, get_netrc_auth

from mfc.config import Config
from mfc.errors import BadSetting, BadSettingsFile, PluginConflict
from mfc.hookspecs import Hooks
from mfc_service._address import Base
from mfc_service._bodies import LARGEST

#: Most seconds for one query.
WHOLE = 60.0
CONNECTIONS, MAX_CONNECTIONS = 8, 64
#: Rows of a page.
PAGE, MAX_PAGE = 500, 500
#: Most megabytes of a body.
MAX_BODY = 100_000
HEADERS, KEY = "METAFLOW_SERVICE_HEADERS", "METAFLOW_SERVICE_AUTH_KEY"
#: Variables that name the certificates to trust, as for `requests` and curl.
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Valid characters of a header's value: no control character but the tabulator.
_VALUE = re.compile("[\\t\\x20-\\x7e\\x80-\\xff]*")
#: Stands for a value that may be secret.
_HIDDEN = "…"


@attrs.frozen
class Settings:
    """The settings of a connection."""

    base: Base
    connections: int
    #: Deadline of one query in seconds, including all retries.
    timeout: float
    page_size: int
    #: Most megabytes of an answer's body, uncompressed.
    megabytes: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    auth: AuthBase | None = attrs.field(repr=False)
    #: By scheme, the proxies of the environment; they may have passwords.
    proxies: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    #: Files with a certificate and its key, for a service that requires one.
    certificate: tuple[str, str] | str | None = None
    #: A file or folder with the certificates to trust in place of the usual ones.
    authorities: str | None = None


def settings_of(base: Base, config: Config, hooks: Hooks) -> Settings:
    """Return the settings for the service at `base`.

    Raises:
        BadSetting: a setting is invalid; possible secrets are not shown.
        PluginConflict: several plugins authenticate the requests.
    """
    headers = _headers(config)
    certificate, key = (_file(name, config) for name in ("MFC_SERVICE_CERT", "MFC_SERVICE_KEY"))
    return Settings(
        base=base,
        connections=_whole(config, "MFC_SERVICE_CONNECTIONS", CONNECTIONS, MAX_CONNECTIONS),
        timeout=_seconds(config),
        page_size=_whole(config, "SERVICE_PAGE_SIZE", PAGE, MAX_PAGE),
        megabytes=_whole(config, "MFC_SERVICE_BODY", LARGEST, MAX_BODY),
        headers=headers,
        auth=_auth(base, config, hooks, headers),
        proxies=get_environ_proxies(base.url),
        certificate=(certificate, key) if certificate and key else certificate,
        authorities=_authorities() if base.origin[0] == "https" else None,
    )


def _headers(config: Config) -> dict[str, str]:
    try:
        given = config.mapping("SERVICE_HEADERS")
    except BadSettingsFile:
        raise
    except BadSetting as bad:
        raise BadSetting(bad.name, _HIDDEN, bad.source, bad.expected) from None
    headers = {name: _value(HEADERS, config, value) for name, value in given.items()}
    if not all(map(_NAME.fullmatch, headers)):
        raise BadSetting(HEADERS, _HIDDEN, _source(config, HEADERS), "names of HTTP headers")
    if key := config.text("SERVICE_AUTH_KEY"):
        headers["x-api-key"] = _value(KEY, config, key)
    return headers


def _value(setting: str, config: Config, value: object) -> str:
    # JSON numbers are accepted; other types than text are a mistake.
    wrong = isinstance(value, bool) or not isinstance(value, str | int | float)
    text = "\n" if wrong else str(value)
    if not _VALUE.fullmatch(text):
        expected = "text that an HTTP header can hold: no line break, nothing beyond Latin-1"
        raise BadSetting(setting, _HIDDEN, _source(config, setting), expected)
    return text.strip(" \t")


def _source(config: Config, setting: str) -> str:
    found = config.find(setting.removeprefix("METAFLOW_"))
    return found[1] if found else "the settings"


def _file(name: str, config: Config) -> str | None:
    path = config.text(name)
    if path and not os.path.isfile(path):
        raise BadSetting(name, path, _source(config, name), "a file, and it is missing")
    return path or None


def _authorities() -> str | None:
    for name in AUTHORITIES:
        path = os.environ.get(name)
        if path and not os.path.exists(path):
            raise BadSetting(name, path, "the environment", "a file, and it is missing")
        if path:
            return path
    return None


def _auth(base: Base, config: Config, hooks: Hooks, headers: Mapping[str, str]) -> AuthBase | None:
    found = hooks.ask("mfc_service_auth", url=base.url, config=config)
    if len(found) > 1:
        claims = tuple(type(each).__module__ for each in found)
        raise PluginConflict(
            f"authentication at {base.url}", claims, "uninstall all of them but one"
        )
    if found:
        return found[0]  # type: ignore[no-any-return]
    if base.credentials:
        user, _, password = base.credentials.partition(":")
        return HTTPBasicAuth(unquote(user), unquote(password))
    if "authorization" in map(str.lower, headers):
        return None  # the setting is for this service, a .netrc for all programs
    known = get_netrc_auth(base.url)
    return HTTPBasicAuth(*known) if known else None


def _whole(config: Config, name: str, usual: int, most: int) -> int:
    found = config.number(name, usual)
    if not 1 <= found <= most or found != int(found):
        value, source = config.find(name) or (found, "the settings")
        full = name if name.startswith("MFC_") else f"METAFLOW_{name}"
        raise BadSetting(full, value, source, f"a whole number of 1 to {most}")
    return int(found)


def _seconds(config: Config) -> float:
    found = config.number("MFC_SERVICE_TIMEOUT", WHOLE)
    if not 0 < found < float("inf"):
        value, source = config.find("MFC_SERVICE_TIMEOUT") or (found, "the settings")
        raise BadSetting("MFC_SERVICE_TIMEOUT", value, source, "seconds, more than 0")
    return found
