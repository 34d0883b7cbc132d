"""Pickles made to harm, one per kind. `python hostile_pickles.py NAME LEVEL` loads one, and prints its cost.

They are made of opcodes only, so that they are the same with every version of the libraries they
name.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

N = 200_000
P = b"\x80\x04"


def lit(value: Any) -> bytes:
    """Return opcodes that push a plain value."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 3)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()[2:-1]


def name(module: str, member: str) -> bytes:
    return f"c{module}\n{member}\n".encode()


def call(module: str, member: str, *parts: bytes) -> bytes:
    return name(module, member) + b"(" + b"".join(parts) + b"tR"


def put(index: int) -> bytes:
    return b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def pairs(*items: tuple[str, bytes]) -> bytes:
    return b"}(" + b"".join(lit(key) + value for key, value in items) + b"u"


def dtype(kind: str, order: str, *state: object) -> bytes:
    said = state or (None, None, None, -1, -1, 0)
    return call("numpy", "dtype", lit(kind), lit(False), lit(True)) + lit((3, order, *said)) + b"b"


I4, I8, O8 = dtype("i4", "<"), dtype("i8", "<"), dtype("O8", "|", None, None, None, -1, -1, 63)
HUSK = call(
    "numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), lit((0,)), lit(b"b")
)


def array(shape: tuple[int, ...], kind: bytes, content: bytes) -> bytes:
    return HUSK + b"(" + lit(1) + lit(shape) + kind + lit(False) + content + b"tb"


def counted(stop: int) -> bytes:
    said = pairs(("name", lit(None)), ("start", lit(0)), ("stop", lit(stop)), ("step", lit(1)))
    return call(
        "pandas.core.indexes.base",
        "_new_Index",
        name("pandas.core.indexes.range", "RangeIndex"),
        said,
    )


def fields(entry: bytes, later: bytes, pointer: int) -> bytes:
    """Return a record whose fields the pickle changes after passing them to numpy."""
    kept = P + I8 + put(1) + b"0" + O8 + put(2) + b"0}" + lit("a") + entry + b"s" + put(3) + b"0"
    record = (
        call("numpy", "dtype", lit("V8"), lit(False), lit(True))
        + b"("
        + lit(3)
        + lit("|")
        + b"N"
        + lit(("a",))
        + get(3)
        + lit(8)
        + lit(1)
        + lit(16)
        + b"tb"
        + put(4)
        + b"0"
    )
    return (
        kept
        + record
        + array((1,), get(4), lit(pointer.to_bytes(8, "little")))
        + put(5)
        + b"0"
        + later
    )


def block(row: int, stop: int) -> bytes:
    values = pairs(
        ("values", array((1, 1), I8, lit(bytes(8)))),
        ("mgr_locs", call("builtins", "slice", lit(row), lit(stop), lit(1))),
    )
    axes = b"](" + counted(1) + counted(1) + b"e"
    state = (
        b"(NNN" + pairs(("0.14.1", pairs(("axes", axes), ("blocks", b"]" + values + b"a")))) + b"t"
    )
    manager = name("pandas.core.internals.managers", "BlockManager") + b")\x81" + state + b"b"
    return P + name("pandas", "DataFrame") + b")\x81" + pairs(("_mgr", manager)) + b"b."


def sparse(length: int, *places: bytes) -> bytes:
    kind = "IntIndex" if len(places) == 1 else "BlockIndex"
    index = call("pandas._libs.sparse", kind, lit(length), *places)
    made = (
        name("pandas", "SparseDtype")
        + b")\x81"
        + pairs(("_dtype", I8), ("_fill_value", lit(0)))
        + b"b"
    )
    values = array((1,), I8, lit(bytes(8)))
    return (
        P
        + name("pandas.arrays", "SparseArray")
        + b")\x81"
        + pairs(("_sparse_index", index), ("_sparse_values", values), ("_dtype", made))
        + b"b."
    )


def places(value: int) -> bytes:
    return array((1,), I4, lit(struct.pack("<i", value)))


#: A tuple of twice the one before, fifty times: 2**50 steps to hash.
TWICE = b")" + (b"q\xc8h\xc8\x86") * 50
COLLIDING = [number * ((1 << 61) - 1) for number in range(1, 60_000)]
MEGABYTE = b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)

