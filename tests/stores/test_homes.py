"""The place of the cache: in the user's home, if there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

READS = """
import hashlib, pickle, sys, warnings
from mfc import Client
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider
import fsspec
blob = pickle.dumps("a value", protocol=4)
sha = hashlib.sha1(blob).hexdigest()
fsspec.filesystem("memory").pipe(f"/root/Train/data/{sha[:2]}/{sha}", blob)
path = Pathspec(("Train", "2", "end", "2", "x"))
above = [Record(Pathspec(path.components[:length]), 1) for length in range(1, 5)]
done = MetadataRecord(path.parent, "attempt-done", "0", "attempt-done", 2, 0)
record = ArtifactRecord(path, 1, attempt=0, sha=sha, ds_type="memory", location=":root:/root", encoding="pickle-v4")
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    client = Client(MemoryProvider(above, [record], [done]), namespace=None)
    for _ in range(3):
        print(client.task("Train/2/end/2")["x"].data)
    print(client.cache.info().directory)
print([str(one.message) for one in warned])
"""


def reads(folder: Path, prefix: str = "", **variables: str) -> list[str]:
    """Return the output of a process that reads a value and has a home only if it is given one."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    made = subprocess.run(
        [sys.executable, "-c", f"{prefix}{READS}"],
        env={**kept, "USER": "someone", **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.splitlines()


#: A user without an entry, as in a container with a numeric user.
NO_ENTRY = """
import pwd
def absent(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = absent
"""


def test_without_a_home_values_are_read_uncached(tmp_path: Path) -> None:
    *values, directory, warned = reads(tmp_path, NO_ENTRY)
    assert values == ["a value"] * 3
    assert directory == "None"
    assert warned == "['Nothing is cached: the user has no home: set HOME']"
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_begin_at_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    said = reads(tmp_path, HOME=str(home), METAFLOW_CLIENT_CACHE_PATH="~/x")
    assert said[-2:] == [f"{home}/x/mfc-blobs-1", "[]"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
