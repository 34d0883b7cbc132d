"""An object as it was recorded, and its place in the listing that it came in."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs

from mfc._concurrency._prefetch import Question, Siblings
from mfc._session._scope import Scope
from mfc.model import Pathspec, Record

T = TypeVar("T")


@attrs.frozen(eq=False)
class Recorded:
    """An object as it was recorded; made when a question about it comes up, and not kept."""

    #: Where it was found, and what may be seen from there.
    scope: Scope
    record: Record
    #: The listing that it came in, and its position; None where asking others does not pay.
    siblings: tuple[Siblings, int] | None = None
    #: The listing whose values are read ahead, and its position: for the end task of a run, that
    #: of the run.
    walk: tuple[Siblings, int] | None = None

    @property
    def path(self) -> Pathspec:
        """The names down to it."""
        return self.record.path

    @property
    def notes(self) -> dict[str, Any]:
        """The facts that hold for all of its listing, as far as they are known."""
        return {} if self.siblings is None else self.siblings[0].notes

    def ask(self, question: Question[T]) -> T:
        """Return the answer to a question about it, which its siblings are asked along with it."""
        if self.siblings is None:
            return question.one(self.record)
        listing, position = self.siblings
        return listing.answer(position, question)
