from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.buckets import GoogleBucket

from mfc_testing import FilesystemTests, Store
from mfc_testing.filesystem import full_path

#: Metaflow writes no such names; `test_other_names_are_names` covers all others.
GAPS = {"file-names": "obstore takes no keys with control characters, such as tab and newline"}
NAMES = (
    "naïve café",
    "e\u0301",
    "🚲",
    "a b",
    " lead",
    "..a",
    "100%",
    "50%25",
    "a+b",
    "a?b",
    "a#b",
    "a*b",
    "[ab]",
)


class TestFakeGcs(FilesystemTests):
    module = "mfc_gcs"
    known_gaps = GAPS

    @pytest.fixture
    def new_store(self, fake_gcs: str) -> Callable[[], Store]:
        return lambda: GoogleBucket(fake_gcs)


@pytest.mark.parametrize("name", NAMES)
def test_other_names_are_names(fake_gcs: str, name: str) -> None:
    store = GoogleBucket(fake_gcs)
    store.put(f"{name}/{name}", name.encode())
    assert store.filesystem().cat_file(full_path(store, f"{name}/{name}")) == name.encode()
