"""CloudEvents in the metadata of a start task are the events that started the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from mfc import Client, MfcWarning
from mfc.hookspecs import Event
from mfc.model import MetadataRecord, Pathspec, Record
from mfc_cloudevents import mfc_trigger
from mfc_testing import MemoryProvider

#: The example of the specification's JSON event format, 1.0.2.
OF_THE_SPECIFICATION = """{
    "specversion" : "1.0",
    "type" : "com.github.pull_request.opened",
    "source" : "https://github.com/cloudevents/spec/pull",
    "subject" : "123",
    "id" : "A234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "text/xml",
    "data" : "<much wow=\\"xml\\"/>"
}"""
OPENED = Event("com.github.pull_request.opened", "A234-1234-1234", 1522949460.0, "event")
OF_METAFLOW = [{"timestamp": 1522949461, "id": "abc", "name": "reloaded", "type": "event"}]
TASK = Pathspec(("F", "1", "start", "1"))


def event(**attributes) -> dict:
    made = {"specversion": "1.0", "id": "1", "source": "/mine", "type": "made", **attributes}
    return {name: value for name, value in made.items() if value is not None}


def client(metadata: dict[str, object], **options) -> Client:
    paths = [Pathspec(TASK.components[:depth]) for depth in range(1, 5)]
    fields = [MetadataRecord(TASK, n, value, n, 1, 0) for n, value in metadata.items()]
    return Client(
        MemoryProvider([Record(p, 1) for p in paths], [], fields), namespace=None, **options
    )


def test_the_example_of_the_specification_is_read():
    assert mfc_trigger({"cloudevent": OF_THE_SPECIFICATION}) == [OPENED]


def test_events_written_by_the_library_are_read():
    written = CloudEvent(
        {
            "type": "made",
            "source": "/mine",
            "id": "1",
            "time": datetime.fromisoformat("2026-03-01T12:00:00+02:00"),
        },
        {"rows": 5},
    )
    noted = JSONFormat().write(written).decode()
    assert mfc_trigger({"cloudevent": noted}) == [Event("made", "1", 1772359200.0, "event")]


def test_a_batch_gives_its_events_in_order():
    batch = [event(id=number, type=f"made.{number}") for number in "abc"]
    found = mfc_trigger({"cloudevents": json.dumps(batch)})
    assert [(e.name, e.id) for e in found] == [("made.a", "a"), ("made.b", "b"), ("made.c", "c")]
    assert mfc_trigger({"cloudevents": batch}) == found
    assert mfc_trigger({"cloudevents": "[]"}) == []


def test_source_and_id_tell_events_apart():
    batch = [event(), event(), event(source="/other"), event(id="2")]
    found = mfc_trigger({"cloudevent": event(), "cloudevents": batch})
    assert [e.id for e in found] == ["1", "1", "2"]


def test_a_missing_time_stays_missing():
    assert mfc_trigger({"cloudevent": event()}) == [Event("made", "1", None, "event")]


def test_the_payload_of_an_event_is_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mfc_trigger({"cloudevent": event(data_base64="not base64!")})
        assert mfc_trigger({"cloudevent": event(data={"deep": [1, 2]})})


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (5, "expected a JSON object, found int"),
        (None, "found NoneType"),
        ([], "found list"),
        (event(id=None), "has no id"),
        (event(specversion=None), "has no specversion"),
        (event(specversion="0.3"), "specversion"),
        (event(source=None), "source"),
        (event(type=""), "type"),
        (event(id=5), "id"),
        (event(time="yesterday"), "its time 'yesterday'"),
        (event(time=5), "its time 5"),
        (event(time="2026-03-01T12:00:00"), "timezone"),
        (event(Upper="x"), "Upper"),
    ],
)
def test_an_invalid_event_is_left_out_with_a_warning(entry, reason):
    with pytest.warns(MfcWarning, match=rf"cloudevents\[1\]: .*{reason}"):
        assert [
            e.id for e in mfc_trigger({"cloudevents": [event(id="a"), entry, event(id="b")]})
        ] == ["a", "b"]


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_invalid_json_is_left_out_with_a_warning(text):
    with pytest.warns(MfcWarning, match="cloudevent: not JSON"):
        assert mfc_trigger({"cloudevent": text}) == []


def test_times_at_the_ends_of_the_calendar():
    for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        found = mfc_trigger({"cloudevent": event(time=time)})
        assert [type(e.timestamp) for e in found] == [float]
        assert client({"cloudevent": event(time=time)}).run("F/1").trigger.event.name == "made"


def test_a_run_tells_what_started_it():
    trigger = client({"cloudevent": OF_THE_SPECIFICATION}).run("F/1").trigger
    assert trigger.event == (
        "com.github.pull_request.opened",
        "A234-1234-1234",
        trigger.event.timestamp,
        "event",
    )
    assert trigger.event.timestamp.timestamp() == OPENED.timestamp
    assert trigger["com.github.pull_request.opened"] == trigger.event


def test_events_of_metaflow_and_these_add_up_newest_first():
    noted = {"cloudevent": OF_THE_SPECIFICATION, "execution-triggers": json.dumps(OF_METAFLOW)}
    trigger = client(noted).run("F/1").trigger
    assert [e.name for e in trigger.events] == ["reloaded", "com.github.pull_request.opened"]


def test_an_event_recorded_by_real_metaflow_is_read(tmp_path):
    python = os.environ.get("MFC_METAFLOW_PYTHON")
    if not python:
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make test` sets it")
    flow = str(Path(__file__).parent / "noted.py")
    clean = {name: value for name, value in os.environ.items() if "METAFLOW" not in name}
    subprocess.run(
        [
            python,
            flow,
            "--no-pylint",
            "--metadata",
            "local",
            "run",
            "--event",
            OF_THE_SPECIFICATION,
        ],
        cwd=tmp_path,
        env={**clean, "USERNAME": "ada", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    trigger = Client(f"local@{tmp_path}", namespace="user:ada").flow("Noted").latest_run.trigger
    assert [e.name for e in trigger] == ["com.github.pull_request.opened", "of.metaflow"]


def test_other_runs_are_as_without_the_plugin():
    assert mfc_trigger({"attempt": "0", "cloudevents": None}) is None
    assert client({}).run("F/1").trigger is None
    noted = {"execution-triggers": json.dumps(OF_METAFLOW)}
    assert [e.name for e in client(noted).run("F/1").trigger.events] == ["reloaded"]
    off = client({"cloudevent": OF_THE_SPECIFICATION}, plugins=["-cloudevents"])
    assert off.run("F/1").trigger is None


def test_other_runs_do_not_load_the_library():
    code = "import mfc_cloudevents, sys; mfc_cloudevents.mfc_trigger({}); print({'cloudevents', 'dateutil'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
