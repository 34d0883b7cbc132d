"""Statuses while a writer is at work, and for odd records."""

from __future__ import annotations

import json
import time
from pathlib import Path

import attrs
import pytest

from mfc import Client
from mfc.errors import MfcWarning
from mfc.hookspecs import Support
from mfc.model import MetadataRecord, PendingRecord, Record
from mfc_testing import History, MemoryProvider
from mfc_testing.memory import IN_MEMORY

from .written_logs import FALSE, PATH, TRUE, WrittenTask

#: SHA-1 of a graph in which `work` is retried up to three times; its blob is written.
GRAPH = {
    "steps": {
        "work": {
            "type": "linear",
            "next": ["end"],
            "decorators": [
                {"name": "retry", "attributes": {"times": 2, "minutes_between_retries": 0}}
            ],
        }
    }
}


class Written(WrittenTask):
    """A task with a datastore beside it."""

    def done(self, attempt: int = 0) -> None:
        self.note(attempt, None, {"attempt-done": str(attempt)})

    def listed(self, *names: str, attempt: int = 0) -> None:
        """List the artifacts of the attempt in the datastore."""
        noted = {"objects": dict.fromkeys(names, TRUE), "info": {}}
        (self.root / str(PATH) / f"{attempt}.data.json").write_text(json.dumps(noted))

    def graph(self, graph: object = GRAPH) -> None:
        import gzip
        import hashlib
        import pickle

        blob = pickle.dumps(graph, protocol=4)
        sha = hashlib.sha1(blob).hexdigest()
        path = self.root / "F/data" / sha[:2] / sha
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(blob))
        self.artifact("_graph_info", sha)

    def ended(self, code: int, *, killed: bool = False, attempt: int = 0) -> None:
        noted = {"return_code": code, "killed": killed}
        (self.root / str(PATH) / f"{attempt}.runtime").write_text(json.dumps(noted))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    made = Written(tmp_path)
    made.start()
    return made


def test_an_attempt_without_its_outcome_is_running(written: Written) -> None:
    written.done()
    assert written.task.status == "running"
    assert written.client.run("F/7").status == "running"
    assert list(written.client.flow("F").runs(status="failed")) == []


def test_a_killed_run_is_unknown_after_a_day(written: Written) -> None:
    assert written.client.run("F/7").status == "running"
    day = 24 * 3600 * 1000
    old = Written(written.root / "old")
    old.start(0, old.now - day - 1000)
    assert old.task.status == "unknown"
    assert "1 d ago" in old.task.status.reason


def test_a_heartbeat_is_a_sign_of_life(tmp_path: Path) -> None:
    old = Written(tmp_path)
    old.start(0, old.now - 48 * 3600 * 1000)
    records = old.provider._records
    beating = attrs.evolve(records[PATH], heartbeat=old.now - 60_000)
    assert PendingRecord(PATH, lambda: beating).heartbeat == beating.heartbeat
    records[PATH] = beating
    assert old.task.status == "running"
    assert "last sign of life 1 min ago" in old.task.status.reason


def test_an_attempt_is_completed_once_its_last_artifact_is_there(written: Written) -> None:
    written.listed("_success", "_task_ok", "a", "z")
    written.done()
    for name in ("_success", "_task_ok", "a"):
        written.artifact(name, TRUE)
        assert written.task.status == "running", name
    written.artifact("z", TRUE)
    assert written.task.status == "completed"


def test_an_unreadable_list_of_artifacts_is_waited_for(written: Written) -> None:
    """As on a network disk, where a file may be visible before its content."""
    written.artifact("_task_ok", TRUE)
    written.artifact("_success", TRUE)
    written.done()
    (written.root / str(PATH) / "0.data.json").write_text("")
    assert written.task.status == "running"
    written.listed("_task_ok", "_success")
    assert written.task.status == "completed"


def test_an_attempt_without_artifacts_is_judged_by_its_return_code(
    written: Written,
) -> None:
    written.listed("_task_ok", "z")
    written.done()
    written.artifact("_task_ok", TRUE)
    written.ended(-9, killed=True)
    assert written.task.status == "failed"
    assert "return code -9" in written.task.status.reason


def test_attempt_that_ended_without_finishing_has_failed_whatever_its_code(
    written: Written,
) -> None:
    written.ended(0)
    assert written.task.status == "failed"
    assert "return code 0" in written.task.status.reason


def test_an_attempt_that_noted_its_failure_needs_no_other_mark(written: Written) -> None:
    written.note(0, None, {"attempt_ok": "False"})
    assert written.task.status == "failed"


def test_an_attempt_that_noted_its_success_is_running_until_it_is_done(written: Written) -> None:
    written.note(0, None, {"attempt_ok": "True"})
    assert written.task.status == "running"


