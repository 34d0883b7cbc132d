"""What a builder of values is given: see `mfc.hookspecs.mfc_value_builders`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """What a pickle says of one object, for the builder that makes it.

    Everything is built already, with two exceptions among the arguments and the members of a state
    that is a tuple: a class or function is its name, with `module` and `name`; and large bytes
    are a view, `view`.
    """

    #: of what is made: `str(name)` is the full name, `name.module` and `name.name` its parts.
    name: Any
    args: tuple[Any, ...]
    kwargs: dict[Any, Any]
    #: what the object's `__setstate__` or `__dict__` would have got.
    state: Any
    #: whether it was made by `__new__`, not by a call.
    new: bool
    #: whether it got a state.
    stated: bool
    #: elements that were appended.
    items: list[Any]
    #: keys and values that were set.
    pairs: list[tuple[Any, Any]]
    #: counts bytes of memory that a builder is about to take; raises when there are too many.
    spend: Callable[[int], None]
    #: returns what may be hashed as a list; raises where hashing would take too long.
    hashed: Callable[[Iterable[Any]], list[Any]]
