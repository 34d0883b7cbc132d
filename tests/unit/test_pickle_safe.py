"""Refusals of a safe load, and the limits of forged arrays and frames."""

from __future__ import annotations

import copyreg
import fractions
import pickle
import sys
import tracemalloc
from typing import Any

import pytest

from mfc._pickle import loads
from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

from .trusts import SAFE


class Model:
    """A class of the user."""

    def __init__(self) -> None:
        self.weights = [1]


class TestSafe:
    """Refusals of a safe load, and how to widen it."""

    def test_sentence(self) -> None:
        with pytest.raises(UntrustedValue) as caught:
            loads(pickle.dumps(Model()), SAFE, subject="F/1/s/2/x")
        name = f"{Model.__module__}.Model"
        for part in (name, f"allow=['{name}']", "trust='full'", ".raw"):
            assert part in str(caught.value)

    def test_allow(self) -> None:
        name = f"{Model.__module__}.Model"
        sys.modules.setdefault(Model.__module__, sys.modules[__name__])
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            got = loads(pickle.dumps(Model(), protocol), Trust.safe([name]))
            assert isinstance(got, Model)
            assert got.weights == [1]

    @pytest.mark.parametrize(
        "name",
        [
            "os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.open",
            "builtins.__import__", "builtins.vars", "builtins.map", "operator.attrgetter",
            "functools.partial", "importlib.import_module", "subprocess.Popen", "types.FunctionType",
            "numpy.load", "numpy.memmap", "numpy.f2py.compile", "pandas.eval", "pandas.read_pickle",
            "pandas.core.frame.DataFrame.eval", "builtins.dict.update", "collections.abc.sys",
            "pathlib.Path.unlink", "pathlib.os", "logging.config.dictConfig", "enum.Enum",
            "metaflow.client.core.Run", "__main__.X", "copyreg.add_extension", "pickle.loads",
        ],
    )  # fmt: skip
    def test_refuses(self, name: str) -> None:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            module, rest = ".".join(parts[:cut]), ".".join(parts[cut:])
            texts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, rest))
            with pytest.raises(UntrustedValue):
                loads(b"\x80\x04" + texts + b"\x93.", SAFE)
            with pytest.raises(UntrustedValue):
                loads(f"\x80\x02c{module}\n{rest}\n.".encode("latin1"), SAFE)

    def test_client_objects_are_not_safe(self) -> None:
        with pytest.raises(UntrustedValue, match=r"metaflow\.client\.core\.Run"):
            loads(b"cmetaflow.client.core\nRun\n)R.", SAFE)

    def test_extension_registry(self) -> None:
        code = 0xF1
        copyreg.add_extension("os", "system", code)
        try:
            assert callable(pickle.loads(b"\x82\xf1."))  # now it is in the cache
            for blob in (b"\x82\xf1.", b"\x83\xf1\x00.", b"\x84\xf1\x00\x00\x00."):
                with pytest.raises(UntrustedValue, match="extension registry"):
                    loads(blob, SAFE)
        finally:
            copyreg.remove_extension("os", "system", code)

    @pytest.mark.parametrize(
        "blob",
        [
            b"cfractions\nFraction\n(N}Vx\nI1\nstb.",  # an attribute of a shared class
            b"cfractions\nFraction\n}Vx\nI1\nsb.",
            b"ccollections\nOrderedDict\n)R(N}V__class__\nI1\nstb.",
            b"cbuiltins\nValueError\n)R}V__class__\ncbuiltins\nKeyError\nsb.",
            b"cuuid\nUUID\n)\x81(N}V__class__\nccollections\nUserDict\nstb.",
            b"cuuid\nUUID\n)\x81}Vint\nI1\nsb}Vint\nI2\nsb.",  # a second state
            b"cpathlib\nPurePath\n(Va\ntR}Vx\nI1\nsb.",
            b"(lp0\n}Vx\nI1\nsb.",
            b"cbuiltins\ngetattr\n(cbuiltins\nint\nVreal\ntR.",
            b"cbuiltins\ntype\n(Vx\n(t}tR.",
            b"cbuiltins\ntype\n.",
            b"cbuiltins\nbytearray\n(I999999999999\ntR.",
            b"cbuiltins\nlist\n(cbuiltins\nrange\n(I999999999999\ntRtR.",
            b"ccollections\ndefaultdict\n(c_codecs\nencode\ntR.",
            b"cfractions\nFraction\n(V1e999999999\ntR.",
            b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
            b"czoneinfo\nZoneInfo._unpickle\n(V../../etc/passwd\nI01\ntR.",
            b"ccopyreg\n_reconstructor\n(cbuiltins\nint\ncbuiltins\nobject\nNtR.",
            b"Vx\n)R.",
            b"(lVx\n)\x81.",
        ],
    )  # fmt: skip
    def test_refuses_to_act(self, blob: bytes) -> None:
        with pytest.raises((UntrustedValue, UndecodableArtifact)):
            loads(blob, SAFE)
        assert not hasattr(fractions.Fraction, "x")

    def test_copies_are_bounded(self) -> None:
        again = (
            b"cbuiltins\nlist\nr\x02\x00\x00\x000" + b"(h\x01h\x01t0" + b"h\x02h\x01\x85R0" * 5000
        )
        blob = (
            b"("
            + b"I1\n" * 60000
            + b"lq\x010"
            + again.replace(b"r\x02\x00\x00\x00", b"q\x02")
            + b"N."
        )
        assert loads(blob, SAFE) is None  # an unreferenced object is not built

    def test_bogus_sizes_cost_nothing(self) -> None:
        huge = (2**28).to_bytes(8, "little")
        tracemalloc.start()
        try:
            for blob in (b"\x80\x05\x96" + huge + b".", b"\x80\x04\x8e" + huge + b"."):
                with pytest.raises(UndecodableArtifact):
                    loads(blob, SAFE)
            with pytest.raises(UntrustedValue, match="memo index"):
                loads(b"Nr\xff\xff\xff\xff.", SAFE)
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()


