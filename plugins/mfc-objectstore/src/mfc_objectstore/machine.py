"""A cloud's settings for an HTTP client: endpoints, proxies, certificates."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from mfc.config import Config
from mfc.errors import BadSetting

#: Allowed hosts and paths of a URL; obstore panics at others.
_HOST, _PATH = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+", re.ASCII), re.compile(r"[!-~]*", re.ASCII)
_UNSAFE = re.compile(r"[\"'<>\\^`{|}]")
_PORTS = range(1, 1 << 16)
#: A proxy that is never used; it keeps obstore from looking for one itself.
_NO_PROXY = {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": "*,0.0.0.0/0,::/0"}


def endpoint(value: object, setting: str, source: str) -> str:
    """Return the URL that a setting names, without a slash at its end, blanks or a query.

    Raises:
        BadSetting: it is not the URL of a server; the text leaves out users and queries.

    >>> endpoint(" https://store.example.com:9000/ ", "X", "the environment")
    'https://store.example.com:9000'
    """
    text = str(value).strip()
    try:
        parts = urlsplit(text)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = parts._replace(scheme=parts.scheme.lower(), query="", fragment="")
    right = (
        plain.scheme in ("http", "https")
        and _HOST.fullmatch(parts.hostname or "")
        and parts.username is None
        and port in _PORTS
        and _PATH.fullmatch(plain.path)
        and not _UNSAFE.search(plain.path)
    )
    if not right:
        raise BadSetting(setting, bare(text), source, "a URL, https://HOST or https://HOST:PORT")
    return plain.geturl().rstrip("/")


def options_of(config: Config, name: str, known: Iterable[str]) -> dict[str, Any]:
    """Return the options that a setting gives, a JSON object.

    Raises:
        BadSetting: the setting is not a JSON object, or an option is unknown.
    """
    found = dict(config.mapping(name))
    found.pop("allow_invalid_certificates", None)  # which all stores have in common
    if strange := sorted(found.keys() - set(known)):
        expected = f"some of {', '.join(known)}, allow_invalid_certificates"
        raise BadSetting(name, strange, "the settings", expected)
    return found


def bare(url: str) -> str:
    """Return a URL, well-formed or not, without its user and its query, which may be secret."""
    return url.rpartition("@")[2].partition("?")[0]


def channel(
    url: str, proxy: str | None = None, verify: object = None, cert: object = None
) -> dict[str, Any]:
    """Return the options of obstore's HTTP client for the connection to a server.

    Args:
        url: of the server.
        proxy: URL of the proxy on the way, as the cloud's library has chosen it.
        verify: False trusts any certificate; a path names a file or folder of trusted ones.
        cert: a client certificate, which obstore cannot send.

    Raises:
        PermissionError: the certificates cannot be read, or a client certificate is wanted.
    """
    if cert:
        raise PermissionError(
            "client certificates are not supported; fsspec's filesystems take them"
        )
    options: dict[str, Any] = {}
    if url.startswith("http://"):
        options["allow_http"] = True
    if proxy:
        options["proxy_url"] = proxy if "://" in proxy else f"http://{proxy}"
    elif any(name.lower().endswith("_proxy") for name in os.environ):
        options.update(_NO_PROXY)
    if verify is False:
        options["allow_invalid_certificates"] = True
    elif isinstance(verify, (str, os.PathLike)):
        options["root_certificate"] = _certificates(os.fspath(verify))
    return options


def channel_of_requests(url: str) -> dict[str, Any]:
    """Return the same options from the settings of `requests`, which Google's and Azure's use."""
    import requests  # 60 ms, and loaded by the credential lookup anyway

    found = requests.Session().merge_environment_settings(url, {}, None, None, None)
    proxy = requests.utils.select_proxy(url, found["proxies"])
    return channel(url, proxy, found["verify"], found["cert"])


def _certificates(path: str) -> bytes:
    """Return the certificates in a file, or in the files of a folder."""
    try:
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
        found = []
        for name in names:
            with open(os.path.join(path, name) if name else path, "rb") as file:
                found.append(file.read())
    except OSError as cause:
        reason = cause.strerror
    else:
        content = b"\n".join(found)
        if b"-----BEGIN CERTIFICATE-----" in content:
            return content
        reason = "it holds none"
    raise PermissionError(f"the trusted certificates in {path!r} cannot be used: {reason}")


def header_safe(*values: object) -> bool:
    """Tell whether all values can be sent in headers: printable ASCII, not empty."""
    return all(re.fullmatch("[!-~]+", str(value)) for value in values)
