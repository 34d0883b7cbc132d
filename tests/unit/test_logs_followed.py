"""`loglines(follow=True)`: lines come as another process writes them, until the task has ended."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mfc._logs import _ends, _follow
from mfc.errors import Unanswered, UnreadableRecord
from mfc.model import MetadataRecord, Pathspec, Record
from mfc_testing import History

from .written_logs import PATH, Writer, WrittenTask, at, line

#: Seconds after which a test that waits for a line fails.
PATIENCE = 60


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often, and give up in the end."""
    monkeypatch.setattr(_follow, "SHORTEST", 0.02)
    monkeypatch.setattr(_follow, "LONGEST", 0.05)
    sleep, end = time.sleep, time.monotonic() + PATIENCE

    def bounded(seconds: float) -> None:
        assert time.monotonic() < end, "what should come does not"
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", bounded)


@pytest.fixture
def written(tmp_path: Path) -> WrittenTask:
    made = WrittenTask(tmp_path)
    made.start()
    return made


@pytest.fixture
def writer() -> Iterator[Writer]:
    with Writer() as made:
        yield made


def followed(written: WrittenTask, **wanted: object) -> Iterator[str]:
    return (text for _, text in written.task.loglines("stdout", follow=True, **wanted))


def test_lines_come_while_they_are_written(written: WrittenTask, writer: Writer) -> None:
    written.write(line(1, "there before"))
    lines = written.task.loglines("stdout", follow=True)
    assert next(lines) == (at(1), "there before")
    for second in range(2, 6):
        writer.later(written.file(), line(second, f"at {second}"))
        assert next(lines) == (at(second), f"at {second}")
    written.finish()
    writer.now(written.file("runtime"), line(9, "by the scheduler", "runtime"))
    assert list(lines) == [(at(9), "by the scheduler")]
    assert [text for _, text in written.task.loglines("stdout")][-1] == "by the scheduler"


def test_lines_may_be_bytes(written: WrittenTask, writer: Writer) -> None:
    lines = written.task.loglines("stdout", as_unicode=False, follow=True)
    writer.later(written.file(), line(1, "naïve"))
    assert next(lines) == (at(1), "naïve".encode())


def test_no_byte_is_read_twice(written: WrittenTask, writer: Writer) -> None:
    for second in range(500):
        written.write(line(second, "x" * 500))
    before = written.client.stats
    lines = followed(written)
    for _ in range(500):
        next(lines)
    for second in range(500, 510):
        writer.now(written.file(), line(second, "one"))
        assert next(lines) == "one"
        writer.now(written.file("runtime"), line(second, "two", "runtime"))
        assert next(lines) == "two"
    size = written.file().stat().st_size + written.file("runtime").stat().st_size
    assert (written.client.stats - before).bytes == size


