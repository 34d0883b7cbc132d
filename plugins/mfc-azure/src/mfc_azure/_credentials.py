"""Who reads: keys that were given, else what `DefaultAzureCredential` finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import attrs

from mfc_azure._account import Account
from mfc_objectstore.machine import answers

_SCOPE = "https://storage.azure.com/.default"
#: Options of obstore that say who reads.
_GIVEN = ("account_key", "sas_key", "token", "client_secret", "skip_signature", "use_azure_cli")
#: Variables of identities that obstore reads itself: applications, and workloads in Kubernetes.
_APPLICATION = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
_SECRETS = ("AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE")
_METADATA = "http://169.254.169.254"


@attrs.frozen
class Credentials:
    """Credentials as obstore takes them."""

    #: Options of the store.
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: Gives tokens, and new ones when they expire; None if obstore gets them itself.
    provider: Callable[[], Any] | None = attrs.field(default=None, repr=False)


def credentials(
    account: Account, chosen: Mapping[str, Any], environment: Mapping[str, str]
) -> Credentials:
    """Return the first credentials that are found.

    Args:
        account: with the keys that are known for it.
        chosen: options that were chosen for this store; who reads may be among them.
        environment: of the process.

    Raises:
        PermissionError: there are none.
    """
    if any(map(chosen.__contains__, _GIVEN)):
        return Credentials()
    if environment.get("AZURE_SKIP_SIGNATURE", "").lower() in ("1", "true"):
        return Credentials({"skip_signature": True})
    if account.keys:
        return Credentials(account.keys)
    provider = _default_credential()
    if provider is not None:
        return Credentials(provider=provider)
    application = all(map(environment.get, _APPLICATION)) and any(map(environment.get, _SECRETS))
    if application or answers(environment.get("AZURE_MSI_ENDPOINT") or _METADATA):
        return Credentials()
    raise PermissionError(
        f"No credentials for Azure's account {account.name!r}: no AZURE_STORAGE_CONNECTION_STRING, "
        "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN for it, no AZURE_CLIENT_ID with "
        f"AZURE_CLIENT_SECRET, and no managed identity at {_METADATA}; for all that "
        "DefaultAzureCredential knows, such as `az login`: pip install 'mfc-azure[azure-identity]'"
    )


def _default_credential() -> Callable[[], Any] | None:
    """Return what asks `DefaultAzureCredential` for tokens, None if it is not installed."""
    try:
        from azure.identity import DefaultAzureCredential  # 170 ms, and keys do without
    except ImportError:
        return None
    credential = DefaultAzureCredential()

    def token() -> dict[str, Any]:
        found = credential.get_token(_SCOPE)
        return {
            "token": found.token,
            "expires_at": datetime.fromtimestamp(found.expires_on, timezone.utc),
        }

    return token
