"""Arbitrary content of a store: every query ends with an answer or an error of mfc."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .everything import Walk, walk
from .hostile import BYTES, JSON, OTHER, RUN, VALUES, Hostile

#: A walk runs some thousand queries; beyond this time it counts as hung.
SETTINGS = settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes of walks
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FIELDS = [
    "attempt", "attempt-done", "ds-type", "ds-root", "origin-run-id", "origin-task-id", "start_step",
    "end_step", "foreach-execution-path", "code-package", "execution-triggers", "log_location_stdout",
    "log_location_stderr", "internal_task_type", "conda_env_prefix",
]  # fmt: skip
TASKS = ["_parameters/0", "start/1", "body/2", "body/12", "join/3", "choose/4", "end/5"]
INTERNAL = ["_task_ok", "_success", "_exception", "_graph_info", "_foreach_stack", "_iteration_stack", "_transition"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return Hostile.written(tmp_path_factory.mktemp("whole"))


def walked(whole: Hostile, change: Callable[[Hostile], Any], **options: Any) -> Walk:
    """Change a copy of the tree and walk through it; the other run must be as it was."""
    with tempfile.TemporaryDirectory() as home:
        tree = whole.copy(home)
        change(tree)
        client = tree.client(**options)
        made = walk(client)
        other = client.run(OTHER)
        assert {step.id for step in other} == {"start", "body", "end"}
        assert other["end"].task.data.x == {"a": [1]}
        assert other.successful
        return made


def below(tree: Hostile, pattern: str) -> list[Path]:
    return sorted((tree.root / RUN).glob(pattern))


def test_the_unchanged_tree_is_valid(whole: Hostile) -> None:
    made = walk(whole.client())
    allowed = ("no child", "no artifact", "no attempt", "does not exist", "expected")
    faults = {q: e for q, e in made.said.items() if not any(text in str(e) for text in allowed)}
    assert faults == {}
    assert len(made._seen) > 50


@SETTINGS
@given(data=st.data())
def test_any_json_in_any_file(whole: Hostile, data: st.DataObject) -> None:
    def change(tree: Hostile) -> None:
        files = [*below(tree, "**/*.json"), *below(tree, "**/0.runtime")]
        for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4)):
            file.write_text(json.dumps(data.draw(JSON)))

    walked(whole, change)


@SETTINGS
@given(data=st.data())
def test_any_value_in_any_field_of_any_file(whole: Hostile, data: st.DataObject) -> None:
    def change(tree: Hostile) -> None:
        files = st.lists(st.sampled_from(below(tree, "**/*.json")), min_size=1, unique=True)
        for file in data.draw(files):
            fields = json.loads(file.read_text())
            name = data.draw(st.sampled_from(sorted(fields)))
            if data.draw(st.booleans()):
                fields[name] = data.draw(JSON)
            else:
                del fields[name]
            file.write_text(json.dumps(fields))

    walked(whole, change)


@SETTINGS
@given(data=st.data())
def test_any_bytes_in_any_file(whole: Hostile, data: st.DataObject) -> None:
    def change(tree: Hostile) -> None:
        files = [file for file in below(tree, "**/*") if file.is_file()]
        for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4)):
            file.write_bytes(data.draw(BYTES))

    walked(whole, change)


@SETTINGS
@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(TASKS),
            st.sampled_from(FIELDS),
            st.one_of(JSON, JSON.map(json.dumps), st.sampled_from(["2", "12", RUN[2:], OTHER[2:]])),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_metadata(whole: Hostile, fields: list[tuple[str, str, Any]]) -> None:
    def change(tree: Hostile) -> None:
        for task, name, value in fields:
            tree.metadata(f"{RUN}/{task}", name, value)

    walked(whole, change)


@SETTINGS
@given(
    values=st.lists(
        st.tuples(st.sampled_from(TASKS), st.sampled_from(INTERNAL), VALUES),
        min_size=1,
        max_size=4,
    )
)
def test_any_value_in_metaflows_own_artifacts(
    whole: Hostile, values: list[tuple[str, str, Any]]
) -> None:
    def change(tree: Hostile) -> None:
        for task, name, value in values:
            tree.artifact(f"{RUN}/{task}", name, value)

    walked(whole, change)


@SETTINGS
@given(note=JSON, content=BYTES)
def test_any_note_of_an_included_file(whole: Hostile, note: Any, content: bytes) -> None:
    def change(tree: Hostile) -> None:
        import pickle

        target = Path(tree.home) / "file"
        target.write_bytes(content)
        usual = {"type": "uploader-v2", "sub-type": "uploaded", "url": f"local://{target}"}
        merged = {**usual, **note} if isinstance(note, dict) else note
        for name, descriptor in (("x", merged), ("y", note), ("z", usual)):
            # As Metaflow pickles it: the class, and the state of the instance.
            state = {"_descriptor": descriptor, "_cached_size": None}
            blob = (
                b"\x80\x04cmetaflow.includefile\nIncludedFile\n)\x81"
                + pickle.dumps(state, protocol=4)[2:-1]
                + b"b."
            )
            tree.artifact(f"{RUN}/end/5", name, blob)
            info = {name: {"size": 3, "type": "<class 'metaflow.includefile.IncludedFile'>"}}
            tree.file(f"{RUN}/end/5", "0.data.json").write_text(json.dumps({"info": info}))

    walked(whole, change)
