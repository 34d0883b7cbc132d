"""The locations of values: the recorded one first, then the one they were moved to."""

from __future__ import annotations

import pytest
from tests.unit.faraway import REMOTE, Asked, Results

from mfc import Client, MfcWarning, load
from mfc.errors import CorruptBlob, MetaflowDataMissing, UndecodableArtifact, UntrustedValue


@pytest.fixture
def results() -> Results:
    made = Results()
    made.task("F/1/fit/1", x="a value")
    made.store.files = {f"copy/{p.removeprefix('root/')}": c for p, c in made.store.files.items()}
    return made


def test_missing_values_are_looked_up_at_the_configured_root(results: Results) -> None:
    with pytest.raises(MetaflowDataMissing, match="not where they were recorded"):
        results.client().task("F/1/fit/1").data.x  # noqa: B018
    results.store.usual_root = "copy"
    assert results.client().task("F/1/fit/1").data.x == "a value"


def test_the_backends_own_root_comes_first(results: Results) -> None:
    class Beside(type(results.provider())):
        def root(self, ds_type: str) -> str:
            return "copy"

    provider = Beside(results.records.values(), results.artifacts, results.metadata)
    results.store.usual_root = "elsewhere"
    assert results.client(provider).task("F/1/fit/1").data.x == "a value"


class Copied(Asked):
    """Records that were copied to directory `copy`, with or without their values."""

    capabilities = REMOTE

    def root(self, ds_type: str) -> str:
        return "copy"


def copied(results: Results) -> Client:
    provider = Copied(results.records.values(), results.artifacts, results.metadata)
    return results.client(provider)


def test_copy_is_read_rather_than_the_original(results: Results) -> None:
    results.store.files |= {f"root/{p[5:]}": b"the original" for p in results.store.files}
    assert copied(results).task("F/1/fit/1").data.x == "a value"
    assert list(load(copied(results).step("F/1/fit"), "x")) == ["a value"]


def test_original_is_read_with_a_warning_where_the_copy_lacks_a_value(results: Results) -> None:
    results.store.files = {f"root/{p[5:]}": c for p, c in results.store.files.items()}
    with pytest.warns(MfcWarning, match="it was recorded, root: it is missing .* in copy"):
        assert copied(results).task("F/1/fit/1").data.x == "a value"


def test_error_of_a_copied_value_names_the_copy(results: Results) -> None:
    task = results.task("F/1/fit/9")
    for name, content in (("odd", b"cgone\nX\n)R."), ("broken", b"no pickle")):
        results.artifact(task, name, content)
    results.store.files |= {f"copy/{p[5:]}": c for p, c in results.store.files.items()}
    provider = Copied(results.records.values(), results.artifacts, results.metadata)
    client = results.client(provider, trust="safe")
    for name, kind in (("odd", UntrustedValue), ("broken", UndecodableArtifact)):
        with pytest.raises(kind) as caught:
            client.artifact(f"F/1/fit/9/{name}").data  # noqa: B018
        assert caught.value.location == "copy"


def test_damaged_copy_is_named_in_the_error(results: Results) -> None:
    good = {f"root/{p[5:]}": c for p, c in results.store.files.items()}
    results.store.files = good | dict.fromkeys(results.store.files, b"damaged")
    for ask in (
        lambda: copied(results).task("F/1/fit/1").data.x,
        lambda: copied(results).artifact("F/1/fit/1/x").open(),
        lambda: list(load(copied(results).step("F/1/fit"), "x")),
    ):
        with pytest.raises(CorruptBlob) as caught:
            ask()
        assert caught.value.location.startswith("copy/F/data/")


def test_value_that_is_nowhere_names_all_places(results: Results) -> None:
    results.store.files = {}
    with pytest.raises(MetaflowDataMissing, match=r"\(copy/F/data/.*, root/F/data/.*\)"):
        copied(results).task("F/1/fit/1").data.x  # noqa: B018
