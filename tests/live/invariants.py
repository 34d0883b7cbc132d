"""Invariants of everything that is read while it is written, from one look to the next."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import attrs

#: Statuses that only another attempt follows.
FINAL = ("completed", "failed")
#: Most difference of a local run's recorded time from its id, which counts once Metaflow has
#: written over it.
ROUNDED = timedelta(milliseconds=50)


@attrs.frozen
class Look:
    """The observed state of a run or a task at one moment."""

    #: Of the run or task.
    pathspec: str
    status: str
    reason: str
    created_at: datetime
    #: End of its latest finished attempt; None while unfinished.
    finished_at: datetime | None
    #: The attempt that started last; of a run, always 0.
    attempt: int = 0
    #: Names of its artifacts; None if they were not read.
    artifacts: frozenset[str] | None = None
    tags: frozenset[str] = frozenset()


@attrs.define
class Watch:
    """The looks at everything so far, and the violations."""

    violations: list[str] = attrs.field(factory=list)
    looks: int = 0
    _last: dict[str, Look] = attrs.field(factory=dict)

    def see(
        self, look: Look, *, complete: Collection[str] = (), tagged: Iterable[str] = ()
    ) -> None:
        """Compare a look with the one before.

        Args:
            look: the new one.
            complete: names of the artifacts that it has once it is completed.
            tagged: tags that existed before the look, and were not removed.
        """
        self.looks += 1
        before = self._last.get(look.pathspec)
        self._last[look.pathspec] = look
        lacking = set() if look.artifacts is None else set(complete) - look.artifacts
        if look.status == "completed" and lacking:
            self._wrong(look, f"completed without {sorted(lacking)}")
        if lost := set(tagged) - look.tags:
            self._wrong(look, f"lost the tags {sorted(lost)}")
        if before is None:
            return
        if abs(look.created_at - before.created_at) > ROUNDED:
            self._wrong(look, f"created_at moved from {before.created_at} to {look.created_at}")
        again = look.attempt > before.attempt
        if before.status in FINAL and look.status != before.status and not again:
            self._wrong(look, f"was {before.status} ({before.reason})")
        moved = before.finished_at is not None and look.finished_at != before.finished_at
        if moved and not again and before.attempt == look.attempt:
            self._wrong(look, f"finished_at moved from {before.finished_at} to {look.finished_at}")

    def lines(self, pathspec: str, given: list[str], attempts: list[list[str]]) -> None:
        """Compare the lines that a followed log gave with those that were written.

        Args:
            pathspec: the task.
            given: the lines, from the attempt that was the latest at the start.
            attempts: all lines of each attempt.
        """
        self.looks += 1
        wholes = [[*itertools.chain(*attempts[first:])] for first in range(len(attempts))]
        if given not in wholes:
            written = wholes[0] if wholes else []
            extra = [line for line in given if given.count(line) > written.count(line)]
            lacking = [line for line in written if given.count(line) < written.count(line)]
            self.violations.append(f"log of {pathspec}: twice {extra[:3]}, lacking {lacking[:3]}")

    def _wrong(self, look: Look, text: str) -> None:
        self.violations.append(f"{look.pathspec} is {look.status} ({look.reason}): {text}")


def look_at_task(task: Any, *, artifacts: bool = True) -> Look:
    """Look at a task: its status first, then its artifacts, which the status promises."""
    attempt = task.current_attempt
    status = task.status
    names = frozenset(artifact.id for artifact in task) if artifacts else None
    finished_at = task.finished_at
    if task.current_attempt != attempt:
        return look_at_task(task, artifacts=artifacts)  # the status changed in between
    return Look(
        task.pathspec,
        str(status),
        status.reason,
        task.created_at,
        finished_at if status in FINAL else None,
        attempt,
        names,
        task.tags,
    )


def look_at_run(run: Any) -> Look:
    """Look at a run."""
    status = run.status
    return Look(
        run.pathspec,
        str(status),
        status.reason,
        run.created_at,
        run.finished_at if status == "completed" else None,
        tags=run.tags,
    )
