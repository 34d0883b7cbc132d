"""A small history in memory: two flows, three runs, one foreach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mfc import Client
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider

#: SHA-1 of the pickles of True and False, protocol 4.
TRUE = "868436778cb011a1c6230bc12534683ab0b7f1c3"
FALSE = "2473d4676d5b2aba674167293142f8031ada401b"


def path(text: str) -> Pathspec:
    return Pathspec(tuple(text.split("/")))


def record(text: str, created: int, user: str | None = None, **tags: list[str]) -> Record:
    return Record(
        path(text),
        created,
        user,
        frozenset(tags.get("tags", ())),
        frozenset(tags.get("system_tags", ())),
    )


def artifact(text: str, created: int, sha: str, attempt: int = 0) -> ArtifactRecord:
    return ArtifactRecord(
        path(text),
        created,
        attempt=attempt,
        sha=sha,
        ds_type="local",
        location=":root:/nowhere",
        encoding="pickle-v4",
    )


def metadata(
    text: str, name: str, value: object, created: int, attempt: int | None = 0
) -> MetadataRecord:
    return MetadataRecord(path(text), name, value, name, created, attempt)


@pytest.fixture
def provider() -> MemoryProvider:
    records = [
        record("Train", 1_000),
        record("Score", 2_000),
        record("Train/1", 1_000, "ada", tags=["blue"], system_tags=["user:ada", "runtime:dev"]),
        record("Train/2", 3_000, "ada", tags=["red"], system_tags=["user:ada", "runtime:dev"]),
        record("Score/3", 2_000, "bob", system_tags=["user:bob"]),
        record("Train/2/_parameters", 3_000),
        record("Train/2/_parameters/0", 3_000),
        record("Train/2/start", 3_001),
        record("Train/2/start/1", 3_001),
        record("Train/2/end", 3_003),
        record("Train/2/end/2", 3_003),
        record("Train/1/start", 1_001),
        record("Train/1/start/1", 1_001),
    ]
    artifacts = [
        artifact("Train/2/end/2/_task_ok", 3_004, TRUE),
        artifact("Train/2/end/2/_success", 3_004, TRUE),
        artifact("Train/2/end/2/x", 3_004, FALSE),
        artifact("Train/1/start/1/_task_ok", 1_002, FALSE),
        artifact("Train/1/start/1/_success", 1_002, FALSE),
    ]
    marks = [
        metadata("Train/2/end/2", "attempt", "0", 3_003),
        metadata("Train/2/end/2", "attempt-done", "0", 3_004),
        metadata("Train/1/start/1", "attempt", "0", 1_001),
        metadata("Train/1/start/1", "attempt-done", "0", 1_002),
    ]
    return MemoryProvider(records, artifacts, marks)


@pytest.fixture
def client(provider: MemoryProvider) -> Client:
    return Client(provider, namespace=None)


class Site:
    """A directory in the form of an installation with distributions, beside mfc-local alone."""

    def __init__(self, directory: Path) -> None:
        self.packages, self.work = directory / "site", directory / "work"
        self.needed = directory / "needed"
        for made in (self.packages, self.work, self.needed):
            made.mkdir()
        for name in (
            "attr",
            "attrs",
            "filelock",
            "fsspec",
            "platformdirs",
            "pluggy",
            "mfc",
            "mfc_local",
        ):
            spec = find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            (self.needed / name).symlink_to(Path(spec.origin).parent)
        facts = Path(str(distribution("mfc-local")._path))  # type: ignore[attr-defined]
        (self.needed / facts.name).symlink_to(facts)

    def install(self, distribution: str, kinds: dict[str, str], version: str = "1.0") -> None:
        """Write the metadata of a distribution; `kinds` has its entry points."""
        folder = self.packages / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        facts = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (folder / "METADATA").write_text(facts)
        entries = "".join(f"{kind} = {value}\n" for kind, value in kinds.items())
        (folder / "entry_points.txt").write_text(f"[mfc]\n{entries}" if kinds else "")

    def module(self, name: str, source: str) -> None:
        """Write a module; `hookimpl`, which marks hooks, is already defined in it.

        Its class `Anything`, a list, passes for a filesystem.
        """
        text = f"{MODULE}{textwrap.dedent(source)}"
        (self.packages / f"{name}.py").write_text(text)

    def plugin(self, kind: str, source: str, version: str = "1.0") -> None:
        """Install distribution `mfc-KIND` with module `mfc_KIND`, which serves `kind`."""
        self.install(f"mfc-{kind}", {kind: f"mfc_{kind}"}, version)
        self.module(f"mfc_{kind}", source)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python in an empty directory, with these distributions and no settings but these."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("METAFLOW_", "MFC_"))
        }
        path = [str(self.packages), str(self.needed)]
        ours |= {"HOME": str(self.work), "METAFLOW_USER": "ada"}
        ours |= {"PYTHONPATH": os.pathsep.join(path)}
        return subprocess.run(
            [sys.executable, "-S", *arguments],  # without the packages installed for the tests
            cwd=self.work,
            env=ours | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def run(self, code: str, **environment: str) -> Any:
        """Return the output of `code`, which calls `show`; `said` gives the error of a call."""
        done = self.command("-c", PRELUDE + textwrap.dedent(code), **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


MODULE = """from mfc.hookspecs import hookimpl, hookspec
class Anything(list):
    cat_file = size = open = None
"""
PRELUDE = """
import json, sys, warnings
import mfc
from mfc import Client

def show(value):
    print(json.dumps(value))

def said(function):
    try:
        return function()
    except Exception as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        return [type(error).__name__, str(error), cause]

def infos(client):
    return {plugin.name: plugin for plugin in client.plugins()}

"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)