def test_the_task_is_not_queried_while_lines_come(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        written.write(line(1, "x"))
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", write)
    lines = followed(written)
    next(lines), next(lines)
    before = written.client.stats
    for _ in range(5):
        next(lines)
    spent = written.client.stats - before
    assert (spent.calls, spent.reads) == (0, 15)  # two sizes and what is new


def test_a_tail_is_followed_from_the_end_of_the_file(written: WrittenTask, writer: Writer) -> None:
    written.write("".join(line(n / 10, f"{n} {'x' * 60}") for n in range(20_000)))
    assert written.file().stat().st_size > 2_000_000
    before = written.client.stats
    lines = followed(written, tail=2)
    assert [next(lines)[:6], next(lines)[:6]] == ["19998 ", "19999 "]
    writer.later(written.file(), line(3000, "new"))
    assert next(lines) == "new"
    assert (written.client.stats - before).bytes < 100_000


def test_an_empty_tail_gives_only_new_lines(
    written: WrittenTask, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.write(line(1, "old"))
    lines = followed(written, tail=0)

    def write(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        monkeypatch.setattr(time, "sleep", sleep)
        writer.now(written.file(), line(2, "new"))
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", write)  # nothing runs before next(), which waits
    assert next(lines) == "new"


def test_new_lines_are_selected_as_well(written: WrittenTask, writer: Writer) -> None:
    written.write("".join(line(n, f"loss {n}") for n in range(6)) + line(6, "other"))
    lines = followed(written, tail=2, since=at(3), grep="loss")
    assert [next(lines), next(lines)] == ["loss 4", "loss 5"]
    writer.later(written.file(), line(1, "loss of the past") + line(7, "other") + line(8, "loss 8"))
    assert next(lines) == "loss 8"
    written.finish()
    writer.now(written.file("runtime"), line(9, "loss 9", "runtime"))
    assert list(lines) == ["loss 9"]


def test_a_line_is_not_given_before_it_is_complete(written: WrittenTask, writer: Writer) -> None:
    whole = line(2, "naïve ☃")
    lines = followed(written)
    writer.now(written.file(), line(1, "first") + whole[:-4])
    assert next(lines) == "first"
    writer.now(written.file("runtime"), line(3, "a sign", "runtime"))
    assert next(lines) == "a sign"
    writer.now(written.file(), whole[-4:])
    assert next(lines) == "naïve ☃"


def test_a_tail_waits_for_complete_lines(written: WrittenTask, writer: Writer) -> None:
    whole = line(2, "second")
    writer.now(written.file(), line(1, "first") + whole[:-4])
    lines = followed(written, tail=1)
    assert next(lines) == "first"
    writer.now(written.file(), whole[-4:] + line(3, "third"))
    assert [next(lines), next(lines)] == ["second", "third"]


def test_a_line_that_stays_incomplete_comes_at_the_end(
    written: WrittenTask, writer: Writer
) -> None:
    lines = followed(written)
    writer.now(written.file(), line(1, "first") + line(2, "cut off")[:-1])
    assert next(lines) == "first"
    written.finish()
    written.write("", "runtime")
    writer.now(written.file("runtime"), line(3, "end", "runtime"))
    assert list(lines) == ["cut off", "end"]


def test_lines_without_a_stamp_belong_to_the_one_before(
    written: WrittenTask, writer: Writer
) -> None:
    writer.now(written.file(), line(1, "first"))
    for wanted in ({}, {"tail": 1}):
        lines = written.task.loglines("stdout", follow=True, **wanted)
        assert next(lines) == (at(1), "first")
        writer.now(written.file(), "more\n")
        assert next(lines) == (at(1), "more")
        written.file().write_text(line(1, "first"))


@pytest.mark.parametrize("wanted", [{}, {"tail": 9}])
def test_a_rewritten_file_repeats_no_line(
    written: WrittenTask, writer: Writer, wanted: dict[str, object]
) -> None:
    first = [line(1, "a"), line(2, "b"), line(2, "b"), line(2, "c")]
    writer.now(written.file(), "".join(first))
    lines = followed(written, **wanted)
    assert [next(lines) for _ in first] == ["a", "b", "b", "c"]
    for shorter in ("", first[0], "".join(first[:3]), "".join(first)[:-2]):
        written.file().write_text(shorter)
        writer.now(written.file("runtime"), line(3, "a sign", "runtime"))
        assert next(lines) == "a sign"
    written.file().write_text("".join(first) + line(2, "d") + line(5, "e"))
    assert [next(lines), next(lines)] == ["d", "e"]
    written.file().write_text(line(4, "old") + line(6, "f"))  # shorter, and different
    assert next(lines) == "f"


def test_a_long_line_may_be_incomplete(
    written: WrittenTask, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ends, "FIRST_STEP", 16)
    whole = line(2, "x" * 5000)
    writer.now(written.file(), line(1, "first") + line(2, "second") + whole[:-9])
    lines = followed(written, tail=1)
    assert next(lines) == "second"
    writer.now(written.file(), whole[-9:])
    assert next(lines) == "x" * 5000


def test_a_log_may_begin_late(tmp_path: Path, writer: Writer) -> None:
    """The task exists, but its datastore is still unknown."""
    written = WrittenTask(tmp_path)
    lines = followed(written, tail=5)
    started = threading.Timer(0.2, written.start)
    started.start()
    writer.later(written.file(), line(1, "hello"))
    assert next(lines) == "hello"
    started.join()


def test_a_new_attempt_is_followed(written: WrittenTask, writer: Writer) -> None:
    lines = followed(written)
    writer.now(written.file(), line(1, "first attempt") + line(2, "cut off")[:-1])
    assert next(lines) == "first attempt"
    written.start(1, written.now + 1)
    writer.later(written.file(attempt=1), line(3, "second attempt"))
    assert [next(lines), next(lines)] == ["cut off", "second attempt"]
    written.finish(1, created=written.now + 2)
    written.write(line(4, "end", "runtime"), "runtime", 1)
    assert list(lines) == ["end"]


def test_an_absurd_attempt_number_costs_no_more_than_another(
    written: WrittenTask, writer: Writer
) -> None:
    lines = followed(written)
    writer.now(written.file(), line(1, "first"))
    assert next(lines) == "first"
    before = written.client.stats
    written.start(10_000, written.now + 1)
    written.write(line(2, "second"), attempt=10_000)
    assert next(lines) == "second"
    assert (written.client.stats - before).reads < 100


def test_only_a_chosen_attempt_is_followed(written: WrittenTask, writer: Writer) -> None:
    written.finish(0, ok=False)
    written.start(1, written.now + 1)
    written.write(line(1, "one", "runtime"), "runtime", 0)
    graph(written, "3", "2")
    task = written.client.task(str(PATH), attempt=0)
    assert [text for _, text in task.loglines("stdout", follow=True)] == ["one"]
    task = written.client.task(str(PATH), attempt=1)
    lines = task.loglines("stdout", follow=True)
    writer.later(written.file(attempt=1), line(2, "two"))
    assert next(lines) == (at(2), "two")


def graph(written: WrittenTask, times: str, minutes: str) -> None:
    """Record that the step is retried."""
    retry = {"name": "retry", "attributes": {"times": times, "minutes_between_retries": minutes}}
    value = {"steps": {"work": {"next": [], "decorators": [{"name": "card"}, retry]}}}
    content = pickle.dumps(value, protocol=4)
    key = hashlib.sha1(content).hexdigest()
    blob = written.root / "F/data" / key[:2] / key
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    for attempt in (0, 1):
        written.artifact("_graph_info", key, attempt)


def test_a_retry_is_waited_for(written: WrittenTask, writer: Writer) -> None:
    graph(written, "1", "2")
    written.write(line(1, "failed", "runtime"), "runtime")
    written.finish(ok=False)
    lines = followed(written)
    assert next(lines) == "failed"
    started = threading.Timer(0.3, written.start, (1, written.now + 1))
    started.start()
    writer.later(written.file("runtime", 1), line(2, "again", "runtime"), 0.6)
    assert next(lines) == "again"
    written.finish(1, ok=False, created=written.now + 2)  # without a third attempt
    assert list(lines) == []
    started.join()


def test_a_retry_is_not_waited_for_after_an_old_failure(written: WrittenTask) -> None:
    graph(written, "1", "2")
    written.write(line(1, "failed"))
    written.start(0, written.now - 1_000_000)
    written.finish(ok=False, created=written.now - 200_000)
    written.provider._metadata[:] = [
        made for made in written.provider._metadata if made.created < written.now - 100_000
    ]
    assert list(followed(written)) == ["failed"]


def test_the_log_of_an_ended_task_is_complete(
    tmp_path: Path,
) -> None:
    written = WrittenTask(tmp_path)
    written.start(0, written.now - 100_000)
    written.finish(0, created=written.now - 90_000)
    written.write("".join(line(n, str(n)) for n in range(9)) + line(9, "9")[:-1])
    for wanted in ({}, {"tail": 3}, {"since": at(5)}, {"grep": "[3-6]", "tail": 2}, {"tail": 0}):
        assert list(followed(written, **wanted)) == [
            text for _, text in written.task.loglines("stdout", **wanted)
        ]


@pytest.mark.parametrize("wanted", [{}, {"tail": 1}])
def test_the_log_of_a_clone_is_its_origins(tmp_path: Path, wanted: dict[str, object]) -> None:
    """The clone ended just now, as attempt 1; its origin ended with attempt 0."""
    written = WrittenTask(tmp_path)
    origin = Pathspec(("F", "6", "work", "1"))
    fields = {"ds-type": "local", "ds-root": str(tmp_path), "attempt": "0"}
    records = [Record(origin.up(level), 1) for level in (2, 3, 4)]
    marks = [MetadataRecord(origin, name, value, name, 1, 0) for name, value in fields.items()]
    written.provider.put(History(records, metadata=marks))
    log = tmp_path / str(origin) / "0.runtime_stdout.log"
    log.parent.mkdir(parents=True)
    log.write_text(line(1, "of the origin"))
    written.start(1)
    written.note(1, None, {"origin-run-id": "6", "origin-task-id": "1"})
    written.finish(1)
    assert list(followed(written, **wanted)) == ["of the origin"]


def test_lines_uploaded_after_the_end_are_not_lost(written: WrittenTask, writer: Writer) -> None:
    lines = followed(written)
    writer.now(written.file(), line(1, "first"))
    assert next(lines) == "first"
    written.finish()
    writer.later(written.file(), line(2, "late"), 0.5)
    assert next(lines) == "late"


def test_without_a_scheduler_following_ends_some_time_after_the_task(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follow, "_LATE", 0.3)
    written.write(line(1, "first"))
    lines = followed(written)
    assert next(lines) == "first"
    written.finish()
    assert list(lines) == []


def test_an_unreadable_backend_is_an_error_not_the_end(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.write(line(1, "first"))
    lines = followed(written)
    assert next(lines) == "first"

    def gone(*_: object) -> None:
        raise UnreadableRecord("memory@", "it does not answer")

    monkeypatch.setattr(written.provider, "metadata", gone)
    with pytest.raises(UnreadableRecord, match="does not answer"):
        next(lines)


def test_control_c_stops_following(written: WrittenTask) -> None:
    written.write(line(1, "first"))
    lines = followed(written)
    assert next(lines) == "first"
    pressed = threading.Timer(0.2, interrupt_main)
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        next(lines)
    pressed.join()
    assert list(lines) == []


class Away:
    """A backend that does not answer while it is away."""

    def __init__(self, written: WrittenTask, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.until = 0, 0.0
        provider, known = written.provider, written.provider.metadata

        def metadata(*given: object) -> Iterator[MetadataRecord]:
            if time.monotonic() < self.until:
                self.asked += 1
                raise Unanswered("memory", "it is away")
            return known(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(provider, "metadata", metadata)

    def leave(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds


def test_a_short_outage_loses_no_line(
    written: WrittenTask, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(written, monkeypatch)
    lines = followed(written)
    writer.now(written.file(), line(1, "before"))
    assert next(lines) == "before"
    away.leave(0.5)
    writer.later(written.file(), line(2, "meanwhile"))
    assert next(lines) == "meanwhile"
    written.start(1)
    writer.now(written.file(attempt=1), line(3, "second attempt"))
    assert next(lines) == "second attempt"
    assert away.asked > 1
    written.finish(1)
    writer.now(written.file("runtime", 1), line(9, "scheduler", "runtime"))
    assert list(lines) == ["scheduler"]


def test_a_long_outage_ends_following_after_the_patience(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(written, monkeypatch)
    written.provider.patience = 0.2  # type: ignore[attr-defined]
    lines = followed(written)
    written.write(line(1, "before"))
    assert next(lines) == "before"
    away.leave(60)
    with pytest.raises(Unanswered, match="away"):
        next(lines)


def test_an_outage_at_the_start_is_an_error_at_once(
    written: WrittenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written.task
    Away(written, monkeypatch).leave(60)
    with pytest.raises(Unanswered):
        next(task.loglines("stdout", follow=True))
