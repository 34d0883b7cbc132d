"""Builders for numpy's values: arrays from bytes, with dtypes spelt here.

A dtype is made from kind, size, unit and fields, through numpy's own constructor; the pickled
state, which says how to read memory, is never passed on. Bytes are copied into a new array.

Source:
    `numpy/_core/src/multiarray/descriptor.c` (`arraydescr_reduce`) and `methods.c`
    (`array_reduce`), `numpy/ma/core.py`, of numpy 1.19 to 2.5.
"""

from __future__ import annotations

import re
import sys
from math import prod
from typing import Any

import numpy as np

from mfc._pickle._builders import ATOMS, Builder, entering
from mfc._pickle._scan import Refused
from mfc._pickle._stdlib import data, listed
from mfc._pickle._tree import Name
from mfc.values import Parts

#: Kind and size of an element, in a pickle's call of `numpy.dtype`.
_KIND = re.compile(r"([?bBhHiuIlLqQefdgcFDGSUVOMm])(\d*)")
_UNITS = frozenset("Y M W D h m s ms us μs ns ps fs as generic".split())  # noqa: SIM905
#: Maximum size of an element, in bytes.
_LARGEST = 1 << 30
#: Memory of the object for one element, in bytes.
_LOOKED_AT = 64
_SUBCLASSES = {"ndarray", "matrix", "recarray", "chararray", "memmap"}
_SCALARS = frozenset(
    "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc int_ uint longlong "  # noqa: SIM905
    "ulonglong float16 float32 float64 longdouble complex64 complex128 clongdouble str_ bytes_ "
    "void object_ datetime64 timedelta64 generic number integer floating inexact signedinteger "
    "unsignedinteger complexfloating flexible character ndarray matrix recarray record dtype "
    "MaskedArray".split()
)


def mention(name: str) -> Any:
    """Return a type of numpy; None for any other name."""
    if name in _SCALARS or name.endswith("DType"):
        for owner in (np, np.ma, getattr(np, "dtypes", None)):
            if isinstance(found := getattr(owner, name, None), type):
                return found
    return None


BUILDERS: dict[str, Builder] = {}
builds = entering(BUILDERS, "numpy.")


@builds("dtype")
def _dtype(parts: Parts) -> Any:
    kind, *_ = parts.args
    if type(kind) is Name and kind.name == "record":
        kind = "V"
    spelt = _KIND.fullmatch(kind) if type(kind) is str else None
    if spelt is None:
        raise Refused("a dtype of something else than a kind and a size")
    if parts.state is None:
        return np.dtype(kind)
    _, order, subarray, names, fields, size, _, flags, *extra = listed(parts.state)
    if order not in {"<", ">", "=", "|"} or (size != -1 and not 0 <= size <= _LARGEST):
        raise Refused("a dtype of an unknown byte order or size")
    if names is not None or fields is not None:
        made = _record(names, fields, size, aligned=bool(flags & 0x80))
        if spelt[2] not in {"", str(size)}:
            raise Refused("a dtype of another size than its name")
        return np.dtype((np.record, made)) if type(parts.args[0]) is Name else made
    if subarray is not None:
        inner, shape = subarray
        made = np.dtype((_plain(inner), _shape(shape if type(shape) is tuple else (shape,))))
        if made.itemsize != size:
            raise Refused("a dtype of another size than its parts")
        return made
    return np.dtype(("" if order == "|" else order) + _simple(spelt[1], kind, size, extra))


