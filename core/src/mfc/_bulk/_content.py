"""The bytes of an artifact as a file: opened, or on the reader's own disk."""

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

#: Bytes that the note of an included file has at most, and of what each has something.
_NOTE, _MARKS = 1 << 16, (b"IncludedFile", TEXT_MARK)


def opened(scope: Scope, record: ArtifactRecord) -> BinaryIO:
    """Return the bytes of an artifact as a file; of an IncludeFile those of the file.

    Raises:
        DatastoreError: they cannot be had, or are not those that were written.
    """
    held = scope.reader.datastore.held(scope.reader.wanted(record, scope.provider), in_file=True)
    if held.file is None and (included := _included(scope, record, held.read())) is not None:
        return included.open()
    return held.open()


def downloaded(scope: Scope, record: ArtifactRecord, path: str, tell: Progress) -> None:
    """Write the bytes of an artifact to a file, all or nothing; of an IncludeFile its own.

    Args:
        scope: where the artifact is.
        record: the artifact.
        path: the file, replaced if there is one.
        tell: told of the bytes as they come.

    Raises:
        DatastoreError: they cannot be had, or are not those that were written.
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
    """Return what is in a file, None if it is more than a note."""
    if file.tell() > _NOTE:
        return None
    file.seek(0)
    return file.read()


def _included(
    scope: Scope, record: ArtifactRecord, content: bytes, tell: Progress | None = None
) -> Held | None:
    """Return the content of the included file that an artifact is the note of, if it is one."""
    if len(content) > _NOTE or not any(mark in content for mark in _MARKS):
        return None
    value = scope.reader.plain(record, scope.provider, lambda: Held(content))
    if is_included(value) or is_included_text(value):
        return included_content(scope, value, str(record.path), tell)
    return None
