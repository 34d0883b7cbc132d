"""Results in another bucket than the recorded one."""

from __future__ import annotations

import pytest

from mfc.config import Config

from .conftest import filesystem


@pytest.mark.parametrize(
    ("ds_type", "root"),
    [("s3", "s3://copies/of/results"), ("gs", "gs://copies/of/results"), ("azure", "copies/of")],
)
def test_moved_results_are_found_by_the_settings(ds_type: str, root: str) -> None:
    settings = {f"DATASTORE_SYSROOT_{ds_type.upper()}": root}
    assert filesystem(ds_type, Config(settings, environment={})).usual_root == root
    assert filesystem(ds_type, Config({}, environment={})).usual_root is None
