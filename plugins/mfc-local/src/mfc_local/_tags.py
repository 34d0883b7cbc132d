"""Change the tags of a run: under a lock, by replacing its file atomically."""

from __future__ import annotations

import contextlib
import time
from contextlib import AbstractContextManager
from typing import Any

from filelock import FileLock, Timeout

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import TagChange
from mfc.model import Pathspec
from mfc_local._interrupts import uninterrupted
from mfc_local._json import parsed, read_bytes, replace
from mfc_local._paths import is_long, long_lock

#: Seconds to wait for other writers of the same run's tags, and between two tries.
PATIENCE, _PAUSE = 30.0, 0.02
#: Most repetitions of a change that a writer without a lock (Metaflow itself) overwrote.
_TRIES = 10


def retag(file: str, run: Pathspec, change: TagChange) -> frozenset[str]:
    """Change the tags in a run's file and return the user tags that result.

    The rest of the file stays, including its creation time and user. Ctrl-C leaves either the old
    tags or the new ones, and no temporary file.

    Raises:
        MetaflowNotFound: the run is gone.
        MetaflowTaggingError: refused by `change`, permission is missing, or other writers never
            pause.
    """
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            with uninterrupted():
                fields = _fields(file, run)
                if (before := _tags(fields)) == _changed(fields, change):
                    return before  # without a change, neither a lock nor a permission is needed
                with contextlib.suppress(Timeout), _lock(f"{file}.lock"):
                    return _written(file, run, change)
            if time.monotonic() >= deadline:
                raise MetaflowTaggingError(
                    f"The tags of {run} were being changed by others for {PATIENCE:.0f} s; "
                    "try again"
                )
            time.sleep(_PAUSE)
    # filelock raises NotImplementedError where a filesystem has no locks.
    except (OSError, NotImplementedError, RecursionError) as cause:
        raise MetaflowTaggingError(f"The tags of {run} cannot be written: {cause}") from cause


def _lock(file: str) -> AbstractContextManager[object]:
    """Return a lock that is either acquired at once or raises Timeout."""
    return long_lock(file) if is_long(file) else FileLock(file, blocking=False)


def _written(file: str, run: Pathspec, change: TagChange) -> frozenset[str]:
    for _ in range(_TRIES):
        fields = _fields(file, run)
        after = _changed(fields, change)
        if after == _tags(fields):
            return after
        fields["tags"] = sorted(after)
        replace(file, fields)
        if _tags(_fields(file, run)) == after:
            return after
    raise MetaflowTaggingError(
        f"The tags of {run} were overwritten {_TRIES} times by a writer without a lock; try again"
    )


def _changed(fields: dict[str, Any], change: TagChange) -> frozenset[str]:
    return change(_tags(fields), frozenset(fields.get("system_tags") or ()))


def _tags(fields: dict[str, Any]) -> frozenset[str]:
    return frozenset(fields.get("tags") or ())


def _fields(file: str, run: Pathspec) -> dict[str, Any]:
    content = read_bytes(file)
    if content is None:
        raise MetaflowNotFound(f"Run('{run}') does not exist")
    fields = parsed(content, file)
    for name in ("tags", "system_tags"):
        tags = fields.get(name) or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise UnreadableRecord(file, f"{name} is not a list of text")
    return fields
