"""Text and bytes that run code where they are decoded carelessly."""

from __future__ import annotations

import base64
import json
import pickle
import struct
from collections.abc import Callable


class Trap:
    """What no decoder may spring below full trust: let an unsafe sample call `Trap.spring`."""

    #: How often it was sprung.
    sprung = 0

    @classmethod
    def spring(cls) -> str:
        """Count."""
        cls.sprung += 1
        return "sprung"

    def __reduce__(self) -> tuple[Callable[..., str], tuple[()]]:
        return Trap.spring, ()


Trap.__module__ = "mfc.testing.decoder"  # where authors find it
_NAME = "mfc.testing.decoder.Trap"
_CALL = "__import__('mfc.testing.decoder', fromlist=['Trap']).Trap.spring()"


def traps() -> list[str]:
    """Return text that runs code: Python, JSON and YAML with names, a pickle in base64."""
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
    """Return bytes that run code in one format or another."""
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header = header.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    return [*pickles(), *(array + blob for blob in pickles()[-2:]), *map(str.encode, traps())]
