"""Text of a store is shown on one line, without commands to a terminal, wherever it is shown."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc import Client, Metadata, MetaflowEvent, Status
from mfc.errors import MetaflowException, visible
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record, is_name
from mfc_testing import MemoryProvider

from .everything import Walk

HOSTILE = (
    "\x1b]0;owned\x07", "\x1b[2J", "line\nbreak", "carriage\rreturn", "\x9b31m", "\u202edesrever",
    "\u2066isolate\u2069", "zero\u200bwidth", "\u2028separator", "\ud800", "nul\x00", "tab\t", "\x7f", "\x85",
)  # fmt: skip
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
NAME = TEXT.filter(is_name)


@st.composite
def histories(draw: st.DrawFn) -> MemoryProvider:
    names = [draw(NAME) for _ in range(5)]
    path = Pathspec((names[0], names[1], "start", names[3]))
    user, tags = draw(TEXT), frozenset(draw(st.lists(TEXT, max_size=3)))
    records = [
        Record(path.up(level), 1_000 * level, user, tags, tags)  # type: ignore[arg-type]
        for level in range(1, 5)
    ]
    parameters = Pathspec((names[0], names[1], "_parameters", "0"))
    records += [
        attrs.evolve(records[2], path=parameters.parent),
        attrs.evolve(records[3], path=parameters),
    ]
    artifacts = [
        ArtifactRecord(
            path.child(name),
            5_000,
            user,
            tags,
            tags,
            0,
            draw(TEXT),
            draw(TEXT),
            draw(TEXT),
            draw(TEXT),
        )
        for name in (names[4], "_task_ok", "_success", "_exception", "_graph_info")
    ]
    fields = (
        "attempt",
        "ds-type",
        "ds-root",
        "code-package",
        "execution-triggers",
        "origin-run-id",
        names[2],
    )
    metadata = [
        MetadataRecord(task, name, draw(TEXT), draw(TEXT), 4_000, 0)
        for name in fields
        for task in (path, parameters)
    ]
    metadata.append(MetadataRecord(path, "attempt-done", "0", "attempt-done", 4_500, 0))
    return MemoryProvider(records, artifacts, metadata)


class Shown(Walk):
    """A walk through everything that notes all text that a user may see."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def ask(self, question: str, answer: Callable[[], Any]) -> Any:
        found = super().ask(question, answer)
        self.note(self.said.get(question, found))
        return found

    def note(self, thing: Any) -> None:
        if type(thing) in (list, dict, tuple, set, frozenset):
            for each in thing:
                self.note(each)
            return
        self.texts.append(repr(thing))
        if not isinstance(thing, (str, bytes)):
            self.texts.append(str(thing))
        if isinstance(thing, Status):
            self.texts.append(thing.reason)
        if hasattr(thing, "_repr_html_"):
            self.texts.append(re.sub(r"<[^>]*>", "", html.unescape(thing._repr_html_())))


@settings(max_examples=60, deadline=None)
@given(histories())
def test_text_of_a_store_sends_no_commands_to_the_terminal(provider: MemoryProvider) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made, client = Shown(), Client(provider, namespace=None, trust="safe")
        with client:
            made.through(client.flows(), "Metaflow()")
    made.texts += [str(warning.message) for warning in caught]
    assert len(made.texts) > 100
    for text in made.texts:
        assert text.isprintable(), text


@given(TEXT)
def test_values_show_their_text_escaped(text: str) -> None:
    things = (
        Status("failed", text),
        MetaflowEvent(text, text, text, text),
        MetaflowException(text),
    )
    for thing in things:
        assert repr(thing).isprintable()
    assert str(MetaflowException(text)).isprintable()
    assert repr(Metadata(text, text, 0, text, None)).isprintable()  # type: ignore[arg-type]


@given(st.text())
def test_visible_text_stays_as_it_is_and_the_rest_can_be_told_apart(text: str) -> None:
    assert visible(text).isprintable()
    if text.isprintable():
        assert visible(text) == text
    if "\\" not in text:
        assert visible(text).encode("latin-1", "backslashreplace").decode("unicode_escape") == text
