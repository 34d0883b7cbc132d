"""Programs of the long fuzzer's grammar, for a moment: only mfc's errors, in bounded time."""

from __future__ import annotations

import contextlib
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc._pickle import loads
from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

from .pickle_programs import program


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=4, max_size=120), st.sampled_from([Trust.safe(), Trust.plain()]))
def test_programs_end_in_a_value_or_an_error_of_mfc(data: bytes, trust: Trust) -> None:
    with warnings.catch_warnings(), contextlib.suppress(UntrustedValue, UndecodableArtifact):
        warnings.simplefilter("ignore")
        loads(program(data), trust)


def test_the_grammar_reaches_arrays() -> None:
    np = pytest.importorskip("numpy")
    got = loads(program(bytes([6, 8 * 5 // 5])), Trust.safe())
    assert isinstance(got, np.ndarray)
