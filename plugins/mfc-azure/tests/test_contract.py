from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.buckets import Container

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


class TestAzurite(FilesystemTests):
    module = "mfc_azure"
    known_gaps = GAPS

    @pytest.fixture
    def new_store(self, azurite: str) -> Callable[[], Store]:
        return lambda: Container(azurite)


@pytest.mark.parametrize("name", NAMES)
def test_other_names_are_names(azurite: str, name: str) -> None:
    store = Container(azurite)
    store.put(f"{name}/{name}", name.encode())
    assert store.filesystem().cat_file(full_path(store, f"{name}/{name}")) == name.encode()
