"""Users that may change tags, and the messages for the others."""

from __future__ import annotations

import pytest

from mfc.errors import MetaflowTaggingError


@pytest.mark.parametrize(
    ("user", "number"),
    [("ada", 1), ("grace", 1), ("linus", 1), ("root-of-all", 1), ("stray", 5), ("root-of-all", 7)],
)
def test_owners_maintainers_and_admins_may(client, user, number):
    run = client(user, None).run(f"F/{number}")
    run.add_tag("checked")
    assert "checked" in run.user_tags


@pytest.mark.parametrize(
    ("user", "number", "reason"),
    [
        (
            "ada",
            2,
            "it is a run of grace, you are ada; only grace; grace, linus for team forecast; root-of-all may",
        ),
        ("bob", 1, "it is a run of ada, you are bob"),
        ("chair", 5, "it is a run of stray, you are chair; only stray; root-of-all may"),
        ("chair", 7, "no user is recorded for it, you are chair; only root-of-all may"),
        (None, 1, "your user name is unknown; set METAFLOW_USER"),
    ],
)
def test_the_refusal_gives_the_reason_and_the_maintainers(client, user, number, reason):
    run = client(user, None).run(f"F/{number}")
    before = run.user_tags
    with pytest.raises(MetaflowTaggingError) as caught:
        run.add_tag("checked")
    assert f"The tags of Run('F/{number}') may not be changed: {reason}" in str(caught.value)
    assert run.user_tags == before


def test_runs_without_an_owner_cannot_be_retagged(client):
    text = "[teams.a]\nmembers = ['ada']\n"
    with pytest.raises(MetaflowTaggingError, match="no user is recorded.*; no user may"):
        client("ada", None, text).run("F/7").add_tag("checked")


def test_a_user_tag_does_not_set_the_owner(client):
    # Run 6 is ada's, and has the user tag `user:bob`.
    with pytest.raises(MetaflowTaggingError, match="it is a run of ada, you are bob"):
        client("bob", None).run("F/6").add_tag("mine")
