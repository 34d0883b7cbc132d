"""Opening containers of Azure Blob Storage, with azure-identity for the credentials."""

from __future__ import annotations

import os
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from mfc.config import Config
from mfc.errors import BadSetting
from mfc_objectstore.files import Bucket, Cloud
from mfc_objectstore.machine import channel_of_requests, endpoint, header_safe, options_of
from mfc_objectstore.secrets import safely, scrubbed

_ENDPOINT, _OPTIONS = "AZURE_STORAGE_BLOB_SERVICE_ENDPOINT", "MFC_AZURE_OPTIONS"
_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_SUFFIX = "core.windows.net"
_SCOPE = "https://storage.azure.com/.default"
#: Variables with an account, a key and a signature, as Azure's tools and adlfs have them.
_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
_KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")
_SIGNATURES = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_KNOWN = ("account_key", "account_name", "allow_invalid_certificates", "client_id", "client_secret",
          "sas_key", "skip_signature", "tenant_id", "token", "use_azure_cli")  # fmt: skip
#: Account names of azurite and other emulators. Source: Azure, use the Azurite emulator.
_EMULATOR = {
    "ACCOUNTNAME": "devstoreaccount1",
    "ACCOUNTKEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHB"
    "eksoGMGw==",
    "BLOBENDPOINT": "http://127.0.0.1:10000/devstoreaccount1",
}
#: Seconds before its expiry at which a token is renewed, as azure-core does, and the least for
#: which it is used.
_MARGIN, _LEAST = 300, 5
#: Most characters of an error of azure-identity that are shown.
_LONGEST = 600


@attrs.frozen
class _Account:
    """A storage account, and the credential that comes with its address."""

    name: str
    #: URL of its blob service.
    url: str
    credential: Mapping[str, str] = attrs.field(factory=dict, repr=False)


class Azure(Cloud):
    """Blob Storage, with the settings and credentials that Metaflow's users have for it.

    Args:
        config: the client's settings.

    Raises:
        BadSetting: the endpoint is not a URL, or an option is unknown.

    Source:
        Metaflow 2.19, `plugins.azure.blob_service_client_factory`.
    """

    ds_type = "azure"

    def __init__(self, config: Config) -> None:
        self._options = options_of(config, _OPTIONS, _KNOWN)
        found = config.find(_ENDPOINT)
        self._given = (
            found and found[0] and _account(str(found[0]), f"METAFLOW_{_ENDPOINT}", found[1])
        )

    def bucket(self, name: str) -> Bucket:
        """Return the recipe for opening a container."""
        account, options = self._account(), self._options
        url = f"{account.url}/{quote(name, safe='$')}"
        way = channel_of_requests(url)
        if options.get("skip_signature"):
            return Bucket(url, client=way)
        name = options.get("account_name") or account.name or _first(_ACCOUNTS) or "account"
        fixed = _chosen(options) or account.credential or _of_environment(name)
        if fixed:
            return _bucket(url, name, way, fixed)
        if account.url.startswith("http://"):
            raise PermissionError(f"{account.url}: tokens of Azure are sent over https:// alone")
        credential = _identity(options)

        def renew() -> Bucket:
            token = safely(lambda: credential.get_token(_SCOPE), _told)
            made = _bucket(url, name, way, {"token": token.token})
            until = max(token.expires_on - _MARGIN, time.time() + _LEAST)
            return attrs.evolve(made, until=until, renew=renew)

        return renew()

    def _account(self) -> _Account:
        """Return the account that the settings name; Metaflow's own setting wins.

        Raises:
            PermissionError: no setting names an account.
        """
        text = os.environ.get(_CONNECTION)
        connected = _connected(text) if text else None
        if self._given:
            of_same = connected is not None and connected.name == self._given.name
            if self._given.credential or not of_same or connected is None:
                return self._given
            return attrs.evolve(self._given, credential=connected.credential)
        if connected is not None:
            return connected
        name = self._options.get("account_name") or _first(_ACCOUNTS)
        if not name:
            raise PermissionError(
                f"No account of Azure: set METAFLOW_{_ENDPOINT}, such as "
                f"https://ACCOUNT.blob.{_SUFFIX}, or {_CONNECTION}"
            )
        return _account(f"https://{name}.blob.{_SUFFIX}", _ACCOUNTS[0], "the environment")


def _account(text: str, setting: str, source: str) -> _Account:
    """Return the account of a blob service, from its URL, which may end in a signature.

    Raises:
        BadSetting: the text is not a URL.

    Source:
        azure-storage-blob 12, `StorageAccountHostsMixin`.
    """
    url = endpoint(text, setting, source)
    parts, query = urlsplit(url), urlsplit(text.strip()).query
    host = parts.hostname or ""
    name = host.partition(".")[0] if ".blob." in host else parts.path.strip("/").partition("/")[0]
    for suffix in ("-ipv6", "-dualstack", "-secondary"):
        name = name.removesuffix(suffix)
    return _Account(name, url, {"sas_token": query} if "sig=" in query else {})


