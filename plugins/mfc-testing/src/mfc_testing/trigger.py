"""The contract of trigger decoders, as tests."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from mfc.hookspecs import Event
from mfc_testing import _isolation, _state
from mfc_testing._contract import ContractTests, ask, clause, equal, holds
from mfc_testing._hooks import hooks_of
from mfc_testing._traps import Trap, traps
from mfc_testing.provider import _worlds

#: The metadata of a start task, and the events in it.
Sample = tuple[Mapping[str, Any], Sequence[Event]]
_DAMAGED = (
    "", "null", "{", "[", "[]", "{}", "[1]", '["x"]', "[null]", "0", "true", '"text"', "[[]]",
    '{"a": 1}', '[{"name": 5}]', "\x00", "ü" * 3000, "[" * 20_000, None, 5, True, ["x"], {"a": "b"},
    b"[]",
)  # fmt: skip
#: The field that mfc always reads itself.
_METAFLOWS = "execution-triggers"
_OTHERS: tuple[Mapping[str, Any], ...] = (
    {},
    {"attempt": "0", "ds-type": "s3", "runtime": "dev"},
    {"some-other-field": '[{"name": "event", "id": "1", "timestamp": 1, "type": "event"}]'},
    {"user": "ada", "attempt-done": "0"},
)


class TriggerDecoderTests(ContractTests):
    """Contract of trigger decoders. Give `plugin` and `samples`.

    ::

        class TestCloudEvents(TriggerDecoderTests):
            module = "mfc_cloudevents"

            @pytest.fixture
            def plugin(self):
                return mfc_cloudevents

            @pytest.fixture
            def samples(self):
                return [({"cloudevents": recorded}, [Event("sale", "42", 1_700_000_000, "event")])]

    and, if metadata can have the plugin's field without an event, `without`: a list of such
    metadata.
    """

    #: Name of the plugin's module.
    module: ClassVar[str | None] = None
    #: Modules of its own that importing the plugin's module may load.
    modules_on_import: ClassVar[int] = 5

    @pytest.fixture
    def plugin(self) -> object:
        """Return the module or object with the hook `mfc_trigger`."""
        raise NotImplementedError("give the fixture `plugin`")

    @pytest.fixture
    def samples(self) -> Sequence[Sample]:
        """Return metadata with the events in it."""
        raise NotImplementedError("give the fixture `samples`")

    @pytest.fixture
    def without(self) -> Sequence[Mapping[str, Any]]:
        """Return metadata with the plugin's own field in it, but no event."""
        return ()

    @clause("trigger-events")
    def test_the_events_are_found(self, plugin: object, samples: Sequence[Sample]) -> None:
        """The hook gives the events in the metadata: names, ids, times and types as recorded."""
        for metadata, expected in samples:
            got = _events(plugin, metadata)
            equal(_given(metadata), sorted(expected, key=repr), sorted(got or (), key=repr))

    @clause("trigger-types")
    def test_events_are_of_the_contract(self, plugin: object, samples: Sequence[Sample]) -> None:
        """They are `Event`s, with text or None for name, id and type."""
        for metadata, _ in samples:
            for event in _events(plugin, metadata) or ():
                holds(type(event) is Event, _given(metadata), "an Event", repr(event))
                for value in (event.name, event.id, event.type):
                    fine = value is None or type(value) is str
                    holds(fine, _given(metadata), "text or None in an event", repr(event))

    @clause("trigger-others")
    def test_other_metadata_is_left_to_others(self, plugin: object) -> None:
        """Metadata without the plugin's field gives None; an empty list means unknown events."""
        for metadata in _OTHERS:
            equal(_given(metadata), None, _answer(plugin, metadata))

    @clause("trigger-without")
    def test_no_event_is_none(self, plugin: object, without: Sequence[Mapping[str, Any]]) -> None:
        """The plugin's field without events gives no event: None or nothing."""
        for metadata in without:
            equal(_given(metadata), [], _events(plugin, metadata) or [])

    @clause("trigger-damaged")
    def test_damage_is_no_failure(self, plugin: object, samples: Sequence[Sample]) -> None:
        """The hook never fails on damaged fields: it finds events, or none."""
        for metadata, _ in samples:
            for name, bad in ((name, bad) for name in metadata for bad in _DAMAGED):
                damaged = {**metadata, name: bad}
                for event in _events(plugin, damaged) or ():
                    holds(type(event) is Event, _given(damaged), "an Event", repr(event))
            for name, value in metadata.items():
                if isinstance(value, str):
                    for end in {1, len(value) // 2, max(len(value) - 1, 0)}:
                        _events(plugin, {**metadata, name: value[:end]})

    @clause("trigger-alike")
    def test_fields_that_resemble_it_are_of_others(
        self, plugin: object, samples: Sequence[Sample]
    ) -> None:
        """A field is not another of which the name begins, ends or is spelt alike."""
        known = {name for metadata, _ in samples for name in metadata}
        for metadata, _ in samples:
            for name, value in metadata.items():
                for other in (
                    f"{name}2",
                    f"{name}s",
                    f"x-{name}",
                    name[:-1],
                    name.swapcase(),
                    f" {name}",
                ):
                    if other not in known:
                        equal(_given({other: value}), None, _answer(plugin, {other: value}))

    @clause("trigger-once")
    def test_events_of_metaflow_are_left_to_mfc(
        self, plugin: object, samples: Sequence[Sample]
    ) -> None:
        """Field `execution-triggers`, which is always read, is not answered for a second time."""
        theirs = '[{"name": "kit", "id": "kit-1", "timestamp": 1700000000, "type": "event"}]'
        if any(_METAFLOWS in metadata for metadata, _ in samples):
            pytest.skip("the plugin is the one that reads this field")
        equal(_given({_METAFLOWS: theirs}), None, _answer(plugin, {_METAFLOWS: theirs}))
        for metadata, expected in samples:
            both = {_METAFLOWS: theirs, **metadata}
            equal(_given(both), _sorted(expected), _sorted(_events(plugin, both)))

    @clause("trigger-besides")
    def test_other_fields_change_nothing(self, plugin: object, samples: Sequence[Sample]) -> None:
        """Other fields of the task, text or not, change neither the events nor their times."""
        noise: dict[str, Any] = {
            "attempt": "0",
            "kit-a": None,
            "kit-b": [1],
            "kit-c": 5,
            "kit-d": "[{",
            "kit-e": {},
        }
        for metadata, expected in samples:
            for both in ({**noise, **metadata}, {**metadata, **noise}):
                equal(_given(both), _sorted(expected), _sorted(_events(plugin, both)))
        if hasattr(os, "fork") and hasattr(time, "tzset"):
            for zone in _worlds.ZONES:
                got = _isolation.answered(_isolation.forked(partial(_there, zone, plugin, samples)))
                for (metadata, expected), found in zip(samples, got, strict=True):
                    equal(f"{_given(metadata)}, TZ={zone}", _sorted(expected), found)

    @clause("trigger-trap")
    def test_no_code_is_run(self, plugin: object, samples: Sequence[Sample]) -> None:
        """Content of a field is data: it is never run, whatever it resembles."""
        for metadata, _ in samples:
            for name, trap in ((name, trap) for name in metadata for trap in traps()):
                before = Trap.sprung
                try:
                    _events(plugin, {**metadata, name: trap})
                finally:
                    given = f"code run by {_given({**metadata, name: trap})}"
                    equal(given, 0, Trap.sprung - before)

    @clause("trigger-apart")
    def test_each_answer_is_its_own(self, plugin: object, samples: Sequence[Sample]) -> None:
        """Changes to an answer, and earlier damaged metadata, change no other answer."""
        for metadata, expected in samples:
            found = _answer(plugin, metadata)
            if isinstance(found, (list, dict, set)):
                found.clear()
            equal(
                f"{_given(metadata)}, again", _sorted(expected), _sorted(_events(plugin, metadata))
            )
            for bad in _DAMAGED:
                _events(plugin, dict.fromkeys(metadata, bad))
                got = _sorted(_events(plugin, metadata))
                equal(f"{_given(metadata)}, after one with {bad!r:.40}", _sorted(expected), got)

    @clause("process-unchanged")
    def test_the_process_stays_as_it_is(self, plugin: object, samples: Sequence[Sample]) -> None:
        """Answers leave nothing open, no temporary file, and no setting of the process changed."""

        def use() -> None:
            for metadata, _ in samples:
                _events(plugin, metadata)
                _events(plugin, dict.fromkeys(metadata, "{"))

        use()
        with _state.leaves_the_process("mfc_trigger"):
            use()
        _isolation.leaves_nothing_open("mfc_trigger", use)

    @clause("trigger-unchanged")
    def test_metadata_is_only_read(self, plugin: object, samples: Sequence[Sample]) -> None:
        """The hook takes any mapping, and changes nothing in it."""
        for metadata, _ in samples:
            before = copy.deepcopy(dict(metadata))
            given = dict(metadata)
            _events(plugin, MappingProxyType(given))
            equal(f"metadata after {_given(metadata)}", before, given)
            try:
                hooks_of(plugin).first("mfc_trigger", metadata=given)
            finally:
                equal(f"metadata after {_given(metadata)}, a dict", before, given)

    @clause("trigger-again")
    def test_the_same_again(self, plugin: object, samples: Sequence[Sample]) -> None:
        """The same metadata gives the same events, after any calls and in any thread."""
        question = [metadata for metadata, _ in samples]
        _isolation.in_threads("mfc_trigger", lambda: [_events(plugin, m) for m in question])

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)


def _sorted(events: Iterable[Event] | None) -> list[Event]:
    return sorted(events or (), key=repr)


def _there(zone: str, plugin: object, samples: Sequence[Sample]) -> list[list[Event]]:
    """Return the events of all samples, as read in that time zone."""
    os.environ["TZ"] = zone
    time.tzset()
    return [_sorted(_events(plugin, metadata)) for metadata, _ in samples]


def _given(metadata: Mapping[str, Any]) -> str:
    return f"mfc_trigger({json.dumps(dict(metadata), default=repr)[:300]})"


def _answer(plugin: object, metadata: Mapping[str, Any]) -> Iterable[Event] | None:
    """Call the hook with a copy, or with read-only metadata."""
    hooks = hooks_of(plugin)
    own = metadata if isinstance(metadata, MappingProxyType) else dict(metadata)
    found: Iterable[Event] | None = ask(
        _given(metadata), lambda: hooks.first("mfc_trigger", metadata=own)
    )
    return found


def _events(plugin: object, metadata: Mapping[str, Any]) -> list[Event] | None:
    found = _answer(plugin, metadata)
    return None if found is None else ask(_given(metadata), lambda: list(found))
