"""How far a client trusts the content of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import evolve, field, frozen

from mfc._arguments import one_of, texts, whole
from mfc.errors import BadArgument, UntrustedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: `full` builds any object, `safe` classes with a builder, `plain` builtins and Metaflow's own
#: records, `none` no object. Reads of mfc itself (status, lineage, …) are at `plain` at any trust.
Level = Literal["full", "safe", "plain", "none"]

_WIDER: tuple[Level, ...] = ("none", "plain", "safe", "full")
_CHOICES: tuple[Level, ...] = ("full", "safe", "none")
_UNREAD = (
    "trust='none' loads no values; .raw gives its bytes, "
    "Client(trust='safe') loads plain data, Client(trust='full') anything"
)


def _level(level: Any) -> Any:
    return one_of("level", level, _WIDER)


def _allowed(allow: Any) -> frozenset[str]:
    names = texts("allow", allow, "full names, 'package.module.Name'")
    for name in names:
        if "." not in name.strip("."):
            raise BadArgument.of("allow", name, "full names, 'package.module.Name'")
    return frozenset(names)


def _bytes(memory: Any) -> int | None:
    return None if memory is None else whole("memory", memory, "a number of bytes, 0 or more")


@frozen
class Trust:
    """The objects that a pickled value may build.

    >>> Trust.of("safe").level
    'safe'
    >>> sorted(Trust.safe(allow=["shop.models.Basket"]).allow)
    ['shop.models.Basket']
    """

    #: `full`, `safe`, `plain` or `none`.
    level: Level = field(converter=_level)
    #: full names, `package.module.Name`, of classes whose own code may run at `safe`.
    allow: frozenset[str] = field(default=frozenset(), converter=_allowed)
    #: limit of memory for a value at `safe`, in bytes; None is 64 MB plus 8 times its pickle.
    memory: int | None = field(default=None, converter=_bytes)
    #: plugins' builders by full name, which `safe` uses besides its own.
    builders: Mapping[str, Callable[[Any], object]] = field(factory=dict, eq=False, repr=False)

    @classmethod
    def full(cls) -> Trust:
        """Let values from the store run any code here, as Metaflow does."""
        return cls("full")

    @classmethod
    def safe(cls, allow: Iterable[str] = (), memory: int | None = None) -> Trust:
        """Build values of known classes, without running code that the store names.

        Args:
            allow: full names of further classes. Their own methods then run on data from the
                store, so name only classes that are safe with any input.
            memory: limit of memory for a value, in bytes; by default 64 MB plus 8 times the size
                of its pickle.

        Raises:
            BadArgument: `allow` is not a collection of full names, or `memory` not a number.
        """
        return cls("safe", allow, memory)

    @classmethod
    def plain(cls) -> Trust:
        """Build builtins and Metaflow's own records, as mfc's own reads of status do."""
        return cls("plain")

    @classmethod
    def none(cls) -> Trust:
        """Refuse to build values; only their raw bytes can be read."""
        return cls("none")

    def within(self, other: Trust) -> Trust:
        """Return the trust that builds only objects that this one and `other` both build.

        >>> Trust.full().within(Trust.safe(["a.B"]))
        Trust(level='safe', allow=frozenset({'a.B'}), memory=None)
        """
        if self.level == other.level:
            limits = [limit for limit in (self.memory, other.memory) if limit is not None]
            memory = min(limits, default=None)
            return evolve(self, allow=self.allow & other.allow, memory=memory)
        return min(self, other, key=lambda trust: _WIDER.index(trust.level))

    def require_any(self, subject: str, location: str) -> None:
        """Raise an error unless this trust allows some values.

        Args:
            subject: the requested value, for the error.
            location: where it is, for the error.

        Raises:
            UntrustedValue: the level is `none`.
        """
        if self.level == "none":
            raise UntrustedValue(subject, location, _UNREAD)

    @classmethod
    def of(cls, value: object) -> Trust:
        """Return the trust for the value of a setting.

        Args:
            value: a level or a `Trust`.

        Raises:
            BadArgument: the value is neither.
        """
        if isinstance(value, Trust):
            return value
        for level in _CHOICES:
            if isinstance(value, str) and value == level:
                return cls(level)
        raise BadArgument.of("trust", value, "'full', 'safe', 'none' or a Trust")
