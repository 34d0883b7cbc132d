"""Any protocol that fsspec knows is a datastore type, without a plugin."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

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
        return FsspecFiles(partial(fsspec.filesystem, protocol, **options))
    except ImportError as missing:
        raise PluginError(f"Datastore type {ds_type!r} needs a package: {missing}") from missing


class FsspecFiles:
    """A filesystem of fsspec as the contract has it: implementations differ where it says little.

    Args:
        make: makes it; done again in a forked child, which many of them do not outlive.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._made = make, {os.getpid(): make()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._filesystem, name)

    @property
    def _filesystem(self) -> Any:
        here = os.getpid()
        if here not in self._made:
            self._made[here] = self._make()
        return self._made[here]

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes."""
        size: int | None = self._filesystem.size(path)
        return size

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file, opened for reading."""
        file: BinaryIO = self._filesystem.open(path, mode)
        return file

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of a file, all by default; nothing where there is none."""
        try:
            # By name: the second argument of s3fs is a version.
            found: bytes = self._filesystem.cat_file(path, start=start, end=end)
        except FileNotFoundError:
            raise
        except Exception:
            # Stores refuse a range that begins at the end, of an empty file every one.
            if start is not None and start >= (self._filesystem.size(path) or 0):
                return b""
            raise
        return found
