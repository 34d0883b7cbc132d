"""Results that are in another bucket than the one where they were recorded."""

from __future__ import annotations

import pytest

from mfc.config import Config

from .conftest import filesystem


@pytest.mark.parametrize(
    ("ds_type", "root"),
    [("s3", "s3://copies/of/results"), ("gs", "gs://copies/of/results"), ("azure", "copies/of")],
)
def test_they_are_looked_for_where_the_settings_say(ds_type: str, root: str) -> None:
    settings = {f"DATASTORE_SYSROOT_{ds_type.upper()}": root}
    assert filesystem(ds_type, Config(settings, environment={})).usual_root == root
    assert filesystem(ds_type, Config({}, environment={})).usual_root is None
