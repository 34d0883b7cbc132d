"""Timelines of recorded runs: each row as the task itself tells."""

from __future__ import annotations

import pathlib
import pickle

import pytest

from mfc import Client, Metaflow, Timeline
from mfc_testing import sample

from . import oracle
from .released import RELEASES, unpack


def compare(client: Client) -> int:
    """Compare each row with its task; return how many there are."""
    rows = 0
    for flow in Metaflow(client=client):
        for run in flow:
            timeline = run.timeline()
            # Unordered where two steps began in the same millisecond.
            assert {row.pathspec for row in timeline} == {t.pathspec for s in run for t in s}
            for row in timeline:
                rows += 1
                task = client.task(row.pathspec, attempt=row.attempt)
                assert task.status == row.status, row
                assert task.duration == row.duration, row
                assert task.created_at == row.created
                assert (task.parent.id, task.current_attempt) == (row.step, row.attempt or 0)
                assert client.task(row.pathspec).index == row.index, row
    return rows


def test_timelines_of_the_recordings() -> None:
    folder = next(oracle.unpacked().directories.rglob("main/.metaflow")).parent
    assert compare(Client(f"local@{folder}", namespace=None)) > 100


@pytest.mark.parametrize("release", RELEASES)
def test_timelines_of_old_releases(release: str, tmp_path: pathlib.Path) -> None:
    unpack(release, tmp_path)
    assert compare(Client(f"local@{tmp_path}", namespace=None)) > 40


def test_timelines_of_a_service(recorded: str) -> None:
    assert compare(Client(f"service@{recorded}", namespace=None)) > 50


def test_timeline_of_the_sample(tmp_path: pathlib.Path) -> None:
    sample.unpack(str(tmp_path))
    client = Client(f"local@{tmp_path}", namespace=None)
    timeline = client.run("Refresh/1795424840990208").timeline()
    assert isinstance(timeline, Timeline)
    assert [(row.step, row.attempt, row.index, row.status) for row in timeline] == [
        ("start", 0, None, "completed"),
        ("fetch", 0, 0, "failed"),
        ("fetch", 1, 0, "completed"),
        ("fetch", 0, 1, "completed"),
        ("fetch", 0, 2, "failed"),
        ("fetch", 1, 2, "completed"),
        ("check", 0, None, "failed"),
    ]
    assert pickle.loads(pickle.dumps(timeline)) == timeline
    assert len(timeline) == 7
