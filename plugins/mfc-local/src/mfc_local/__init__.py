"""Metaflow results in a local directory: metadata and datastore of type `local`, and `spin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import Capabilities, Support, hookimpl

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc.hookspecs import Meter
    from mfc_local._files import LocalFiles
    from mfc_local._provider import LocalProvider

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1
#: Queries answered from the names and files of a directory. Matching metadata here saves nothing.
#: Some incomplete runs are recognised by a few names, the others by the client.
MFC_CAPABILITIES = Capabilities(
    tags=Support.FULL,
    since=Support.FULL,
    until=Support.FULL,
    status=Support.PARTIAL,
    user=Support.FULL,
    names=Support.FULL,
    limit=Support.FULL,
    bulk=Support.FULL,
    retag=Support.FULL,
)


@hookimpl
def mfc_metadata_provider(address: str, config: Config, meter: Meter) -> LocalProvider | None:
    """Return the provider for `local`, `local@DIR`, `spin`, `spin@DIR`, and plain paths.

    Raises:
        BadAddress: DIR does not hold results.
    """
    from mfc_local._provider import LocalProvider  # only clients that read locally need it
    from mfc_local._root import place_of

    found = place_of(address, config)
    return None if found is None else LocalProvider(found, meter)


@hookimpl
def mfc_filesystem(ds_type: str, config: Config) -> LocalFiles | None:
    """Return the filesystem for `local` and `spin`: plain files."""
    if ds_type not in ("local", "spin"):
        return None
    from mfc_local._files import LocalFiles  # only clients that read locally need it
    from mfc_local._root import configured_root

    return LocalFiles(configured_root(ds_type, config))
