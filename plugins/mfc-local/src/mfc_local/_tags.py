"""Changing the tags of a run: under a lock, and by replacing its file at once."""

from __future__ import annotations

from typing import Any

from filelock import FileLock, Timeout

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import TagChange
from mfc.model import Pathspec
from mfc_local._json import parsed, read_bytes, replace

#: Seconds to wait for others who change the tags of the same run.
PATIENCE = 30.0
#: How often to write again what a writer without a lock (Metaflow itself) overwrote.
_TRIES = 10


def retag(file: str, run: Pathspec, change: TagChange) -> frozenset[str]:
    """Change the tags in a run's file and return the user tags that it has then.

    Everything else in the file stays: when it was created, and by whom.

    Raises:
        MetaflowNotFound: the run is gone.
        MetaflowTaggingError: refused by `change`, no permission, or no end to others' changes.
    """
    try:
        with FileLock(f"{file}.lock", timeout=PATIENCE):
            return _changed(file, run, change)
    except Timeout as cause:
        raise MetaflowTaggingError(
            f"The tags of {run} were being changed by others for {PATIENCE:.0f} s; try again"
        ) from cause
    # filelock raises NotImplementedError where a filesystem has no locks.
    except (OSError, NotImplementedError, RecursionError) as cause:
        raise MetaflowTaggingError(f"The tags of {run} cannot be written: {cause}") from cause


def _changed(file: str, run: Pathspec, change: TagChange) -> frozenset[str]:
    for _ in range(_TRIES):
        fields = _fields(file, run)
        before = frozenset(fields.get("tags") or ())
        after = change(before, frozenset(fields.get("system_tags") or ()))
        if after == before:
            return after
        fields["tags"] = sorted(after)
        replace(file, fields)
        if frozenset(_fields(file, run).get("tags") or ()) == after:
            return after
    raise MetaflowTaggingError(
        f"The tags of {run} were overwritten {_TRIES} times by a writer without a lock; try again"
    )


def _fields(file: str, run: Pathspec) -> dict[str, Any]:
    content = read_bytes(file)
    if content is None:
        raise MetaflowNotFound(f"Run('{run}') does not exist")
    fields = parsed(content, file)
    for name in ("tags", "system_tags"):
        tags = fields.get(name) or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise UnreadableRecord(file, f"{name} is no list of text")
    return fields
