from __future__ import annotations

import os
import pickle

import pytest

from mfc import model
from mfc.errors import EmptyPathspec, MetaflowInvalidPathspec, UnreadableRecord
from mfc.model import (
    ArtifactRecord,
    Level,
    MetadataRecord,
    Pathspec,
    PendingRecord,
    Record,
    Stats,
    Status,
    is_name,
)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("F/", Level.RUN),
        ("F/.", Level.RUN),
        ("./F", Level.RUN),
        ("F/1/", Level.STEP),
        ("F/1/start/.", Level.TASK),
        ("F/1/../1", Level.TASK),
        ("/F", Level.RUN),
        ("F", Level.RUN),
        ("F/1/2", Level.RUN),
        ("F/1\0", Level.RUN),
        (7, Level.FLOW),
        (b"F", Level.FLOW),
    ],
)
def test_an_invalid_pathspec_is_refused_with_its_text(text: object, level: Level) -> None:
    with pytest.raises(MetaflowInvalidPathspec, match="expected text") as caught:
        Pathspec.parse(text, level)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("nothing", ["", None])
def test_none_is_a_type_error_as_in_metaflow(nothing: str | None) -> None:
    with pytest.raises(EmptyPathspec) as caught:
        Pathspec.parse(nothing, Level.FLOW)
    assert isinstance(caught.value, TypeError)


def test_a_pathspec_has_its_level_parent_and_names() -> None:
    path = Pathspec.parse("F/1/start/2/x", Level.ARTIFACT)
    assert path.level is Level.ARTIFACT
    assert path.name == "x"
    assert str(path.parent) == "F/1/start/2"
    assert str(path.up(Level.RUN)) == "F/1"
    assert path.parent.child("x") == path
    assert str(path) == "F/1/start/2/x"


def test_names_may_be_any_text_that_stays_in_the_tree() -> None:
    assert all(is_name(name) for name in ["a b", "*", "br[ack]et", "naïve", "…", "a\\b", ".hidden"])
    assert not any(is_name(name) for name in ["", ".", "..", "a/b", "a\0b", None, 3])


def test_a_record_takes_the_tags_of_its_run() -> None:
    run = Record.of_json(
        Pathspec(("F", "1")),
        {"ts_epoch": 5, "user_name": "ada", "tags": ["a"], "system_tags": ["s"]},
    )
    step = Record.of_json(Pathspec(("F", "1", "s")), {"ts_epoch": 6, "tags": ["ignored"]}, run)
    assert (run.tags, run.system_tags, run.user, run.created) == ({"a"}, {"s"}, "ada", 5)
    assert (step.tags, step.system_tags) == ({"a"}, {"s"})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ts_epoch": None},
        {"ts_epoch": "x"},
        {"ts_epoch": float("inf")},
        {"ts_epoch": -1},
        {"ts_epoch": 10**15},
        {"ts_epoch": 1, "tags": 3},
        {"ts_epoch": 1, "tags": "text"},
        {"ts_epoch": 1, "tags": [1]},
        {"ts_epoch": 1, "system_tags": [["a"]]},
        {"ts_epoch": 1, "user_name": ["ada"]},
    ],
)
def test_invalid_json_of_a_record_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UnreadableRecord, match="F/1"):
        Record.of_json(Pathspec(("F", "1")), fields)


def test_an_artifact_record_needs_the_location_of_its_value() -> None:
    fields = {
        "ts_epoch": 1,
        "attempt_id": 2,
        "sha": "ab",
        "ds_type": "local",
        "location": ":root:/r",
    }
    made = ArtifactRecord.of_json(Pathspec(("F", "1", "s", "2", "x")), fields)
    assert (made.attempt, made.sha, made.location, made.encoding) == (2, "ab", ":root:/r", None)
    with pytest.raises(UnreadableRecord, match="sha"):
        ArtifactRecord.of_json(made.path, {**fields, "sha": None})


def test_nesting_of_metadata_values_is_bounded() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [{"a": deep}]
    fields = {"field_name": "a", "type": "t", "ts_epoch": 1}
    with pytest.raises(UnreadableRecord, match="deep"):
        MetadataRecord.of_json(Pathspec(("F", "1", "s", "2")), {**fields, "value": deep})


def test_metadata_has_its_attempt_from_the_tags() -> None:
    task = Pathspec(("F", "1", "s", "2"))
    fields = {"field_name": "a", "value": "b", "type": "t", "ts_epoch": 1}
    assert MetadataRecord.of_json(task, {**fields, "tags": ["x", "attempt_id:3"]}).attempt == 3
    assert MetadataRecord.of_json(task, fields).attempt is None
    assert MetadataRecord.of_json(task, {**fields, "tags": ["attempt_id:²"]}).attempt is None


def test_a_status_is_text_with_a_reason() -> None:
    status = Status("failed", "because")
    assert status == "failed"
    assert {status: 1}["failed"] == 1
    assert repr(status) == "<failed: because>"
    assert pickle.loads(pickle.dumps(status)).reason == "because"


def test_stats_can_be_subtracted() -> None:
    assert Stats(5, 4, 3, 2) - Stats(1, 1, 1, 1) == Stats(4, 3, 2, 1)


def test_on_windows_a_backslash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.is_name("a\\b") == (os.sep == "/")
    monkeypatch.setattr(model, "_NOT_IN_NAMES", frozenset("/\\\0"))
    with pytest.raises(MetaflowInvalidPathspec):
        Pathspec.parse("F/..\\..\\etc", Level.RUN)


def test_a_pending_record_is_loaded_once_on_first_use() -> None:
    record = Record(Pathspec(("F", "1")), 5, "ada", frozenset({"a"}), frozenset({"s"}))
    asked = []

    def find() -> Record:
        asked.append(1)
        return record

    pending = PendingRecord(record.path, find)
    assert pending.path == record.path
    assert not asked
    assert (pending.created, pending.user, pending.tags) == (5, "ada", {"a"})
    assert pending.system_tags == {"s"}
    assert pending == record
    assert record == pending
    assert hash(pending) == hash(record)
    assert asked == [1]


def test_a_missing_pending_record_is_reported() -> None:
    pending = PendingRecord(Pathspec(("F", "1")), lambda: None)
    with pytest.raises(UnreadableRecord, match="F/1.*removed while"):
        _ = pending.created
