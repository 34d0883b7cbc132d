"""Checks of what a pickle feeds to the callables that a safe load admits.

Each raises `Refused` or returns. They look only at values that were built under the same
rules, so asking for a length or an attribute runs nothing foreign.
"""

from __future__ import annotations

import re
import sys
from math import prod
from typing import Any, NoReturn

#: Stand for the functions of copyreg that the unpickler carries out itself.
RECONSTRUCTOR = object()
NEWOBJ = object()
NEWOBJ_EX = object()

_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_RATIO = re.compile(r"[+-]?\d+(/\d+)?")
_DTYPE = re.compile(r"[<>=|]?[a-zA-Z?][0-9]*")
#: Bytes of one element that no honest dtype needs.
_LARGE = 1 << 31


class Refused(Exception):
    """A safe load does not do what the pickle asks; the text says what that is."""


class NotAllowed(Refused):
    """A name is not on the list; the text is the name."""


def forged(what: str) -> NoReturn:
    """Refuse what no library writes."""
    raise Refused(f"{what} (no library writes this; it looks forged)")


def anything(_arguments: tuple[Any, ...]) -> None:
    """Accept any arguments."""


def anything_set(_made: object, _state: object) -> None:
    """Accept any state."""


def only_none(arguments: tuple[Any, ...]) -> None:
    """Accept None alone."""
    if arguments not in {(), (None,)}:
        forged("an argument where there is None")


def nothing(arguments: tuple[Any, ...]) -> None:
    """Accept no arguments."""
    if arguments:
        forged("arguments where there are none")


def plain_state(_made: object, state: object) -> None:
    """Accept attributes, but none that Python itself looks at."""
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            for name in part:
                if not isinstance(name, str) or (name.startswith("__") and name.endswith("__")):
                    forged("an attribute that Python itself looks at")


def one_collection(arguments: tuple[Any, ...]) -> None:
    """Accept nothing or one builtin collection; a range or a count could be endless."""
    if arguments and not (
        len(arguments) == 1 and isinstance(arguments[0], (list, tuple, set, frozenset, dict))
    ):
        forged("a collection made from no collection")


def bytes_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept bytes, text as Latin-1 or small numbers; one number would be a size."""
    kinds = tuple(type(argument) for argument in arguments)
    if kinds not in {(), (bytes,), (str, str), (list,), (bytearray,)}:
        forged("bytes made from something else")
    if kinds == (str, str):
        latin1(*arguments)


def integers(arguments: tuple[Any, ...]) -> None:
    """Accept integers only."""
    if not all(type(argument) is int for argument in arguments):
        forged("a range of something else than integers")


def factory(arguments: tuple[Any, ...]) -> None:
    """Accept a class as the factory of a defaultdict, and initial content."""
    if arguments and not (arguments[0] is None or isinstance(arguments[0], type)):
        forged("a default factory that is no class")
    one_collection(arguments[1:])


def queue(arguments: tuple[Any, ...]) -> None:
    """Accept initial content and a length."""
    one_collection(arguments[:1])
    if arguments[1:] and not (arguments[1] is None or type(arguments[1]) is int):
        forged("a queue's length")


def fraction(arguments: tuple[Any, ...]) -> None:
    """Accept digits; an exponent could ask for a number of gigabytes."""
    for part in arguments:
        if type(part) is not int and not (type(part) is str and _RATIO.fullmatch(part)):
            forged("a fraction of something else than digits")


def latin1(text: object, encoding: object = "latin1") -> bytes:
    """Return the bytes that protocol 2 wrote as text; stands for `_codecs.encode`."""
    if type(text) is not str or encoding not in {"latin1", "latin-1", "iso-8859-1"}:
        raise Refused("_codecs.encode with another encoding than latin1")
    return text.encode("latin1")


def singleton_type(*arguments: object) -> type:
    """Return the class of None, Ellipsis or NotImplemented; stands for `type`."""
    if len(arguments) != 1 or arguments[0] not in (None, ..., NotImplemented):
        raise Refused("builtins.type of something else than None")
    return type(arguments[0])


def zone_reader(owner: object, name: object) -> object:
    """Return what makes time zones; stands for `getattr`, which zoneinfo's pickles use."""
    zones = sys.modules.get("zoneinfo")
    if zones is None or owner is not zones.ZoneInfo or name != "_unpickle":
        raise Refused("builtins.getattr of something else than a time zone")
    return zone


def zone(key: object, _cached: object = True) -> object:  # noqa: FBT002 - zoneinfo's signature
    """Return a time zone by name; stands for `ZoneInfo._unpickle`."""
    zone_name((key,))
    return sys.modules["zoneinfo"].ZoneInfo(key)


