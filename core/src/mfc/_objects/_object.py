"""Base of all objects of the Client API: a record, its scope, and its parent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from mfc._arguments import flag, plain, whole
from mfc._concurrency._prefetch import Siblings
from mfc._objects._current import HasReader, chosen_client
from mfc._objects._state import object_state, provider_for, reader_for, unpacked
from mfc._recorded._times import local_time
from mfc._session._scope import Scope
from mfc.errors import (
    BadAttempt,
    BadChildName,
    ChildNotFound,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
    visible,
)
from mfc.model import MAX_ATTEMPTS, Level, Pathspec, Record, is_name
from mfc.query import Query

Self = TypeVar("Self", bound="MetaflowObject")

#: Levels whose children are typically read in loops: runs of a flow, tasks of a step.
_WALKED = frozenset((Level.FLOW, Level.STEP))
#: Larger than any id of a run or task.
_MANY = 10**100


class MetaflowObject:
    """Base of Flow, Run, Step, Task and DataArtifact.

    An object is a snapshot of its record. Only the tags of a `Run` change, and only through its
    own methods. Objects are equal if path, attempt and provider are equal.

    Args:
        pathspec: names from the flow down to the object, joined by `/`.
        attempt: for tasks and artifacts, the attempt, 0 to 5.
        client: the client to read with; by default the current client.
        _namespace_check: False ignores the namespace, for this object and all reached from it.

    Raises:
        MetaflowInvalidPathspec: not a pathspec of this kind.
        MetaflowNotFound: the object does not exist; BadAttempt: the attempt number is impossible.
        MetaflowNamespaceMismatch: the object is not in the namespace.
    """

    # Code written for Metaflow sets attributes of its own.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_attempt",
        "_parent",
        "_record",
        "_scope",
        "_siblings",
        "_walk",
    )

    _level: ClassVar[Level]
    #: The class of the objects one level down.
    _child_class: ClassVar[type[MetaflowObject]]
    _scope: Scope
    _record: Record
    _attempt: int | None
    _parent: MetaflowObject | None
    #: Its listing and position, for prefetch among siblings; None where that does not pay.
    _siblings: tuple[Siblings, int] | None
    #: Its listing of runs or tasks, and position; for the end task of a run, those of the run.
    _walk: tuple[Siblings, int]

    def __init__(
        self,
        pathspec: str | None = None,
        attempt: int | None = None,
        *,
        client: HasReader | None = None,
        _namespace_check: bool = True,
    ) -> None:
        attempt = self._checked_attempt(attempt)
        path = Pathspec.parse(pathspec, self._level)
        scope = Scope.now(chosen_client(client))
        checked = flag("_namespace_check", _namespace_check)
        self._find(scope if checked else scope.unchecked(), path, attempt)

    @classmethod
    def _of(
        cls: type[Self],
        scope: Scope,
        record: Record,
        attempt: int | None = None,
        parent: MetaflowObject | None = None,
    ) -> Self:
        """Return the object of a record, without checking the namespace."""
        made = cls.__new__(cls)
        made._scope = scope
        made._record = record
        made._attempt = attempt
        made._parent = parent
        made._siblings = None
        return made

    @classmethod
    def _at(cls: type[Self], scope: Scope, path: Pathspec, attempt: int | None = None) -> Self:
        """Return the object at `path`, as the constructor does."""
        made = cls.__new__(cls)
        made._find(scope, path, attempt)
        return made

    def _find(self, scope: Scope, path: Pathspec, attempt: int | None) -> None:
        self._scope, self._attempt, self._parent, self._siblings = scope, attempt, None, None
        record = scope.provider.get(path, attempt)
        if record is None:
            raise self._missing(scope, path, attempt)
        self._record = record
        if not self._in_scope():
            raise MetaflowNamespaceMismatch(scope.namespace, str(self))

    @classmethod
    def _missing(cls, scope: Scope, path: Pathspec, attempt: int | None) -> MetaflowNotFound:
        """Return the error for a missing object; its message finds a hint when it is shown."""

        def look() -> str:
            from mfc._objects._missing import hint  # only errors that are shown need it

            return hint(scope, path)

        message = f"{_shown(cls, path, attempt)} does not exist in {scope.provider.address}"
        return MetaflowNotFound(message, look)

    def _in_scope(self) -> bool:
        return self._scope.sees(self._record)

    @classmethod
    def _checked_attempt(cls, attempt: Any) -> int | None:
        if attempt is None:
            return None
        expected = f"a whole number, 0 to {MAX_ATTEMPTS - 1}"
        if cls._level < Level.TASK:
            raise BadAttempt.of("attempt", attempt, "None: only tasks and artifacts have attempts")
        try:
            # Metaflow also accepts a number as text.
            number = whole("attempt", int(attempt) if isinstance(attempt, str) else attempt, "")
        except ValueError:
            raise BadAttempt.of("attempt", attempt, expected) from None
        if number >= MAX_ATTEMPTS:
            raise BadAttempt.of("attempt", attempt, expected)
        return number

    # Identity

    @property
    def id(self) -> str:
        """The last name of the pathspec."""
        return self._record.path.name

    @property
    def pathspec(self) -> str:
        """The constructor's argument for this object (plus `attempt=` where one was given)."""
        return str(self._record.path)

    @property
    def path_components(self) -> list[str]:
        """The names of the pathspec, outermost first."""
        return list(self._record.path.components)

    @property
    def parent(self) -> Any:
        """The object one level up; None for a flow."""
        if self._parent is None and self._level > Level.FLOW:
            attempt = self._attempt if self._level is Level.ARTIFACT else None
            path = self._record.path.parent
            self._parent = self._above()._at(self._scope.unchecked(), path, attempt)
        return self._parent

    @classmethod
    def _above(cls) -> type[MetaflowObject]:
        """Return the class of the objects one level up."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, MetaflowObject):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Pathspec, int | None, str]:
        return self._record.path, self._attempt, self._scope.provider.address

    def __str__(self) -> str:
        return _shown(type(self), self._record.path, self._attempt)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return a small HTML table of the fields in memory, without reading."""
        import html  # only notebooks need it

        rows = [("created", f"{self.created_at:%Y-%m-%d %H:%M:%S}")]
        if self._record.user:
            rows.append(("user", self._record.user))
        if self._record.tags:
            rows.append(("tags", ", ".join(sorted(self._record.tags))))
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(visible(text))}</td></tr>"
            for name, text in rows
        )
        return f"<table><caption>{html.escape(str(self))}</caption>{cells}</table>"

    # What was recorded

    @property
    def tags(self) -> frozenset[str]:
        """User and system tags of the run that this object belongs to."""
        return self._record.tags | self._record.system_tags

    @property
    def user_tags(self) -> frozenset[str]:
        """Tags that users may change."""
        return self._record.tags

    @property
    def system_tags(self) -> frozenset[str]:
        """Tags that Metaflow set."""
        return self._record.system_tags

    @property
    def created_at(self) -> datetime:
        """Time of creation: naive, in local time."""
        return local_time(self._record.created)

    @property
    def origin_pathspec(self) -> str | None:
        """The object that `resume` cloned this one from; None without a clone."""
        return None

    def is_in_namespace(self) -> bool:
        """Tell whether this object is in the client's current namespace."""
        client = self._scope.reader
        namespace = client.namespace
        return namespace is None or client.policy.sees(namespace, self._record)

    # Children

    def _children(self, *, hidden: bool = False) -> Iterator[Any]:
        """Yield the objects one level down, newest first; `hidden` includes names with `_`."""
        records = self._child_records(Query())
        if not hidden:
            records = (r for r in records if not r.path.components[-1].startswith("_"))
        return self._listed(records)

    def _child_records(self, query: Query) -> Iterator[Record]:
        """Yield the records one level down that match and are in the namespace, newest first."""
        return self._scope.below(self._record.path, query)

    def _child_record(self, path: Pathspec) -> Record | None:
        """Return the record of the child at `path`, in the namespace or not."""
        return self._scope.provider.get(path, self._attempt)

    def _listed(self, records: Iterator[Record]) -> Iterator[Any]:
        """Yield the children with these records, linked as siblings where prefetch pays."""
        make, scope, attempt = self._child_class._of, self._scope, self._attempt
        if self._level not in _WALKED:
            for record in records:
                yield make(scope, record, attempt, self)
            return
        siblings = Siblings(records, whole=scope.remote)
        for position, record in siblings:
            child = make(scope, record, attempt, self)
            child._walk = siblings, position
            # Values may be remote where records are local.
            child._siblings = child._walk if scope.remote else None
            yield child

    def __iter__(self) -> Iterator[Any]:
        """Yield the children in the namespace, newest first."""
        return self._children()

    def _child_path(self, name: object) -> Pathspec:
        text = plain(name)
        if isinstance(text, int) and not isinstance(text, bool) and abs(text) < _MANY:
            text = str(text)
        if not isinstance(text, str) or not is_name(text):
            raise BadChildName(str(self), name)
        return self._record.path.child(text)

    def __getitem__(self, name: str) -> Any:
        """Return the child `name`.

        Raises:
            ChildNotFound: the child does not exist; a KeyError.
            MetaflowNamespaceMismatch: the child is not in the namespace of this object.
        """
        path = self._child_path(name)
        record = self._child_record(path)
        if record is None:
            raise ChildNotFound(str(self), name, self._missing(self._scope, path, None).hint)
        if not self._scope.sees(record):
            raise MetaflowNamespaceMismatch(self._scope.namespace, str(path))
        return self._child_class._of(self._scope, record, self._attempt, self)

    def __contains__(self, name: object) -> bool:
        """Tell whether a child `name` exists, in the namespace or not."""
        try:
            path = self._child_path(name)
        except BadChildName:
            return False
        return self._child_record(path) is not None

    def _ipython_key_completions_(self) -> list[str]:
        return [child.id for child in self]

    # Pickling, in the layout of Metaflow's own client, and copying

    def __getstate__(self) -> dict[str, Any]:
        return object_state(self._scope, self.pathspec, self._attempt)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Find the object again; the client's own provider and namespace are unchanged."""
        pathspec, attempt, address, namespace, checked = unpacked(state, self._level)
        client = reader_for(state)
        namespace = namespace or client.namespace
        checked = bool(checked) and namespace is not None
        scope = Scope(client, provider_for(client, address), namespace, checked)
        self._find(scope, Pathspec.parse(pathspec, self._level), self._checked_attempt(attempt))

    def __copy__(self: Self) -> Self:
        """Keep the client and its trust, without reading."""
        return self._of(self._scope, self._record, self._attempt, self._parent)

    def __deepcopy__(self: Self, memo: object) -> Self:
        return self.__copy__()


def _shown(kind: type[MetaflowObject], path: Pathspec, attempt: int | None) -> str:
    name = visible(str(path))
    if attempt is not None:
        return f"{kind.__name__}('{name}', attempt={attempt})"
    return f"{kind.__name__}('{name}')"
