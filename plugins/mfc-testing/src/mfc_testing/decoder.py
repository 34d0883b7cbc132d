"""The contract of artifact decoders, as tests."""

from __future__ import annotations

import inspect
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

from mfc.config import Config
from mfc.errors import DatastoreError, UndecodableArtifact, UntrustedValue
from mfc.hookspecs import ArtifactDecoder
from mfc.model import ArtifactRecord, Pathspec
from mfc.trust import Trust
from mfc_testing import _isolation, _state
from mfc_testing._contract import (
    ClauseBroken,
    ContractTests,
    ask,
    clause,
    equal,
    holds,
    raised,
)
from mfc_testing._contract import same as equal_wholly
from mfc_testing._hooks import hooks_of
from mfc_testing._traps import Trap, blobs, watched

__all__ = ["ArtifactDecoderTests", "Sample", "Trap"]

#: Bytes, and the value that they encode.
Sample = tuple[bytes, object]
_PATH = Pathspec(("Kit", "1", "start", "1", "x"))
_LOCATION = ":root:/kit/root"
_SHOWN = 60
#: Bytes of which at least one must matter.
_ENOUGH = 8


class ArtifactDecoderTests(ContractTests):
    """Contract of artifact decoders. Give `plugin`, `encoding` and `samples`.

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

    and, where they can be, `unsafe`: bytes that call `mfc_testing.decoder.Trap.spring` in a
    careless decoder; `damaged`: bytes that are not of this encoding; `same`, if values are not
    compared by `==`; `info`, the metadata that the writer stores beside an artifact.
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
        """Return the metadata that the writer stores beside an artifact of this encoding."""
        return {}

    @pytest.fixture
    def unsafe(self) -> Sequence[bytes]:
        """Return bytes that would run code."""
        return ()

    @pytest.fixture
    def damaged(self, samples: Sequence[Sample]) -> Sequence[bytes]:
        """Return bytes that are not of this encoding: truncated ones, by default."""
        return [blob[: len(blob) // 2] for blob, _ in samples if len(blob) > 1]

    @pytest.fixture
    def same(self) -> Callable[[object, object], bool]:
        """Return a function that tells whether two values are equal."""
        return equal_values

    @pytest.fixture
    def decoder(self, plugin: object, encoding: str, info: dict[str, Any]) -> ArtifactDecoder:
        """Return the plugin's decoder."""
        return _decoder(plugin, encoding, info)

    @clause("decoder-own")
    def test_the_plugin_reads_its_encoding(self, plugin: object, encoding: str) -> None:
        """The hook gives a decoder for its encoding, whatever the writer stored beside it."""
        odd = {"size": None, "type": None, "serializer_info": None, "encoding": 5}
        for info in ({}, {"size": 5, "type": "<class 'int'>", "unknown": [1]}, odd):
            given = f"mfc_artifact_decoder({encoding!r}, {info})"
            decoder = _decoder(plugin, encoding, info)
            holds(callable(getattr(decoder, "decode", None)), given, "a decoder", decoder)

    @clause("decoder-others")
    def test_other_encodings_are_left_to_others(self, plugin: object, encoding: str) -> None:
        """The hook gives None for other encodings, including similarly named ones."""
        alike = [f"{encoding}x", f"x{encoding}", encoding.swapcase(), encoding[:-1], f"{encoding}2"]
        alike += [
            f" {encoding}",
            f"{encoding} ",
            f"{encoding}/2",
            f"{encoding}-v9",
            f"my+{encoding}",
        ]
        for other in ("", "nobodys", "pickle", "pickle-v9", *alike):
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
        for trust in (Trust.safe(), Trust("plain"), Trust.none()):
            for blob in (*unsafe, *(blob for blob, _ in samples), *blobs()):
                before = Trap.sprung
                try:
                    decoder.decode(blob, _record(), trust)
                except UntrustedValue as refusal:
                    given = _given(blob, trust.level)
                    holds(_names_it(refusal), given, "a refusal with its path", refusal)
                except DatastoreError:
                    pass
                equal(f"code run by {_given(blob, trust.level)}", 0, Trap.sprung - before)

    @clause("decoder-plain")
    def test_text_is_not_run_below_full_trust(
        self, decoder: ArtifactDecoder, samples: Sequence[Sample]
    ) -> None:
        """Below trust `full` no bytes are unpickled by pickle itself, and no text becomes code."""
        for trust in (Trust.safe(), Trust("plain"), Trust.none()):
            for blob, _ in samples:
                for given, decode in _ways(decoder, blob, trust).items():
                    _outcome(decode)  # imports for it run code of their own
                    with watched() as watch:
                        _outcome(decode)
                    advice = "parse it: eval and pickle run any code in it"
                    holds(not watch.ran, given, "parsed", ", ".join(watch.ran), advice)

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

    @clause("decoder-empty")
    def test_nothing_is_no_value(self, decoder: ArtifactDecoder, samples: Sequence[Sample]) -> None:
        """Empty bytes raise UndecodableArtifact, unless they encode a value."""
        if any(not blob for blob, _ in samples):
            pytest.skip("a sample is empty")
        for trust in (Trust.full(), Trust.safe()):
            for given, decode in _ways(decoder, b"", trust).items():
                got = _outcome(decode)
                holds(_refuses(got), given, "UndecodableArtifact raised", _shown(got))

    @clause("decoder-trailing")
    def test_bytes_behind_a_value_are_not_ignored(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """Bytes behind a value raise UndecodableArtifact, as a rule."""
        for blob, value in samples:
            for more in (b"\0", b"x", blob or b"xx", b"\xff" * 9):
                for given, decode in _ways(decoder, blob + more, Trust.full()).items():
                    got = _outcome(decode)
                    fine = _refuses(got) or (
                        not isinstance(got, Exception) and not _alike(same, value, got)
                    )
                    holds(
                        fine,
                        f"{given}, a sample and {more[:9]!r} behind it",
                        "refused",
                        _shown(got),
                    )

    @clause("decoder-bytes")
    def test_damage_of_every_byte_is_told(
        self, decoder: ArtifactDecoder, samples: Sequence[Sample], damaged: Sequence[bytes]
    ) -> None:
        """Changing or removing any byte gives a value or UndecodableArtifact; no other error."""
        for sample, _ in samples:
            right = _outcome(partial(decoder.decode, sample, _record(), Trust.safe()))
            if isinstance(right, Exception) or len(sample) < _ENOUGH:
                continue
            at_safe = partial(decoder.decode, artifact=_record(), trust=Trust.safe())
            others = [_outcome(partial(at_safe, bad)) for bad in _damages(sample)]
            given = f"{_given(sample, 'safe')}, with a byte changed, each in turn"
            matters = any(not equal_wholly(right, other) for other in others)
            holds(matters, given, "another outcome for one of them", "always the same value")
        for blob in [*damaged, *(bad for sample, _ in samples for bad in _damages(sample))]:
            for given, decode in _ways(decoder, blob, Trust.safe()).items():
                got = _outcome(decode)
                fine = (
                    not isinstance(got, Exception) or _refuses(got) or isinstance(got, MemoryError)
                )
                holds(fine, given, "a value, or UndecodableArtifact raised", _shown(got))

    @clause("decoder-recovers")
    def test_damage_spoils_nothing_else(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        damaged: Sequence[bytes],
        unsafe: Sequence[bytes],
        same: Callable[[object, object], bool],
    ) -> None:
        """After damaged, empty or unsafe bytes the same decoder decodes as before."""
        for blob, value in samples:
            for bad in (*damaged, b"", *unsafe, *blobs()[:2], *_damages(blob)[:12]):
                for trust in (Trust.safe(), Trust.none()):
                    _outcome(partial(decoder.decode, bad, _record(), trust))
                got = _outcome(partial(decoder.decode, blob, _record(), Trust.full()))
                given = f"{_given(blob, 'full')}, after {bad[:30]!r} was decoded"
                holds(_alike(same, value, got), given, repr(value), _shown(got))

    @clause("decoder-record")
    def test_the_bytes_alone_decide(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """The value depends on the bytes alone, whatever the record says or said before."""
        odd = attrs.evolve(
            _record(), path=_PATH.parent.child("ß \n"), location="", sha="", encoding=None
        )
        for record in (odd, attrs.evolve(odd, created=0, attempt=5, user=None), _record()):
            for blob, value in (*samples, *reversed(samples)):
                got = _outcome(partial(decoder.decode, blob, record, Trust.full()))
                holds(_alike(same, value, got), _given(blob, "full"), repr(value), _shown(got))

    @clause("decoder-kept")
    def test_a_value_outlives_its_file(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """A value from `decode_file` outlives its file, which is then closed and overwritten."""
        decode_file = getattr(decoder, "decode_file", None)
        if decode_file is None:
            return
        for blob, value in samples:
            with tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "value")
                with open(path, "wb") as written:
                    written.write(blob)
                with open(path, "r+b") as file:
                    got = _outcome(partial(decode_file, file, _record(), Trust.full()))
                with open(path, "r+b") as file:
                    file.write(b"\xee" * len(blob))
                given = f"{_given(blob, 'full')}, from a file that was overwritten then"
                holds(_alike(same, value, got), given, repr(value), _shown(got))

    @clause("process-unchanged")
    def test_the_process_stays_as_it_is(
        self, decoder: ArtifactDecoder, samples: Sequence[Sample], damaged: Sequence[bytes]
    ) -> None:
        """Decoding and refusing leave nothing open, no temporary file, no setting changed."""

        def use() -> None:
            for blob in (*(blob for blob, _ in samples), *damaged, b""):
                for decode in _ways(decoder, blob, Trust.full()).values():
                    _outcome(decode)

        use()
        with _state.leaves_the_process("decoding"):
            use()
        _isolation.leaves_nothing_open("decoding, and refusing", use)

    @clause("decoder-file")
    def test_a_file_is_decoded_as_its_bytes(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        unsafe: Sequence[bytes],
        damaged: Sequence[bytes],
        same: Callable[[object, object], bool],
    ) -> None:
        """`decode_file`, if defined, gives and refuses the same values as `decode` does."""
        decode_file = getattr(decoder, "decode_file", None)
        if decode_file is None:
            return
        for trust in (Trust.full(), Trust.safe(), Trust.none()):
            others = [b"", *damaged, *(unsafe if trust.level != "full" else ())]
            for blob in [*(blob for blob, _ in samples), *others]:
                given = f"{_given(blob, trust.level)}, from a file"
                before = Trap.sprung
                expected = _outcome(partial(decoder.decode, blob, _record(), trust))
                with io.BytesIO(blob) as file:
                    got = _outcome(partial(decode_file, file, _record(), trust))
                equal(f"code run by {given}", 0, Trap.sprung - before)
                alike = (
                    isinstance(expected, DatastoreError) and type(expected) is type(got)
                ) or _alike(same, expected, got)
                holds(alike, given, repr(expected), repr(got))

    @clause("decoder-apart")
    def test_each_value_is_its_own(
        self,
        decoder: ArtifactDecoder,
        samples: Sequence[Sample],
        same: Callable[[object, object], bool],
    ) -> None:
        """Decoding twice gives two values: changing one leaves the other alone."""
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
        """A decoder closes everything that it opens."""
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


def equal_values(one: object, other: object) -> bool:
    """Compare two values in every part and its type; arrays are compared wholly."""
    return equal_wholly(one, other)


def _alike(same: Callable[[object, object], bool], value: object, got: object) -> bool:
    """Tell whether an answer is a value, where the comparison may know values only."""
    if isinstance(got, Exception) or inspect.iscoroutine(got):
        return False
    try:
        return bool(same(value, got))
    except Exception:  # noqa: BLE001 - its type has no comparison with values
        return False


def _refuses(got: object) -> bool:
    return isinstance(got, (UndecodableArtifact, UntrustedValue)) and _names_it(got)


def _shown(got: object) -> str:
    return raised(got) if isinstance(got, Exception) else repr(got)


def _ways(decoder: ArtifactDecoder, blob: bytes, trust: Trust) -> dict[str, Callable[[], object]]:
    """Return the ways to decode bytes: directly, and from a file if the decoder reads files."""
    found: dict[str, Callable[[], object]] = {
        _given(blob, trust.level): partial(decoder.decode, blob, _record(), trust)
    }
    decode_file = getattr(decoder, "decode_file", None)
    if decode_file is not None:
        found[f"{_given(blob, trust.level)}, from a file"] = lambda: decode_file(
            io.BytesIO(blob), _record(), trust
        )
    return found


def _damages(blob: bytes) -> list[bytes]:
    """Return damaged copies of a blob: bytes changed, added, removed, at each place."""
    size = len(blob)
    places = sorted({*range(min(size, 24)), size // 2, size // 3, *range(max(size - 8, 0), size)})
    found = [
        blob[:at] + bytes([other]) + blob[at + 1 :]
        for at in places
        for other in dict.fromkeys((0, 0xFF, blob[at] ^ 1, blob[at] ^ 0x80, 0x20))
        if other != blob[at]
    ]
    found += [blob[:at] for at in places if at]
    found += [blob[:at] + b"\0" + blob[at:] for at in places]
    return [*found, b"\0" * size, b"\xff" * size, blob[1:], blob[::-1]]


def _given(blob: bytes, trust: str) -> str:
    shown = repr(blob) if len(blob) <= _SHOWN else f"{blob[:_SHOWN]!r}… ({len(blob)} bytes)"
    return f"decode({shown}, artifact {_PATH}, trust {trust})"


def _names_it(error: DatastoreError) -> bool:
    return str(_PATH) in str(error) and error.subject != ""