def zone_name(arguments: tuple[Any, ...]) -> None:
    """Accept names of time zones that are no paths."""
    for part in arguments:
        if not isinstance(part, (str, int, type(None))) or (
            isinstance(part, str) and not _ZONE.fullmatch(part)
        ):
            forged("a time zone that is no name")


def dtype_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept a description to be copied; the shared dtypes must not get a state."""
    if len(arguments) != 3 or bool(arguments[1]) or not arguments[2]:  # noqa: PLR2004
        forged("a dtype that would be shared")
    name, record = arguments[0], getattr(sys.modules["numpy"], "record", None)
    if not (type(name) is str and _DTYPE.fullmatch(name)) and name is not record:
        forged("a dtype described by something else than its name")


def dtype_state(made: Any, state: Any) -> None:
    """Accept a state that describes memory truthfully."""
    if not isinstance(state, tuple) or len(state) not in {8, 9} or state[0] not in {3, 4}:
        forged("a dtype's state of another shape")
    _, order, subarray, names, fields, size, alignment, flags = state[:8]
    if order not in {"<", ">", "=", "|"} or alignment not in {-1, 1, 2, 4, 8, 16}:
        forged("a dtype's byte order or alignment")
    if made.kind in "SVOb" and order != "|":
        forged("a byte order of what has none")
    # -1 says that the type itself knows; types of any size do not.
    if made.kind in "SUV" and -1 in {size, alignment}:
        forged("a dtype without size")
    _dtype_extra(made, state)
    # A record's dtype is made from the class, so its size comes with the state alone.
    fresh = made.kind == "V" and made.itemsize == 0
    if size not in {-1, made.itemsize} and not (fresh and type(size) is int and 0 <= size < _LARGE):
        forged("a dtype's size")
    if names is None and fields is None and subarray is None:
        expected = made.flags
    else:
        size = made.itemsize if size == -1 else size
        expected = _compound(made, size, subarray, names, fields).flags
    # Flag 0x80 (aligned struct) is a note for printing; the others decide what memory is.
    if type(flags) is not int or flags & 0x7F != expected & 0x7F:
        forged("a dtype's flags")


def _dtype_extra(made: Any, state: Any) -> None:
    """Accept the unit of a time, which has no default, and metadata of other types."""
    extra = state[8] if state[0] == 4 and len(state) == 9 else None  # noqa: PLR2004
    if made.kind not in "mM":
        if extra is not None and type(extra) is not dict:
            forged("a dtype's metadata")
        return
    if type(extra) is not tuple or len(extra) != 2 or type(extra[0]) not in {dict, type(None)}:  # noqa: PLR2004
        forged("a time without unit")
    kinds = tuple(type(part) for part in extra[1]) if type(extra[1]) is tuple else ()
    if kinds not in {(bytes, int, int, int), (str, int, int, int)}:
        forged("a time without unit")


def _compound(
    made: Any,
    size: int,
    subarray: Any,
    names: Any,
    fields: Any,
) -> Any:
    """Return the dtype that numpy itself makes of the description, after checking that it fits."""
    dtype = sys.modules["numpy"].dtype
    if made.kind != "V" or made.names or made.subdtype:
        forged("parts of a simple dtype")
    if subarray is not None:
        inner, shape = subarray
        shape = shape if isinstance(shape, tuple) else (shape,)
        if fields is not None or names is not None or not isinstance(inner, dtype):
            forged("a subarray with fields")
        if any(type(n) is not int or n < 0 for n in shape):
            forged("a subarray's shape")
        if inner.itemsize * prod(shape) != size:
            forged("a subarray's size")
        return dtype((inner, shape))
    if type(names) is not tuple or type(fields) is not dict:
        forged("fields without names")
    return _structure(size, names, fields)


def _structure(size: int, names: tuple[Any, ...], fields: dict[Any, Any]) -> Any:
    dtype = sys.modules["numpy"].dtype
    titles = {entry[2] for entry in fields.values() if len(entry) > 2}  # noqa: PLR2004
    if len(set(names)) != len(names) or set(fields) != set(names) | titles:
        forged("names that are not the fields'")
    for entry in fields.values():
        inner, offset = entry[:2]
        if not isinstance(inner, dtype) or type(offset) is not int:
            forged("a field without type or place")
        if offset < 0 or offset + inner.itemsize > size:
            forged("a field outside its record")
    # numpy refuses fields that lie on top of an object.
    described = {
        "names": list(names),
        "formats": [fields[name][0] for name in names],
        "offsets": [fields[name][1] for name in names],
        "itemsize": size,
    }
    return dtype(described)


def array_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept the husk that numpy writes; a larger one would show old memory."""
    if len(arguments) != 3 or arguments[1] != (0,) or arguments[2] not in {b"b", "b"}:  # noqa: PLR2004
        forged("an array that is not empty at first")
    _subclass(arguments[0], "numpy", "ndarray")


