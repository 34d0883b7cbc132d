"""The bytes of an artifact as an open file, or downloaded to a path."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

from mfc._recorded._included_file import (
    TEXT_MARK,
    included_content,
    is_included,
    is_included_text,
)
from mfc._session._scope import Scope
from mfc._storage._files import Progress
from mfc._storage._spool import Held, Spool
from mfc.model import ArtifactRecord

#: Maximum size of the note of an included file, in bytes, and marks of which it has at least one.
_NOTE, _MARKS = 1 << 16, (b"IncludedFile", TEXT_MARK)


def opened(scope: Scope, record: ArtifactRecord) -> BinaryIO:
    """Return the bytes of an artifact as a file; for an IncludeFile those of the file.

    Raises:
        DatastoreError: the bytes cannot be read, or are not those that were written.
    """
    held = scope.reader.datastore.held(scope.reader.wanted(record, scope.provider), in_file=True)
    if held.file is None and (included := _included(scope, record, held.read())) is not None:
        return included.open()
    return held.open()


def downloaded(scope: Scope, record: ArtifactRecord, path: str, tell: Progress) -> None:
    """Write the bytes of an artifact to a file, atomically; for an IncludeFile those of the file.

    Args:
        scope: scope of the artifact.
        record: the artifact.
        path: the file; an existing one is replaced.
        tell: called with the number of bytes as they arrive.

    Raises:
        DatastoreError: the bytes cannot be read, or are not those that were written.
        OSError: the file cannot be written.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "download needs the name of a file", path)
    unfinished = f"{path}.{os.urandom(8).hex()}.part"
    try:
        with open(unfinished, "xb+", buffering=0) as file:
            spool = Spool([file])
            scope.reader.datastore.pour(scope.reader.wanted(record, scope.provider), spool, tell)
            note = _small(file)
            if note is not None and (included := _included(scope, record, note, tell)) is not None:
                spool.again()
                with included:
                    included.copy(spool)
        os.replace(unfinished, path)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from error
    finally:
        if os.path.lexists(unfinished):
            os.unlink(unfinished)


def _small(file: BinaryIO) -> bytes | None:
    """Return the content of a file; None if it is larger than a note."""
    if file.tell() > _NOTE:
        return None
    file.seek(0)
    return file.read()


def _included(
    scope: Scope, record: ArtifactRecord, content: bytes, tell: Progress | None = None
) -> Held | None:
    """Return the included file's content if an artifact is the note of an included file."""
    if len(content) > _NOTE or not any(mark in content for mark in _MARKS):
        return None
    value = scope.reader.plain(record, scope.provider, lambda: Held(content))
    if is_included(value) or is_included_text(value):
        return included_content(scope, value, str(record.path), tell)
    return None
