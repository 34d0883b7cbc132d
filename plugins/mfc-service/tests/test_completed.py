"""The latest successful run, where the service's own status covers only some runs."""

from __future__ import annotations

import pytest
from tests.servers.metadata import Hub

from mfc import Client
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import History

from .backend import Service

#: SHA-1 of the pickle of True.
TRUE = "868436778cb011a1c6230bc12534683ab0b7f1c3"
SYSTEM = frozenset({"user:ada", "metaflow_version:2.19.39"})


def successful(number: int, end: str) -> History:
    """Return a run that ended well in a step of this name."""
    run, at = Pathspec(("F", str(number))), 1_000_000 * number
    parameters, last = run.child("_parameters").child(f"{number}0"), run.child(end)
    task = last.child(f"{number}1")
    paths = (run, parameters.parent, parameters, last, task)
    records = [Record(path, at, "ada", frozenset(), SYSTEM) for path in paths]
    noted = [(parameters, "end_step", end), (task, "attempt", "0"), (task, "attempt_ok", "True")]
    noted.append((task, "attempt-done", "0"))
    metadata = [MetadataRecord(where, name, text, name, at + 1, 0) for where, name, text in noted]
    where = {"sha": TRUE, "ds_type": "local", "location": ":root:/x", "encoding": "pickle-v4"}
    artifacts = [
        ArtifactRecord(task.child(name), at + 2, "ada", frozenset(), SYSTEM, **where)
        for name in ("_success", "_task_ok", "name")
    ]
    return History([Record(run.parent, 1), *records], artifacts, metadata)


@pytest.fixture
def service(services: Hub) -> Service:
    made = Service(*services.new())
    made.put(successful(1, "end"))
    return made


def test_a_newer_run_may_end_in_a_step_of_another_name(service: Service) -> None:
    client = Client(service.url, namespace=None)
    assert client.flow("F").latest_successful_run.id == "1"
    service.put(successful(2, "finish"))
    assert client.flow("F").latest_successful_run.id == "2"


def test_the_newest_run_is_remembered_for_a_moment_only(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfc_service._completed._LATELY", 0.0)
    flow = Client(service.url, namespace=None).flow("F")
    service.put(successful(2, "finish"))
    assert flow.latest_successful_run.id == "2"