class TestForgedMemory:
    """States that would make numpy or pandas read or write memory outside their own."""

    def refused(self, *parts: object) -> None:
        with pytest.raises((UntrustedValue, UndecodableArtifact)):
            loads(assembled(*parts), SAFE)

    def test_assembled_is_sound(self) -> None:
        np = pytest.importorskip("numpy")
        state = (1, (1,), DTYPE("f8", (3, "<", None, None, None, -1, -1, 0)), False, bytes(8))
        got = loads(assembled(ARRAY(state)), SAFE)
        assert np.array_equal(got, [0.0])

    def test_pointers_from_bytes(self) -> None:
        pytest.importorskip("numpy")
        obj = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        hidden = DTYPE("V8", (3, "|", None, ("f",), {"f": (obj, 0)}, 8, 1, 0))
        self.refused(ARRAY((1, (1,), hidden, False, b"AAAAAAAA")))
        self.refused(
            ARRAY((1, (1,), DTYPE("O8", (3, "|", None, None, None, -1, -1, 0)), False, b"A" * 8))
        )
        honest = DTYPE("V8", (3, "|", None, ("f",), {"f": (obj, 0)}, 8, 1, 27))
        self.refused(ARRAY((1, (1,), honest, False, b"AAAAAAAA")))
        self.refused(CALL("numpy._core.multiarray", "scalar", (honest, b"AAAAAAAA")))
        number = DTYPE("f8", (3, "<", None, None, None, -1, -1, 0))
        laid = DTYPE("V8", (3, "|", None, ("f", "n"), {"f": (obj, 0), "n": (number, 0)}, 8, 1, 27))
        self.refused(ARRAY((1, (1,), laid, False, [(1, 2)])))

    def test_fields_outside(self) -> None:
        pytest.importorskip("numpy")
        number = DTYPE("f8", (3, "<", None, None, None, -1, -1, 0))
        for offset, size in ((10**9, 8), (-8, 8), (0, 16)):
            self.refused(DTYPE("V8", (3, "|", None, ("f",), {"f": (number, offset)}, size, 1, 16)))
        self.refused(DTYPE("V8", (3, "|", (number, (9,)), None, None, 8, 1, 0)))
        self.refused(DTYPE("i4,i4", (3, "|", None, None, None, -1, -1, 0)))

    def test_unfinished_and_shared(self) -> None:
        np = pytest.importorskip("numpy")
        shared = CALL("numpy", "dtype", ("f8", False, False))
        swapped = BUILD(shared, (3, ">", None, None, None, -1, -1, 0))
        assert loads(assembled(swapped), SAFE) == np.dtype(">f8")
        assert np.dtype("f8").isnative
        self.refused(
            CALL(
                "numpy._core.multiarray", "_reconstruct", (GLOBAL("numpy", "ndarray"), (99,), b"b")
            )
        )
        self.refused(CALL("numpy", "ndarray", ((99,),)))
        array = ARRAY(
            (1, (1,), DTYPE("f8", (3, "<", None, None, None, -1, -1, 0)), False, bytes(8))
        )
        self.refused(BUILD(array, (1, (0,), None, False, b"")))

    def test_tables(self) -> None:
        pd = pytest.importorskip("pandas")
        sound = pickle.dumps(pd.DataFrame({"a": [1], "b": [2.0]}))
        assert repr(loads(sound, SAFE)) == repr(pickle.loads(sound))
        values = pickle.loads(pickle.dumps(pd.Series([1.0])))
        values.index  # noqa: B018
        forged = sound.replace(b"K\x00K\x01K\x01", b"K\x09K\x0aK\x01", 1)
        assert forged != sound
        with pytest.raises(UntrustedValue, match="a block"):
            loads(forged, SAFE)

    def test_index_longer_than_the_values(self) -> None:
        pd = pytest.importorskip("pandas")
        series = pd.Series([1.0], index=pd.RangeIndex(77, 78))
        for value in (series, series.to_frame("a")):
            sound = pickle.dumps(value, 2)
            forged = sound.replace(b"KN", b"M\xff\x7f")
            assert forged != sound
            with pytest.raises((UntrustedValue, UndecodableArtifact)):
                loads(forged, SAFE)

    def test_missing_objects(self) -> None:
        pytest.importorskip("numpy")
        objects = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        self.refused(ARRAY((1, (9,), objects, False, ["one"])))

    def test_dtype_that_changes_under_an_array(self) -> None:
        pytest.importorskip("numpy")
        objects = DTYPE("O8", (3, "|", None, None, None, -1, -1, 63))
        void = CALL("numpy", "dtype", ("V8", False, True)).code + b"q\x63"
        husk = (GLOBAL("numpy", "ndarray"), (0,), b"b")
        array = CALL("numpy._core.multiarray", "_reconstruct", husk).code
        filled = array + b"(K\x01(K\x01th\x63\x89" + piece(b"A" * 8) + b"tbq\x64"
        state = (3, "|", None, ("f",), {"f": (objects, 0)}, 8, 1, 27)
        blob = b"\x80\x03" + void + filled + b"00h\x63" + piece(state) + b"b0h\x64."
        with pytest.raises((UntrustedValue, UndecodableArtifact)):
            loads(blob.replace(b"00h", b"0" + b"0h", 1), SAFE)

    def test_types_without_size_unit_or_order_are_spelt_anew(self) -> None:
        np = pytest.importorskip("numpy")
        for name, order, expected in (("S4", "|", "S4"), ("M8", "<", "M8"), ("U2", "<", "U2")):
            said = DTYPE(name, (3, order, None, None, None, -1, -1, 0))
            assert loads(assembled(said), SAFE) == np.dtype(expected)

    def test_codes(self) -> None:
        pd = pytest.importorskip("pandas")
        for value in (pd.Categorical([2**40, 5]), pd.MultiIndex.from_arrays([[2**40, 5]])):
            sound = pickle.dumps(value)
            codes = value.codes if isinstance(value, pd.Categorical) else value.codes[0]
            forged = sound.replace(codes.tobytes() + b"\x94", b"\x7f" * codes.nbytes + b"\x94")
            assert forged != sound
            with pytest.raises(UndecodableArtifact, match="codes? "):
                loads(forged, SAFE)


