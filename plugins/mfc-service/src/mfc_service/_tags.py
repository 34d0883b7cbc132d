"""Changing the tags of a run: one request where nobody is in the way."""

from __future__ import annotations

import time
from typing import Any

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.hookspecs import TagChange
from mfc.model import Level, Pathspec, Record
from mfc.tags import TagEdit
from mfc_service._connection import Answer, Connection, Unanswered, excerpt
from mfc_service._retries import PASSING, pause
from mfc_service._rows import location, record_of

#: What two writers at once are told: one of them has to come again.
_CONFLICT = 409
#: Removing what Metaflow set itself.
_PROTECTED = 422


def retag(connection: Connection, run: Pathspec, change: TagChange) -> frozenset[str]:
    """Change the user tags of a run; see the contract.

    The service removes and adds in one transaction. A change that says what goes and what comes
    is sent as it is; for any other, the tags are asked for first. When no answer comes, the tags
    tell whether the change happened, before it is sent again.
    """
    return _Change(connection, run, change).made()


class _Change:
    def __init__(self, connection: Connection, run: Pathspec, change: TagChange) -> None:
        self._connection, self._run, self._change = connection, run, change
        path = location(run)
        if path is None:
            raise MetaflowNotFound(f"Run('{run}') does not exist")
        self._path = path
        self._deadline = time.monotonic() + connection.settings.timeout

    def made(self) -> frozenset[str]:
        attempt = 0
        while True:
            attempt += 1
            edit = self._edit()
            if isinstance(edit, frozenset):
                return edit
            done, headers, problem = self._sent(edit)
            if done is not None:
                return done
            wait = pause(attempt, headers)
            if time.monotonic() + wait >= self._deadline:
                said = f"not changed, in {attempt} tries: {problem}"
                raise MetaflowTaggingError(f"The tags of Run('{self._run}') were {said}")
            time.sleep(wait)

    def _edit(self) -> TagEdit | frozenset[str]:
        """Return what to ask of the service, or the tags if nothing is."""
        if isinstance(self._change, TagEdit):
            return self._change
        record = self._record()
        wanted = self._change(record.tags, record.system_tags)
        if wanted == record.tags:
            return wanted
        return TagEdit(record.tags - wanted, wanted - record.tags)

    def _sent(self, edit: TagEdit) -> tuple[frozenset[str] | None, Any, str]:
        """Send a change; return the tags if it is made, else the headers and why not."""
        body = {"tags_to_add": sorted(edit.add), "tags_to_remove": sorted(edit.remove)}
        left = max(self._deadline - time.monotonic(), 0.001)
        try:
            answer = self._connection.patch(f"{self._path}/tag/mutate", body, left)
        except Unanswered as lost:
            return self._already(edit), {}, lost.reason
        except UnreadableRecord as unreadable:
            raise MetaflowTaggingError(str(unreadable)) from unreadable
        if answer.status in PASSING:
            # A gateway gave up waiting, perhaps after the service was done.
            return self._already(edit), answer.headers, f"status {answer.status}"
        if answer.status == _CONFLICT:
            return None, answer.headers, "other writers were there each time"
        return self._told(answer), {}, ""

    def _told(self, answer: Answer) -> frozenset[str]:
        if answer.lacks(self._run):
            raise MetaflowNotFound(f"Run('{self._run}') does not exist")
        if answer.no_route:
            raise MetaflowTaggingError(
                f"{self._connection.settings.base.url} cannot change tags: it is older than "
                "2.3.0, or no metadata service"
            )
        if answer.status == _PROTECTED:
            raise MetaflowTaggingError(f"Cannot remove a system tag: {excerpt(answer.body)}")
        try:
            return frozenset(answer.document(dict)["tags"])
        except (UnreadableRecord, LookupError, TypeError) as cause:
            raise MetaflowTaggingError(
                f"The tags of Run('{self._run}') may not be changed: {cause}"
            ) from cause

    def _already(self, edit: TagEdit) -> frozenset[str] | None:
        """Return the tags if they are as wanted, None if the change has to be sent again."""
        record = self._record()
        there = record.tags | record.system_tags
        if edit.add <= there and not (edit.remove - edit.add) & record.tags:
            return record.tags
        return None

    def _record(self) -> Record:
        try:
            answer = self._connection.get(self._path)
            if answer.lacks(self._run):
                raise MetaflowNotFound(f"Run('{self._run}') does not exist")
            return record_of(answer.document(dict), Level.RUN)
        except UnreadableRecord as unreadable:
            raise MetaflowTaggingError(str(unreadable)) from unreadable
