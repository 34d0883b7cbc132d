"""Builders for Arrow's arrays and tables, and for text of pandas stored in them.

Arrow receives copies of the buffers, and checks them fully: offsets, lengths, UTF-8.
Where pyarrow is not installed, text is decoded here.

Source:
    `python/pyarrow/array.pxi` (`_restore_array`), `table.pxi` and `types.pxi` of pyarrow 12 to 26.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mfc._pickle._builders import ATOMS, Builder, Internal, entering
from mfc._pickle._scan import Refused
from mfc._pickle._stdlib import data, listed
from mfc.values import Parts

try:
    import pyarrow as pa
except ImportError:
    pa = None

#: Memory of the object for one element, in bytes.
_LOOKED_AT = 64
BUILDERS: dict[str, Builder] = {}
builds = entering(BUILDERS, "pyarrow.")
MENTIONED: dict[str, Any] = {}
_TEXT: dict[str, Any] = {
    "string": np.dtype("<i4"),
    "utf8": np.dtype("<i4"),
    "large_string": np.dtype("<i8"),
    "large_utf8": np.dtype("<i8"),
}
#: Types made by the function of the same name, from numbers, texts, types and fields.
_CALLED = (
    "timestamp duration time32 time64 decimal32 decimal64 decimal128 decimal256 list_ large_list "
    "struct dictionary field schema binary map_"
)


def _missing() -> ImportError:
    text = "pyarrow is not installed; pip install pyarrow"
    return ModuleNotFoundError(text, name="pyarrow")


class _Lacking(Internal):
    """Stands for an object of Arrow where pyarrow is missing."""

    def error(self) -> Exception:
        return _missing()


class _Alias(str, _Lacking):  # noqa: SLOT000 - few
    """Name of a type."""


class _Text(list[Any], _Lacking):
    """Text of an array."""

    def to_pylist(self) -> list[Any]:
        return list(self)


@builds("type_for_alias")
def _alias(parts: Parts) -> Any:
    (name,) = parts.args
    if type(name) is not str:
        raise Refused("a type without a name")
    return pa.type_for_alias(name) if pa else _Alias(name)


@builds(*_CALLED.split())
def _called(parts: Parts) -> Any:
    if pa is None:
        raise _missing()
    for part in parts.args:
        if not isinstance(part, (*ATOMS, list, tuple, dict, pa.DataType, pa.Field)):
            raise Refused(f"a type of a {type(part).__name__}")
    return getattr(pa, parts.name.name)(*parts.args)


@builds("py_buffer")
def _buffer(parts: Parts) -> Any:
    return data(parts.args[0])


@builds("_restore_array")
def _array(parts: Parts) -> Any:
    return _restored(parts, parts.args[0])


def _restored(parts: Parts, said: Any) -> Any:
    kind, length, _, offset, buffers, children, dictionary = listed(said)
    sizes = length, offset
    if any(type(n) is not int or not 0 <= n < 1 << 48 for n in sizes):
        raise Refused("an array of an unknown length")
    if any(not isinstance(buffer, (memoryview, type(None))) for buffer in listed(buffers)):
        raise Refused("an array of something else than buffers")
    if buffers[0] is not None and len(buffers[0]) * 8 < length + offset:
        raise Refused("an array with fewer marks than elements")
    parts.spend(sum(len(buffer) for buffer in buffers if buffer is not None))
    if pa is None:
        return _text(parts, kind, length, offset, buffers)
    owned = [None if buffer is None else pa.py_buffer(bytes(buffer)) for buffer in buffers]
    inner = [_restored(parts, child) for child in listed(children)]
    if dictionary is not None:
        values = _restored(parts, dictionary)
        codes = pa.Array.from_buffers(kind.index_type, length, owned, -1, offset)
        codes.validate(full=True)
        made = pa.DictionaryArray.from_arrays(codes, values, ordered=kind.ordered)
    else:
        made = pa.Array.from_buffers(kind, length, owned, -1, offset, children=inner or None)
    if length > 8 * made.nbytes:
        # Elements without stored bytes cost the memory of the objects that they become.
        parts.spend(_LOOKED_AT * length)
    made.validate(full=True)
    return made


def _text(parts: Parts, kind: Any, length: int, offset: int, buffers: list[Any]) -> _Text:
    """Return the text of an array."""
    if kind not in _TEXT:
        raise _missing()
    marks, places, characters = buffers
    size = _TEXT[kind].itemsize
    if places is None or len(places) < (length + offset + 1) * size:
        raise Refused("text of another length than its array")
    starts = np.frombuffer(places, _TEXT[kind], length + 1, offset * size).tolist()
    content = bytes(characters or b"")
    if any(a > b for a, b in pairwise(starts)) or starts[0] < 0 or starts[-1] > len(content):
        raise Refused("text outside of its array")
    parts.spend(140 * length)
    here: Any = np.ones(length, bool)
    if marks is not None:
        here = (
            np.unpackbits(np.frombuffer(marks, np.uint8), bitorder="little")[
                offset : offset + length
            ]
            != 0
        )
    return _Text(
        content[a:b].decode() if known else None
        for (a, b), known in zip(pairwise(starts), here.tolist(), strict=True)
    )


@builds("chunked_array")
def _chunked(parts: Parts) -> Any:
    arrays, kind = parts.args
    listed(arrays)
    if pa is None:
        return _Text(text for array in arrays for text in array.to_pylist())
    return pa.chunked_array(arrays, kind)


@builds("_reconstruct_table")
def _table(parts: Parts) -> Any:
    if pa is None:
        raise _missing()
    made = pa.Table.from_arrays(listed(parts.args[0]), schema=parts.args[1])
    made.validate(full=True)
    return made
