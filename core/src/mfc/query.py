"""Selection from a listing: one query type for the client and every provider."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs

from mfc._arguments import milliseconds, one_of, text, texts, whole
from mfc.errors import BadArgument
from mfc.model import Record

#: The parts of a `Query`, by the names of its fields.
PARTS = ("tags", "since", "until", "status", "user", "names", "metadata", "limit")
#: The words of `status=`.
STATUSES = ("running", "completed", "failed", "unknown")


def _time(name: str, given: Any) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    return milliseconds(name, given)


def _since(given: Any) -> int | None:
    return _time("since", given)


def _until(given: Any) -> int | None:
    return _time("until", given)


def _tags(tags: Iterable[str]) -> frozenset[str]:
    return frozenset(texts("tags", tags))


def _names(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(texts("names", names))


def _user(user: Any) -> str | None:
    return None if user is None else text("user", user, "the name of a user")


def _status(status: Any) -> str | None:
    return None if status is None else one_of("status", status, STATUSES)


def _match(value: Any) -> tuple[str, str] | None:
    expected = "the name of a field and a regular expression"
    if value is None:
        return None
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004 - a pair
        raise BadArgument.of("metadata", value, f"a tuple of {expected}")
    field, pattern = (text("metadata", part, expected) for part in value)
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as cause:
        raise BadArgument.of("metadata", value, f"{expected} ({cause})") from None
    return field, pattern


def _limit(limit: Any) -> int | None:
    if limit is None:
        return None
    return min(whole("limit", limit, "a number of objects, 0 or more"), sys.maxsize)


def _has_tag(tag: str) -> Callable[[Record], bool]:
    return lambda record: tag in record.system_tags or tag in record.tags


@attrs.frozen
class Query:
    """A selection of an object's children. Every part must hold; None does not restrict.

    Raises:
        BadArgument: a part is invalid; the text says which.
    """

    #: Has all of these user or system tags.
    tags: frozenset[str] = attrs.field(default=frozenset(), converter=_tags)
    #: Created at or after, in ms since 1970 UTC; datetime, date, timedelta and text are converted.
    since: int | None = attrs.field(default=None, converter=_since)
    #: Created before.
    until: int | None = attrs.field(default=None, converter=_until)
    #: One of `STATUSES`.
    status: str | None = attrs.field(default=None, converter=_status)
    #: Made by this user.
    user: str | None = attrs.field(default=None, converter=_user)
    #: Has one of these names: run ids, step names, task ids.
    names: frozenset[str] | None = attrs.field(default=None, converter=_names)
    #: Tasks with a value of a metadata field, of any attempt, that matches as a whole: (field,
    #: Python regular expression). Values that are not text do not match.
    metadata: tuple[str, str] | None = attrs.field(default=None, converter=_match)
    #: At most this many, newest first, applied after all other parts.
    limit: int | None = attrs.field(default=None, converter=_limit)

    def parts(self) -> frozenset[str]:
        """Return the names of the parts that are set.

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
        """Return this query reduced to `parts`.

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

        Status and metadata need more than a record, and limit counts, so they have no test here.
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
