"""Builders: functions that make the values of one class from their parts in a pickle."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from attrs import frozen

from mfc._pickle._scan import Refused
from mfc.values import Parts

#: Types whose values need no building.
ATOMS = frozenset({NoneType, bool, int, float, str, bytes, bytearray})

Make = Callable[[Parts], Any]
Fill = Callable[[Any, Parts], object]


@frozen
class Builder:
    """The builder of the objects of one class."""

    make: Make
    #: adds state and items to the object that `make` made from its arguments; it may hold itself.
    fill: Fill | None = None
    #: whether it may hold placeholders, as it never inspects its content.
    holds: bool = False


def entering(
    builders: dict[str, Builder], package: str = ""
) -> Callable[..., Callable[[Make], Make]]:
    """Return a decorator that registers a function as the builder of names of a package."""

    def builds(
        *names: str, holds: bool = False, fill: Fill | None = None
    ) -> Callable[[Make], Make]:
        def entered(make: Make) -> Make:
            builders.update(
                dict.fromkeys((package + name for name in names), Builder(make, fill, holds))
            )
            return make

        return entered

    return builds


class Unbuildable(Exception):
    """A builder failed: its name, and the error."""


class Internal:
    """An intermediate result that one builder makes for another; not a value."""

    def error(self) -> Exception:
        """Return the error for a value that consists only of this."""
        return Refused("a part of a table, without the table")
