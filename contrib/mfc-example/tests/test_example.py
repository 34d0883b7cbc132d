"""It answers as the model does, and its values are read through the client."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import sqlite3
from contextlib import closing
from itertools import product

import pytest

from mfc import Client
from mfc.errors import BadAddress, MetaflowNotFound, MetaflowTaggingError, UnreadableRecord
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc.testing import MemoryProvider
from mfc_example import SCHEMA

START, VALUE = Pathspec(("Train", "2", "start", "1")), pickle.dumps({"deep": [1, 2]}, 4)
SHA = hashlib.sha1(VALUE).hexdigest()
TAGS, SYSTEM = frozenset({"red", "größe"}), frozenset({"user:ada"})
RUNS = [Record(START.up(2), 2, "ada", TAGS, SYSTEM), Record(START.up(1).child("1"), 3, "bob")]
BELOW = [Record(START.up(level), level, None, TAGS, SYSTEM) for level in (3, 4)]
RECORDS = [Record(START.up(1), 1), *RUNS, *BELOW]
METADATA = [
    MetadataRecord(START, name, value, "type", at, 0)
    for name, value, at in (("runtime", "dev", 5), ("list", [1, None], 6), ("attempt-done", "0", 7))
]
ARTIFACTS = [
    ArtifactRecord(
        START.child(name),
        8 + attempt,
        None,
        TAGS,
        SYSTEM,
        attempt,
        SHA,
        "example",
        ":root:/gone",
        "pickle-v4",
    )
    for name, attempt in product(("x", "y"), (0, 1))
]


@pytest.fixture
def place(tmp_path):
    """Return a directory as whoever records would leave it."""
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as database, database:
        database.executescript(SCHEMA)
        for record in (*RECORDS, *ARTIFACTS):
            names = ("attempt", "sha", "ds_type", "location", "encoding")
            row = str(record.path.parent), record.path.name, record.created, record.user
            row += tuple(getattr(record, name, None) for name in names)
            database.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        for noted in METADATA:
            row = (
                str(noted.task),
                noted.name,
                json.dumps(noted.value),
                noted.type,
                noted.created,
                noted.attempt,
            )
            database.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?, ?)", row)
        for run, tag in product(RUNS, TAGS | SYSTEM):
            if tag in run.tags | run.system_tags:
                database.execute(
                    "INSERT INTO tag VALUES (?, ?, ?)", (str(run.path), tag, tag in SYSTEM)
                )
    blob = tmp_path / "Train" / "data" / SHA[:2] / SHA
    blob.parent.mkdir(parents=True)
    blob.write_bytes(gzip.compress(VALUE))
    return tmp_path


@pytest.fixture
def client(place):
    return Client(f"example@{place}", namespace=None)


def test_it_answers_as_the_model(client):
    model, provider = MemoryProvider(RECORDS, ARTIFACTS, METADATA), client.provider
    for path in (
        *(START.up(level) for level in range(5)),
        START.child("x"),
        Pathspec(("No", "\ud800")),
    ):
        if path.components:
            assert provider.get(path) == model.get(path)
        if path.level < 4:
            assert list(provider.children(path, Query())) == list(model.children(path, Query()))
    for names, attempt in product((None, ("x", "list"), ()), (None, 0, 1, 2)):
        assert list(provider.metadata(START, names)) == list(model.metadata(START, names))
        assert list(provider.artifacts(START, names, attempt)) == list(
            model.artifacts(START, names, attempt)
        )


def test_values_are_read_where_the_directory_is_now(client):
    assert client.task(str(START)).data.x == {"deep": [1, 2]}


def test_tags_change_while_a_listing_is_read(client):
    for run in client.flow("Train"):
        run.replace_tag("red", "blue")
    assert client.run("Train/2").user_tags == {"blue", "größe"}
    assert client.run("Train/2").system_tags == {"user:ada"}
    with pytest.raises(MetaflowNotFound):
        client.provider.retag(Pathspec(("Train", "9")), lambda user, system: user)
    with pytest.raises(MetaflowTaggingError):
        client.run("Train/2").remove_tag("user:ada")


def test_only_errors_of_mfc_leave_it(client, place):
    with pytest.raises(BadAddress, match="expected example@DIR"):
        Client(f"example@{place / 'gone'}")
    (place / "records.sqlite").write_text("something else, at length" * 100)
    with pytest.raises(UnreadableRecord, match="not a database"):
        client.run("Train/2")
    (place / "records.sqlite").unlink()
    with pytest.raises(UnreadableRecord, match="example@.*unable to open"):
        client.run("Train/2")
    assert not (place / "records.sqlite").exists()
