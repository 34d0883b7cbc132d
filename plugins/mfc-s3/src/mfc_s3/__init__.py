"""Metaflow's datastore type `s3`: Amazon S3, and stores that speak its protocol."""

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
    """Return the filesystem for `s3`.

    Raises:
        BadSetting: a setting of the store is not of its kind.
    """
    if ds_type != "s3":
        return None
    from mfc_objectstore.files import ObjectFiles  # only clients that read from S3 need these
    from mfc_s3._amazon import Amazon

    return ObjectFiles(Amazon(config), config, retries=int(config.number("S3_RETRY_COUNT", 7)))
