"""The value of an artifact as users see it: of an IncludeFile, the content of the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mfc._session._scope import Scope
from mfc.model import ArtifactRecord

if TYPE_CHECKING:
    from mfc._storage._spool import Held


def value_of(scope: Scope, record: ArtifactRecord, read: Callable[[], Held] | None = None) -> Any:
    """Return the value of an artifact.

    Args:
        scope: where the artifact is.
        record: the artifact.
        read: gives the content, where it was read ahead.

    Raises:
        DatastoreError: as `DataArtifact.data` documents.
    """
    value = scope.reader.value(record, scope.provider, read)
    if type(value).__module__ != "mfc":  # as of all classes of ours
        return value
    from mfc._recorded._included_file import included_file, is_included  # few artifacts are

    return included_file(scope, value, str(record.path)) if is_included(value) else value
