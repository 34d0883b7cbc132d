"""Text and bytes that run code in careless decoders."""

from __future__ import annotations

import base64
import contextlib
import json
import marshal
import pickle
import struct
import sys
from collections.abc import Callable, Iterator


class Trap:
    """A trap for decoders below full trust: an unsafe sample calls `Trap.spring`."""

    #: Number of times it was sprung.
    sprung = 0

    @classmethod
    def spring(cls) -> str:
        """Count."""
        cls.sprung += 1
        return "sprung"

    def __reduce__(self) -> tuple[Callable[..., str], tuple[()]]:
        return Trap.spring, ()


Trap.__module__ = "mfc_testing.decoder"  # where plugin authors find it
_NAME = "mfc_testing.decoder.Trap"
_CALL = "__import__('mfc_testing.decoder', fromlist=['Trap']).Trap.spring()"


class Watch:
    """Code that ran in a block of `watched`, as far as it came from text or bytes."""

    def __init__(self) -> None:
        self.ran: list[str] = []


_watches: list[Watch] = []
_audited = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _watches and event == "exec" and getattr(arguments[0], "co_filename", "") == "<string>":
        _watches[-1].ran.append("eval or exec of text")


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Record compilation of text in the block, and calls of pickle itself.

    An audit hook cannot be removed: it stays after the first block, and does nothing outside of
    blocks.
    """
    global _audited  # noqa: PLW0603 - an audit hook belongs to the process
    if not _audited:
        sys.addaudithook(_audit)
        _audited = True
    watch = Watch()
    kept = pickle.loads, pickle.load, marshal.loads

    def noted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noting(*given: object, **named: object) -> object:
            watch.ran.append(name)
            return call(*given, **named)

        return noting

    _watches.append(watch)
    pickle.loads, pickle.load = noted("pickle.loads", kept[0]), noted("pickle.load", kept[1])
    marshal.loads = noted("marshal.loads", kept[2])
    try:
        yield watch
    finally:
        pickle.loads, pickle.load, marshal.loads = kept
        _watches.remove(watch)


def traps() -> list[str]:
    """Return texts that run code: Python, JSON and YAML with names, a pickle in base64."""
    named = [
        {"py/function": f"{_NAME}.spring"},
        {"py/reduce": [{"py/function": f"{_NAME}.spring"}, {"py/tuple": []}]},
        {"py/object": _NAME},
        {"__reduce__": f"{_NAME}.spring"},
        {"$type": _NAME, "__class__": _NAME},
    ]
    pickled = [base64.b64encode(blob).decode() for blob in pickles()]
    return [
        _CALL,
        f"[{_CALL}]",
        f"{{'name': {_CALL}}}",
        f"[{{'name': {_CALL}, 'id': '1', 'timestamp': 1, 'type': 'event'}}]",
        f"{{{{{_CALL}}}}}",
        f"!!python/object/apply:{_NAME}.spring []",
        f"- name: !!python/object/apply:{_NAME}.spring []",
        *map(json.dumps, named),
        *(json.dumps([one]) for one in named),
        *pickled,
        *(json.dumps(text) for text in pickled),
    ]


def pickles() -> list[bytes]:
    """Return pickles that run code, of every protocol, alone and in plain data."""
    return [
        pickle.dumps(value, protocol)
        for value in (Trap(), [{"deep": Trap()}], {"x": (1, Trap())})
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]


def blobs() -> list[bytes]:
    """Return bytes that run code in one of several formats."""
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    return [*pickles(), *(array + blob for blob in pickles()[-2:]), *map(str.encode, traps())]
