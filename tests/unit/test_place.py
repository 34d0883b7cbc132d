"""Where values are looked for: where they were recorded, else where they were moved to."""

from __future__ import annotations

import pytest
from tests.unit.faraway import Results

from mfc.errors import MetaflowDataMissing


@pytest.fixture
def results() -> Results:
    made = Results()
    made.task("F/1/fit/1", x="a value")
    made.store.files = {f"copy/{p.removeprefix('root/')}": c for p, c in made.store.files.items()}
    return made


def test_what_is_gone_is_looked_for_where_the_settings_say(results: Results) -> None:
    with pytest.raises(MetaflowDataMissing, match="not where they were recorded"):
        results.client().task("F/1/fit/1").data.x  # noqa: B018
    results.store.usual_root = "copy"
    assert results.client().task("F/1/fit/1").data.x == "a value"


def test_the_backends_own_place_comes_first(results: Results) -> None:
    class Beside(type(results.provider())):
        def root(self, ds_type: str) -> str:
            return "copy"

    provider = Beside(results.records.values(), results.artifacts, results.metadata)
    results.store.usual_root = "elsewhere"
    assert results.client(provider).task("F/1/fit/1").data.x == "a value"