class GLOBAL:
    """A reference to a module's member, for `assembled`."""

    def __init__(self, module: str, name: str) -> None:
        self.code = f"c{module}\n{name}\n".encode()


class CALL:
    """A call of a module's member."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...]) -> None:
        self.code = GLOBAL(module, name).code + piece(arguments) + b"R"


class BUILD:
    """A state given to an object."""

    def __init__(self, made: Any, state: object) -> None:
        self.code = made.code + piece(state) + b"b"


def DTYPE(name: str, state: object) -> BUILD:  # noqa: N802 - reads as the others
    return BUILD(CALL("numpy", "dtype", (name, False, True)), state)


def ARRAY(state: object) -> BUILD:  # noqa: N802 - reads as the others
    husk = (GLOBAL("numpy", "ndarray"), (0,), b"b")
    return BUILD(CALL("numpy._core.multiarray", "_reconstruct", husk), state)


def piece(value: Any) -> bytes:
    """Return opcodes that push `value`."""
    if hasattr(value, "code"):
        return bytes(value.code)
    if isinstance(value, (tuple, list)):
        end = b"t" if isinstance(value, tuple) else b"l"
        return b"(" + b"".join(map(piece, value)) + end
    if isinstance(value, dict):
        return b"(" + b"".join(piece(key) + piece(item) for key, item in value.items()) + b"d"
    return pickle.dumps(value, 3)[2:-1].replace(b"q\x00", b"")


def assembled(*parts: object) -> bytes:
    """Return a pickle of parts that a library would never write."""
    return b"\x80\x03" + b"".join(map(piece, parts)) + b"."
