"""A small history in memory: two flows, three runs, one foreach."""

from __future__ import annotations

import pytest

from mfc import Client
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.testing import MemoryProvider

#: SHA-1 of the pickles of True and False, protocol 4.
TRUE = "868436778cb011a1c6230bc12534683ab0b7f1c3"
FALSE = "2473d4676d5b2aba674167293142f8031ada401b"


def path(text: str) -> Pathspec:
    return Pathspec(tuple(text.split("/")))


def record(text: str, created: int, user: str | None = None, **tags: list[str]) -> Record:
    return Record(
        path(text),
        created,
        user,
        frozenset(tags.get("tags", ())),
        frozenset(tags.get("system_tags", ())),
    )


def artifact(text: str, created: int, sha: str, attempt: int = 0) -> ArtifactRecord:
    return ArtifactRecord(
        path(text),
        created,
        attempt=attempt,
        sha=sha,
        ds_type="local",
        location=":root:/nowhere",
        encoding="pickle-v4",
    )


def metadata(
    text: str, name: str, value: object, created: int, attempt: int | None = 0
) -> MetadataRecord:
    return MetadataRecord(path(text), name, value, name, created, attempt)


@pytest.fixture
def provider() -> MemoryProvider:
    records = [
        record("Train", 1_000),
        record("Score", 2_000),
        record("Train/1", 1_000, "ada", tags=["blue"], system_tags=["user:ada", "runtime:dev"]),
        record("Train/2", 3_000, "ada", tags=["red"], system_tags=["user:ada", "runtime:dev"]),
        record("Score/3", 2_000, "bob", system_tags=["user:bob"]),
        record("Train/2/_parameters", 3_000),
        record("Train/2/_parameters/0", 3_000),
        record("Train/2/start", 3_001),
        record("Train/2/start/1", 3_001),
        record("Train/2/end", 3_003),
        record("Train/2/end/2", 3_003),
        record("Train/1/start", 1_001),
        record("Train/1/start/1", 1_001),
    ]
    artifacts = [
        artifact("Train/2/end/2/_task_ok", 3_004, TRUE),
        artifact("Train/2/end/2/_success", 3_004, TRUE),
        artifact("Train/2/end/2/x", 3_004, FALSE),
        artifact("Train/1/start/1/_task_ok", 1_002, FALSE),
        artifact("Train/1/start/1/_success", 1_002, FALSE),
    ]
    marks = [
        metadata("Train/2/end/2", "attempt", "0", 3_003),
        metadata("Train/2/end/2", "attempt-done", "0", 3_004),
        metadata("Train/1/start/1", "attempt", "0", 1_001),
        metadata("Train/1/start/1", "attempt-done", "0", 1_002),
    ]
    return MemoryProvider(records, artifacts, marks)


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return Client(provider, namespace=None)
