"""The contract of metadata providers, as tests."""

from __future__ import annotations

from mfc_testing.provider._data import DataClauses
from mfc_testing.provider._listing import ListingClauses
from mfc_testing.provider._moments import MomentClauses
from mfc_testing.provider._plugin import PluginClauses
from mfc_testing.provider._queries import QueryClauses
from mfc_testing.provider._random import RandomClauses
from mfc_testing.provider._records import RecordClauses
from mfc_testing.provider._sharing import SharingClauses
from mfc_testing.provider._tags import TagClauses
from mfc_testing.provider._tasks import TaskClauses

__all__ = ["ProviderTests"]


class ProviderTests(
    RecordClauses,
    ListingClauses,
    QueryClauses,
    TaskClauses,
    TagClauses,
    SharingClauses,
    DataClauses,
    MomentClauses,
    PluginClauses,
    RandomClauses,
):
    """Contract of metadata providers. Give `new_backend`, and perhaps `module`.

    ::

        class TestSheetProvider(ProviderTests):
            module = "mfc_sheet"

            @pytest.fixture
            def new_backend(self, tmp_path_factory):
                return lambda: SheetBackend(tmp_path_factory.mktemp("sheet"))

    `new_backend` is a function that makes an empty `Backend` each time it is called. The class
    attributes below describe the provider.
    """