PICKLES: dict[str, Callable[[], bytes]] = {
    "fields-any-object": lambda: fields(get(1) + lit(0) + b"\x86", get(3) + lit("a") + get(2) + lit(0) + b"\x86s0" + get(5) + b".", 0x41414141),
    "manager-write": lambda: block(10**11, 10**11 + 1),
    "manager-rows": lambda: block(0, 5),
    "nested-hash": lambda: P + b"})" + b"\x85" * N + b"K\x01s.",
    "nested-tuples-few": lambda: P + b"})" + b"\x85" * 900 + b"K\x01s.",
    "nested-hidden": lambda: P + b")\x94" + b"".join(get(i) + b"\x85\x940" for i in range(30_000)) + b"}" + get(29_999) + b"Ns.",
    "nested-slices": lambda: P + name("builtins", "slice") + b"q\x000" + b"h\x00" * 50_000 + b"N" + b"\x85R" * 50_000 + b".",
    "nested-lists": lambda: P + b"]" * 50_000 + b"a" * 49_999 + b".",
    "twice-as-key": lambda: P + b"}" + TWICE + b"Ns.",
    "twice-in-set": lambda: P + b"\x8f(" + TWICE + b"\x90.",
    "twice-in-frozenset": lambda: P + b"(" + TWICE + b"\x91.",
    "twice-as-category": lambda: P + name("pandas", "CategoricalDtype") + b")\x81" + pairs(("categories", call("pandas.core.indexes.base", "_new_Index", name("pandas", "Index"), pairs(("data", array((1,), O8, b"]" + TWICE + b"a"))))), ("ordered", lit(False))) + b"b.",
    "colliding-keys": lambda: P + b"}(" + b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in COLLIDING) + b"u.",
    "one-large-key-often": lambda: P + b"(" + b"K\x01" * N + b"t\x94}(" + b"h\x00N" * N + b"u.",
    "one-large-number-often": lambda: P + b"\x8b" + struct.pack("<i", 1 << 19) + b"\x7f" * (1 << 19) + b"\x94}(" + b"h\x00N" * N + b"u.",
    "digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "decimal-digits": lambda: P + call("decimal", "Decimal", lit("9" * 1_000_000)) + b".",
    "fraction-exponent": lambda: P + call("fractions", "Fraction", lit("1e999999999")) + b".",
    "memo-index": lambda: b"Nr\xff\xff\xff\x7f.",
    "memo-index-text": lambda: b"Np99999999999\n.",
    "memo-often": lambda: b"N" + b"\x94" * (5 * N) + b".",
    "marks": lambda: b"(" * (5 * N) + b".",
    "lists": lambda: b"]" * (5 * N) + b".",
    "dicts": lambda: b"](" + b"}" * (5 * N) + b"e.",
    "size-of-bytes": lambda: P + b"\x8e" + b"\xff" * 8 + b".",
    "size-of-bytearray": lambda: P + b"\x96" + struct.pack("<Q", 1 << 40) + b".",
    "size-of-frame": lambda: P + b"\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "bytes-of-number": lambda: P + call("builtins", "bytearray", lit(2**31 - 1)) + b".",
    "list-of-range": lambda: P + call("builtins", "list", call("builtins", "range", lit(2**31 - 1))) + b".",
    "copies-of-bytes": lambda: P + name("builtins", "bytearray") + b"\x940" + MEGABYTE + b"\x940](" + b"h\x00h\x01\x85R" * 2000 + b"e.",
    "copies-in-arrays": lambda: P + I8 + put(1) + b"0" + MEGABYTE + put(2) + b"0](" + array((1 << 17,), get(1), get(2)) * 1000 + b"e.",
    "copies-of-text": lambda: P + name("_codecs", "encode") + b"\x940" + lit("a" * 1_000_000) + b"\x940](" + b"h\x00h\x01\x85R" * 2000 + b"e.",
    "extension": lambda: b"\x82\x01.",
    "outside-buffer": lambda: P + b"\x97.",
    "unicode-error-state": lambda: P + call("builtins", "UnicodeDecodeError", lit("ascii"), lit(b"x"), lit(0), lit(1), lit("r")) + pairs(("start", lit(-(10**13)))) + b"b.",
    "unicode-error-arguments": lambda: P + call("builtins", "UnicodeDecodeError", lit("ascii"), lit(b"x"), lit(-(10**13)), lit(1 - 10**13), lit("r")) + b".",
    "zone-path": lambda: P + call("zoneinfo", "ZoneInfo._unpickle", lit("../../../etc/passwd"), lit(True)) + b".",
    "zone-path-pytz": lambda: P + call("pytz", "_p", lit("../../../etc/passwd")) + b".",
    "shape-overflow": lambda: P + array((1 << 62, 4), I8, lit(b"")) + b".",
    "element-huge": lambda: P + array((0,), dtype("V100000000000", "|", None, None, None, 100_000_000_000, 1, 0), lit(b"")) + b".",
    "scalar-huge": lambda: P + call("numpy._core.multiarray", "scalar", dtype("V1000000000", "|", None, None, None, 10**9, 1, 0)) + b".",
    "subarray-huge": lambda: P + call("numpy", "dtype", lit("V8"), lit(False), lit(True)) + b"(" + lit(3) + lit("|") + b"(" + I8 + lit((1 << 40,)) + b"tNN" + lit(8) + lit(1) + lit(0) + b"tb.",
    "field-before": lambda: P + call("numpy", "dtype", lit("V8"), lit(False), lit(True)) + b"(" + lit(3) + lit("|") + b"N" + lit(("a",)) + b"}" + lit("a") + I8 + lit(-8) + b"\x86s" + lit(8) + lit(1) + lit(0) + b"tb.",
    "objects-of-bytes": lambda: P + array((1,), O8, lit(bytes(8))) + b".",
    "characters-beyond-unicode": lambda: P + array((2,), dtype("U1", "<", None, None, None, 4, 4, 8), lit(b"\xff" * 8)) + b".",
    "range-as-rows": lambda: P + name("pandas", "DataFrame") + b")\x81" + pairs(("_mgr", call("pandas.core.internals.managers", "BlockManager", b")", b"](" + counted(10**12) + counted(10**12) + b"e"))) + b"b.",
    "sparse-length": lambda: sparse(10**15, places(0)),
    "sparse-block": lambda: sparse(2**31 - 1, places(0), places(2**31 - 1)),
    "config-twice": lambda: P + call("metaflow.user_configs.config_parameters", "ConfigValue", b"}" + lit("a") + b"]" + b"q\xc8(h\xc8h\xc8l" * 30 + b"s") + b".",
    "state-twice": lambda: P + name("uuid", "UUID") + b")\x81" + pairs(("int", lit(1))) + b"b" + pairs(("int", lit(2))) + b"b.",
    "call-of-number": lambda: P + b"K\x01)R.",
    "state-of-name": lambda: P + name("builtins", "int") + pairs(("x", lit(1))) + b"b.",
    "ordered-dict-of-items": lambda: P + call("copyreg", "_reconstructor", name("collections", "OrderedDict"), name("builtins", "dict"), lit({"a": 1})) + b".",
    "file-of-the-reader": lambda: P + name("metaflow.datatools.s3", "S3Object") + b")\x81" + pairs(("_path", lit("/etc/hostname")), ("_url", lit("s3://b/k"))) + b"b.",
}  # fmt: skip
#: Those that end in a harmless value.
HARMLESS = {
    "nested-tuples-few", "memo-often", "ordered-dict-of-items", "file-of-the-reader", "config-twice",
}  # fmt: skip


def main() -> None:
    """Load one, and print seconds, bytes of memory above the bound, and the outcome."""
    import resource

    from mfc import unpickle
    from mfc.errors import UndecodableArtifact, UntrustedValue
    from mfc.trust import Trust

    blob = PICKLES[sys.argv[1]]()
    warm = pickle.dumps({"a": 1})
    try:
        import pandas as pd

        warm = pickle.dumps(pd.DataFrame({"a": [1]}))
    except ImportError:
        pass
    unpickle(warm, trust="safe")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        value = unpickle(blob, trust=Trust(sys.argv[2]))  # type: ignore[arg-type]
        said = type(value).__name__
    except (UntrustedValue, UndecodableArtifact) as error:
        said = type(error).__name__
    spent = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"{spent:.2f} {max(0, grown - (64 << 20) - 8 * len(blob))} {said}")


if __name__ == "__main__":
    main()
