"""States of all tasks of a remote step: correct, with few queries."""

from __future__ import annotations

import pickle
import time
from typing import Any

import attrs
import pytest

from mfc import Client
from mfc.hookspecs import Capabilities, Support
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record

from .conftest import FALSE, TRUE
from .faraway import Asked, questions

STEP = Pathspec(("F", "1", "fit"))
REMOTE = Capabilities(
    **{f.name: Support.FULL for f in attrs.fields(Capabilities) if f.name != "status"}
)
NONE = "dbc1aaddc8b7343d6d33b34edcf608b8f8801918"
#: An hour ago, in ms.
LONG_AGO = int((time.time() - 3600) * 1000)
#: An hour ago, as noted by a service whose clock is 14 hours off.
DAY = LONG_AGO - 14 * 3600 * 1000
#: In an hour, by a fast clock: however slow a test is, that is not long ago.
SOON = int((time.time() + 3600) * 1000)


class Tasks:
    """A step of tasks that ended in different ways."""

    def __init__(self) -> None:
        system = frozenset({"metaflow_version:2.19.39"})
        self.records = [
            Record(STEP.up(n), LONG_AGO + n, None, frozenset(), system) for n in (1, 2, 3)
        ]  # type: ignore[arg-type]
        self.artifacts: list[ArtifactRecord] = []
        self.metadata: list[MetadataRecord] = []

    def task(
        self,
        name: str,
        *attempts: bool | None,
        ended: int = LONG_AGO,
        done: bool = True,
        beat: int | None = None,
    ) -> None:
        """Add a task; each attempt has its outcome, None if it has not ended."""
        path, created = STEP.child(name), LONG_AGO + len(self.records)
        self.records.append(
            attrs.evolve(self.records[-1], path=path, created=created, heartbeat=beat)
        )
        for number, well in enumerate(attempts):
            at = ended + 10 * number
            self.note(path, "attempt", str(number), at, number)
            if well is None:
                continue
            self.note(path, "attempt_ok", str(well), at + 1, number)
            self.note(path, "attempt-done", str(number), at + 2, number)
            if done:
                outcome = {"_task_ok": well, "_success": well}
                for artifact, value in outcome.items():
                    sha = TRUE if value else FALSE
                    self.artifacts.append(
                        ArtifactRecord(
                            path.child(artifact),
                            at + 3,
                            attempt=number,
                            sha=sha,
                            ds_type="far",
                            location=":root:r",
                            encoding="pickle-v4",
                        )
                    )

    def note(self, path: Pathspec, name: str, value: str, at: int, attempt: int) -> None:
        self.metadata.append(MetadataRecord(path, name, value, name, at, attempt))

    def provider(self, kind: type[Asked] = Asked, **options: Any) -> Asked:
        options = {"capabilities": REMOTE, **options}
        return kind(self.records, self.artifacts, self.metadata, **options)


class Slow(Asked):
    """A provider without the optional method."""

    recent = None  # type: ignore[assignment]


def statuses(provider: Asked) -> dict[str, str]:
    step = Client(provider, namespace=None).step(str(STEP))
    return {task.id: repr(task.status) for task in step}


def alone(provider: Asked) -> dict[str, str]:
    client = Client(provider, namespace=None)
    return {task.id: repr(client.task(task.pathspec).status) for task in client.step(str(STEP))}


@pytest.fixture
def tasks() -> Tasks:
    made = Tasks()
    for n in range(40):
        made.task(str(n), True, ended=LONG_AGO + n * 30_000)
    return made


def test_states_of_all_tasks_cost_few_queries(tasks: Tasks) -> None:
    provider = tasks.provider()
    found = statuses(provider)
    assert set(found.values()) == {"<completed: attempt 0 completed>"}
    assert sum(questions(provider).values()) < 15


@pytest.mark.parametrize(
    ("name", "attempts", "options"),
    [
        ("failed", (False,), {}),
        ("retried", (False, True), {}),
        ("failed twice", (False, False), {}),
        ("running", (None,), {}),
        ("again", (True, None), {}),
        ("not begun", (), {}),
        ("just ended", (True,), {"ended": SOON, "done": False}),
        ("ended now", (True,), {"ended": SOON}),
        ("lost", (True,), {"ended": LONG_AGO + 1_800_000, "done": False}),
        ("just ended, beating", (True,), {"ended": SOON, "done": False, "beat": SOON}),
        ("just ended, another time zone", (True,), {"ended": SOON, "done": False, "beat": DAY}),
    ],
)
def test_state_in_a_listing_is_that_of_the_task_alone(
    tasks: Tasks, name: str, attempts: tuple[bool | None, ...], options: dict[str, Any]
) -> None:
    tasks.task(name, *attempts, **options)
    tasks.task("last", True, ended=LONG_AGO + 1_200_000)
    words = {key: text.partition(":")[0] for key, text in statuses(tasks.provider()).items()}
    expected = {key: text.partition(":")[0] for key, text in alone(tasks.provider(Slow)).items()}
    assert words == expected


def test_task_whose_writer_was_killed_has_not_completed(tasks: Tasks) -> None:
    """It noted its success, and no more; others ended in the seconds after it."""
    end = LONG_AGO + 1_800_000
    tasks.task("killed", True, ended=end, done=False)
    for n in range(100, 110):
        tasks.task(str(n), True, ended=end + 5_000)
    found = statuses(tasks.provider())
    assert found.pop("killed").startswith("<running: attempt 0 is done, its artifacts are not all")
    assert set(found.values()) == {"<completed: attempt 0 completed>"}


def test_all_tasks_of_a_completed_run_are_settled(tasks: Tasks) -> None:
    end = STEP.parent.child("end").child("99")
    for n in (3, 4):
        tasks.records.append(attrs.evolve(tasks.records[-1], path=end.up(n)))  # type: ignore[arg-type]
    tasks.note(end, "attempt_ok", "True", LONG_AGO + 2_000_000, 0)
    provider = tasks.provider()
    step = Client(provider, namespace=None).step(str(STEP))
    provider.asked.clear()
    found = [task.status for task in step]
    assert set(found) == {"completed"}
    # The tasks, and those that ended well; besides the most recent metadata.
    assert len(provider.asked) == 2
    assert {status.reason for status in found} == {"attempt 0 completed"}
    assert len(provider.asked) < 8
    assert pickle.loads(pickle.dumps(found[0])).reason == "attempt 0 completed"


def test_provider_without_the_optional_method_gives_the_same_states(tasks: Tasks) -> None:
    tasks.task("failed", False)
    assert statuses(tasks.provider(Slow)) == statuses(tasks.provider())


def test_one_task_costs_few_queries(tasks: Tasks) -> None:
    provider = tasks.provider()
    step = Client(provider, namespace=None).step(str(STEP))
    provider.asked.clear()
    assert next(iter(step)).status == "completed"
    assert len(provider.asked) <= 8


def test_a_status_that_is_read_again_is_the_same(tasks: Tasks) -> None:
    tasks.task("again", False, True)
    tasks.task("failed", False)
    expected = alone(tasks.provider())
    listed = list(Client(tasks.provider(), namespace=None).step(str(STEP)))
    for task in (*listed, *listed[::-1]):
        assert [repr(task.status), repr(task.status)] == [expected[task.id]] * 2
