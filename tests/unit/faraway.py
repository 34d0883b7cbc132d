"""Results in a remote store: a filesystem that counts, may wait, and may hang."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from mfc import Client, hookspecs
from mfc.hookspecs import Support
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing import MemoryProvider
from mfc_testing.memory import IN_MEMORY

#: Capabilities of a remote service.
REMOTE = attrs.evolve(
    IN_MEMORY,
    remote=Support.FULL,
    tags=Support.FULL,
    limit=Support.FULL,
    names=Support.FULL,
    metadata=Support.FULL,
)
#: Seconds after which a waiting test has failed; tests need far less.
PATIENCE = 60

#: Settings without a cache.
OFF = {"MFC_CACHE": "0"}


#: Reads with which a loop begins, while its prefetch window is small.
_ALONE = 20


class FarAway:
    """Files behind a slow network that may hang."""

    def __init__(self, wait: float = 0.0, together: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.wait = wait
        #: Reads that have to be in flight at once before the later ones go on, however slow the
        #: machine is.
        self.together = together
        #: Reads so far: path, start, end.
        self.asked: list[tuple[str, int | None, int | None]] = []
        self.sizes: list[str] = []
        #: Paths whose reads hang until the test is over.
        self.hanging: set[str] = set()
        self.over = threading.Event()
        self.most = self._now = 0
        self._lock = threading.Condition()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        with self._lock:
            self.asked.append((path, start, end))
            self._now += 1
            self.most = max(self.most, self._now)
            self._lock.notify_all()
            if len(self.asked) > _ALONE:
                self._lock.wait_for(lambda: self.most >= self.together, 60)
        try:
            if path in self.hanging or "*" in self.hanging:
                self.over.wait()
            time.sleep(self.wait)
            if path not in self.files:
                raise FileNotFoundError(path)
            return self.files[path][start:end]
        finally:
            with self._lock:
                self._now -= 1

    def size(self, path: str) -> int:
        self.sizes.append(path)
        return len(self.files[path])

    def open(self, path: str, mode: str = "rb") -> Any:
        return io.BytesIO(self.files[path])

    def reads(self) -> int:
        return len(self.asked)


class Asked(MemoryProvider):
    """A provider that notes its calls."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.asked: list[tuple[str, str]] = []

    def get(self, path, attempt=None):
        self.asked.append(("get", str(path)))
        return super().get(path, attempt)

    def children(self, path, query):
        self.asked.append(("children", str(path)))
        return super().children(path, query)

    def metadata(self, path, names=None):
        self.asked.append(("metadata", str(path)))
        return super().metadata(path, names)

    def artifacts(self, path, names=None, attempt=None):
        self.asked.append(("artifacts", str(path)))
        return super().artifacts(path, names, attempt)


class Results:
    """Runs of flow F with values in a remote store, to be filled by a test."""

    def __init__(self, store: FarAway | None = None) -> None:
        self.store = store or FarAway()
        self.records: dict[Pathspec, Record] = {}
        self.artifacts: list[ArtifactRecord] = []
        self.metadata: list[MetadataRecord] = []
        self._time = 1000

    def task(self, text: str, **values: Any) -> Pathspec:
        """Add a task and its parents."""
        path = Pathspec(tuple(text.split("/")))
        above = [path]
        while len(above[-1].components) > 1:
            above.append(above[-1].parent)
        for each in reversed(above):
            self._time += 1
            self.records.setdefault(each, Record(each, self._time))
        for name, value in values.items():
            self.artifact(path, name, pickle.dumps(value, 4))
        done = MetadataRecord(path, "attempt-done", "0", "attempt-done", self._time, 0)
        self.metadata.append(done)
        return path

    def artifact(
        self, task: Pathspec, name: str, content: bytes, *, packed: bool = True, **given: Any
    ) -> str:
        """Store a value; return the path of its blob."""
        sha = hashlib.sha1(content).hexdigest()
        self._time += 1
        facts = {"ds_type": "far", "location": ":root:root", "encoding": "pickle-v4", **given}
        record = ArtifactRecord(task.child(name), self._time, attempt=0, sha=sha, **facts)
        self.artifacts.append(record)
        path = f"root/F/data/{sha[:2]}/{sha}"
        self.store.files[path] = gzip.compress(content, 1) if packed else content
        return path

    def provider(self, **options: Any) -> Asked:
        options = {"capabilities": REMOTE, **options}
        return Asked(self.records.values(), self.artifacts, self.metadata, **options)

    def client(self, provider: Any = None, **config: Any) -> Client:
        trust = config.pop("trust", "full")
        plugin = plugin_of(self.store)
        provider = provider or self.provider()
        return Client(provider, namespace=None, plugins=[plugin], config=config, trust=trust)


def plugin_of(store: Any, kind: str = "far") -> object:
    class Plugin:
        @staticmethod
        @hookspecs.hookimpl
        def mfc_filesystem(ds_type: str) -> Any:
            return store if ds_type == kind else None

    return Plugin


def step_of(number: int, value: Callable[[int], Any] = lambda i: i, **store: Any) -> Results:
    """Return results with a step of that many tasks, each with artifacts `x` and `y`."""
    results = Results(FarAway(**store))
    for i in range(number):
        results.task(f"F/1/fit/{i}", x=value(i), y=-i)
    return results


PRELUDE = f"""
import os, sys, time
sys.path.insert(0, {os.path.dirname(__file__)!r})
from faraway import *
from mfc import load
"""


def process(code: str, **options: Any) -> subprocess.Popen[str]:
    """Start another interpreter with access to these modules."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def output(code: str, **options: Any) -> str:
    """Return the output of another interpreter."""
    with process(code, **options) as child:
        try:
            out, err = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    assert child.returncode == 0, err
    return out.strip()


def questions(provider: Asked, since: int = 0) -> Counter[str]:
    """Return the number of calls of a provider, by method."""
    return Counter(question for question, _ in provider.asked[since:])