def _simple(kind: str, spelt: str, size: int, extra: list[Any]) -> str:
    """Return the spelling of a dtype without parts."""
    if kind in "Mm":
        return kind + "8" + (_unit(*extra[0][1][:2]) if extra else "")
    if kind in "SUV" and size != -1:
        return kind + str(size // (4 if kind == "U" else 1))
    return spelt


def _unit(unit: Any, count: Any) -> str:
    """Return the unit of a time, in numpy's spelling after the kind."""
    name = unit.decode("ascii") if type(unit) is bytes else unit
    if name not in _UNITS or type(count) is not int or not 0 < count < 1 << 31:
        raise Refused("a time in an unknown unit")
    return "" if name == "generic" else f"[{count}{name}]"


def _record(names: Any, fields: Any, size: int, *, aligned: bool) -> Any:
    if type(names) is not tuple or type(fields) is not dict:
        raise Refused("fields without names")
    entries = [fields[name] for name in names]
    described: dict[str, Any] = {
        "names": list(names),
        "formats": [_plain(entry[0]) for entry in entries],
        "offsets": [entry[1] for entry in entries],
        "titles": [entry[2] if len(entry) > 2 else None for entry in entries],  # noqa: PLR2004
        "itemsize": size,
    }
    if any(type(place) is not int or place < 0 for place in described["offsets"]):
        raise Refused("a field outside of its record")
    return np.dtype(described, align=aligned)


def _plain(dtype: Any) -> Any:
    if not isinstance(dtype, np.dtype) or dtype.itemsize > _LARGEST:
        raise Refused("a dtype of something else, or of too large elements")
    return dtype


def _shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise Refused("an invalid shape")
    return shape


@builds("_reconstruct")
def _array(parts: Parts) -> Any:
    kind = parts.args[0]
    if type(kind) is not Name or kind.name not in _SUBCLASSES or not parts.stated:
        raise Refused("an array of another class, or without content")
    shape, dtype, fortran, content = parts.state[-4:]
    made = array(parts, shape, dtype, content, fortran=bool(fortran))
    if not made.dtype.isnative and not made.dtype.names:
        made = made.astype(made.dtype.newbyteorder("="))  # as numpy does on unpickling
    return _of_class(kind.name, made)


def _of_class(name: str, made: Any) -> Any:
    """Return an array as the stored class; a memmap becomes a plain array."""
    if name == "recarray":
        return made.view(np.recarray)
    if name == "matrix":
        return made.view(np.matrix)
    return made.view(np.char.chararray) if name == "chararray" else made


def array(parts: Parts, shape: Any, dtype: Any, content: Any, *, fortran: bool) -> Any:
    """Return a new array from bytes or a list of objects.

    Raises:
        Refused: the content does not fit the shape and the dtype.
    """
    shape, dtype = _shape(shape), _plain(dtype)
    order: Any = "F" if fortran else "C"
    if type(content) is list:
        return _objects(parts, shape, dtype, content).reshape(shape, order=order)
    if dtype.hasobject or dtype.kind == "T":
        raise Refused("objects made of bytes")
    octets = data(content)
    if len(octets) != prod(shape) * dtype.itemsize:
        raise Refused("an array of another length than its shape")
    # Elements without bytes cost the memory of the objects that they become.
    parts.spend(len(octets) if dtype.itemsize else _LOOKED_AT * prod(shape))
    if not octets:
        return np.zeros(shape, dtype, order)
    made = np.frombuffer(bytearray(octets), dtype)
    _sound(made)
    return made.reshape(shape, order=order)


def _objects(parts: Parts, shape: tuple[int, ...], dtype: Any, content: list[Any]) -> Any:
    if len(content) != prod(shape):
        raise Refused("an array of another length than its shape")
    parts.spend(len(content) * dtype.itemsize)
    if dtype.kind == "O":
        made = np.empty(len(content), dtype)
        if ATOMS.issuperset(map(type, content)):
            made[:] = content
        else:
            for place, item in enumerate(content):  # a slice would unpack nested sequences
                made[place] = item
        return made
    missing = type(getattr(dtype, "na_object", None))
    if dtype.kind not in "VT" or not set(map(type, content)) <= (
        {tuple} if dtype.names else {str, missing}
    ):
        raise Refused("an array of something else than its dtype says")
    return np.array(content, dtype)


def _sound(made: Any) -> None:
    """Normalise bools to 0 and 1, and refuse characters beyond Unicode: numpy relies on both."""
    if made.dtype.names:
        for name in made.dtype.names:
            _sound(made[name])
    elif made.dtype.kind == "b":
        raw = made.view(np.uint8)
        if raw.size and raw.max() > 1:
            raw[...] = raw != 0
    elif made.dtype.kind == "U" and made.size and made.dtype.itemsize:
        order = made.dtype.byteorder
        flat = np.ascontiguousarray(made).view(f"{order}u4")
        if flat.max() > sys.maxunicode:
            raise Refused("characters that Unicode does not have")


@builds("scalar")
def _scalar(parts: Parts) -> Any:
    dtype = _plain(parts.args[0])
    if dtype.kind == "O":
        return parts.args[1]
    if dtype.kind == "T":
        raise Refused("a scalar of an unknown kind")
    content = parts.args[1] if len(parts.args) > 1 else bytes(dtype.itemsize)
    return array(parts, (), dtype, content, fortran=False)[()]


@builds("_frombuffer")
def _frombuffer(parts: Parts) -> Any:
    content, dtype, shape, order, *_ = parts.args
    return array(parts, shape, dtype, content, fortran=order == "F")


@builds("_mareconstruct")
def _masked(parts: Parts) -> Any:
    _, shape, dtype, fortran, content, mask, fill = parts.state
    made = array(parts, shape, dtype, content, fortran=bool(fortran))
    marks = np.dtype(np.ma.make_mask_descr(dtype))
    hidden = array(parts, shape, marks, mask, fortran=bool(fortran))
    if fill is not None and not isinstance(fill, (np.ndarray, np.generic, *ATOMS)):
        raise Refused("a masked array filled with something else than a value")
    return np.ma.MaskedArray(made, hidden, fill_value=fill)


@builds("MaskedConstant")
def _constant(_: Parts) -> Any:
    return np.ma.masked


@builds("_convert_to_stringdtype_kwargs")
def _strings(parts: Parts) -> Any:
    coerce, *missing = parts.args
    options = {"na_object": missing[0]} if missing else {}
    return np.dtypes.StringDType(coerce=bool(coerce), **options)