def _connected(text: str) -> _Account:
    """Return the account that a connection string describes.

    Raises:
        BadSetting: the text is not a connection string.

    Source:
        azure-storage-blob 12, `parse_connection_str`.
    """
    pairs = [part.partition("=") for part in text.strip().rstrip(";").split(";")]
    fields = {name.strip().upper(): value for name, _, value in pairs}
    if fields.get("USEDEVELOPMENTSTORAGE") == "true":
        fields = _EMULATOR
    name, suffix = fields.get("ACCOUNTNAME", ""), fields.get("ENDPOINTSUFFIX")
    scheme = fields.get("DEFAULTENDPOINTSPROTOCOL", "https") if suffix else "https"
    url = fields.get("BLOBENDPOINT") or f"{scheme}://{name}.blob.{suffix or _SUFFIX}"
    whole = all(equals for _, equals, _ in pairs) and (name or "BLOBENDPOINT" in fields)
    if not whole or ("BLOBSECONDARYENDPOINT" in fields and "BLOBENDPOINT" not in fields):
        expected = "AccountName=…;AccountKey=…, or BlobEndpoint=https://…"
        raise BadSetting(_CONNECTION, "…", "the environment", expected)
    found = _account(url, _CONNECTION, "the environment")
    given = {
        "access_key": fields.get("ACCOUNTKEY"),
        "sas_token": fields.get("SHAREDACCESSSIGNATURE"),
    }
    first = {
        kind: value for kind, value in given.items() if value and (name or kind != "access_key")
    }
    credential = dict([next(iter(first.items()))]) if first else found.credential
    return attrs.evolve(found, name=name or found.name, credential=credential)


def _chosen(options: Mapping[str, Any]) -> dict[str, str]:
    names = {"account_key": "access_key", "sas_key": "sas_token", "token": "token"}
    return next(({kind: options[name]} for name, kind in names.items() if options.get(name)), {})


def _of_environment(account: str) -> dict[str, str]:
    """Return the key or signature in the environment, unless it is another account's."""
    if (_first(_ACCOUNTS) or account) != account:
        return {}
    if key := _first(_KEYS):
        return {"access_key": key}
    found = _first(_SIGNATURES)
    return {"sas_token": found} if found else {}


def _first(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(os.environ.get, names)), None)


def _bucket(
    url: str, account: str, way: Mapping[str, Any], credential: Mapping[str, str]
) -> Bucket:
    """Return a container whose requests carry a credential.

    Raises:
        PermissionError: the credential cannot be sent, or not over this connection.
    """
    ((kind, value),) = credential.items()
    value = str(value).strip().lstrip("?")
    if kind == "token" and url.startswith("http://"):
        raise PermissionError(f"{url}: tokens of Azure are sent over https:// alone")
    try:
        sound = len(b64decode(value, validate=True)) > 0 if kind == "access_key" else None
    except ValueError:
        sound = False
    if sound is None:
        sound = header_safe(value) and (
            kind == "token" or all("=" in p for p in value.split("&") if p)
        )
    if not (sound and header_safe(account)):
        told = {"access_key": "key", "sas_token": "shared access signature"}.get(kind, kind)
        raise PermissionError(f"The {told} for Azure's account {account!r} is not of its form")
    service = url.rpartition("/")[0]
    return Bucket(service, "AzureStore", {"account_name": account}, way, {kind: value})


def _identity(options: Mapping[str, Any]) -> Any:
    """Return a credential of azure-identity: the one in the options, or its default chain."""
    from azure import identity  # 170 ms to import, and keys and signatures work without it

    if options.get("use_azure_cli"):
        return identity.AzureCliCredential()
    if secret := options.get("client_secret"):
        tenant, client = (
            options.get(name) or os.environ.get(f"AZURE_{name.upper()}", "")
            for name in ("tenant_id", "client_id")
        )
        return safely(lambda: identity.ClientSecretCredential(tenant, client, secret), _told)
    return safely(identity.DefaultAzureCredential, _told)


def _told(error: Exception) -> str:
    """Return the text for an error of azure-identity, or of the settings that it reads."""
    lines = [scrubbed(line) for line in str(error).splitlines()]
    told = [line for line in lines if ": " in line and "unavailable" not in line] or lines
    text = " ".join(told)[:_LONGEST]
    if not type(error).__module__.startswith("azure"):
        text = f"a variable or file of theirs is not of its form ({type(error).__name__})"
    return (
        f"No credentials for Azure, neither {_CONNECTION}, AZURE_STORAGE_KEY or "
        "AZURE_STORAGE_SAS_TOKEN for this account, nor what DefaultAzureCredential finds, such as "
        f"`az login` or AZURE_CLIENT_ID with AZURE_CLIENT_SECRET: {text}"
    )
