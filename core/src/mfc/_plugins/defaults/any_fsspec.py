"""Datastore types for all protocols of fsspec, without a plugin."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from mfc._concurrency._forks import fork_safe
from mfc.config import Config
from mfc.errors import PluginError
from mfc.hookspecs import Filesystem, hookimpl

#: Protocols whose filesystems share one connection, file, or folder of copies between calls.
_SERIAL = frozenset(
    (
        "filecache",
        "simplecache",
        "blockcache",
        "sftp",
        "ssh",
        "ftp",
        "smb",
        "hdfs",
        "arrow_hdfs",
        "zip",
        "tar",
        "libarchive",
    )
)


@hookimpl(trylast=True)
def mfc_filesystem(ds_type: str, config: Config) -> Filesystem | None:
    """Return a filesystem of fsspec; setting `FSSPEC_<TYPE>` holds its options, a JSON object.

    Option `protocol` names the protocol that serves the type, where fsspec has another name for it.
    Option `one_by_one` says whether calls must be serialised, as for a single connection.

    Raises:
        PluginError: fsspec knows the protocol, but the package that serves it is not installed.
    """
    import fsspec  # 77 ms, and only datastores without a plugin need it

    options = dict(config.mapping(f"FSSPEC_{ds_type.upper()}"))
    protocol = options.pop("protocol", ds_type)
    one_by_one = bool(_SERIAL & {protocol, options.get("target_protocol")})
    one_by_one = options.pop("one_by_one", one_by_one)
    if protocol not in {*fsspec.available_protocols(), *fsspec.registry}:
        return None
    try:
        return FsspecFiles(
            partial(fsspec.filesystem, protocol, **options), one_by_one=bool(one_by_one)
        )
    except ImportError as missing:
        raise PluginError(f"Datastore type {ds_type!r} needs a package: {missing}") from missing


class FsspecFiles:
    """An fsspec filesystem with the contract's behaviour, where implementations differ.

    Args:
        make: makes the filesystem; called again in a forked child, where many stop working.
        one_by_one: serialise the calls.
    """

    def __init__(self, make: Callable[[], Any], *, one_by_one: bool = False) -> None:
        self._make, self._made = make, {os.getpid(): make()}
        self._turn = fork_safe(threading.RLock()) if one_by_one else contextlib.nullcontext()
        self._one_by_one = one_by_one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._filesystem, name)

    @property
    def local_file(self) -> bool:
        """Whether paths are local files; False for filesystems that copy remote files here."""
        inner = self._filesystem
        # Wrappers such as `simplecache` forward attributes, even `__dict__`, to the inner one.
        while (within := object.__getattribute__(inner, "__dict__").get("fs")) is not None:
            inner = within
        return bool(getattr(inner, "local_file", False))

    @property
    def _filesystem(self) -> Any:
        here = os.getpid()
        if here not in self._made:
            self._made[here] = self._make()
        return self._made[here]

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes."""
        with self._turn:
            size: int | None = self._filesystem.size(path)
        return size

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file, opened for reading."""
        if self._one_by_one:
            return io.BytesIO(self.cat_file(path))
        file: BinaryIO = self._filesystem.open(path, mode)
        return file

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of a file, all by default; empty beyond its end."""
        with self._turn:
            return self._content(path, start, end)

    def _content(self, path: str, start: int | None, end: int | None) -> bytes:
        try:
            # By name: the second argument of s3fs is a version.
            found: bytes = self._filesystem.cat_file(path, start=start, end=end)
        except FileNotFoundError:
            raise
        except Exception:
            # Stores refuse a range that begins at the end, and any range of an empty file.
            if (start is not None or end is not None) and (start or 0) >= (
                self._filesystem.size(path) or 0
            ):
                return b""
            raise
        return found
