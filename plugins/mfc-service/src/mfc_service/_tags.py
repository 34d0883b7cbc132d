"""Changing the tags of a run: one request where other writers do not interfere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus

import attrs

from mfc.errors import MetaflowNotFound, MetaflowTaggingError, Unanswered, UnreadableRecord
from mfc.hookspecs import TagChange
from mfc.model import Level, Pathspec, Record
from mfc.tags import TagEdit
from mfc_service._connection import Answer, Connection, Lost, excerpt, refusal
from mfc_service._retries import pause
from mfc_service._rows import location, record_of

#: Status for a concurrent write: one of the writers has to retry.
_CONFLICT = 409
#: Statuses below mean success.
_MOVED = 300
#: Share of the remaining time that a change may take.
_SHARE = 0.5
#: Status for removing a tag that Metaflow set itself.
_PROTECTED = 422


def retag(connection: Connection, run: Pathspec, change: TagChange) -> frozenset[str]:
    """Change the user tags of a run; see the contract.

    The service removes and adds in one transaction. A change given as sets of tags is sent as it
    is; for a function of the tags, the tags are fetched first. After a lost answer, the tags tell
    whether the change happened, before it is sent again.
    """
    return _Change(connection, run, change).made()


@attrs.frozen
class _Failure:
    """The reason why a change failed."""

    reason: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    #: Whether another writer was first.
    contended: bool = False


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
            outcome = self._sent(edit)
            if isinstance(outcome, frozenset):
                return outcome
            wait = pause(attempt, outcome.headers)
            late = self._left() <= wait
            # Conflicts mean that another writer succeeded; only real failures are counted.
            if late or not (outcome.contended or self._connection.may_repeat(attempt)):
                raise self._unchanged(f"{outcome.reason} (tries: {attempt})")
            time.sleep(wait)

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def _unchanged(self, reason: object) -> MetaflowTaggingError:
        return MetaflowTaggingError(f"The tags of Run('{self._run}') were not changed: {reason}")

    def _edit(self) -> TagEdit | frozenset[str]:
        """Return the change to send, or the tags if they stay as they are."""
        if isinstance(self._change, TagEdit):
            return self._change
        try:
            record = self._record()
        except UnreadableRecord as unreadable:
            raise self._unchanged(unreadable) from unreadable
        wanted = self._change(record.tags, record.system_tags)
        if wanted == record.tags:
            return wanted
        return TagEdit(record.tags - wanted, wanted - record.tags)

    def _sent(self, edit: TagEdit) -> frozenset[str] | _Failure:
        """Send a change; return the tags if it was made."""
        body = {"tags_to_add": sorted(edit.add), "tags_to_remove": sorted(edit.remove)}
        # Part of the time is kept for checking the outcome if the answer is lost.
        seconds = self._left() * _SHARE
        try:
            answer = self._connection.patch(f"{self._path}/tag/mutate", body, seconds)
        except Lost as lost:
            return self._unless_made(edit, _Failure(str(lost)))
        except Unanswered as unanswered:
            raise self._unchanged(unanswered) from unanswered
        if answer.passing:
            # The gateway gave up waiting; the service may have made the change afterwards.
            return self._unless_made(edit, _Failure(str(refusal(answer)), answer.headers))
        if answer.status == _CONFLICT:
            return _Failure("other writers changed them each time", answer.headers, contended=True)
        return self._told(answer, edit)

    def _told(self, answer: Answer, edit: TagEdit) -> frozenset[str]:
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
            return _tags_of(answer)
        except Unanswered as unanswered:
            done = None
            if answer.status < _MOVED or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                done = self._already(edit)
            if done is None:
                raise self._unchanged(unanswered) from unanswered
            return done

    def _unless_made(self, edit: TagEdit, failure: _Failure) -> frozenset[str] | _Failure:
        done = self._already(edit)
        return failure if done is None else done

    def _already(self, edit: TagEdit) -> frozenset[str] | None:
        """Return the tags if they are as wanted, None if the change has to be sent again."""
        try:
            record = self._record()
        except UnreadableRecord as unreadable:
            raise MetaflowTaggingError(
                f"Whether the tags of Run('{self._run}') were changed is not known: {unreadable}"
            ) from unreadable
        there = record.tags | record.system_tags
        if edit.add <= there and not (edit.remove - edit.add) & record.tags:
            return record.tags
        return None

    def _record(self) -> Record:
        answer = self._connection.get(self._path, seconds=self._left())
        if answer.lacks(self._run):
            raise MetaflowNotFound(f"Run('{self._run}') does not exist")
        return record_of(answer.document(dict), Level.RUN)


def _tags_of(answer: Answer) -> frozenset[str]:
    tags = answer.document(dict).get("tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Unanswered(answer.question, f"expected tags, got {excerpt(answer.body)!r}")
    return frozenset(tags)
