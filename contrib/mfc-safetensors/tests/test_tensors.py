"""Artifacts that an extension's serializer wrote are read without Metaflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mfc import Client, Task
from mfc.errors import UndecodableArtifact, UnknownEncoding, UntrustedValue
from mfc.hookspecs import ArtifactDecoder
from mfc.model import ArtifactRecord, Pathspec
from mfc.trust import Trust
from mfc_safetensors import mfc_artifact_decoder

RECORDED = Path(__file__).parent / "recorded"
RECORD = ArtifactRecord(Pathspec(("F", "1", "start", "1", "x")), 0, location=":root:/data")


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recorded")
    with tarfile.open(RECORDED / "weigh.tgz") as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(directory, filter="data")
        else:
            tar.extractall(directory)
    return directory


@pytest.fixture
def start(place) -> Task:
    return newest(place, "start")


def newest(place: Path, step: str, **options) -> Task:
    task = Client(f"local@{place}", namespace=None, **options).flow("Weigh").latest_run[step].task
    assert task is not None
    return task


def facts(arrays) -> dict[str, list]:
    return {n: [str(a.dtype), list(a.shape), a.tobytes().hex()] for n, a in arrays.items()}


def decoder(info=None) -> ArtifactDecoder:
    found = mfc_artifact_decoder("safetensors", {} if info is None else {"serializer_info": info})
    assert found is not None
    return found


def test_arrays_equal_those_of_metaflow(start):
    answers = json.loads((RECORDED / "weigh.json").read_text(encoding="utf-8"))
    assert facts(start["weights"].data) == answers
    assert start["weights"].data["größe"].tolist() == [True, False]


def test_names_come_in_the_order_in_which_a_task_sees_them(place, start):
    # The format sorts them; the order is in the writer's note.
    assert list(start["weights"].data) == newest(place, "end")["order"].data
    assert list(start["weights"].data) != sorted(start["weights"].data)


def test_values_that_are_not_arrays_stay_pickles(place, start):
    assert start["rate"].data == 0.25
    mixed = newest(place, "end")["mixed"].data
    assert (mixed["kernel"], mixed["name"]) == (1234, "not only arrays")


def test_arrays_load_at_trust_safe_but_not_none(place):
    assert len(newest(place, "start", trust="safe")["weights"].data) == 6
    with pytest.raises(UntrustedValue):
        newest(place, "start", trust="none")["weights"].data  # noqa: B018


def test_size_type_and_bytes_need_no_decoder(place):
    weights = newest(place, "start", plugins=["-safetensors"])["weights"]
    assert (weights.size, weights.raw[8:9]) == (446, b"{")


def test_without_the_plugin_the_error_names_the_writer_and_the_disabled_plugin(place):
    with pytest.raises(UnknownEncoding) as caught:
        newest(place, "start", plugins=["-safetensors"])["weights"].data  # noqa: B018
    for fact in (
        "/start/1/weights",
        "'safetensors'",
        "metaflow-tensors",
        "switched off in Client(plugins=…): safetensors",
    ):
        assert fact in str(caught.value)


def test_without_the_distribution_the_error_says_what_to_install(place):
    code = (
        "import importlib.metadata as m; found = m.entry_points\n"
        "m.entry_points = lambda **by: [e for e in found(**by) if e.name != 'safetensors']\n"
        "from mfc import Client\n"
        f"run = Client({str(place)!r}, namespace=None).flow('Weigh').latest_run\n"
        "try: run['start'].task['weights'].data\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for fact in ("UnknownEncoding", "by metaflow-tensors", "pip install mfc-safetensors"):
        assert fact in done.stdout


def test_metaflow_is_not_needed(place):
    code = (
        "import sys; sys.modules['metaflow'] = None; from mfc import Client\n"
        f"run = Client({str(place)!r}, namespace=None).flow('Weigh').latest_run\n"
        "print(run['start'].task['weights'].data['steps'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1234\n"


def test_bytes_of_another_format_are_reported():
    with pytest.raises(UndecodableArtifact, match=r"F/1/start/1/x: not safetensors.*\(/data\)"):
        decoder().decode(b"not at all", RECORD, Trust.full())
    for cut in range(0, 80, 7):
        with pytest.raises(UndecodableArtifact):
            decoder().decode(save({"a": np.arange(3)})[:cut], RECORD, Trust.full())


def test_types_that_numpy_lacks_are_reported():
    header = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    blob = len(header).to_bytes(8, "little") + header + b"\0"
    with pytest.raises(UndecodableArtifact, match="F8_E4M3"):
        decoder().decode(blob, RECORD, Trust.full())


def test_a_note_that_contradicts_the_bytes_is_reported():
    with pytest.raises(UndecodableArtifact, match=r"holds \['a'\].*noted \['b'\]"):
        decoder({"names": ["b"]}).decode(save({"a": np.arange(3)}), RECORD, Trust.full())


@pytest.mark.parametrize("note", [None, [], {"names": None}, {"names": "ab"}, {"source": "x"}, 5])
def test_an_empty_note_changes_nothing(note):
    arrays = decoder(note).decode(save({"b": np.arange(3), "a": np.ones(2)}), RECORD, Trust.safe())
    assert {name: a.tolist() for name, a in arrays.items()} == {"a": [1, 1], "b": [0, 1, 2]}


def test_other_encodings_are_left_to_others():
    assert mfc_artifact_decoder("pickle-v4", {}) is None
    assert mfc_artifact_decoder("safetensors-v2", {}) is None


def test_the_module_imports_fast():
    code = "import mfc_safetensors, sys; print({'numpy', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_new_recording_reads_the_same(tmp_path):
    python = os.environ.get("MFC_METAFLOW_PYTHON")
    if not python:
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make test` sets it")
    from .record import record

    answers = json.loads(record(tmp_path, python))
    assert facts(newest(tmp_path, "start")["weights"].data) == answers
    assert answers == json.loads((RECORDED / "weigh.json").read_text(encoding="utf-8"))
