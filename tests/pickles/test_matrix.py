"""Values that fifteen environments wrote, Python 3.7 to 3.14, read with this one's libraries.

`make matrix` reads them with other versions of pandas.
"""

from __future__ import annotations

import warnings
from collections import Counter

import pytest

from .reading import RECORDED, Case, cases, plainly, read

GOOD = {"equal", "refused", "version", "placeholder"}
#: At full trust, `pickle` itself loses the frequency of an index that a protocol below 2 wrote with pandas 3.
WRITERS = sorted(path.name.partition(".")[0] for path in RECORDED.glob("*.json.xz"))


@pytest.mark.parametrize("writer", WRITERS)
def test_values_of_any_version_come_back(writer: str) -> None:
    pytest.importorskip("pandas")
    found: list[tuple[Case, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases([writer]):
            found.append((case, read(case, "safe")))
            full = read(case, "full")
            assert full == "equal" or plainly(case) != "equal", (case.name, case.protocol, full)
            if case.name.startswith("pandas/frame"):
                assert full == "equal", (case.name, case.protocol, full)
    counts = Counter(said.partition(":")[0] if said not in GOOD else said for _, said in found)
    wrong = [(case.name, case.protocol, said) for case, said in found if said not in GOOD]
    assert sum(counts[kind] for kind in GOOD) >= 0.99 * len(found), wrong[:5]
    assert counts["equal"] >= 0.9 * len(found), counts
