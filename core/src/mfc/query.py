"""What to select from a listing: one language for the client and every provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime, timedelta

import attrs

from mfc.errors import BadArgument
from mfc.model import Record

#: The parts of a `Query`, by the names of its fields.
PARTS = ("tags", "since", "until", "status", "user", "names", "metadata", "limit")
#: The words of `status=`.
STATUSES = ("running", "completed", "failed", "unknown")


def _milliseconds(moment: datetime | date | timedelta | str | int | None) -> int | None:
    """Return `moment` in milliseconds since 1970 UTC; naive times are local, as `created_at` is."""
    if moment is None or isinstance(moment, int):
        return moment
    if isinstance(moment, timedelta):
        try:
            moment = datetime.now().astimezone() - moment
        except OverflowError:
            raise BadArgument(f"{moment!r} ago there was no time") from None
    elif isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise BadArgument(
                f"{moment!r} is no time; expected ISO 8601 such as '2026-03-01T12:00'"
            ) from None
    elif isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - local midnight
    if not isinstance(moment, datetime):
        raise BadArgument(
            f"{moment!r} is no time; expected a datetime, date, timedelta or ISO text"
        )
    try:
        return int(moment.timestamp() * 1000)
    except (OverflowError, ValueError, OSError):
        raise BadArgument(f"{moment!r} is too far away to be a time") from None


def _tags(tags: Iterable[str]) -> frozenset[str]:
    try:
        return frozenset(tags)
    except TypeError:
        raise BadArgument(f"tags are {tags!r}; expected text") from None


def _names(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _match(_: object, __: object, value: tuple[str, str] | None) -> None:
    if value is None:
        return
    try:
        field, pattern = value
        re.compile(pattern)
    except (TypeError, ValueError, re.error) as cause:
        raise BadArgument(
            f"metadata is {value!r}; expected a field and a regular expression ({cause})"
        ) from None
    if not isinstance(field, str):
        raise BadArgument(f"metadata is {value!r}; expected a field's name first")


def _limit(_: object, __: object, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise BadArgument(f"limit is {value!r}; expected a number of objects, 0 or more")


def _status(_: object, __: object, value: str | None) -> None:
    if value is not None and value not in STATUSES:
        raise BadArgument(f"status is {value!r}; expected one of {', '.join(STATUSES)}")


def _has_tag(tag: str) -> Callable[[Record], bool]:
    return lambda record: tag in record.system_tags or tag in record.tags


@attrs.frozen
class Query:
    """Which children of an object are wanted. Every part must hold; None asks for nothing.

    Raises:
        BadArgument: a part is not what it should be; the text says which.
    """

    #: All of these are among the user and system tags.
    tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    #: Created at or after; any time `datetime` understands, kept in ms since 1970 UTC.
    since: int | None = attrs.field(default=None, converter=_milliseconds)
    #: Created before.
    until: int | None = attrs.field(default=None, converter=_milliseconds)
    #: One of `STATUSES`.
    status: str | None = attrs.field(default=None, validator=_status)
    #: Made by this user.
    user: str | None = None
    #: Of these names: run ids, step names, task ids.
    names: frozenset[str] | None = attrs.field(default=None, converter=_names)
    #: Tasks for which a value of a metadata field, of whatever attempt, matches wholly: (field,
    #: regular expression of Python). Values that are not text do not match.
    metadata: tuple[str, str] | None = attrs.field(default=None, validator=_match)
    #: At most so many, newest first, after all other parts.
    limit: int | None = attrs.field(default=None, validator=_limit)

    def parts(self) -> frozenset[str]:
        """Return the names of the parts that ask for something.

        >>> sorted(Query(user="ada", limit=3).parts())
        ['limit', 'user']
        """
        return frozenset(
            name
            for name in PARTS
            if (name == "tags" and self.tags)
            or (name != "tags" and getattr(self, name) is not None)
        )

    def only(self, parts: Collection[str]) -> Query:
        """Return this query with nothing but `parts`.

        >>> Query(user="ada", limit=3).only({"limit"}).parts()
        frozenset({'limit'})
        """
        return Query(
            self.tags if "tags" in parts else (),
            self.since if "since" in parts else None,
            self.until if "until" in parts else None,
            self.status if "status" in parts else None,
            self.user if "user" in parts else None,
            self.names if "names" in parts else None,
            self.metadata if "metadata" in parts else None,
            self.limit if "limit" in parts else None,
        )

    def tests(self) -> list[Callable[[Record], bool]]:
        """Return a test for each part that a record alone can answer.

        Those are all but status and metadata, which need more, and limit, which counts.
        """
        made = [_has_tag(tag) for tag in self.tags]
        if (since := self.since) is not None:
            made.append(lambda record: record.created >= since)
        if (until := self.until) is not None:
            made.append(lambda record: record.created < until)
        if (user := self.user) is not None:
            made.append(lambda record: record.user == user)
        if (names := self.names) is not None:
            made.append(lambda record: record.path.name in names)
        return made
