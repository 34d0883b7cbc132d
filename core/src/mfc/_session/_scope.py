"""Scope: the client, provider and namespace that an object was made with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from mfc._session._reader import Reader
from mfc._storage._place import Roots
from mfc.model import Level, Pathspec, Record
from mfc.query import Query

if TYPE_CHECKING:
    from mfc.hookspecs import MetadataProvider


@attrs.frozen(eq=False)
class Scope:
    """The client, provider and namespace that an object was made with."""

    reader: Reader
    provider: MetadataProvider
    #: The namespace at that moment; None makes all runs visible.
    namespace: str | None
    #: Whether the namespace is applied to the object and all reached from it.
    checked: bool = True

    @classmethod
    def now(cls, reader: Reader) -> Scope:
        """Return a scope with the current provider and namespace."""
        namespace = reader.namespace
        return cls(reader, reader.provider, namespace, namespace is not None)

    def unchecked(self) -> Scope:
        """Return this scope without applying the namespace."""
        return attrs.evolve(self, checked=False) if self.checked else self

    @property
    def filter(self) -> str | None:
        """The namespace to apply; None makes all runs visible."""
        return self.namespace if self.checked else None

    def sees(self, record: Record) -> bool:
        """Tell whether a run, or an object below one, is in the applied namespace."""
        return self.filter is None or self.reader.policy.sees(self.filter, record)

    def seen(self, records: Iterator[Record]) -> Iterator[Record]:
        """Return those of `records`, of runs or below, that are in the applied namespace."""
        namespace = self.filter
        if namespace is None:
            return records
        sees = self.reader.policy.sees
        return (record for record in records if sees(namespace, record))

    def below(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the matching, visible children of a flow, run or step, newest first."""
        namespace = self.filter
        if namespace is None:
            return self.provider.children(path, query)
        if path.level is Level.FLOW:
            required = self.reader.policy.required(namespace)
            query = attrs.evolve(query, tags=query.tags | required)
        if query.limit is None:
            return self.seen(self.provider.children(path, query))
        return itertools.islice(self._limited(path, query), query.limit)

    def _limited(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the visible ones of the first children; if some are hidden, those of all."""
        first = list(self.provider.children(path, query))
        seen = list(self.seen(iter(first)))
        yield from seen
        if len(seen) < len(first):
            given = {record.path for record in seen}
            everything = self.provider.children(path, attrs.evolve(query, limit=None))
            yield from (r for r in self.seen(everything) if r.path not in given)

    def roots(self, ds_type: str) -> Roots:
        """Return the roots, besides the recorded one, where results of a type may be."""
        return self.reader.roots(ds_type, self.provider)

    @property
    def remote(self) -> bool:
        """Whether calls wait for a network, so that batches are faster."""
        return self.provider.capabilities.useful("remote")
