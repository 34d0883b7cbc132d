"""The plugin fulfils the contract of trigger decoders."""

from __future__ import annotations

import json

import pytest

import mfc_cloudevents
from mfc.hookspecs import Event
from mfc_testing import TriggerDecoderTests

ONE = {"specversion": "1.0", "id": "1", "source": "/mine", "type": "made"}
TWO = {**ONE, "id": "2", "time": "2026-03-01T10:00:00Z"}
EVENTS = [Event("made", "1", None, "event"), Event("made", "2", 1772359200.0, "event")]


@pytest.mark.filterwarnings("ignore:Left out of the events")  # damaged events are reported
class TestCloudEvents(TriggerDecoderTests):
    module = "mfc_cloudevents"

    @pytest.fixture
    def plugin(self):
        return mfc_cloudevents

    @pytest.fixture
    def samples(self):
        return [
            ({"cloudevent": json.dumps(ONE)}, EVENTS[:1]),
            ({"cloudevents": json.dumps([ONE, TWO])}, EVENTS),
        ]

    @pytest.fixture
    def without(self):
        return [{"cloudevents": "[]"}]
