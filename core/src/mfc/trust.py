"""How far a client trusts what a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from attrs import frozen

from mfc._arguments import texts
from mfc.errors import BadArgument, UntrustedValue

if TYPE_CHECKING:
    from collections.abc import Iterable

#: `full` builds any object, `safe` what an allow-list names, `none` nothing.
Level = Literal["full", "safe", "none"]

_WIDER: tuple[Level, ...] = ("none", "safe", "full")
_UNREAD = (
    "trust='none' loads no values; .raw gives its bytes, "
    "Client(trust='safe') loads plain data, Client(trust='full') anything"
)


@frozen
class Trust:
    """What may be built from a pickled value.

    >>> Trust.of("safe").level
    'safe'
    >>> sorted(Trust.safe(allow=["shop.models.Basket"]).allow)
    ['shop.models.Basket']
    """

    #: `full`, `safe` or `none`.
    level: Level
    #: full names, `package.module.Name`, that `safe` loads besides its own list.
    allow: frozenset[str] = frozenset()

    @classmethod
    def full(cls) -> Trust:
        """Trust whoever wrote the store to run code here, as Metaflow does."""
        return cls("full")

    @classmethod
    def safe(cls, allow: Iterable[str] = ()) -> Trust:
        """Build plain data and nothing else.

        Args:
            allow: full names of further classes. Their own methods then run on what the
                store holds, so name only what may be fed with anything.

        Raises:
            BadArgument: `allow` is not a collection of full names.
        """
        names = texts("allow", allow, "full names, 'package.module.Name'")
        for name in names:
            if "." not in name.strip("."):
                raise BadArgument.of("allow", name, "full names, 'package.module.Name'")
        return cls("safe", frozenset(names))

    @classmethod
    def none(cls) -> Trust:
        """Build nothing; only the raw bytes of a value can be had."""
        return cls("none")

    def within(self, other: Trust) -> Trust:
        """Return the trust that builds only what this one and `other` both do.

        >>> Trust.full().within(Trust.safe(["a.B"]))
        Trust(level='safe', allow=frozenset({'a.B'}))
        """
        if self.level == other.level:
            return Trust(self.level, self.allow & other.allow)
        return min(self, other, key=lambda trust: _WIDER.index(trust.level))

    def require_any(self, subject: str, location: str) -> None:
        """Do nothing if some values may be built.

        Args:
            subject: the value wanted, for the error.
            location: where it is, for the error.

        Raises:
            UntrustedValue: the level is `none`.
        """
        if self.level == "none":
            raise UntrustedValue(subject, location, _UNREAD)

    @classmethod
    def of(cls, value: object) -> Trust:
        """Return the trust that a setting stands for.

        Args:
            value: a level or a `Trust`.

        Raises:
            BadArgument: it is neither.
        """
        if isinstance(value, Trust):
            return value
        for level in get_args(Level):
            if isinstance(value, str) and value == level:
                return cls(level)
        raise BadArgument.of("trust", value, "'full', 'safe', 'none' or a Trust")
