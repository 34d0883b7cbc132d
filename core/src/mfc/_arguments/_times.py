"""Times and durations as arguments."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

from mfc._arguments._checks import plain
from mfc.errors import BadArgument

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME = (
    "a datetime or date (local time if it has no time zone), a timedelta back from now, "
    "or text such as '2026-03-01T12:00' or '24h'"
)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}($|[T ][0-9:.,]+([zZ]|[+-][0-9:.]+)?$)")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(min|[smhdw])\s*")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(name: str, value: object) -> datetime:
    """Return an argument that is a time, in UTC.

    A time without a zone is local, a date is its local midnight, a timedelta counts back from now.
    Text is a time in ISO 8601, or a duration that counts back from now: `90s`, `15min`, `24h`,
    `7d`, `1h30m`.

    Raises:
        BadArgument: it is not. A number is refused: it could be seconds or milliseconds.
    """
    found = plain(value)
    if isinstance(found, str):
        found = _parsed(str.__str__(found).strip())
    try:
        # Subclasses in pandas have other arithmetic, so they are converted.
        if isinstance(found, timedelta) and found == found:  # noqa: PLR0124 - NaT is not
            ago = timedelta(found.days, found.seconds, found.microseconds)
            return datetime.now(timezone.utc) - ago
        if isinstance(found, datetime) and found == found:  # noqa: PLR0124 - as above
            return datetime.combine(found.date(), found.timetz()).astimezone(timezone.utc)
        if isinstance(found, date) and not isinstance(found, datetime):
            return datetime(found.year, found.month, found.day).astimezone(timezone.utc)
    except (OverflowError, ValueError, OSError):
        raise BadArgument.of(name, value, f"{_TIME}; this is too far away") from None
    except Exception as cause:  # the time zone's own code
        raise BadArgument.of(name, value, _TIME) from cause
    raise BadArgument.of(name, value, _TIME)


def milliseconds(name: str, value: object) -> int:
    """Return an argument that is a time in whole milliseconds since 1970 UTC, rounded up.

    Records have whole milliseconds, so not before 0.3 ms means not before 1 ms.

    Raises:
        BadArgument: as `moment`.
    """
    return -((EPOCH - moment(name, value)) // timedelta(milliseconds=1))


def _parsed(given: str) -> object:
    """Return the time or timedelta in a text; None if it is neither."""
    try:
        if _ISO.match(given):
            # Python 3.10 does not know the Z of UTC.
            return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", given))
        parts = _DURATION.findall(given)
        if parts and not _DURATION.sub("", given):
            return sum(
                (timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta()
            )
    except (ValueError, OverflowError):
        return None
    return None
