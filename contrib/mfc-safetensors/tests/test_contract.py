"""The plugin fulfils the contract of artifact decoders."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save

import mfc_safetensors
from mfc_testing import ArtifactDecoderTests

VALUES = [
    {"second": np.arange(6, dtype="int16").reshape(2, 3), "first": np.array([0.5])},
    {"second": np.array(1234), "first": np.zeros((0, 3))},
]


class TestTensors(ArtifactDecoderTests):
    module = "mfc_safetensors"

    @pytest.fixture
    def plugin(self):
        return mfc_safetensors

    @pytest.fixture
    def encoding(self):
        return "safetensors"

    @pytest.fixture
    def info(self):
        return {"serializer_info": {"names": ["second", "first"], "source": "metaflow-tensors"}}

    @pytest.fixture
    def samples(self):
        return [(save(value), value) for value in VALUES]

    @pytest.fixture
    def same(self):
        def same(one, other):
            pairs = zip(one.values(), other.values(), strict=True)
            return list(one) == list(other) and all(
                a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs
            )

        return same
