"""Failures of runs that Metaflow recorded."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from mfc import Client, Metaflow, Run
from mfc.hookspecs import Support
from mfc_testing import sample

from . import oracle
from .released import RELEASES, unpack

#: Releases of Metaflow that did not record the graph.
WITHOUT_GRAPH = ("2.0.5", "2.2.0", "2.3.6")
#: The failures of recorded runs that failed, by flow: step, kind, type and text of the exception.
TOLD = "builtins.RuntimeError", "told to fail"
EXPECTED = {
    ("ResumableFlow", "end"): [("exception", "builtins.RuntimeError", "end told to fail")],
    ("ResumableFlow", "middle"): [("exception", "__main__.CustomError", "told to fail")],
    ("FailuresFlow", "end"): [("killed", None, "attempt 0 ended with return code -9, unfinished")],
    ("EndpointsFlow", "finish"): [("exception", *TOLD)],
    ("SwitchFlow", "end"): [("exception", *TOLD)],
    ("NestedFlow", "gather_outer"): [("exception", *TOLD)],
}


def runs(client: Client) -> Iterator[Run]:
    for flow in Metaflow(client=client):
        yield from flow


def test_failures_of_the_sample(tmp_path: pathlib.Path) -> None:
    sample.unpack(str(tmp_path))
    client = Client(f"local@{tmp_path}", namespace=None)
    failing = {run.pathspec: run.failures() for run in runs(client) if run.failures()}
    assert list(failing) == ["Refresh/1795424840990208"]
    root, never = failing["Refresh/1795424840990208"]
    assert (root.step, root.task_id, root.attempt, root.index) == ("check", "5", 0, None)
    assert root.exception_type == "__main__.StationError"
    assert root.traceback is not None
    assert root.traceback.startswith("Traceback (most recent call last):")
    assert root.traceback.rstrip().endswith(root.message)
    assert (never.step, never.kind, never.collateral) == ("end", "never started", True)
    assert [run.pathspec for run in client.flow("Refresh").failed_runs()] == list(failing)


@pytest.mark.parametrize("root", ["main", "moved"])
def test_failures_of_the_recordings(root: str) -> None:
    folder = next(oracle.unpacked().directories.rglob(f"{root}/.metaflow")).parent
    client, found = Client(f"local@{folder}", namespace=None), {}
    for run in runs(client):
        status, failures = run.status, run.failures()
        if status == "completed":
            assert failures == []
        if status == "failed":
            roots = [f for f in failures if not f.collateral]
            key = run.parent.id, roots[0].step
            found[key] = [(f.kind, f.exception_type, f.message) for f in roots]
            assert roots == failures[: len(roots)]
            assert [client.task(f.pathspec).failure for f in roots] == roots
    assert found == EXPECTED


@pytest.mark.parametrize("release", RELEASES)
def test_failures_of_old_releases(release: str, tmp_path: pathlib.Path) -> None:
    unpack(release, tmp_path)
    client = Client(f"local@{tmp_path}", namespace=None)
    failures = [(run.status, run.failures()) for run in runs(client)]
    assert [found for status, found in failures if status == "completed"] == [[], []]
    (failing,) = (found for status, found in failures if status == "failed")
    root, *others = failing
    assert (root.step, root.kind, root.message) == ("merge", "exception", "stop here")
    assert root.exception_type == "builtins.RuntimeError"
    due = [] if release in WITHOUT_GRAPH else [("end", "never started", True)]
    assert [(f.step, f.kind, f.collateral) for f in others] == due


class Near:
    """A provider whose answers are the same, and that is asked one by one."""

    def __init__(self, provider: Any) -> None:
        self.address, self.root, self.get = provider.address, provider.root, provider.get
        self.children, self.metadata = provider.children, provider.metadata
        self.artifacts, self.retag = provider.artifacts, provider.retag
        self.capabilities = attrs.evolve(
            provider.capabilities, remote=Support.UNSUPPORTED, metadata=Support.UNSUPPORTED
        )


def test_few_requests_tell_the_same_as_many(recorded: str) -> None:
    wide = Client(f"service@{recorded}", namespace=None)
    near = Client(Near(wide._reader.provider), namespace=None)
    failing = 0
    for run in runs(wide):
        found = run.failures()
        assert found == near.run(run.pathspec).failures(), run
        failing += bool(found)
    assert failing > 2
