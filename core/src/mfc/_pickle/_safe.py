"""The unpickler that builds nothing but what the rules admit."""

from __future__ import annotations

import _compat_pickle
import pickle
import sys
from collections import deque
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, cast

from mfc._pickle import _checks as check
from mfc._pickle._checks import NotAllowed, Refused
from mfc._pickle._moved import imported
from mfc._pickle._placeholder import Placeholder, placeholder
from mfc._pickle._rules import ANYTHING, RULES, VALUE, WRAPPER, Rule
from mfc._pickle._standins import PLAIN_STANDINS, STANDINS, MetaflowExceptionWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bases that `copyreg._reconstructor` may make a subclass from.
_BASES = (object, dict, list, set, frozenset, tuple, str, int, float, bytes)
#: A path of the other system cannot be made here, but its pure form can.
_FOREIGN = "PosixPath" if sys.platform == "win32" else "WindowsPath"
#: How deep a husk may hide in what a call is given.
_DEPTH = 5
#: Elements that calls may copy, above a multiple of the pickle's own size.
_COPIES = 1 << 20


class SafeUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, with every step that can act put under a rule.

    The unpickler in C lets a subclass choose the classes, but not what is called, nor which
    object gets a state: `BUILD` on an allowed class changes it for the whole process, and the
    extension registry is not asked for. It also allocates gigabytes for a bogus memo index.

    Args:
        blob: the pickle.
        allowed: full names that are loaded besides the built-in list.
    """

    stack: list[Any]
    proto: int
    read: Callable[[int], bytes]
    append: Callable[[Any], None]

    def __init__(self, blob: bytes, allowed: frozenset[str]) -> None:
        super().__init__(BytesIO(blob))
        self._blob, self._allowed = blob, allowed
        #: resolved or made callable, by identity; holding it keeps the identity its own.
        self._rules: dict[int, tuple[object, Rule]] = {id(check.zone): (check.zone, _ZONE)}
        #: object that may still get its state, by identity.
        self._open: dict[int, tuple[object, Rule]] = {}
        #: identities of the objects that are husks until then.
        self._husks: set[int] = set()
        self._copies = _COPIES + 16 * len(blob)
        #: names that stand for a function of ours, until that is called.
        self._uncalled: dict[int, str] = {}
        #: what could not be imported.
        self.missing: list[type[Placeholder]] = []

    def load(self) -> Any:
        """Return the object.

        Raises:
            Refused: the pickle asks for something that no rule admits.
        """
        value = super().load()
        for name in self._uncalled.values():
            raise NotAllowed(name)
        if self._husks:
            raise Refused("an object whose state is missing")
        return value

    def find_class(self, module: str, name: str) -> Any:
        """Return what an allowed name stands for.

        Raises:
            Refused: the name is not allowed.
        """
        sys.audit("pickle.find_class", module, name)
        if self.proto < 3:  # noqa: PLR2004 - the protocol that brought Python 3's names
            module, name = _python3(module, name)
        found, rule = self._resolved(module, name)
        self._rules[id(found)] = (found, rule)
        return found

    def _resolved(self, module: str, name: str) -> tuple[Any, Rule]:
        if (module, name) in PLAIN_STANDINS:
            found = STANDINS[module, name]
            return found, WRAPPER if found is MetaflowExceptionWrapper else VALUE
        rule = RULES.get((module, name))
        if rule is None and f"{module}.{name}" in self._allowed:
            rule = ANYTHING
        if rule is None:
            raise NotAllowed(f"{module}.{name}")
        if rule.instead is not None:
            self._uncalled[id(rule.instead)] = f"{module}.{name}"
            if module == "builtins" or "." in name:
                imported("zoneinfo", "ZoneInfo")
            return rule.instead, rule
        if module.startswith("pathlib") and name == _FOREIGN:
            name = f"Pure{name}"
        try:
            return imported(module, name), rule
        except (ImportError, AttributeError) as error:
            self.missing.append(placeholder(module, name, self._blob, error))
            return self.missing[-1], ANYTHING

    # What follows replaces the opcodes that act; all others only move plain data about.

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments)

    def _called(self, function: Any, arguments: Any) -> Any:
        rule = self._rule(function)
        if type(arguments) is not tuple:
            raise Refused(f"a call of {function!r} without arguments")
        self._uncalled.pop(id(function), None)
        if rule.instead is check.NEWOBJ_EX:
            return self._new(*arguments)
        if rule.instead is check.NEWOBJ:
            return self._new(arguments[0], arguments[1:], {})
        if rule.instead is check.RECONSTRUCTOR:
            return self._reconstructed(*arguments)
        if rule.call is None:
            raise Refused(f"a call of {_name(function)}")
        self._weigh(arguments)
        with _named(function):
            rule.call(arguments)
        made = function(*arguments)
        return self._made(made, rule)

    def _new(self, cls: Any, arguments: Any, keywords: Any) -> Any:
        rule = self._rule(cls)
        if rule.new is None or (type(arguments), type(keywords)) != (tuple, dict):
            raise Refused(f"{_name(cls)}.__new__")
        self._weigh(arguments)
        with _named(cls):
            rule.new((*arguments, *keywords.values()))
        return self._made(cls.__new__(cls, *arguments, **keywords), rule)

    def _reconstructed(self, cls: Any, base: Any, state: Any) -> Any:
        rule = self._rule(cls)
        if rule.new is None or base not in _BASES or not issubclass(cls, base):
            raise Refused(f"{_name(cls)} made from {_name(base)}")
        if base is object:
            return self._new(cls, (), {})
        self._weigh((state,))
        check.one_collection((state,) if base in {dict, list, set, frozenset, tuple} else ())
        made = base.__new__(cls, state)
        if base.__init__ is not object.__init__:
            base.__init__(made, state)
        return self._made(made, rule)

    def _made(self, made: Any, rule: Rule) -> Any:
        if rule.state is not None:
            self._open[id(made)] = (made, rule)
            if rule.husk:
                self._husks.add(id(made))
                return made
        if rule.whole is not None:
            with _named(type(made)):
                rule.whole(made)
        return made

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        # Once: an array that gets a second state frees the memory that others look at.
        _, rule = self._open.pop(id(made), (None, None))
        if rule is None or rule.state is None:
            raise Refused(f"setting the state of {_name(made)}")
        self._settled(state[:-1] if rule.state is check.array_state else state)
        with _named(type(made)):
            rule.state(made, state)
        _restore(made, state)
        self._husks.discard(id(made))
        if rule.whole is not None:
            with _named(type(made)):
                rule.whole(made)

    def _append(self) -> None:
        item = self.stack.pop()
        self._target(list, deque, "append").append(item)

    def _appends(self) -> None:
        items = self.pop_mark()
        self._target(list, deque, "extend").extend(items)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._target(dict, dict, "__setitem__")[key] = value

    def _setitems(self) -> None:
        items = self.pop_mark()
        target = self._target(dict, dict, "__setitem__")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key] = value

    def _additems(self) -> None:
        items = self.pop_mark()
        self._target(set, set, "add").update(items)

    def _target(self, first: type, second: type, method: str) -> Any:
        target = self.stack[-1]
        if isinstance(target, (first, second)):
            return target
        # A subclass that the user allowed, or one that is missing, takes items its own way.
        if self._open.get(id(target), (None, None))[1] is ANYTHING and hasattr(target, method):
            return target
        raise Refused(f"putting items into {_name(target)}")

    def _bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        content = self.read(min(size, len(self._blob)))
        if len(content) != size:
            raise pickle.UnpicklingError("pickle data was truncated")
        self.append(bytearray(content))

    def _extension(self) -> None:
        raise Refused("an object of copyreg's extension registry")

    def _newobj(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        self.append(self._new(cls, arguments, {}))

    def _newobj_ex(self) -> None:
        keywords, arguments, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(self._new(cls, arguments, keywords))

    def _instantiate(self, cls: Any, arguments: list[Any]) -> None:
        self.append(self._called(cls, tuple(arguments)))

    def _rule(self, found: object) -> Rule:
        _, rule = self._rules.get(id(found), (None, None))
        if rule is None:
            raise Refused(f"a call of {_name(found)}")
        return rule

    def _weigh(self, arguments: tuple[Any, ...]) -> None:
        """Refuse husks, and copying the same content over and over."""
        self._settled(arguments)
        for part in arguments:
            if isinstance(part, (str, bytes, bytearray, list, tuple, dict, set, frozenset)):
                self._copies -= len(part)
        if self._copies < 0:
            raise Refused("copying its content again and again")

    def _settled(self, value: Any, depth: int = _DEPTH) -> None:
        if not self._husks or not depth:
            return
        if id(value) in self._husks:
            raise Refused(f"a {_name(value)} that is used before its state is set")
        if isinstance(value, (tuple, list)):
            for item in value:
                self._settled(item, depth - 1)
        elif isinstance(value, dict):
            for item in value.values():
                self._settled(item, depth - 1)

    if TYPE_CHECKING:

        def pop_mark(self) -> list[Any]: ...

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **cast("dict[int, Callable[[Any], None]]", pickle._Unpickler.dispatch),
        pickle.REDUCE[0]: _reduce,
        pickle.BUILD[0]: _build,
        pickle.NEWOBJ[0]: _newobj,
        pickle.NEWOBJ_EX[0]: _newobj_ex,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _appends,
        pickle.SETITEM[0]: _setitem,
        pickle.SETITEMS[0]: _setitems,
        pickle.ADDITEMS[0]: _additems,
        pickle.BYTEARRAY8[0]: _bytearray8,
        pickle.EXT1[0]: _extension,
        pickle.EXT2[0]: _extension,
        pickle.EXT4[0]: _extension,
    }


_ZONE = Rule(call=check.zone_name)


class _named:  # noqa: N801 - reads as a statement: `with _named(cls):`
    """Put the name of what is being made in front of a refusal."""

    def __init__(self, subject: object) -> None:
        self._subject = subject

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise Refused(f"{_name(self._subject)}: {error}") from None


def _python3(module: str, name: str) -> tuple[str, str]:
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _restore(made: Any, state: Any) -> None:
    setter = getattr(made, "__setstate__", None)
    if setter is not None:
        setter(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:  # noqa: PLR2004 - (dict, slots)
        state, slots = state
    made.__dict__.update(state or {}) if state else None
    for name, value in (slots or {}).items():
        setattr(made, name, value)


def _name(thing: object) -> str:
    cls = thing if isinstance(thing, type) else type(thing)
    if callable(thing) and hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"
