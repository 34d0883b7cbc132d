"""Which lines of a log are wanted: the keywords of `Task.loglines`."""

from __future__ import annotations

import re
from typing import Any

import attrs

from mfc._arguments import moment, whole
from mfc.errors import BadArgument


def _stamp(since: object) -> bytes:
    """Return a time as log lines have it: UTC, in a form that sorts; empty for None."""
    if since is None:
        return b""
    found = moment("since", since).replace(tzinfo=None)
    return found.isoformat(timespec="microseconds").encode("ascii")


def _pattern(grep: Any) -> re.Pattern[Any] | None:
    if grep is None or isinstance(grep, re.Pattern):
        return grep
    if not isinstance(grep, (str, bytes)):
        raise BadArgument.of("grep", grep, "a regular expression, text or compiled")
    try:
        return re.compile(grep)
    except (re.error, OverflowError, RecursionError) as cause:
        expected = f"a regular expression ({cause}); re.escape() makes one of any text"
        raise BadArgument.of("grep", grep, expected) from None


def _tail(tail: Any) -> int | None:
    return None if tail is None else whole("tail", tail, "a number of lines, 0 or more")


@attrs.frozen
class Selection:
    """The lines that are wanted. Every part must hold; None asks for nothing.

    Raises:
        BadArgument: a part is not what it should be; the text says which.
    """

    #: So many of those for which the other parts hold, the last ones.
    tail: int | None = attrs.field(default=None, converter=_tail)
    #: Printed at or after; kept as stamps are, empty for all.
    since: bytes = attrs.field(default=None, converter=_stamp)
    #: Found in the line.
    grep: re.Pattern[Any] | None = attrs.field(default=None, converter=_pattern)

    @property
    def at_end(self) -> bool:
        """Whether the end of a log may be enough to know what is selected."""
        return self.tail is not None or bool(self.since)

    def matches(self, message: bytes) -> bool:
        """Tell whether `grep` finds something in a line."""
        if self.grep is None:
            return True
        if isinstance(self.grep.pattern, bytes):
            return self.grep.search(message) is not None
        return self.grep.search(message.decode(errors="replace")) is not None
