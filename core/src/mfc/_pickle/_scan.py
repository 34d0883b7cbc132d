"""One pass over the opcodes of a pickle, before any object is built.

The pass bounds what the unpickler in C does not: memory, memo indices, false sizes. It also
rewrites the opcodes that act, so that the unpickler only records: it fills no dict or set (that
hashes keys, which recurses in C and can be made slow), and calls no class.

A regular expression skips runs of numbers and short strings; the loop handles all other opcodes
one by one. Time is linear in the size of the blob, and the stack is constant.

Source:
    CPython's `Lib/pickletools.py` (the opcodes of protocols 0 to 5) and `Modules/_pickle.c`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from pickle import HIGHEST_PROTOCOL, UnpicklingError
from typing import NoReturn

from attrs import frozen

#: Limit of memory of a value: a base in bytes, and a factor for each byte of its blob.
BASE, FACTOR = 64 << 20, 8
#: Size from which bytes objects stay in the blob until they are used, in bytes.
_LARGE = 1 << 16
#: Maximum length of a name, or of a number in text.
_LINE = 4300
#: Tags of the objects that `_tree.Reader` makes.
DICT, SET, FROZEN, FILLED, NEW, PAIRS = range(6)


class Refused(Exception):
    """The pickle exceeds its trust; the text says in which way."""


class NotAllowed(Refused):
    """A name that the trust does not allow; the text is the name."""


class Chunk:
    """A bytes object that stays in the blob until it is used."""

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
    code: bytearray | memoryview
    #: bytes objects that stay in the blob, in the order of their use.
    chunks: list[Chunk]
    #: protocol of the pickle.
    protocol: int
    #: memory left for building, in bytes.
    left: int


def _recorded(payload: bytes, tag: int, then: bytes = b"") -> bytes:
    """Return opcodes that pass a payload and a tag to the reader, which makes an object of them."""
    return payload + b"K" + bytes([tag]) + (b"\x86" if payload else b"") + b"Q" + then


#: Replacements of the opcodes that would fill, hash or make objects.
_INSTEAD = {
    b"}": _recorded(b"", DICT), b"\x8f": _recorded(b"", SET), b"\x90": b"e",
    b"\x91": _recorded(b"l", FROZEN), b"d": _recorded(b"l", FILLED),
    b"s": _recorded(b"\x86", PAIRS, b"a"), b"u": _recorded(b"l", PAIRS, b"a"),
    b"\x81": _recorded(b"\x86", NEW), b"\x92": _recorded(b"\x87", NEW),
}  # fmt: skip
#: Memory of each opcode in bytes: its object, and its place on the stack and in a container.
#: Each character or byte of an argument adds one byte, or the number in `_GROWTH`.
_COSTS = [100] * 256
for _codes, _cost in (
    (b"ae0", 0), (b"N\x88\x89)Kh2j", 10), (b"MJG", 42), (b"\x94qrp", 16),
    (b"\x8cUCXTB\x8e\x96\x8d\x8a\x8bILFSV", 72), (b"\x85\x86\x87t", 74), (b"(l", 80), (b"]", 112),
    (b"}d\x8f\x91", 150), (b"su", 150), (b"Ro\x81\x92\x93", 180), (b"ci", 480),
):  # fmt: skip
    for _code in _codes:
        _COSTS[_code] = _cost
_WORST = 180
_GROWTH = dict.fromkeys(b"SVUT\x8cX\x8d", 4) | dict.fromkeys(b"\x8a\x8b", 2)
#: Arguments: a number of bytes; a length of that many bytes, and content; a number of lines.
_FIXED = {ord("."): 0, 0x80: 1, 0x95: 8, ord("j"): 4, ord("r"): 4}
_COUNTED = dict.fromkeys(b"U\x8cC\x8a", 1) | dict.fromkeys(b"TXB\x8b", 4)
_COUNTED |= dict.fromkeys(b"\x8d\x8e\x96", 8)
_LINES = dict.fromkeys(b"ILFSVgp", 1) | dict.fromkeys(b"ci", 2)
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
_STRINGS = rb"[\x8cUC]" + _ONE + rb"|[XTB]" + _FOUR
_NUMBERS = rb"(?:[hK].|M..|[jJ]....|G........|[N\x88\x89)])"
_TOKEN = rb"[]()N}0-2aelotusdRb\x81\x85-\x89\x8f-\x94]|[hKq].|M..|[jJ]....|G........|" + _STRINGS
_TOKENS = re.compile(_TOKEN + rb"|r....", re.DOTALL)
#: Maximum tokens in a run of one kind: the numbers of most lists, any numbers, strings. The
#: regular expression keeps a backtracking entry for each token until the run ends.
_RUN = 1000
#: Tokens of a full mixed run, after which a run of one kind may begin.
_FULL = 64
_ALIKE = re.compile(
    rb"((?:%b){8,250}|(?:%b){8,250})|(%b{32,1000})|"
    rb"((?:\x8c%b\x94){32,1000}|(?:X%b(?:q.|r..[\x00-\x0f]\x00)){32,1000}|(?:%b){32,1000})"
    % (b"J...." * 4, b"G........" * 4, _NUMBERS, _ONE, _FOUR, _STRINGS),
    re.DOTALL,
)
#: Memory for each byte of such a run, and for each token besides its text, in bytes.
_RATES = ((9, 42), (14, 42), (19, 88))


@lru_cache(maxsize=8)
def _runs(top: int, zeros: int) -> re.Pattern[bytes]:
    """Return a pattern of a mixed run of opcodes with a short argument or without one.

    A memo index of four bytes ends in `zeros` zeros, with at most `top` before them.
    """
    index = b"." * (3 - zeros) + b"[\\x00-" + re.escape(bytes([top])) + b"]" + rb"\x00" * zeros
    return re.compile(b"(?:" + _TOKEN + b"|r" + index + b"){1,%d}" % _FULL, re.DOTALL)


def scanned(blob: bytes, memory: int | None = None) -> Scanned:
    """Return a pickle as opcodes that only record.

    Args:
        blob: a pickle of any protocol.
        memory: limit of memory of the value, in bytes; by default `BASE`, plus `FACTOR` for each
            byte of the blob.

    Raises:
        Refused: the pickle is harmful.
        UnpicklingError: the blob is not a pickle.
    """
    limit = BASE + FACTOR * len(blob) if memory is None else memory
    try:
        return _passed(blob, limit)
    except IndexError:
        raise UnpicklingError("pickle data was truncated") from None


def too_much(limit: int) -> Refused:
    """Return the error for a value that takes more memory than `limit`."""
    return Refused(f"more than {limit >> 20} MB of memory (Trust.safe(memory=…) sets how much)")


def _passed(blob: bytes, limit: int) -> Scanned:  # noqa: C901 - the loop is one thought
    view, made, chunks = memoryview(blob), bytearray(), list[Chunk]()
    cost = start = at = protocol = 0
    indices = 256 + len(blob) // 4
    zeros = 2 if indices < 1 << 16 else 1 if indices < 1 << 24 else 0
    anything = _runs(min(indices >> 8 * (3 - zeros - 1), 255), zeros).match
    small = len(blob) * _WORST <= limit
    while True:
        run = anything(blob, at)
        if run is not None:
            tokens = _TOKENS.findall(run.group())
            codes = bytes(map(_FIRST, tokens))
            if not small:
                cost += sum(map(_COSTS.__getitem__, codes)) + run.end() - at
            if codes.translate(None, _VERBATIM):
                made += view[start:at]
                made += b"".join(map(_INSTEAD.get, tokens, tokens))
                start = run.end()
            at = run.end()
            if len(tokens) == _FULL:
                run = _ALIKE.match(blob, at)
                if run is None:
                    continue
                rate, each = _RATES[(run.lastindex or 1) - 1]
                size = run.end() - at
                cost += min(size * rate, _RUN * each + size)
                at = run.end()
                continue
        if cost > limit:
            raise too_much(limit)
        code = blob[at]
        end, content = _ends(blob, code, at)
        cost += _COSTS[code] + _GROWTH.get(code, 1) * (end - content)
        instead = None
        if code in _CHECKED:
            protocol = max(protocol, _checked(code, blob[content:end], indices, len(blob) - end))
            instead = b"" if code > 0x7F else None  # noqa: PLR2004 - protocol and frames are written anew
        elif end - content >= _LARGE and code in _BYTES:
            chunks.append(Chunk(view[content:end], mutable=code == _BYTEARRAY8))
            instead = _NEXT_BUFFER
        if instead is not None:
            made += view[start:at]
            made += instead
            start = end
        at = end
        if code == _STOP:
            made += view[start:at] if made else b""
            return Scanned(made or view[start:at], chunks, protocol, limit - cost)


_FIRST = itemgetter(0)
_VERBATIM = bytes(code for code in range(256) if bytes([code]) not in _INSTEAD)
#: Opcodes that may occur anywhere in a run.
_SHORT = frozenset(b"]()N}012aelotusdRb\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94")


def _ends(blob: bytes, code: int, at: int) -> tuple[int, int]:
    """Return the end of an opcode, and the start of its argument's content."""
    content = at + 1
    if code in _LINES:
        return _lines_end(blob, content, code), content
    if code in _COUNTED:
        content += _COUNTED[code]
        end = content + int.from_bytes(blob[at + 1 : content], "little")
    elif code in _FIXED:
        end = content + _FIXED[code]
    else:
        _unknown(code, at)
    if end > len(blob):
        raise IndexError(end)
    return end, content


def _unknown(code: int, at: int) -> NoReturn:
    if code in _OUTSIDE:
        raise Refused(_OUTSIDE[code])
    if code in b"PQ":
        raise UnpicklingError("it refers to an object outside of the pickle")
    if code in _SHORT or code in b"hKqMJjG":
        raise IndexError(at)
    raise UnpicklingError(f"byte {at} is not an opcode: {code:#04x}")


def _lines_end(blob: bytes, at: int, code: int) -> int:
    """Return the end of the lines that begin at `at`."""
    for _ in range(_LINES[code]):
        last = len(blob) if code in b"SV" else min(at + _LINE, len(blob))
        end = blob.find(b"\n", at, last) + 1
        if not end and last < len(blob):
            raise Refused("a name or a number of too many characters")
        at = end or len(blob) + 1
        if at > len(blob):
            raise IndexError(at)
    return at


def _checked(code: int, argument: bytes, indices: int, left: int) -> int:
    """Check the number of an opcode; return the protocol that it names, or 0."""
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