def test_the_outcome_of_another_attempt_is_ignored(written: Written) -> None:
    written.finish(0, ok=False)
    written.start(1)
    written.done(1)
    assert written.task.status == "running"
    written.artifact("_task_ok", TRUE, 1)
    written.artifact("_success", TRUE, 1)
    assert written.task.status == "completed"


def test_attempts_that_ended_in_the_wrong_order_are_distinguished(written: Written) -> None:
    """With a slow clock the second attempt seems to have ended before the first."""
    past = written.now - 5000
    written.artifact("_task_ok", FALSE, 0)
    written.artifact("_task_ok", TRUE, 1)
    written.artifact("_success", TRUE, 1)
    written.start(1, past)
    written.note(1, past, {"attempt-done": "1"})
    written.done(0)
    assert written.task.status == "completed"
    assert written.task.status.reason == "attempt 1 completed"


@pytest.mark.parametrize(("attempt", "number"), [(0, 1), (1, 2)])
def test_a_retry_that_is_due_is_running(written: Written, attempt: int, number: int) -> None:
    written.start(attempt)
    written.graph()
    written.artifact("_graph_info", written.provider._artifacts[-1].sha, attempt)
    written.finish(attempt, ok=False)
    status = written.task.status
    assert (status, status.reason) == ("running", f"attempt {number} of 3 failed; retry due")
    assert written.client.run("F/7").status == "running"
    assert written.client.task(str(PATH), attempt=attempt).status == "failed"


def test_the_last_attempt_is_not_retried(written: Written) -> None:
    written.graph()
    for attempt in (1, 2):
        written.start(attempt)
    written.artifact("_graph_info", written.provider._artifacts[-1].sha, 2)
    written.finish(2, ok=False)
    assert written.task.status == "failed"


def test_a_retry_is_due_for_a_while(written: Written) -> None:
    written.graph()
    written.artifact("_task_ok", FALSE)
    written.note(0, written.now - 120_000, {"attempt-done": "0"})
    assert written.task.status == "failed"


def test_a_task_killed_by_its_scheduler_is_not_retried(written: Written) -> None:
    written.graph()
    written.ended(-9)
    written.done()
    assert written.task.status == "running"
    written.ended(-15, killed=True)
    assert written.task.status == "failed"


def test_parallel_tasks_are_never_retried(written: Written) -> None:
    work = GRAPH["steps"]["work"]
    decorators = [*work["decorators"], {"name": "parallel", "attributes": {}}]
    written.graph({"steps": {"work": {**work, "decorators": decorators}}})
    written.finish(ok=False)
    assert written.task.status == "failed"


def test_the_record_of_catch_is_due_after_a_death(written: Written) -> None:
    work = GRAPH["steps"]["work"]
    written.graph({"steps": {"work": {**work, "decorators": [{"name": "catch"}]}}})
    written.ended(-11)
    written.done()
    assert written.task.status == "running"
    assert "catch" in written.task.status.reason


def test_a_clock_ahead_of_the_readers_is_harmless(written: Written) -> None:
    soon = written.now + 3_600_000
    written.artifact("_task_ok", TRUE)
    written.artifact("_success", TRUE)
    written.note(0, soon, {"attempt-done": "0"})
    assert written.task.status == "completed"


def test_a_remote_status_costs_few_calls(written: Written) -> None:
    written.finish()
    written.artifact("_success", TRUE)
    written.note(0, written.now - 100_000, {"attempt_ok": "True"})
    written.provider.capabilities = attrs.evolve(IN_MEMORY, remote=Support.FULL)
    client = Client(written.provider, namespace=None)
    before = client.stats
    assert client.task(str(PATH)).status == "completed"
    assert (client.stats - before).calls <= 5


class Spoilt(MemoryProvider):
    """A provider with one unreadable record."""

    def get(self, path, attempt=None):
        from mfc.errors import UnreadableRecord

        if path.name == "_task_ok":
            raise UnreadableRecord(str(path), "cut short")
        return super().get(path, attempt)


def test_an_unreadable_outcome_is_unknown_with_a_warning() -> None:
    end = PATH.up(2).child("end").child("2")
    now = int(time.time() * 1000)
    provider = Spoilt()
    paths = [*(end.up(level) for level in (1, 2, 3)), end]
    made = [MetadataRecord(end, name, "0", name, now, 0) for name in ("attempt", "attempt-done")]
    provider.put(History([Record(path, now) for path in paths], (), made))
    client = Client(provider, namespace=None)
    assert client.task(str(end)).status == "unknown"
    assert "cut short" in client.run("F/7").status.reason
    assert [run.id for run in client.flow("F").runs(status="unknown")] == ["7"]
    with pytest.warns(MfcWarning, match="cut short"):
        assert list(client.flow("F").runs(status="completed")) == []
