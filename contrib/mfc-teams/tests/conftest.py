"""A company of two teams, a user between them, and runs of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfc import Client
from mfc.config import Config
from mfc.model import Pathspec, Record
from mfc_testing import MemoryProvider

TEAMS = """
admins = ["root-of-all"]

[teams.forecast]
members = ["ada", "grace"]
maintainers = ["grace", "linus"]

[teams.pricing]
members = ["bob"]
sees = ["forecast"]

[teams.board]
members = ["chair"]
sees = ["*"]
"""
OWNERS = ("ada", "grace", "bob", "chair", "stray")


def run(owner: str | None, number: int, *tags: str, production: str | None = None) -> Record:
    system = {f"user:{owner}"} if owner else set()
    system |= {f"production:{production}"} if production else set()
    return Record(Pathspec(("F", str(number))), number, owner, frozenset(tags), frozenset(system))


def runs() -> list[Record]:
    made = [run(owner, number) for number, owner in enumerate(OWNERS, 1)]
    return [
        Record(Pathspec(("F",)), 1),
        *made,
        run("ada", 6, "user:bob", "spring", production="t"),
        run(None, 7),
    ]


@pytest.fixture
def client(tmp_path: Path):
    """Return a function that makes the client of a user, on these runs, with these teams."""
    directory = tmp_path

    def of(
        user: str | None, namespace: str = "everybody", text: str = TEAMS, **environment
    ) -> Client:
        (directory / "teams.toml").write_text(text, encoding="utf-8")
        names = {"USERNAME": user} if user else {}
        config = Config(
            {"MFC_TEAMS_FILE": "teams.toml"},
            {"METAFLOW_HOME": "/nowhere", **names, **environment},
            str(directory),
        )
        return Client(MemoryProvider(runs()), namespace=namespace, config=config)

    return of
