from __future__ import annotations

import pytest
from tests.servers.recordings import DATASET

from mfc_server.testing import load_rows


@pytest.fixture(scope="session")
def dataset(services: object) -> str:
    """The URL of a service of today with the rows behind the recordings. Nobody writes to it."""
    url, database = services.new()
    load_rows(database.name, DATASET)
    return url
