"""Results whose repr says why they are empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from mfc._session._scope import Scope
from mfc.errors import visible

T = TypeVar("T")


class Listing(Generic[T]):
    """A lazy iterator over objects.

    Args:
        found: the objects.
        described: their description, for the repr.
        scope: the scope that is searched.
    """

    def __init__(self, found: Iterator[T], described: str, scope: Scope) -> None:
        self._found, self._described, self._scope = found, described, scope

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._found)

    def __repr__(self) -> str:
        described = visible(self._described)
        if self._scope.filter is None:
            return f"<{described}>"
        return (
            f"<{described} in namespace {self._scope.filter!r}; "
            "namespace(None) gives those of everybody>"
        )


class FlowList(list[T]):
    """A list of flows; its repr says so when it is empty only because of the namespace."""

    #: Flows exist, but only outside the namespace.
    hidden = False
    namespace: str | None = None

    def __reduce__(self) -> Any:
        return list, (list(self),)

    def __repr__(self) -> str:
        if not self.hidden:
            return super().__repr__()
        return (
            f"[]  # there are flows, but none with a run in namespace {self.namespace!r}; "
            "namespace(None) gives those of everybody"
        )
