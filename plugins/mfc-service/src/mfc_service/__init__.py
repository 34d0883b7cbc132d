"""Metaflow results from the Metaflow metadata service, over HTTP.

Other plugins may authenticate the requests: see `mfc_service.hookspecs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import Capabilities, Support, hookimpl
from mfc_service import hookspecs

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc.hookspecs import Hooks, Meter
    from mfc_service._provider import ServiceProvider

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1
#: Queries that the service's parameters express exactly go to it; the provider does the rest. The
#: service's status is not that of a run, see `_provider`.
MFC_CAPABILITIES = Capabilities(
    tags=Support.FULL,
    since=Support.FULL,
    until=Support.FULL,
    status=Support.PARTIAL,
    user=Support.FULL,
    names=Support.FULL,
    metadata=Support.FULL,
    limit=Support.FULL,
    bulk=Support.FULL,
    remote=Support.FULL,
    retag=Support.FULL,
)
#: Hooks of this plugin that other plugins implement.
MFC_HOOKSPECS = hookspecs


@hookimpl
def mfc_metadata_provider(
    address: str, config: Config, meter: Meter, hooks: Hooks
) -> ServiceProvider | None:
    """Return the provider for `service`, `service@URL`, `http://…` and `https://…`.

    Raises:
        BadAddress: the URL is missing, or cannot be a service's.
    """
    is_url = address.lower().startswith(("http://", "https://"))
    if address != "service" and not address.startswith("service@") and not is_url:
        return None
    from mfc_service._address import base_of  # requests is heavy: only its users load it
    from mfc_service._connection import connect
    from mfc_service._provider import ServiceProvider

    return ServiceProvider(connect(base_of(address, config), config, hooks, meter))
