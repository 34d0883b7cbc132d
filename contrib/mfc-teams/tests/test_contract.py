"""The policy fulfils the contract."""

from __future__ import annotations

import pytest

from mfc_testing import NamespacePolicyTests

from .conftest import run


class TestTeamPolicy(NamespacePolicyTests):
    module = "mfc_teams"

    @pytest.fixture
    def policy(self, client):
        return client("ada").policy

    @pytest.fixture
    def visible(self):
        ours = run("ada", 1, "spring"), run("grace", 2)
        return [
            ("team:forecast", ours[0]),
            ("team:forecast", ours[1]),
            ("user:grace", ours[1]),
            ("everybody", ours[1]),
            ("spring", ours[0]),
        ]

    @pytest.fixture
    def hidden(self):
        theirs = run("bob", 3, "spring", "user:ada")
        names = ("team:pricing", "team:forecast", "user:bob", "user:ada", "everybody", "spring")
        return [*((name, theirs) for name in names), ("everybody", run(None, 4))]

    @pytest.fixture
    def locked(self):
        seen = [(name, run("grace", 2)) for name in ("team:forecast", "user:grace", "everybody")]
        return [*seen, ("everybody", run("bob", 3))]
