"""The content of IncludeFile parameters: the artifact is a note, the file lies elsewhere."""

from __future__ import annotations

import io
import json
import re
import reprlib
from types import NoneType
from typing import Any

from mfc._pickle import IncludedFile
from mfc._session._scope import Scope
from mfc._storage._files import Progress
from mfc._storage._place import Place
from mfc._storage._spool import Held
from mfc.errors import CorruptBlob, DatastoreError

_SHA1 = re.compile("[0-9a-f]{40}")
#: Notes that are text: their type, their keys, and the characters that they have at most.
TEXT_MARK, _IN_TEXT = b"uploader-v1", {"type", "url", "is_text", "encoding"}
_LONGEST = 1 << 16
#: The types of what a descriptor has besides the URL.
_KINDS = {"type": str, "sub-type": str, "encoding": str, "is_text": bool, "size": int}


def is_included(value: object) -> bool:
    """Tell whether a value is the note of an included file."""
    return isinstance(value, IncludedFile)


def is_included_text(value: object) -> bool:
    """Tell whether a value is the note of an included file as text, as Metaflow 2.2 to 2.5 made it.

    The value of such an artifact is the text itself, as in Metaflow.
    """
    return _by_text(value) is not None


def _by_text(value: object) -> dict[str, Any] | None:
    if type(value) is not str or len(value) > _LONGEST:
        return None
    try:
        noted = json.loads(value)
    except (ValueError, RecursionError):
        return None
    of_note = isinstance(noted, dict) and set(noted) == _IN_TEXT
    return noted if of_note and noted["type"] == TEXT_MARK.decode() else None


def included_file(scope: Scope, value: Any, subject: str) -> str | bytes:
    """Return the content of an included file: text with Unix line ends, or bytes.

    Raises:
        DatastoreError: the note is not as Metaflow writes it, or the file cannot be read.

    Source:
        Metaflow 2.19, `includefile.UploaderV1` and `UploaderV2`.
    """
    descriptor = _descriptor(value, subject)
    with _held(scope, descriptor, subject) as held:
        content = held.read()
    if not descriptor.get("is_text"):
        return content
    encoding = descriptor.get("encoding") or "utf-8"
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding=encoding).read()
    except (LookupError, ValueError) as cause:
        raise DatastoreError(
            subject, str(descriptor.get("url")), f"it is not {encoding} text"
        ) from cause


def included_content(
    scope: Scope, value: Any, subject: str, progress: Progress | None = None
) -> Held:
    """Return the bytes of an included file; raises as `included_file` does."""
    return _held(scope, _descriptor(value, subject), subject, progress)


def included_size(scope: Scope, value: Any, subject: str) -> int:
    """Return the size of an included file in bytes; of the oldest kind, as it is stored.

    Raises:
        DatastoreError: the note is not as Metaflow writes it, or the file cannot be read.
    """
    descriptor = _descriptor(value, subject)
    if "size" in descriptor:
        return int(descriptor["size"] or 0)
    return len(scope.reader.datastore.file(_place(scope, descriptor, subject), subject))


def _descriptor(value: Any, subject: str) -> dict[str, Any]:
    # A pickle may leave out the descriptor, or put anything into it.
    noted = getattr(value, "_descriptor", None) if is_included(value) else _by_text(value)
    descriptor = noted if type(noted) is dict else {}
    if not isinstance(descriptor.get("url"), str):
        raise DatastoreError(
            subject, "", f"it does not say where its file is: {reprlib.repr(noted)}"
        )
    for name, kind in _KINDS.items():
        if not isinstance(descriptor.get(name), (kind, NoneType)):
            raise DatastoreError(subject, descriptor["url"], f"its {name} is not a {kind.__name__}")
    return descriptor


def _place(scope: Scope, descriptor: dict[str, Any], subject: str) -> Place:
    """Return the full paths where the file may be, as roots.

    Source:
        Metaflow 2.19, `includefile` and `plugins.azure.includefile_support`.
    """
    ds_type, mark, path = descriptor["url"].partition("://")
    if not mark:
        raise DatastoreError(subject, descriptor["url"], "its file's URL has no protocol")
    recorded = [path]
    if ds_type == "azure":
        # Metaflow's tool opens the container, then writes under a path that begins with it again.
        recorded.insert(0, f"{path.partition('/')[0]}/{path}")
    # Moved with its tree: <datatools root>/<flow>/<sha1>, which is below our own root by default.
    own, usual = (
        ["/".join([root, "data", *path.rsplit("/", 2)[1:]])] if root and path.count("/") > 1 else []
        for root in scope.roots(ds_type)
    )
    paths = tuple(dict.fromkeys([*own, *recorded, *usual]))
    return Place(ds_type, paths, "", path if paths[0] not in recorded else "")


def _held(
    scope: Scope, descriptor: dict[str, Any], subject: str, progress: Progress | None = None
) -> Held:
    url, where = descriptor["url"], _place(scope, descriptor, subject)
    kind = descriptor.get("sub-type") or descriptor.get("type")
    packed, name = kind in ("uploaded", "uploader-v1"), url.rpartition("/")[2]
    key = name if packed and _SHA1.fullmatch(name) else ""
    held, sha = scope.reader.datastore.held_file(
        where, subject, packed=packed, key=key, progress=progress
    )
    if not sha:
        held.close()
        raise CorruptBlob(subject, url, "its file is not the gzip data that was written")
    if key and sha != key:
        held.close()
        raise CorruptBlob(subject, url, "its file does not match its SHA-1")
    return held
