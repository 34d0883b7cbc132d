"""Any text is a pathspec or is refused; a pathspec converts back to its text."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc import Client, MfcWarning
from mfc.errors import MetaflowException, MetaflowInvalidPathspec
from mfc.model import Level, Pathspec, is_name

LEVELS = st.sampled_from([level for level in Level if level is not Level.ROOT])
#: Text of every kind, including half surrogates and names that trouble a file system.
ANY = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(), max_size=4),
    st.sampled_from(["", ".", "..", "...", "\0", "\ud800", "\udcff", "a" * 5_000, "*", "~", "-"]),
)
NAMES = ANY.filter(is_name)
PATHS = st.lists(ANY, max_size=6).map("/".join)


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_names_joined_are_a_pathspec_and_come_back(names: list[str]) -> None:
    path = Pathspec.parse("/".join(names), Level(len(names)))
    assert path.components == tuple(names)
    assert Pathspec.parse(str(path), path.level) == path
    assert path.parent.child(path.name) == path
    assert [path.up(level).level for level in Level if level <= path.level] == [
        level for level in Level if level <= path.level
    ]


@given(st.one_of(PATHS, st.integers(), st.binary(), st.none(), st.lists(st.text())), LEVELS)
def test_invalid_pathspecs_are_refused(text: Any, level: Level) -> None:
    try:
        path = Pathspec.parse(text, level)
    except MetaflowInvalidPathspec:
        return
    assert str(path) == text
    assert len(path.components) == level
    assert all(map(is_name, path.components))


@pytest.fixture(scope="module")
def client() -> Any:
    with tempfile.TemporaryDirectory() as home:
        outside = Path(home) / "outside/1/_meta"
        outside.mkdir(parents=True)
        (outside / "_self.json").write_text('{"ts_epoch": 1}')
        meta = Path(home) / "inside/.metaflow/F/_meta"
        meta.mkdir(parents=True)
        (meta / "_self.json").write_text('{"ts_epoch": 1}')
        yield Client(f"local@{home}/inside", namespace=None)


@given(text=PATHS, name=st.one_of(ANY, st.integers(), st.binary()))
def test_a_client_refuses_or_does_not_find(client: Client, text: str, name: Any) -> None:
    questions = [client.flow, client.run, client.step, client.task, client.artifact]
    with warnings.catch_warnings():
        warnings.simplefilter("error", MfcWarning)
        for question in questions:
            try:
                found = question(text)
            except MetaflowException:
                continue
            assert found.pathspec == text == "F"
        flow = client.flow("F")
        assert name not in flow
        with pytest.raises(KeyError):
            flow[name]