def masked_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept the husk of a masked array."""
    array_arguments(arguments[1:])
    _subclass(arguments[0], "numpy", "ndarray")


def array_state(_made: object, state: Any) -> None:
    """Accept as many elements as the shape says; numpy crashes when objects are missing."""
    if not isinstance(state, tuple) or len(state) not in {5, 7}:
        forged("an array's state of another shape")
    shape, dtype, content = state[1], state[2], state[4]
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        forged("an array's shape")
    if not isinstance(dtype, sys.modules["numpy"].dtype):
        forged("an array's type")
    listed = isinstance(content, list)
    if not listed and (dtype.hasobject or not isinstance(content, (bytes, bytearray, str))):
        forged("an array's content")
    if len(content) != prod(shape) * (1 if listed else dtype.itemsize):
        forged("an array's length")


def scalar_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept bytes of a type that holds no pointers."""
    if getattr(arguments[0], "hasobject", True):
        forged("a scalar that holds objects")


def buffer_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept bytes of a type that holds no pointers."""
    if not isinstance(arguments[0], (bytes, bytearray, memoryview)):
        forged("an array's bytes")
    if getattr(arguments[1], "hasobject", True):
        forged("an array of objects made from bytes")


def index_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept an index class and a description."""
    if len(arguments) != 2 or type(arguments[1]) is not dict:  # noqa: PLR2004
        forged("an index's arguments")
    _subclass(arguments[0], "pandas", "Index")
    # numpy would unfold nested lists that share their parts, to any size.
    if any(isinstance(arguments[1].get(part), (list, tuple)) for part in ("data", "left", "right")):
        forged("an index of something else than an array")


def sparse_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept a length and arrays; a flag would turn pandas's own check off."""
    if any(isinstance(argument, bool) for argument in arguments) or len(arguments) > 3:  # noqa: PLR2004
        forged("a sparse index that is not checked")


def cython_arguments(arguments: tuple[Any, ...]) -> None:
    """Accept an extension class without state; its state comes, and is checked, later."""
    if len(arguments) != 3 or arguments[2] is not None:  # noqa: PLR2004
        forged("an array's arguments")
    if not isinstance(arguments[0], type):
        forged("an array's class")


def backed_state(_made: object, state: Any) -> None:
    """Accept (dtype, array) or (dtype, array, attributes)."""
    if not isinstance(state, tuple):
        forged("an array's state")
    for part in state:
        if isinstance(part, dict):
            plain_state(None, part)


def extension_array(made: Any) -> None:
    """Accept an array whose parts fit together."""
    codes = getattr(made, "_codes", None)
    if codes is not None:
        _within(codes, len(made.dtype.categories))
    if hasattr(made, "_mask") and made._mask.shape != made._data.shape:
        forged("a mask of another shape than its data")
    places = getattr(made, "_sparse_index", None)
    if places is not None and places.npoints != len(made._sparse_values):
        forged("sparse values that are not where they should be")


def index(made: Any) -> None:
    """Accept an index whose codes point at its levels."""
    if type(made).__name__ == "MultiIndex":
        if len({len(codes) for codes in made.codes}) > 1:
            forged("codes of different length")
        for level, codes in zip(made.levels, made.codes, strict=True):
            _within(codes, len(level))


def manager(made: Any) -> None:
    """Accept blocks that cover the table exactly once."""
    shape = tuple(len(axis) for axis in made.axes)
    placed: list[int] = []
    for block in made.blocks:
        place = block.mgr_locs
        if len(place) > shape[0] or block.shape != (len(place), *shape[1:]):
            forged("a block of another shape than its place")
        placed.extend(place)
    if sorted(placed) != list(range(shape[0])):
        forged("blocks that do not cover the table")


def frame(made: Any) -> None:
    """Accept a frame or series with a sound manager of its own kind."""
    inner = made._mgr
    if type(inner).__name__ not in {"BlockManager", "SingleBlockManager"} or (
        inner.ndim != made.ndim
    ):
        forged("a table without content")
    manager(inner)


def _within(codes: Any, length: int) -> None:
    if codes.dtype.kind != "i" or (
        codes.size and (int(codes.min()) < -1 or int(codes.max()) >= length)
    ):
        forged("codes that point at nothing")


def _subclass(cls: object, module: str, name: str) -> None:
    if not isinstance(cls, type) or not issubclass(cls, getattr(sys.modules[module], name)):
        forged(f"something else than a {name}")
