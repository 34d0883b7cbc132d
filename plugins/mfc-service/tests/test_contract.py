from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from mfc.model import Pathspec, Record
from mfc_testing import Backend, History, ProviderTests
from mfc_testing.stateful import machine_of

from .backend import Service


@pytest.fixture
def new_backend(services: object) -> Callable[[], Backend]:
    return lambda: Service(*services.new())


class TestServiceProvider(ProviderTests):
    module = "mfc_service"
    known_gaps = {  # noqa: RUF012
        "attempt-order": "the service gives the highest attempt; Metaflow's end in order"
    }

    @pytest.fixture
    def new_backend(self, new_backend: Callable[[], Backend]) -> Callable[[], Backend]:
        return new_backend


def by_path(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: str(record.path))


def test_the_attempt_that_ended_last_counts_as_in_the_model(
    new_backend: Callable[[], Backend],
) -> None:
    machine = machine_of(new_backend)()
    machine.begin(history=History())
    task = Pathspec(("Other", "7", "start", "2"))  # of which attempt 0 has ended
    machine._put(machine.finish(task))
    for attempt in (None, 0, 1):
        path = task.child("_task_ok")
        expected = machine.truth.get(path, attempt)
        assert expected is not None
        assert machine.subject.get(path, attempt) == expected
        assert expected.attempt == (1 if attempt is None else attempt)
    run = task.parent.parent
    names = ("_task_ok", "name")
    expected = by_path(machine.truth.artifacts(run, names))
    assert len(expected) == 2
    assert by_path(machine.subject.artifacts(run, names)) == expected


def test_tasks_of_one_name_in_two_steps_have_attempts_of_their_own(
    new_backend: Callable[[], Backend],
) -> None:
    machine = machine_of(new_backend)()
    machine.begin(history=History())
    first = Pathspec(("Other", "7", "start", "2"))
    run = first.parent.parent
    second = run.child("train").child("2")
    machine._put(History([Record(path, 1_700_000_009_000) for path in (second.parent, second)]))
    # One step's task was retried, the other's was not.
    machine._put(machine.finish(second))
    machine._put(machine.finish(second))
    for path in (run, first.parent, second.parent):
        for names in (None, ("_task_ok", "name")):
            expected = by_path(machine.truth.artifacts(path, names))
            assert expected
            assert by_path(machine.subject.artifacts(path, names)) == expected


def test_numbers_that_are_spelt_in_two_ways_are_two_names(
    new_backend: Callable[[], Backend],
) -> None:
    machine = machine_of(new_backend)()
    machine.begin(history=History())
    run = Pathspec(("Kit", "007"))
    paths = [run, run.parent.child("7"), run.child("start")]
    paths += [run.child("start").child(name) for name in ("07", "7")]
    machine._put(History([Record(path, 1_700_000_009_000) for path in paths]))
    for path in paths:
        assert machine.truth.get(path) is not None
        assert machine.subject.get(path) == machine.truth.get(path)
