"""Metaflow writes to S3, Google Cloud Storage and Azure; mfc reads there the same as its client."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
from tests.differential.canonical import Answer
from tests.differential.comparison import Difference, compare
from tests.differential.differences import DIFFERENCES
from tests.differential.stores.clouds import CLOUDS
from tests.differential.stores.recorded import Recorded, done, record
from tests.servers import objects

#: prints the paths of a task's cards, and their content
CARDS = """
import hashlib, json, sys
from metaflow import Step, metadata, namespace
from metaflow.cards import get_cards
namespace(None)
metadata(sys.argv[1])
cards = get_cards(next(iter(Step(sys.argv[2]))))
print(json.dumps({card.path: hashlib.sha256(card.get().encode()).hexdigest() for card in cards}))
"""
#: prints the content of files in a datastore, by the plugin for its type
READ = """
import hashlib, json, sys
from mfc._plugins._asking import Plugins
from mfc._session._provider import Counter
from mfc.config import Config
files = Plugins((), Config()).filesystem(sys.argv[1], Counter())
found = {path: hashlib.sha256(files.cat_file(f"{sys.argv[2]}/{path}")) for path in sys.argv[3:]}
print(json.dumps({path: content.hexdigest() for path, content in found.items()}))
"""


@pytest.mark.parametrize("name", CLOUDS)
def test_mfc_reads_what_metaflow_reads(name: str, tmp_path: Path) -> None:
    """One test per cloud, because its server and its recording live as long as the test."""
    python = os.environ.get("MFC_METAFLOW_PYTHON")
    if not python:
        pytest.skip("MFC_METAFLOW_PYTHON names no interpreter with Metaflow; `make test` sets it")
    if name == "azure" and not objects.AZURITE.exists():
        pytest.skip(objects.NO_AZURITE)
    folders = [tmp_path / folder for folder in ("server", "results", "answers")]
    for folder in folders:
        folder.mkdir()
    with CLOUDS[name](folders[0]) as cloud:
        recorded = record(folders[1], cloud, python)
        mfc = compared(recorded, "objects", python, folders[2])
        # Values that are unreadable for both clients would be equal as well.
        values = {key.rpartition("/")[2]: answer for key, answer in mfc.items()}
        assert values["text.data"] == "naïve ☃"
        assert values["text_file.data"].startswith("first")
        assert len(values["all.data"]) == 2
        mfc = compared(recorded, "logs", python, folders[2])
        assert any("out of start ☃" in str(answer) for answer in mfc.values())
        assert cards_by_mfc(recorded, cards := cards_by_metaflow(recorded, python)) == cards
        assert cards


def compared(recorded: Recorded, questions: str, python: str, place: Path) -> dict[str, Answer]:
    """Ask both clients, fail where they differ, and return mfc's answers."""
    metaflow = recorded.answers("metaflow", python, questions, place)
    mfc = recorded.answers("mfc", sys.executable, questions, place)
    report = compare("stores", metaflow, mfc, meant(questions))
    if report.wrong:
        pytest.fail(str(report), pytrace=False)
    return mfc


def meant(questions: str) -> list[Difference]:
    """Return the known differences of local results; one flow does not show them all."""
    return [
        dataclasses.replace(
            entry,
            scenarios=("stores",),
            keys=entry.keys.replace("ResumableFlow", "StoredFlow"),
            certain=False,
        )
        for entry in DIFFERENCES
        if questions in entry.scenarios
    ]


def cards_by_metaflow(recorded: Recorded, python: str) -> dict[str, str]:
    told = (str(recorded.folder), f"StoredFlow/{recorded.runs['failed']}/start")
    shown = done(python, "-c", CARDS, *told, env=recorded.environment(), cwd=recorded.folder)
    found: dict[str, str] = json.loads(shown.splitlines()[-1])
    return found


def cards_by_mfc(recorded: Recorded, paths: dict[str, str]) -> dict[str, str]:
    cloud = recorded.cloud
    root = f"{cloud.root.removeprefix(f'{cloud.ds_type}://')}/mf.cards"
    told = ("-c", READ, cloud.ds_type, root, *paths)
    shown = done(sys.executable, *told, env=recorded.environment(), cwd=recorded.folder)
    found: dict[str, str] = json.loads(shown)
    return found
