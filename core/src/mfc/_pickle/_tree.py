"""A pickle as a tree of inert records, read by the unpickler in C.

The pickle can make only plain data and the records of `Reader`. Records are inert: a name is text,
a call is recorded, a state is kept. The reader never imports, calls or hashes. The tree is complete
when `tree` returns; the pickle has been consumed, so the tree cannot change.
"""

from __future__ import annotations

import _compat_pickle
import pickle
from typing import TYPE_CHECKING, Any, cast

from mfc._pickle._scan import (
    DICT,
    FILLED,
    FROZEN,
    NEW,
    PAIRS,
    Chunk,
    Refused,
    Scanned,
    scanned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: First protocol with the names of Python 3.
_PYTHON3 = 3


class Name:
    """A module's member, not imported."""

    __slots__ = ("built", "module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> Name | Node:
        """Record a call; a call that is shorthand for another record becomes that record."""
        shorthand = _SHORTHANDS.get((self.module, self.name))
        return Node(self, args) if shorthand is None else shorthand(self, *args)

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Node:
    """An object made by a call or by `__new__`, perhaps with a state and items."""

    __slots__ = (
        "args", "built", "function", "items", "kwargs", "new", "number", "state", "stated",
    )  # fmt: skip

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: Any = None, *, new: bool = False
    ) -> None:
        self.function, self.args, self.kwargs, self.new = function, args, kwargs, new
        self.state: Any = None
        self.stated = False
        self.items: list[Any] | None = None

    built: Any
    number: int

    def __call__(self, *args: Any) -> Node:
        """Record a call of the result of another call."""
        return Node(self, args)

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        if self.stated:
            raise Refused("a second state for one object")
        self.state, self.stated = state, True

    def extend(self, items: list[Any]) -> None:
        """Keep items; the items of a mapping are `Pairs`."""
        if self.items is None:
            self.items = items
        else:
            self.items += items

    append = extend


class Dict(list[Any]):
    """A dict: its items in portions, each a `Pairs`."""

    __slots__ = ("built",)
    built: Any


class Set(list[Any]):
    """The elements of a set."""

    __slots__ = ("built",)


class Frozen(list[Any]):
    """The elements of a frozenset."""

    __slots__ = ("built",)


class Pairs:
    """Keys and values in turn."""

    __slots__ = ("flat",)

    def __init__(self, flat: Any) -> None:
        self.flat = flat


def _reconstructed(_: Name, cls: Any, base: Any, state: Any) -> Node:
    """Read `copyreg._reconstructor`, with which protocols below 2 make objects."""
    plain = isinstance(base, Name) and (base.module, base.name) == ("builtins", "object")
    return Node(cls, () if plain else (state,), new=True)


def _newobj(_: Name, cls: Any, *args: Any) -> Node:
    return Node(cls, args, new=True)


def _newobj_ex(_: Name, cls: Any, args: Any, kwargs: Any) -> Node:
    return _new((cls, args, kwargs))


def _member(name: Name, owner: Any, member: Any) -> Name | Node:
    """Read `getattr`, with which protocols below 4 name members of a class."""
    if isinstance(owner, Name) and type(member) is str:
        return Name(owner.module, f"{owner.name}.{member}")
    return Node(name, (owner, member))


_SHORTHANDS: dict[tuple[str, str], Callable[..., Name | Node]] = {
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copyreg", "__newobj__"): _newobj,
    ("copyreg", "__newobj_ex__"): _newobj_ex,
    ("builtins", "getattr"): _member,
}


def _new(parts: tuple[Any, ...]) -> Node:
    cls, args, kwargs = (*parts, None)[:3]
    if type(args) is not tuple or not (kwargs is None or isinstance(kwargs, Dict)):
        raise Refused("an object made from something else than arguments")
    return Node(cls, args, kwargs, new=True)


def _filled(flat: list[Any]) -> Dict:
    return Dict([Pairs(flat)])


class Reader(pickle.Unpickler):
    """The unpickler in C, restricted to records."""

    def __init__(self, found: Scanned) -> None:
        super().__init__(cast("Any", _Stream(found.code)), buffers=iter(found.chunks))
        self._python3 = found.protocol >= _PYTHON3
        self._names: dict[tuple[str, str], Name] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a record of the name."""
        if not self._python3:
            module, name = _renamed(module, name)
        found = self._names.get((module, name))
        if found is None:
            found = self._names[module, name] = Name(module, name)
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Return the record for an opcode that `_scan` rewrote; it refuses a pickle's own ids."""
        if type(pid) is int:
            return Dict() if pid == DICT else Set()
        payload, tag = pid
        return _MAKERS[tag](payload)


_MAKERS: dict[int, Callable[[Any], Any]] = {
    FROZEN: Frozen,
    FILLED: _filled,
    NEW: _new,
    PAIRS: Pairs,
}


def _renamed(module: str, name: str) -> tuple[str, str]:
    """Return the name in Python 3 of a name from Python 2, or from a protocol of its time."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


class _Stream:
    """A file of one frame, which the unpickler reads in one piece, without a copy."""

    def __init__(self, code: bytearray | memoryview) -> None:
        head = pickle.PROTO + b"\x04" + pickle.FRAME + len(code).to_bytes(8, "little")
        self._pieces, self._at = (memoryview(head), memoryview(code)), 0

    def read(self, size: int) -> memoryview:
        head, body = self._pieces
        start, self._at = self._at, self._at + size
        if start < len(head):
            return head[start : self._at]
        return body[start - len(head) : self._at - len(head)]

    def readinto(self, buffer: memoryview) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readline(self) -> bytes:
        return b""


def tree(blob: bytes, memory: int | None = None) -> Any:
    """Return the tree of a pickle: plain data, `Name`, `Node`, `Dict`, `Set`, `Frozen`, `Chunk`.

    Raises:
        Refused: the pickle is harmful.
        Exception: any exception of the unpickler for bytes that are not a pickle.
    """
    return Reader(scanned(blob, memory)).load()


__all__ = ["Chunk", "Dict", "Frozen", "Name", "Node", "Pairs", "Refused", "Set", "tree"]
