"""One pass over the opcodes of a pickle, before anything is built.

The pass bounds what the unpickler in C would not: memory, memo indices, sizes that lie. It also
rewrites the opcodes that act, so that the unpickler records and does nothing else: no dict or set
is filled (that hashes keys, which recurses in C and can be made slow), and no class is called.

A regular expression skips runs of numbers and short strings; the loop meets all other opcodes one
by one. Time is linear in the size of the blob, and the stack is constant.

Source:
    CPython's `Lib/pickletools.py` (the opcodes of protocols 0 to 5) and `Modules/_pickle.c`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pickle import HIGHEST_PROTOCOL, UnpicklingError
from typing import NoReturn

from attrs import frozen

#: Bytes of memory that any value may take, and how many more for each byte of its blob.
BASE, FACTOR = 64 << 20, 8
#: Bytes objects of this size stay in the blob until they are wanted.
_LARGE = 1 << 16
#: Characters of a name, or of a number in text.
_LINE = 4300
#: Tags of what `_tree.Reader` makes.
DICT, SET, FROZEN, FILLED, NEW, PAIRS = range(6)


class Refused(Exception):
    """The pickle asks for what its trust does not extend to; the text says what that is."""


class NotAllowed(Refused):
    """A name that the trust does not extend to; the text is the name."""


class Chunk:
    """A bytes object that stays in the blob until it is wanted."""

    __slots__ = ("built", "mutable", "view")

    def __init__(self, view: memoryview, *, mutable: bool) -> None:
        self.view, self.mutable = view, mutable

    def copied(self) -> bytes | bytearray:
        """Return the object that was pickled."""
        return bytearray(self.view) if self.mutable else bytes(self.view)


@frozen
class Scanned:
    """A pickle that is safe to read."""

    #: opcodes that record, in order.
    parts: list[bytes | memoryview]
    #: what stayed in the blob, in the order of its use.
    chunks: list[Chunk]
    #: protocol of the pickle.
    protocol: int
    #: bytes of memory that are left for what is built.
    left: int


@frozen
class _Op:
    """How an opcode is written, and what becomes of it."""

    #: bytes of memory that it costs, besides its argument.
    cost: int
    #: its argument: so many bytes; a length in so many bytes, and content; so many lines.
    fixed: int = 0
    counted: int = 0
    lines: int = 0
    #: bytes of memory for each byte of the argument.
    growth: int = 0
    #: opcodes that take its place.
    instead: bytes | None = None


def _recorded(payload: bytes, tag: int, then: bytes = b"") -> bytes:
    """Return opcodes that hand a payload and a tag to the reader, for what it makes of them."""
    return payload + b"K" + bytes([tag]) + (b"\x86" if payload else b"") + b"Q" + then


#: What a slot on the stack and in a container costs; a record of a dict or set, of its items,
#: of a call.
_SLOT, _DICT, _ITEMS, _NODE = 18, 130, 150, 180
_TEXT = _Op(100, lines=1, growth=4)
_BY_CODE = {
    "(": _Op(24), "0": _Op(0), "1": _Op(0), "2": _Op(_SLOT), "N": _Op(_SLOT), "\x88": _Op(_SLOT),
    "\x89": _Op(_SLOT), "K": _Op(50, 1), "M": _Op(50, 2), "J": _Op(50, 4), "G": _Op(50, 8),
    "I": _Op(60, lines=1, growth=1), "L": _Op(60, lines=1, growth=1), "F": _Op(50, lines=1),
    "\x8a": _Op(60, counted=1, growth=2), "\x8b": _Op(60, counted=4, growth=2),
    "S": _TEXT, "V": _TEXT, "U": _Op(100, counted=1, growth=4), "T": _Op(100, counted=4, growth=4),
    "\x8c": _Op(100, counted=1, growth=4), "X": _Op(100, counted=4, growth=4),
    "\x8d": _Op(100, counted=8, growth=4), "C": _Op(100, counted=1, growth=1),
    "B": _Op(100, counted=4, growth=1), "\x8e": _Op(100, counted=8, growth=1),
    "\x96": _Op(120, counted=8, growth=1), "]": _Op(130), ")": _Op(_SLOT), "l": _Op(130),
    "t": _Op(90), "\x85": _Op(90), "\x86": _Op(100), "\x87": _Op(110), "a": _Op(0), "e": _Op(0),
    "\x90": _Op(0, instead=b"e"), "}": _Op(_DICT, instead=_recorded(b"", DICT)),
    "\x8f": _Op(_DICT, instead=_recorded(b"", SET)),
    "d": _Op(_DICT + _ITEMS, instead=_recorded(b"l", FILLED)),
    "\x91": _Op(_DICT, instead=_recorded(b"l", FROZEN)),
    "s": _Op(_ITEMS, instead=_recorded(b"\x86", PAIRS, b"a")),
    "u": _Op(_ITEMS, instead=_recorded(b"l", PAIRS, b"a")),
    "c": _Op(300, lines=2), "\x93": _Op(200), "i": _Op(_NODE, lines=2), "o": _Op(_NODE),
    "R": _Op(_NODE), "b": _Op(0), "\x81": _Op(_NODE, instead=_recorded(b"\x86", NEW)),
    "\x92": _Op(_NODE, instead=_recorded(b"\x87", NEW)), "g": _Op(_SLOT, lines=1),
    "h": _Op(_SLOT, 1), "j": _Op(_SLOT, 4), "p": _Op(16, lines=1), "q": _Op(16, 1),
    "r": _Op(16, 4), "\x94": _Op(16), "\x80": _Op(0, 1, instead=b""),
    "\x95": _Op(0, 8, instead=b""), ".": _Op(0),
}  # fmt: skip
_OPS = {ord(code): op for code, op in _BY_CODE.items()}
_OUTSIDE = {
    **dict.fromkeys(b"\x82\x83\x84", "an object of the extension registry"),
    **dict.fromkeys(b"\x97\x98", "a buffer outside of the pickle"),
}
_CHECKED = b"\x80\x95pr"
_PROTO, _FRAME, _PUT, _STOP, _BYTEARRAY8 = 0x80, 0x95, ord("p"), ord("."), 0x96
_BYTES = b"B\x8e\x96"
_NEXT_BUFFER = b"\x97"


def _strings(last: int) -> tuple[bytes, bytes]:
    """Return patterns of the arguments of strings and bytes below some length."""
    sizes = [(re.escape(bytes([n])), b".{%d}" % n if n else b"") for n in range(last)]
    one = b"|".join(size + content for size, content in sizes)
    four = b"|".join(size + rb"\x00\x00\x00" + content for size, content in sizes)
    return b"(?:" + one + b")", b"(?:" + four + b")"


_ONE, _FOUR = _strings(64)
_STRINGS = rb"(?:[\x8cUC]" + _ONE + rb"|[XTB]" + _FOUR + rb")"
_NUMBERS = rb"(?:[hK].|M..|[jJ]....|G.{8}|[N\x88\x89)])"
_MOVES = rb"[\]\x85-\x87aelt(0]"
#: Tokens of a run that is only numbers or only strings, and of any run: the regular expression
#: keeps a note on each token until the run ends.
_MANY, _RUN = 32, 1000
#: Such runs: of numbers as most lists hold them, of any numbers, of strings.
_ALIKE = re.compile(
    rb"((?:%b){8,250}|(?:%b){8,250})|(%b{32,1000})|"
    rb"((?:\x8c%b\x94){32,1000}|(?:X%b(?:q.|r..[\x00-\x0f]\x00)){32,1000})"
    % (b"J...." * 4, b"G........" * 4, _NUMBERS.replace(b".{8}", b"........"), _ONE, _FOUR),
    re.DOTALL,
)
#: Bytes of memory for each byte of such a run, and for each of its tokens besides its text.
_RATES = ((9, 42), (14, 42), (19, 88))
#: The opcodes of any other run, one after the other.
_OPCODES = re.compile(
    rb"([N\x88\x89)KMJGhjqr\x8cUCXTB\x94\]\x85-\x87aelt(0])(?:(?<=[N\x88\x89)\x94\]\x85-\x87aelt(0])"
    rb"|(?<=[Khq]).|(?<=M)..|(?<=[Jjr])....|(?<=G).{8}"
    rb"|(?<=[\x8cUC])" + _ONE + rb"|(?<=[XTB])" + _FOUR + rb")",
    re.DOTALL,
)
#: Bytes of memory for an opcode of a run: the object and its place in a container. Characters
#: come on top, one byte for one.
_COSTS = dict.fromkeys(b"N\x88\x89)Khj", 10) | dict.fromkeys(b"MJG", 42)
_COSTS |= dict.fromkeys(b"\x8cUCXTB", 72) | dict.fromkeys(b"qr\x94", 16) | {ord("]"): 112}
_COSTS |= dict.fromkeys(b"\x85\x86\x87t", 74) | dict.fromkeys(b"l(", 80) | dict.fromkeys(b"ae0", 0)
_WORST = 112


@lru_cache(maxsize=8)
def _runs(top: int, zeros: int) -> re.Pattern[bytes]:
    """Return a pattern of runs of all that only moves data about.

    A memo index of four bytes ends in so many zeros, with at most `top` before them.
    """
    index = b"." * (3 - zeros) + b"[\\x00-" + re.escape(bytes([top])) + b"]" + rb"\x00" * zeros
    memo = rb"\x94|q.|r" + index
    text = b"(?:%b){1,%d}" % (b"|".join((_NUMBERS, _STRINGS, _MOVES, memo)), _MANY)
    return re.compile(text, re.DOTALL)


def scanned(blob: bytes, memory: int | None = None) -> Scanned:
    """Return a pickle as opcodes that record and do nothing else.

    Args:
        blob: a pickle of any protocol.
        memory: bytes that the value may take; by default `BASE`, and `FACTOR` for each byte.

    Raises:
        Refused: it would harm its reader.
        UnpicklingError: it is no pickle.
    """
    limit = BASE + FACTOR * len(blob) if memory is None else memory
    try:
        return _passed(blob, limit)
    except IndexError:
        raise UnpicklingError("pickle data was truncated") from None


def too_much(limit: int) -> Refused:
    """Return the error for a value that takes more memory than `limit`."""
    return Refused(f"more than {limit >> 20} MB of memory (Trust.safe(memory=…) sets how much)")


def _passed(blob: bytes, limit: int) -> Scanned:
    view, parts, chunks = memoryview(blob), list[bytes | memoryview](), list[Chunk]()
    cost = start = at = protocol = 0
    indices = 256 + len(blob) // 4
    zeros = 2 if indices < 1 << 16 else 1 if indices < 1 << 24 else 0
    alike, anything = _ALIKE.match, _runs(min(indices >> 8 * (3 - zeros - 1), 255), zeros).match
    small = len(blob) * _WORST <= limit
    while True:
        run = alike(blob, at)
        if run is not None:
            rate, each = _RATES[(run.lastindex or 1) - 1]
            size = run.end() - at
            cost += min(size * rate, _RUN * each + size)
        else:
            run = anything(blob, at)
            if run is not None and not small:
                found = b"".join(_OPCODES.findall(run.group()))
                cost += sum(map(_COSTS.__getitem__, found)) + len(run.group())
        if run is not None:
            at = run.end()
        code = blob[at]
        op = _OPS.get(code)
        if op is None:
            _unknown(code, at)
        content = at + 1 + op.counted
        if op.lines:
            end = _lines_end(blob, content, op)
        else:
            end = content + (
                int.from_bytes(blob[at + 1 : content], "little") if op.counted else op.fixed
            )
            if end > len(blob):
                raise IndexError(end)
        cost += op.cost + op.growth * (end - content)
        if cost > limit:
            raise too_much(limit)
        instead = op.instead
        if code in _CHECKED:
            protocol = max(protocol, _checked(code, blob[content:end], indices, len(blob) - end))
        elif end - content >= _LARGE and code in _BYTES:
            chunks.append(Chunk(view[content:end], mutable=code == _BYTEARRAY8))
            instead = _NEXT_BUFFER
        if instead is not None:
            parts += view[start:at], instead
            start = end
        at = end
        if code == _STOP:
            parts.append(view[start:at])
            return Scanned(parts, chunks, protocol, limit - cost)


def _unknown(code: int, at: int) -> NoReturn:
    if code in _OUTSIDE:
        raise Refused(_OUTSIDE[code])
    if code in b"PQ":
        raise UnpicklingError("it refers to an object outside of the pickle")
    raise UnpicklingError(f"byte {at} is no opcode: {code:#04x}")


def _lines_end(blob: bytes, at: int, op: _Op) -> int:
    """Return where the lines that begin at `at` end."""
    for _ in range(op.lines):
        last = len(blob) if op is _TEXT else min(at + _LINE, len(blob))
        end = blob.find(b"\n", at, last) + 1
        if not end and last < len(blob):
            raise Refused("a name or a number of too many characters")
        at = end or len(blob) + 1
        if at > len(blob):
            raise IndexError(at)
    return at


def _checked(code: int, argument: bytes, indices: int, left: int) -> int:
    """Return the protocol that an opcode names, 0 if it names none, after a look at its number."""
    if code == _PUT:
        number = int(argument) if argument.strip().isdigit() else indices + 1
    else:
        number = int.from_bytes(argument, "little")
    if code == _FRAME:
        if number > left:
            raise IndexError(number)
        return 0
    if code == _PROTO:
        if number > HIGHEST_PROTOCOL:
            raise UnpicklingError(f"unsupported pickle protocol: {number}")
        return number
    if number > indices:
        raise Refused("a memo index beyond what the pickle can hold")
    return 0
