"""The argument of a value builder: see `mfc.hookspecs.mfc_value_builders`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """The parts of one object in a pickle, for the builder that makes it.

    All parts are built already, with two exceptions among the arguments and the members of a state
    that is a tuple: a class or function is its name, with `module` and `name`; and large bytes
    are a view, `view`.
    """

    #: name of the class: `str(name)` is the full name, `name.module` and `name.name` its parts.
    name: Any
    args: tuple[Any, ...]
    kwargs: dict[Any, Any]
    #: argument for the object's `__setstate__` or `__dict__`.
    state: Any
    #: whether it is made by `__new__`, not by a call.
    new: bool
    #: whether it has a state.
    stated: bool
    #: elements that were appended.
    items: list[Any]
    #: keys and values that were set.
    pairs: list[tuple[Any, Any]]
    #: counts bytes of memory that a builder is about to take; raises beyond the limit.
    spend: Callable[[int], None]
    #: returns a list of the values to hash; raises where hashing would take too long.
    hashed: Callable[[Iterable[Any]], list[Any]]
