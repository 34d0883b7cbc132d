from __future__ import annotations

import pytest
from tests.servers.recordings import DATASET

from mfc_server.testing import load_rows


@pytest.fixture(scope="session")
def dataset(services: object) -> str:
    """The URL of a current service with the rows behind the recordings; tests only read from it."""
    url, database = services.new()
    load_rows(database.name, DATASET)
    return url
