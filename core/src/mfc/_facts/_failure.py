"""A failure of a run: which task, why, and whether another failure led to it."""

from __future__ import annotations

from typing import Literal

import attrs

from mfc.errors import visible

Kind = Literal["exception", "killed", "timed out", "never started"]
#: Characters of a message in a repr.
_LONGEST = 200


@attrs.frozen(repr=False)
class Failure:
    """A task that failed, or a step that was due and never started.

    Its text is as the task recorded it: unescaped, and from the store.

    >>> Failure("F/7/fit/3", "fit", "3", attempt=1, index=0, kind="killed", message="no end")
    <Failure F/7/fit/3, attempt 1, index 0, killed: no end>
    """

    #: Of the task; of the step, where no task of it started.
    pathspec: str
    #: Name of the step.
    step: str
    #: Id of the task; None for a step.
    task_id: str | None = None
    #: The attempt that failed, from 0: the last one of the task. None if none started.
    attempt: int | None = None
    #: Index in the innermost foreach around the task; None outside of any, or if not recorded.
    index: int | None = None
    #: `exception` of the task's code, `timed out` by Metaflow's `@timeout`, `killed` without an
    #: outcome, or `never started`.
    kind: Kind = "exception"
    #: `module.Class` of the exception; None without one.
    exception_type: str | None = None
    #: Text of the exception, perhaps of several lines; without one, the facts that show the end.
    message: str = ""
    #: Formatted traceback; None without one.
    traceback: str | None = None
    #: Another failure of the run led to this one.
    collateral: bool = False

    def __repr__(self) -> str:
        parts = [self.pathspec]
        if self.attempt is not None:
            parts.append(f"attempt {self.attempt}")
        if self.index is not None:
            parts.append(f"index {self.index}")
        parts.append(f"{self.kind}, collateral" if self.collateral else self.kind)
        first = next(iter(self.message.splitlines()), "")
        short = first if len(first) <= _LONGEST else f"{first[:_LONGEST]}…"
        reason = ": ".join(filter(None, (self.exception_type, short)))
        return f"<Failure {visible(', '.join(parts))}: {visible(reason)}>"


# Pickles, tracebacks and documentation name it by where users import it from.
Failure.__module__ = "mfc"
