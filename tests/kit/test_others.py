from __future__ import annotations

from typing import Any

import pytest

from mfc_testing import (
    ArtifactDecoderTests,
    FilesystemTests,
    NamespacePolicyTests,
    TriggerDecoderTests,
)

from . import filesystems, others
from .running import broken_clauses


def check(found: dict[str, Any], clauses: set[str]) -> None:
    shown = "\n".join(str(failure) for failure in found.values())
    assert set(clauses) <= set(found), shown
    assert bool(clauses) == bool(found), shown


def broken_filesystem(kind: type[filesystems.Right], only: Any) -> dict[str, Any]:
    def fixture() -> Any:
        files: dict[str, bytes] = {}
        shared: dict[str, Any] = {}
        return lambda: filesystems.Place(kind, files, shared)

    return broken_clauses(FilesystemTests, {"new_store": fixture}, only=only)


@pytest.mark.parametrize(
    ("kind", "clauses"),
    [(filesystems.Right, set()), *filesystems.BROKEN],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faulty_filesystems_fail_at_their_clauses(
    kind: type[filesystems.Right], clauses: set[str]
) -> None:
    check(broken_filesystem(kind, clauses), clauses)


@pytest.mark.parametrize(
    ("kind", "clauses"),
    [(others.Policy, set()), (others.NobodyIsUnknown, set()), *others.POLICIES],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faulty_policies_fail_at_their_clauses(
    kind: type[others.Policy], clauses: set[str]
) -> None:
    fixtures = {
        "policy": kind,
        "visible": lambda: others.VISIBLE,
        "hidden": lambda: others.HIDDEN,
        "locked": lambda: others.LOCKED,
    }
    check(broken_clauses(NamespacePolicyTests, fixtures, only=clauses), clauses)


@pytest.mark.parametrize("name", ["right", *others.TRIGGERS])
def test_faulty_trigger_decoders_fail_at_their_clauses(name: str) -> None:
    decode, clauses = {"right": (others._right, set()), **others.TRIGGERS}[name]
    fixtures = {
        "plugin": lambda: others.trigger(decode),
        "samples": lambda: others.SAMPLES,
        "without": lambda: [{others.FIELD: "[]"}],
    }
    check(broken_clauses(TriggerDecoderTests, fixtures, only=clauses), clauses)


#: A pickle ends at its stop: bytes behind it are ignored, as by Metaflow.
OF_PICKLES = frozenset({"decoder-trailing"})


def broken_decoder(kind: Any, only: Any = (), **options: Any) -> dict[str, Any]:
    fixtures = {
        "plugin": lambda: others.decoding(kind(), **options),
        "decoder": kind,
        "encoding": lambda: "pickle-v4",
        "samples": lambda: others.PICKLED,
        "info": dict,
        "unsafe": lambda: others.UNSAFE,
        "damaged": lambda: [blob[: len(blob) // 2] for blob, _ in others.PICKLED],
        "same": lambda: lambda one, other: type(one) is type(other) and one == other,
    }
    return broken_clauses(ArtifactDecoderTests, fixtures, OF_PICKLES, only)


@pytest.mark.parametrize(
    ("kind", "clauses"),
    [(others.Decoder, set()), *others.DECODERS],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faulty_decoders_fail_at_their_clauses(
    kind: type[others.Decoder], clauses: set[str]
) -> None:
    check(broken_decoder(kind, clauses), clauses)


@pytest.mark.parametrize(
    "wanted", [lambda encoding: True, lambda encoding: encoding.startswith("pickle-v4")]
)
def test_a_decoder_that_claims_other_encodings_fails(wanted: Any) -> None:
    check(broken_decoder(others.Decoder, wanted=wanted), {"decoder-others"})


def test_an_encoding_that_is_not_claimed_fails() -> None:
    check(broken_decoder(others.Decoder, wanted=lambda _: False), {"decoder-own"})
