"""The levels of trust that tests of pickles go through."""

from __future__ import annotations

import pytest

from mfc.trust import Trust

FULL, SAFE, NONE = Trust.full(), Trust.safe(), Trust.none()
BOTH = pytest.mark.parametrize("trust", [FULL, SAFE], ids=["full", "safe"])
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3, 4, 5])
