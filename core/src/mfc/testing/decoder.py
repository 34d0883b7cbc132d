"""The contract of artifact decoders, as tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import pytest

from mfc.config import Config
from mfc.errors import DatastoreError, UndecodableArtifact, UntrustedValue
from mfc.hookspecs import ArtifactDecoder
from mfc.model import ArtifactRecord, Pathspec
from mfc.testing import _isolation
from mfc.testing._contract import ClauseBroken, ContractTests, ask, clause, equal, holds
from mfc.testing._hooks import hooks_of
from mfc.trust import Trust

#: Bytes, and the value that they encode.
Sample = tuple[bytes, object]
_PATH = Pathspec(("Kit", "1", "start", "1", "x"))
_LOCATION = ":root:/kit/root"
_SHOWN = 60


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


class ArtifactDecoderTests(ContractTests):
    """What every artifact decoder promises. Give `plugin`, `encoding` and `samples`.

    ::

        class TestSafetensors(ArtifactDecoderTests):
            module = "mfc_safetensors"

            @pytest.fixture
            def plugin(self):
                return mfc_safetensors

            @pytest.fixture
            def encoding(self):
                return "safetensors"

            @pytest.fixture
            def samples(self):
                return [(save({"x": array}), {"x": array})]

    and, where they can be, `unsafe`: bytes that call `mfc.testing.decoder.Trap.spring` when they
    are decoded carelessly; `damaged`: bytes that are none of this encoding; `same`, if values are
    not compared by `==`; `info`, what the writer leaves beside an artifact.
    """

    #: Name of the plugin's module.
    module: ClassVar[str | None] = None
    #: Modules of its own that importing the plugin's module may load.
    modules_on_import: ClassVar[int] = 5

    @pytest.fixture
    def plugin(self) -> object:
        """Return the module or object with the hook `mfc_artifact_decoder`."""
        raise NotImplementedError("give the fixture `plugin`")

    @pytest.fixture
    def encoding(self) -> str:
        """Return the encoding that the plugin reads."""
        raise NotImplementedError("give the fixture `encoding`")

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        """Return bytes with the values that they encode; plain data, loaded at trust `safe`."""
        raise NotImplementedError("give the fixture `samples`")

    @pytest.fixture
    def info(self) -> dict[str, Any]:
        """Return what the writer leaves beside an artifact of this encoding."""
        return {}

    @pytest.fixture
    def unsafe(self) -> Sequence[bytes]:
        """Return bytes that would run code."""
        return ()

    @pytest.fixture
    def damaged(self, samples: Sequence[Sample]) -> Sequence[bytes]:
        """Return bytes that are none of this encoding: cut short, by default."""
        return [blob[: len(blob) // 2] for blob, _ in samples if len(blob) > 1]

    @pytest.fixture
    def same(self) -> Callable[[object, object], bool]:
        """Return a function that tells whether two values are equal."""
        return lambda one, other: type(one) is type(other) and one == other

    @pytest.fixture
    def decoder(self, plugin: object, encoding: str, info: dict[str, Any]) -> ArtifactDecoder:
        """Return the plugin's decoder."""
        return _decoder(plugin, encoding, info)

    @clause("decoder-own")
    def test_the_plugin_reads_its_encoding(self, plugin: object, encoding: str) -> None:
        """The hook gives a decoder for its encoding, whatever the writer left beside it."""
        for info in ({}, {"size": 5, "type": "<class 'int'>", "unknown": [1]}):
            given = f"mfc_artifact_decoder({encoding!r}, {info})"
            decoder = _decoder(plugin, encoding, info)
            holds(callable(getattr(decoder, "decode", None)), given, "a decoder", decoder)

    @clause("decoder-others")
    def test_other_encodings_are_left_to_others(self, plugin: object, encoding: str) -> None:
        """The hook gives None for encodings of others, also such as resemble its own."""
        for other in ("", "nobodys", f"{encoding}x", f"x{encoding}", encoding.swapcase(), "pickle"):
            if other != encoding:
                given = f"mfc_artifact_decoder({other!r}, {{}})"
                equal(given, None, ask(given, partial(_ask, plugin, other, {})))

    @clause("decoder-values")
    def test_values_are_as_written(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """`decode` gives the value that was encoded, of the same type."""
        for blob, value in samples:
            got = _decode(decoder, blob, Trust.full())
            holds(same(value, got), _given(blob, "full"), repr(value), repr(got))

    @clause("decoder-safe")
    def test_plain_data_is_safe(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """At trust `safe` the samples, being plain data, are the same, or UntrustedValue."""
        for blob, value in samples:
            try:
                got = decoder.decode(blob, _record(), Trust.safe())
            except UntrustedValue as refusal:
                holds(_names_it(refusal), _given(blob, "safe"), "a refusal with its path", refusal)
                continue
            holds(same(value, got), _given(blob, "safe"), repr(value), repr(got))

    @clause("decoder-trust")
    def test_no_code_runs_below_full_trust(
        self, decoder: ArtifactDecoder, unsafe: Sequence[bytes], samples: Sequence[Sample]
    ) -> None:
        """Below trust `full` no code of the store runs; UntrustedValue where it would have to."""
        for trust in (Trust.safe(), Trust.none()):
            for blob in (*unsafe, *(blob for blob, _ in samples)):
                before = Trap.sprung
                try:
                    decoder.decode(blob, _record(), trust)
                except UntrustedValue as refusal:
                    given = _given(blob, trust.level)
                    holds(_names_it(refusal), given, "a refusal with its path", refusal)
                except DatastoreError:
                    pass
                equal(f"code run by {_given(blob, trust.level)}", 0, Trap.sprung - before)

    @clause("decoder-damaged")
    def test_damage_is_told(self, decoder: ArtifactDecoder, damaged: Sequence[bytes]) -> None:
        """Bytes that are not of the encoding raise UndecodableArtifact, with path and location."""
        for blob in damaged:
            for trust in (Trust.full(), Trust.safe()):
                given = _given(blob, trust.level)
                try:
                    got = decoder.decode(blob, _record(), trust)
                except UndecodableArtifact as error:
                    holds(_names_it(error), given, f"an error about {_PATH}", error)
                except UntrustedValue:
                    continue
                except Exception as error:
                    expected = "UndecodableArtifact raised"
                    raise ClauseBroken(given, expected, repr(error)) from error
                else:
                    raise ClauseBroken(given, "UndecodableArtifact raised", repr(got))

    @clause("decoder-file")
    def test_a_file_is_decoded_as_its_bytes(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        unsafe: Sequence[bytes],
        same: Callable[[object, object], bool],
    ) -> None:
        """`decode_file`, if there is one, gives and refuses what `decode` does of the bytes."""
        decode_file = getattr(decoder, "decode_file", None)
        if decode_file is None:
            return
        for trust in (Trust.full(), Trust.safe(), Trust.none()):
            for blob in [blob for blob, _ in samples] + (
                list(unsafe) if trust.level != "full" else []
            ):
                given = f"{_given(blob, trust.level)}, from a file"
                before = Trap.sprung
                expected = _outcome(partial(decoder.decode, blob, _record(), trust))
                with io.BytesIO(blob) as file:
                    got = _outcome(partial(decode_file, file, _record(), trust))
                equal(f"code run by {given}", 0, Trap.sprung - before)
                alike = same(expected, got) or (
                    isinstance(expected, DatastoreError) and type(expected) is type(got)
                )
                holds(alike, given, repr(expected), repr(got))

    @clause("decoder-apart")
    def test_each_value_is_its_own(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """Decoding twice gives two values: who changes one does not change the other."""
        for blob, value in samples:
            first = _decode(decoder, blob, Trust.full())
            if isinstance(first, (dict, list, set)):
                first.clear()
            again = _decode(decoder, blob, Trust.full())
            holds(same(value, again), f"{_given(blob, 'full')}, again", repr(value), repr(again))

    @clause("decoder-threads")
    def test_threads_get_the_same(
        self, decoder: ArtifactDecoder, samples: Sequence[Sample]
    ) -> None:
        """One decoder answers several threads at once as it answers one."""
        blobs = [blob for blob, _ in samples]
        _isolation.in_threads(
            "decode", lambda: [repr(decoder.decode(b, _record(), Trust.full())) for b in blobs]
        )

    @clause("nothing-left-open")
    def test_nothing_is_left_open(
        self, decoder: ArtifactDecoder, samples: Sequence[Sample]
    ) -> None:
        """What decoding opens is closed when it is done."""
        for blob, _ in samples:
            _decode(decoder, blob, Trust.full())
        with _isolation.nothing_left_open("decode, of all samples"):
            for blob, _ in samples:
                _decode(decoder, blob, Trust.full())

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)


def _record() -> ArtifactRecord:
    return ArtifactRecord(_PATH, 1, sha="0" * 40, ds_type="kit", location=_LOCATION)


def _ask(plugin: object, encoding: str, info: dict[str, Any]) -> Any:
    return hooks_of(plugin).first(
        "mfc_artifact_decoder", encoding=encoding, info=info, config=Config()
    )


def _decoder(plugin: object, encoding: str, info: dict[str, Any]) -> ArtifactDecoder:
    given = f"mfc_artifact_decoder({encoding!r}, {info})"
    found: ArtifactDecoder | None = ask(given, lambda: _ask(plugin, encoding, info))
    if found is None:
        raise ClauseBroken(given, "a decoder", None)
    return found


def _decode(decoder: ArtifactDecoder, blob: bytes, trust: Trust) -> object:
    return ask(_given(blob, trust.level), lambda: decoder.decode(blob, _record(), trust))


def _outcome(decode: Callable[[], object]) -> object:
    try:
        return decode()
    except Exception as error:  # noqa: BLE001 - compared with the other's
        return error


def _given(blob: bytes, trust: str) -> str:
    shown = repr(blob) if len(blob) <= _SHOWN else f"{blob[:_SHOWN]!r}… ({len(blob)} bytes)"
    return f"decode({shown}, artifact {_PATH}, trust {trust})"


def _names_it(error: DatastoreError) -> bool:
    return str(_PATH) in str(error) and error.subject != ""
