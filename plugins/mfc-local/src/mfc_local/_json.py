"""Reading and replacing the small JSON files of a metadata tree."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from typing import Any

from mfc.errors import UnreadableRecord, warn
from mfc_local._paths import names, opened, reachable

_parse = json.JSONDecoder().raw_decode
_CHUNK = 1 << 16
#: Seconds between tries to replace a file that other processes have open, which Windows forbids.
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if os.name == "nt" else ()
#: Most bytes of a file that can be a record.
_LIMIT = 1 << 28
_STALE = getattr(errno, "ESTALE", None)
# Windows translates line ends without O_BINARY. Without O_NONBLOCK, opening a FIFO blocks.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def read_bytes(path: str) -> bytes | None:
    """Return the content of a file, None if it is missing.

    Raises:
        UnreadableRecord: permission is missing, or the disk failed.
    """
    try:
        return _content(path)
    except UnreadableRecord as unreadable:
        # On network disks, a file that was replaced in between has to be looked up again.
        cause = unreadable.__cause__
        if isinstance(cause, OSError) and cause.errno == _STALE:
            return _content(path)
        raise


def _content(path: str) -> bytes | None:
    try:
        # Listings read thousands of files: a descriptor costs half as much as open().
        descriptor = opened(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return None
    except PermissionError as cause:
        reason = "no permission; Metaflow writes metadata for its owner alone (mode 0600)"
        raise UnreadableRecord(path, reason) from cause
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:
            return None
        raise UnreadableRecord(path, str(cause)) from cause
    try:
        content = os.read(descriptor, _CHUNK)
        if len(content) < _CHUNK:
            return content
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
            raise UnreadableRecord(path, "no file, or far too large for a record")
        parts = [content]
        while part := os.read(descriptor, _CHUNK):
            parts.append(part)
        return b"".join(parts)
    except OSError as cause:
        raise UnreadableRecord(path, str(cause)) from cause
    finally:
        os.close(descriptor)


def parsed(content: bytes, path: str) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        UnreadableRecord: the content is cut short, or not Metaflow's.
    """
    try:
        fields, _ = _parse(content.decode())
    except (ValueError, RecursionError) as cause:
        raise UnreadableRecord(path, f"not JSON ({cause})") from cause
    if not isinstance(fields, dict):
        raise UnreadableRecord(path, "not a JSON object")
    return fields


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, unordered; nothing if the directory is missing.

    Raises:
        UnreadableRecord: permission is missing, or the disk failed.
    """
    try:
        return names(directory)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return []
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:
            return []
        raise UnreadableRecord(directory, str(cause)) from cause


def left_out(unreadable: UnreadableRecord) -> None:
    """Warn that a listing omits an unreadable entry."""
    warn(f"Left out of a listing: {unreadable}")


def replace(path: str, fields: dict[str, Any]) -> None:
    """Replace a file by another JSON object, atomically for readers; keep its permissions.

    Raises:
        OSError, RecursionError: the file cannot be written; the old one is unchanged.
    """
    import tempfile  # few clients change tags

    with reachable(os.path.dirname(path)) as directory:
        target = f"{directory}/{os.path.basename(path)}"
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix="tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(fields, file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
            _put(temporary, target)
        except BaseException:
            # After the rename, the temporary file is gone.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def _put(temporary: str, path: str) -> None:
    """Rename over a file; on Windows, wait until readers have closed it."""
    for wait in _WAITS:
        with contextlib.suppress(PermissionError):
            os.replace(temporary, path)
            return
        time.sleep(wait)
    os.replace(temporary, path)
