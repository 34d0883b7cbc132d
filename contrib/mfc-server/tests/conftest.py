"""A server of each database, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfc_server.testing import Running, running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One server for the tests of a module, which are independent of each other's rows."""
    if request.param == "sqlite":
        db_url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/meta.db"
    else:
        db_url = request.getfixturevalue("postgres").new()
    with running(db_url) as server:
        yield server
