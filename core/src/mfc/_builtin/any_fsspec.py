"""Any protocol that fsspec knows is a datastore type, without a plugin."""

from __future__ import annotations

from mfc.config import Config
from mfc.errors import PluginError
from mfc.hookspecs import Filesystem, hookimpl


@hookimpl(trylast=True)
def mfc_filesystem(ds_type: str, config: Config) -> Filesystem | None:
    """Answer for the protocols of fsspec; options come from setting `FSSPEC_<TYPE>`, a JSON object.

    Option `protocol` names the protocol that serves the type, where fsspec has another word for it.

    Raises:
        PluginError: fsspec knows the protocol, but the package that serves it is not installed.
    """
    import fsspec  # 77 ms, and only datastores without a plugin need it

    options = dict(config.mapping(f"FSSPEC_{ds_type.upper()}"))
    protocol = options.pop("protocol", ds_type)
    if protocol not in fsspec.available_protocols():
        return None
    try:
        filesystem: Filesystem = fsspec.filesystem(protocol, **options)
    except ImportError as missing:
        raise PluginError(f"Datastore type {ds_type!r} needs a package: {missing}") from missing
    return filesystem
