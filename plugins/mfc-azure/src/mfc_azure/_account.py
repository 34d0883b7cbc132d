"""Which storage account, from the settings of Metaflow and of Azure's tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from mfc.config import Config
from mfc.errors import BadSetting

_SETTING = "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT"
_SUFFIX = "core.windows.net"
#: Variables with a key, and with a signature: of Azure's tools, of obstore, of adlfs.
_KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
_SIGNATURES = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")


@attrs.frozen
class Account:
    """A storage account, and what comes with its address."""

    name: str
    #: URL of its blob service.
    endpoint: str
    #: A key or a signature, by obstore's names.
    keys: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(cls, config: Config) -> Account:
        """Return the account that a client's configuration names.

        Metaflow's setting wins. A connection string or key of another account is left aside.

        Raises:
            BadSetting: the endpoint is no URL, or the connection string is none.
            PermissionError: nothing names an account.
        """
        environment = config.environment
        text = environment.get("AZURE_STORAGE_CONNECTION_STRING")
        connected = _connected(text) if text else None
        found = config.text(_SETTING)
        if found:
            value, source = config.find(_SETTING) or (found, "")
            chosen = cls._at(found, f"METAFLOW_{_SETTING}", source, value)
        elif connected is not None:
            return connected
        elif name := _first(environment, _ACCOUNTS):
            chosen = cls(name, f"https://{name}.blob.{_SUFFIX}")
        else:
            raise PermissionError(
                f"No account of Azure: set METAFLOW_{_SETTING}, such as "
                f"https://ACCOUNT.blob.{_SUFFIX}, or AZURE_STORAGE_CONNECTION_STRING"
            )
        return attrs.evolve(chosen, keys=chosen.keys or _keys(chosen.name, connected, environment))

    @classmethod
    def _at(cls, url: str, setting: str, source: str, value: object) -> Account:
        """Return the account of a blob service, whose URL may end in a signature."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        inside = parts.path.strip("/").partition("/")[0]
        name = host.partition(".")[0] if ".blob." in host else inside
        if parts.scheme not in ("http", "https") or not name:
            raise BadSetting(setting, value, source, f"a URL, https://ACCOUNT.blob.{_SUFFIX}")
        plain = parts._replace(query="", fragment="").geturl().rstrip("/")
        return cls(name, plain, {"sas_key": parts.query} if parts.query else {})


def _connected(text: str) -> Account:
    """Return the account that a connection string describes.

    Source:
        Azure, configure connection strings.
    """
    setting, source = "AZURE_STORAGE_CONNECTION_STRING", "the environment"
    fields = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    name = fields.get("AccountName", "")
    scheme = fields.get("DefaultEndpointsProtocol", "https")
    suffix = fields.get("EndpointSuffix", _SUFFIX)
    url = fields.get("BlobEndpoint") or (name and f"{scheme}://{name}.blob.{suffix}")
    if not url:
        raise BadSetting(setting, "…", source, "AccountName=…;AccountKey=…, or BlobEndpoint=…")
    found = Account._at(url, setting, source, "…")
    keys = {"account_key": fields.get("AccountKey"), "sas_key": fields.get("SharedAccessSignature")}
    given = {key: value for key, value in keys.items() if value}
    return attrs.evolve(found, name=name or found.name, keys=given or found.keys)


def _keys(name: str, connected: Account | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the key or signature for an account; what is of another account is none."""
    if connected is not None and connected.name == name:
        return dict(connected.keys)
    if (_first(environment, _ACCOUNTS) or name) != name:
        return {}
    if key := _first(environment, _KEYS):
        return {"account_key": key}
    if signature := _first(environment, _SIGNATURES):
        return {"sas_key": signature.lstrip("?")}
    return {}


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(environment.get, names)), None)
