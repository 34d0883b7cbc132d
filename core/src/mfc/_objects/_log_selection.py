"""Which lines of a log are wanted: the keywords of `Task.loglines`."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import attrs

from mfc.errors import BadArgument


def _stamp(moment: object) -> bytes:
    """Return a time as log lines have it: UTC, in a form that sorts; empty for None."""
    if moment is None:
        return b""
    found = _time(moment)
    try:
        if found.tzinfo is not None:
            found = found.astimezone(timezone.utc).replace(tzinfo=None)
    except OverflowError:
        raise BadArgument(f"since is {moment!r}; that is too far away to be a time") from None
    return found.isoformat(timespec="microseconds").encode("ascii")


def _time(moment: object) -> datetime:
    if isinstance(moment, timedelta):
        try:
            return datetime.now(timezone.utc) - moment
        except OverflowError:
            raise BadArgument(f"since is {moment!r}; that long ago there was no time") from None
    if isinstance(moment, str):
        try:
            # Python 3.10 does not know the Z of UTC.
            return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", moment))
        except ValueError:
            raise BadArgument(
                f"since is {moment!r}; expected ISO 8601 such as '2026-03-01T12:00', in UTC"
            ) from None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    if not isinstance(moment, datetime):
        raise BadArgument(
            f"since is {moment!r}; expected a datetime, date, timedelta or ISO text, in UTC"
        )
    return moment


def _pattern(pattern: Any) -> re.Pattern[Any] | None:
    if pattern is None or isinstance(pattern, re.Pattern):
        return pattern
    if not isinstance(pattern, (str, bytes)):
        raise BadArgument(f"grep is {pattern!r}; expected a regular expression, text or compiled")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as cause:
        raise BadArgument(
            f"grep is {pattern!r}, which is no regular expression: {cause}; re.escape() makes "
            "one of any text"
        ) from None


def _number(_: object, __: object, tail: int | None) -> None:
    if tail is not None and (not isinstance(tail, int) or isinstance(tail, bool) or tail < 0):
        raise BadArgument(f"tail is {tail!r}; expected a number of lines, 0 or more")


@attrs.frozen
class Selection:
    """The lines that are wanted. Every part must hold; None asks for nothing.

    Raises:
        BadArgument: a part is not what it should be; the text says which.
    """

    #: So many of those for which the other parts hold, the last ones.
    tail: int | None = attrs.field(default=None, validator=_number)
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
