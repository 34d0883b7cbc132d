"""Building a value from the tree of a pickle, with the builders that the trust admits.

The walk is depth first, without recursion: inner parts are built first. A list is filled in place;
a dict or set is made before its items, so that it may hold itself. Hashing, copying and nesting
are bounded here, because a scan of opcodes cannot see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import GeneratorType, NoneType
from typing import Any

from mfc._pickle._builders import ATOMS, Builder, Internal, Unbuildable
from mfc._pickle._placeholder import Placeholder, PlaceholderType
from mfc._pickle._scan import Refused, too_much
from mfc._pickle._stdlib import listed
from mfc._pickle._tree import Chunk, Dict, Frozen, Name, Node, Pairs, Set
from mfc.values import Parts

RECORDS = frozenset({Dict, Set, Frozen, Name, Node, Chunk})
#: Maximum depth of a value: hashing and printing recurse in C.
DEPTH = 1000
#: Maximum length of a tuple or list that is examined again each time instead of remembered.
_FEW = 8
#: Maximum number of keys and values of a dict built in one step; depth of objects built so.
_SMALL, _NEAR = 128, 6
#: Length of an argument from which its copies are counted.
_LONG = 256
#: Maximum number of hash collisions in one container.
_COLLISIONS = 100
#: Steps of hashing that any value may take; every 64 bytes of memory add one.
_HASHES = 1 << 20
#: Types of keys whose hash is short, is cached, or cannot be chosen.
_QUICK = frozenset({NoneType, bool, float, str, bytes})
#: Worst-case memory of an entry of a dict or set, in bytes.
_ENTRY = 104


class Pending:
    """Stands for an object that is not built yet."""


class Build:
    """The walk through one tree.

    Args:
        find: returns the builder for a name; raises NotAllowed.
        mention: returns the object for a name that is itself a value.
        missing: returns the placeholder class for a missing name.
        left: memory that may be taken, in bytes.
    """

    def __init__(
        self,
        find: Callable[[Name], Builder],
        mention: Callable[[Name], Any],
        missing: Callable[[Name, BaseException | None], type[Placeholder]],
        left: int,
    ) -> None:
        self._find, self._mention, self._missing = find, mention, missing
        self._left, self._limit, self._hashes = left, left, _HASHES + left // 64
        self._spend, self._hashed = self.spend, self._keys
        #: by identity of a list or tuple: its value, its cost of hashing, its depth.
        self._done: dict[int, Any] = {}
        self._weights: dict[int, int] = {}
        self._depths: dict[int, int] = {}
        #: objects kept alive so that their identities stay unique.
        self._kept: list[Any] = []
        #: functions that refill containers whose content was not yet built at first.
        self._again: list[Callable[[], None]] = []
        #: identities of values that hold placeholders.
        self._gaps: set[int] = set()
        #: by identity: values that are, or hold, intermediate results of builders.
        self._internal: dict[int, Internal] = {}
        #: whether an unfinished object was met, so that the value holds itself.
        self._cyclic = False
        #: the objects, in the order of the walk.
        self.made: list[Node] = []

    def value(self, root: Any) -> Any:
        """Return the value of a tree.

        Raises:
            Refused: the value cannot be built.
        """
        path: list[tuple[Any, Iterator[Any]]] = []
        node, waiting = None, iter((root,))
        while True:
            for child in waiting:
                if self._is_begun(child):
                    continue
                path.append((node, waiting))
                if len(path) > DEPTH:
                    raise Refused(f"a value more than {DEPTH} levels deep")
                node, waiting = child, self._opened(child)
                break
            else:
                if not path:
                    break
                self._close(node)
                node, waiting = path.pop()
        for fill in self._again:
            fill()
        value = self._of(root)
        if id(value) in self._internal:
            raise self._internal[id(value)].error()
        return value

    def spend(self, size: int) -> None:
        """Count bytes of memory that are about to be taken.

        Raises:
            Refused: the limit is exceeded.
        """
        self._left -= size
        if self._left < 0:
            raise too_much(self._limit)

    def _is_begun(self, child: Any) -> bool:
        kind = type(child)
        if kind in ATOMS:
            return True
        if kind in RECORDS:
            if hasattr(child, "built"):
                self._cyclic = self._cyclic or child.built is Pending
                return True
            if kind is Node:
                return not self._gaps and self._is_simple(child, _NEAR)
            return kind is Dict and self._is_plain(child)
        if id(child) in self._done:
            self._cyclic = self._cyclic or self._done[id(child)] is Pending
            return True
        return _is_small(child)

    def _is_plain(self, child: Dict) -> bool:
        """Build a small dict of atoms in one step, like most records of a table."""
        flat = child[0].flat if len(child) == 1 and type(child[0]) is Pairs else ()
        if not 0 < len(flat) <= _SMALL or len(flat) % 2 or not ATOMS.issuperset(map(type, flat)):
            return False
        keys = flat[::2]
        if not _QUICK.issuperset(map(type, keys)):
            return False
        child.built = dict(zip(keys, flat[1::2], strict=True))
        child.clear()
        return True

    def _is_simple(self, node: Node, near: int) -> bool:  # noqa: C901, PLR0912 - each part once
        """Build an object in one step if its parts are atoms, built, or as simple; most are."""
        if node.items is not None or node.kwargs is not None or type(node.function) is not Name:
            return False
        builder = self._find(node.function)
        if builder.fill is not None:
            return False
        deep, flat = 0, True
        state = node.state
        for part in (*node.args, *state) if type(state) is tuple else (*node.args, state):
            kind = type(part)
            if kind in ATOMS or kind in _RAW:
                if kind in _COPIED and len(part) > _LONG:
                    self.spend(len(part))
                continue
            flat = False
            if _is_small(part):
                continue
            if kind is not Node or getattr(part, "built", Pending) is Pending:
                if kind is not Node or hasattr(part, "built") or not near:
                    return False
                if not self._is_simple(part, near - 1):
                    return False
            deep = max(deep, self._depths.get(id(part), 1))
        if deep >= DEPTH:
            raise Refused(f"a value more than {DEPTH} levels deep")
        self._enter(node)
        if deep:
            self._depths[id(node)] = deep + 1
            self._kept.append(node)
        if flat:
            parts = Parts(
                node.function, node.args, {}, state, node.new, node.stated, [], [], self._spend,
                self._hashed,
            )  # fmt: skip
        else:
            parts = self._parts(node, whole=True)
        node.built = self._made(builder, node, parts)
        return True

    def _enter(self, node: Node) -> None:
        node.number = len(self.made)
        self.made.append(node)

    def _of(self, child: Any) -> Any:
        """Return the value of a built node."""
        return child.built if type(child) in RECORDS else self._done.get(id(child), child)

    def _all(self, parts: Iterable[Any]) -> list[Any]:
        return [part if type(part) in ATOMS else self._of(part) for part in parts]

    # Opening a node yields its parts

    def _opened(self, node: Any) -> Iterator[Any]:
        """Return the parts to build before a node."""
        self._kept.append(node)
        kind = type(node)
        if kind is Node:
            self._enter(node)
            node.built = Pending
            return self._node_children(node)
        if kind is Dict:
            if any(type(portion) is not Pairs for portion in node):
                raise Refused("a dict of something else than keys and values")
            node.built = {}
            return _flattened(node)
        if kind is Set or kind is Frozen:
            node.built = set() if kind is Set else Pending
            return iter(node)
        if kind is Name:
            node.built = self._mention(node)
            self._note_gap(node.built)
        elif kind is Chunk:
            self.spend(len(node.view))
            node.built = node.copied()
        elif kind is not list and kind is not tuple:
            raise Refused("items of a mapping in something else")
        elif ATOMS.issuperset(map(type, node)):
            self._done[id(node)] = node
            self._weights[id(node)] = len(node)
        else:
            self._done[id(node)] = node if kind is list else Pending
            self._depths[id(node)] = 0
            return iter(node)
        return iter(())

    def _node_children(self, node: Node) -> Iterator[Any]:
        if type(node.function) is not Name:
            raise Refused("a call of something else than a name")
        builder = self._find(node.function)
        yield from _arguments(node)
        if builder.fill is not None:
            node.built = self._made(builder, node, self._parts(node, whole=False))
        for part in _raw(node.state):
            if type(part) not in _RAW:
                yield part
        yield from _flattened(node.items or ())

    # Closing a node makes its value

    def _close(self, node: Any) -> None:
        kind = type(node)
        inside: Iterable[Any] = ()
        if kind is Node:
            self._close_node(node)
            inside = chain(_arguments(node), _raw(node.state), _flattened(node.items or ()))
        elif kind is Dict:
            inside = list(_flattened(node))
            self._fill_dict(node.built, inside)
            node.clear()
        elif kind is Set:
            inside = list(node)
            node.built.update(self._keys(inside))
            node.clear()
        elif kind is Frozen:
            inside = node
            node.built = frozenset(self._keys(node))
        elif id(node) in self._depths:
            inside = self._close_sequence(node)
        if inside:
            self._measure(node, inside)

    def _close_sequence(self, node: Any) -> list[Any]:
        inside = list(node)
        values = self._all(inside)
        if type(node) is list:
            node[:] = values
            if _has_pending(values):
                self._again.append(lambda: node.__setitem__(slice(None), self._all(inside)))
        elif _has_pending(values):
            raise Refused("a tuple inside of itself")
        else:
            made = self._done[id(node)] = tuple(values)
            weight = sum(map(self._weight, inside), 1)
            self._weights[id(node)] = self._weights[id(made)] = weight
        return inside

    def _close_node(self, node: Node) -> None:
        builder = self._find(node.function)
        parts = self._parts(node, whole=True)
        if builder.fill is None:
            node.built = self._made(builder, node, parts)
        elif isinstance(node.built, Placeholder):
            fill_placeholder(node.built, parts)
        elif self._holds_gap(parts) and not builder.holds:
            node.built = self._placeholder(node, parts, None)
        else:
            builder.fill(node.built, parts)
            if self._gaps and self._holds_gap(parts):
                self._gaps.add(id(node.built))

    def _made(self, builder: Builder, node: Node, parts: Parts) -> Any:
        if builder.fill is None and (parts.items or parts.pairs):
            raise Refused(f"{node.function} with items")
        cause: BaseException | None = None
        if builder.holds or not (self._gaps and self._holds_gap(parts)):
            try:
                made = builder.make(parts)
            except ImportError as error:
                cause = error
            except Refused:
                raise
            except Exception as error:
                raise Unbuildable(node.function, error) from error
            else:
                if self._gaps and self._holds_gap(parts):
                    self._gaps.add(id(made))
                if isinstance(made, Placeholder):
                    made.part, made.new = node.number, node.new
                self._note_gap(made)
                return made
        return self._placeholder(node, parts, cause)

    def _placeholder(self, node: Node, parts: Parts, cause: BaseException | None) -> Placeholder:
        made = self._missing(node.function, cause)()
        made.part, made.new = node.number, node.new
        fill_placeholder(made, parts)
        self._note_gap(made)
        return made

    def _parts(self, node: Node, *, whole: bool) -> Parts:
        """Return the parts of an object; its state and items only if `whole`."""
        state, items, pairs = None, list[Any](), list[tuple[Any, Any]]()
        if whole:
            state = self._of_raw(node.state)
            for item in node.items or ():
                if type(item) is Pairs:
                    flat = self._all(item.flat)
                    if len(flat) % 2:
                        raise Unbuildable(node.function, ValueError("a key without a value"))
                    self._keys(item.flat[::2])
                    pairs += zip(flat[::2], flat[1::2], strict=True)
                else:
                    items.append(self._of(item))
        args: tuple[Any, ...] = self._of_raw(node.args)
        kwargs = self._of(node.kwargs) if node.kwargs is not None else {}
        self.spend(sum(_COPIED[type(part)] * len(part) for part in args if type(part) in _COPIED))
        if self._cyclic and any(map(_lacks, (*args, kwargs, *_raw(state), state, items, *pairs))):
            raise Refused(f"{node.function} inside of itself")
        return Parts(
            node.function,
            args,
            kwargs,
            state,
            node.new,
            node.stated,
            items,
            pairs,
            self._spend,
            self._hashed,
        )

    def _of_raw(self, parts: Any) -> Any:
        if type(parts) is tuple:
            return tuple(part if type(part) in _RAW else self._of(part) for part in parts)
        return parts if type(parts) in _RAW else self._of(parts)

    def _fill_dict(self, target: dict[Any, Any], flat: list[Any]) -> None:
        if len(flat) % 2:
            raise Refused("a dict with a key without value")
        self.spend(max(0, len(flat) * _ENTRY // 2 - 500))
        keys, values = self._keys(flat[::2]), self._all(flat[1::2])
        target.update(zip(keys, values, strict=True))
        if _has_pending(values):
            items = flat[1::2]
            self._again.append(lambda: target.update(zip(keys, self._all(items), strict=True)))

    # Bounds on hashing and depth

    def _keys(self, keys: Iterable[Any]) -> list[Any]:
        """Return keys, or elements of a set, after checking their cost of hashing."""
        if type(keys) not in _OURS:
            listed(keys)
        keys = list(keys)
        values = self._all(keys)
        if _QUICK.issuperset(map(type, keys)):
            return values
        if self._cyclic and _has_pending(values):
            raise Refused("a key that holds what it is a key of")
        self._hashes -= sum(map(self._weight, keys))
        if self._hashes < 0:
            raise Refused("keys that take too long to hash")
        if len(values) > _COLLISIONS and len({hash(key) for key in values}) + _COLLISIONS < len(
            values
        ):
            raise Refused("keys that have the same hash")
        return values

    def _weight(self, node: Any) -> int:
        """Return an estimate of the steps to hash a value."""
        kind: Any = type(node)
        if kind is int:
            return 1 + (int(node).bit_length() >> 6)
        if kind is Node:
            return 8 + sum(len(part) for part in node.args if isinstance(part, (str, bytes)))
        if kind is tuple:
            known: int | None = self._weights.get(id(node))
            return int(known if known is not None else sum(map(self._weight, node), 1))
        return 1 + (len(node) if kind is Frozen else 0)

    def _measure(self, node: Any, parts: Iterable[Any]) -> None:
        """Record the depth of a node, and whether it holds placeholders."""
        deep = [part for part in parts if type(part) not in ATOMS]
        if not deep:
            return
        depth = 1 + max(self._depths.get(id(part), 1) for part in deep)
        if depth > DEPTH:
            raise Refused(f"a value more than {DEPTH} levels deep")
        self._depths[id(node)] = depth
        if self._gaps and type(node) is not Node and any(map(self._is_gap, map(self._of, deep))):
            self._gaps.add(id(self._of(node)))
        if self._internal and type(node) is not Node:
            inside = [self._internal.get(id(self._of(part))) for part in deep]
            self._internal |= {id(self._of(node)): found for found in inside if found is not None}

    def _note_gap(self, made: Any) -> None:
        if isinstance(made, (Placeholder, PlaceholderType)):
            self._gaps.add(id(made))
        elif isinstance(made, Internal):
            self._internal[id(made)] = made

    def _is_gap(self, value: Any) -> bool:
        return id(value) in self._gaps

    def _holds_gap(self, parts: Parts) -> bool:
        inside = [*parts.args, *parts.kwargs.values(), parts.state, *parts.items]
        inside += parts.state if type(parts.state) is tuple else ()
        inside += chain.from_iterable(parts.pairs)
        return any(map(self._is_gap, inside))


def fill_placeholder(made: Placeholder, parts: Parts) -> None:
    """Fill a placeholder with the parts of its object."""
    shown = [part.copied() if type(part) is Chunk else part for part in parts.args]
    state = parts.state.copied() if type(parts.state) is Chunk else parts.state
    made.args, made.kwargs, made.state = tuple(shown), parts.kwargs, state
    made.items = [*parts.items, *parts.pairs]


_RAW = frozenset({Name, Chunk})
#: Types of collections of keys besides lists and tuples.
_OURS = frozenset({Set, Frozen, GeneratorType})
_SEQUENCES = frozenset({tuple, list})
#: Memory for each element of an argument that may be copied, in bytes.
_COPIED: dict[Any, int] = dict.fromkeys((list, tuple, dict, set, frozenset), 8) | dict.fromkeys(
    (str, bytes, bytearray), 1
)


def _is_small(child: Any) -> bool:
    return type(child) in _SEQUENCES and len(child) <= _FEW and ATOMS.issuperset(map(type, child))


def _raw(state: Any) -> tuple[Any, ...]:
    return state if type(state) is tuple else (state,)


def _arguments(node: Node) -> Iterator[Any]:
    for part in node.args:
        if type(part) not in _RAW:
            yield part
    if node.kwargs is not None:
        yield node.kwargs


def _flattened(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if type(item) is Pairs:
            yield from item.flat
        else:
            yield item


def _has_pending(values: Iterable[Any]) -> bool:
    return any(value is Pending for value in values)


def _lacks(part: Any) -> bool:
    """Tell whether a part, or a member of it that a builder copies, is not built yet."""
    if type(part) in _SEQUENCES:
        return _has_pending(part)
    return part is Pending or (type(part) is dict and _has_pending(part.values()))
