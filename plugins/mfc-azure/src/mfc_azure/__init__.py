"""Metaflow's datastore type `azure`: Azure Blob Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.hookspecs import hookimpl

if TYPE_CHECKING:
    from mfc.config import Config
    from mfc.hookspecs import Filesystem

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1


@hookimpl
def mfc_filesystem(ds_type: str, config: Config) -> Filesystem | None:
    """Return the filesystem for `azure`.

    Raises:
        BadSetting: a setting of the store is not of its kind.
    """
    if ds_type != "azure":
        return None
    from mfc_azure._azure import Azure  # only clients that read from Azure need these
    from mfc_objectstore.files import ObjectFiles

    return ObjectFiles(Azure(config), config)
