"""Servers as fixtures of the whole test session, each started when a test first uses it."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

#: Rows of a real service.
RECORDED = Path(__file__).parents[1] / "service-recordings/dataset"
#: The location of the datastore in these rows.
RECORDED_ROOT = "/srv/data/.metaflow"


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """A `tests.servers.postgres.Cluster`."""
    from tests.servers import postgres as module  # its driver is installed where it is used

    if module.binary("initdb") is None:
        pytest.skip(module.MISSING)
    with module.cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/meta.db"
    return str(request.getfixturevalue("postgres").new())


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A `tests.servers.metadata.Hub`."""
    from tests.servers.metadata import hub  # likewise

    with hub(tmp_path_factory.mktemp("services")) as made:
        yield made


@pytest.fixture(scope="session")
def recorded(services: object, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a service with the recorded rows and their datastore."""
    from mfc_server.testing import load_rows  # likewise

    folder = tmp_path_factory.mktemp("recorded")
    with tarfile.open(RECORDED / "local-datastore.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    for path in RECORDED.glob("*_v3.jsonl.gz"):
        rows = gzip.decompress(path.read_bytes()).decode()
        moved = rows.replace(RECORDED_ROOT, f"{folder}/.metaflow").encode()
        (folder / path.name).write_bytes(gzip.compress(moved, 1))
    url, database = services.new()
    load_rows(database.name, folder)
    return str(url)


@pytest.fixture
def gateway(recorded: str) -> Iterator[object]:
    """A `tests.servers.gateway.Gateway` to the recorded service."""
    from tests.servers import gateway as module

    with module.running(recorded) as made:
        yield made


@pytest.fixture
def proxy(recorded: str) -> Iterator[object]:
    """A `tests.servers.proxy.Running` to the recorded service."""
    from tests.servers import proxy as module

    address = urlsplit(recorded)
    with module.running((str(address.hostname), address.port or 80)) as made:
        yield made


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of S3 and other services of Amazon."""
    from tests.servers import objects

    with objects.moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of another server of S3."""
    from tests.servers import objects

    with objects.ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of Google Cloud Storage."""
    from tests.servers import objects

    with objects.fake_gcs(tmp_path_factory.mktemp("gcs")) as url:
        yield url


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an account at a server of Azure Blob Storage."""
    from tests.servers import objects

    if not objects.AZURITE.exists():
        pytest.skip(objects.NO_AZURITE)
    with objects.azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url
