"""Reading and replacing the small JSON files of a metadata tree."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import warnings
from typing import Any

from mfc.errors import MfcWarning, UnreadableRecord

_parse = json.JSONDecoder().raw_decode
_CHUNK = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)  # Windows translates line ends without it


def read_bytes(path: str) -> bytes | None:
    """Return the content of a file, None if there is none.

    Raises:
        UnreadableRecord: no permission, or the disk failed.
    """
    try:
        # Listings read thousands of these: os.open is half the price of open().
        descriptor = os.open(path, os.O_RDONLY | _BINARY)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return None
    except PermissionError as cause:
        reason = "no permission; Metaflow writes metadata for its owner alone (mode 0600)"
        raise UnreadableRecord(path, reason) from cause
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:  # no file can have that name, so none has it
            return None
        raise UnreadableRecord(path, str(cause)) from cause
    try:
        content = os.read(descriptor, _CHUNK)
        if len(content) < _CHUNK:
            return content
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
        UnreadableRecord: it holds something else: cut short, or not Metaflow's.
    """
    try:
        fields, _ = _parse(content.decode())
    except (ValueError, RecursionError) as cause:
        raise UnreadableRecord(path, f"not JSON ({cause})") from cause
    if not isinstance(fields, dict):
        raise UnreadableRecord(path, "not a JSON object")
    return fields


def names_in(directory: str) -> list[str]:
    """Return what is in a directory, in its own order; nothing if there is no such directory.

    Raises:
        UnreadableRecord: no permission, or the disk failed.
    """
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError, UnicodeEncodeError):
        return []
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:
            return []
        raise UnreadableRecord(directory, str(cause)) from cause


def left_out(unreadable: UnreadableRecord) -> None:
    """Warn that a listing goes on without something that cannot be read."""
    warnings.warn(f"Left out of a listing: {unreadable}", MfcWarning, stacklevel=3)


def replace(path: str, fields: dict[str, Any]) -> None:
    """Replace a file by another JSON object, at once for every reader; keep its permissions.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix="tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(fields, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, os.stat(path).st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
