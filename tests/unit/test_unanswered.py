"""A backend that stops answering in the middle of a query: an error, never a wrong answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import attrs
import pytest

from mfc import Client, MfcWarning
from mfc._concurrency._prefetch import ahead, side_by_side
from mfc.errors import Unanswered, UnreadableRecord
from mfc.hookspecs import Support
from mfc.model import MetadataRecord, Pathspec, Record
from mfc_testing import IN_MEMORY, MemoryProvider

FLOW = Pathspec(("F",))
RUNS = [FLOW.child(number) for number in "123"]


class Failing(MemoryProvider):
    """The objects below a run cannot be read."""

    def __init__(self, error: type[UnreadableRecord]) -> None:
        self._error = error
        records = [Record(FLOW, 1), *(Record(run, 10 + n) for n, run in enumerate(RUNS))]
        no_status = attrs.evolve(IN_MEMORY, status=Support.UNSUPPORTED)
        super().__init__(records, capabilities=no_status)

    def children(self, path: Pathspec, query: object) -> Iterator[Record]:
        if path in RUNS:
            raise self._error("http://localhost", "no answer")
        return super().children(path, query)

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        if len(path.components) > 2:
            raise self._error("http://localhost", "no answer")
        return super().get(path, attempt)

    def metadata(self, path: Pathspec, names: object = None) -> Iterator[MetadataRecord]:
        raise self._error("http://localhost", "no answer")


QUESTIONS: dict[str, Callable[[Client], object]] = {
    "latest successful": lambda c: c.flow("F").latest_successful_run,
    "completed": lambda c: list(c.flow("F").runs(status="completed")),
    "status": lambda c: str(c.run("F/1").status),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_backend_that_does_not_answer_is_an_error(name: str) -> None:
    client = Client(Failing(Unanswered), namespace=None)
    with pytest.raises(Unanswered):
        QUESTIONS[name](client)


@pytest.mark.filterwarnings("ignore::mfc.MfcWarning")
def test_records_that_cannot_be_read_are_left_out() -> None:
    client = Client(Failing(UnreadableRecord), namespace=None)
    assert issubclass(MfcWarning, UserWarning)
    assert [ask(client) for ask in QUESTIONS.values()] == [None, [], "unknown"]


def test_answers_come_in_order_from_several_threads() -> None:
    together = threading.Barrier(3)

    def ask(number: int) -> int:
        if number < 3:
            together.wait(30)
        return number * number

    assert list(side_by_side(ask, [0, 1, 2, 3, 4], 3)) == [0, 1, 4, 9, 16]
    assert list(ahead(ask, iter(range(5)), 3)) == [0, 1, 4, 9, 16]


def test_an_error_takes_the_place_of_its_answer() -> None:
    found = side_by_side(lambda number: 6 // number, [1, 0, 2])
    assert next(found) == 6
    with pytest.raises(ZeroDivisionError):
        next(found)
