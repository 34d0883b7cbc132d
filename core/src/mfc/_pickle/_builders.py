"""Builders: functions that make the values of one class from what a pickle says of them."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any

from attrs import frozen

from mfc._pickle._scan import Refused
from mfc.values import Parts

#: Types whose values are what they are, wherever they stand.
ATOMS = frozenset({NoneType, bool, int, float, str, bytes, bytearray})

Make = Callable[[Parts], Any]
Fill = Callable[[Any, Parts], object]


@frozen
class Builder:
    """Makes the objects of one class."""

    make: Make
    #: puts state and items into what `make` made of the arguments alone; it may hold itself.
    fill: Fill | None = None
    #: may hold a placeholder, since nothing in it looks at what it holds.
    holds: bool = False


def entering(
    builders: dict[str, Builder], package: str = ""
) -> Callable[..., Callable[[Make], Make]]:
    """Return a decorator that enters a function as the builder of some names of a package."""

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
    """A builder failed: the name, and the error."""


class Internal:
    """What one builder makes for another, and is not a value."""

    def error(self) -> Exception:
        """Return what is wrong with a value that is only this."""
        return Refused("a part of a table, without the table")
