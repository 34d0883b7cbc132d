"""A small tree of results as Metaflow writes it, and arbitrary content for its files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mfc import Client

RUN, OTHER = "F/1700000000000000", "F/1700000001000000"
MOMENT = 1_700_000_000_000
GRAPH = {
    "steps": {
        "start": {"type": "split-foreach", "next": ["body"], "matching_join": "join"},
        "body": {"type": "linear", "next": ["join"]},
        "join": {"type": "join", "next": ["choose"]},
        "choose": {"type": "split-switch", "next": ["choose", "end"]},
        "end": {"type": "end", "next": []},
    },
    "start_step": "start",
    "end_step": "end",
}


class Hostile:
    """A directory of results: run `RUN` with all that a run can have, and `OTHER` beside it."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / ".metaflow"

    @classmethod
    def written(cls, home: Path) -> Hostile:
        """Write the tree."""
        tree = cls(home)
        tree._object("F")
        for run in (RUN, OTHER):
            tree._object(run, user_name="ada", tags=["a"], system_tags=["user:ada", "runtime:dev"])
            steps = ["_parameters", "start", "body", "join", "choose", "end"]
            for number, step in enumerate(steps):
                if run == OTHER and step in ("join", "choose"):
                    continue
                tree._object(f"{run}/{step}")
                for task in (number, number + 10) if step == "body" else (number,):
                    tree._task(f"{run}/{step}/{task}", step, task)
        tree.metadata(f"{RUN}/_parameters/0", "end_step", "end")
        tree.metadata(f"{RUN}/body/2", "origin-run-id", OTHER.partition("/")[2])
        tree.metadata(f"{RUN}/body/2", "origin-task-id", "2")
        events = [{"name": "e", "id": f"{OTHER}/end/5", "timestamp": 5, "type": "run"}]
        tree.metadata(f"{RUN}/start/1", "execution-triggers", json.dumps(events))
        tree._package(f"{RUN}/start/1")
        return tree

    def _object(self, path: str, **fields: Any) -> None:
        file = self.root / path / "_meta/_self.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"flow_id": "F", "ts_epoch": MOMENT, **fields}))

    def _task(self, path: str, step: str, number: int) -> None:
        self._object(path)
        depth = {"body": f"start:{number // 10}"}.get(step)
        noted = {"attempt": "0", "attempt-done": "0", "ds-type": "local", "ds-root": str(self.root)}
        for name, value in noted.items():
            self.metadata(path, name, value)
        if depth:
            self.metadata(path, "foreach-execution-path", depth)
        values = {"_task_ok": True, "_success": step != "join", "_exception": None, "x": {"a": [1]}}
        values |= {"_graph_info": GRAPH, "_foreach_stack": [], "_iteration_stack": [0]}
        values |= {"_transition": (["end"], None)}
        info = {}
        for name, value in values.items():
            blob = self.artifact(path, name, value)
            info[name] = {"size": len(blob), "type": str(type(value)), "encoding": "pickle-v4"}
        self.file(path, "0.attempt.json").write_text('{"time": 1}')
        self.file(path, "0.data.json").write_text(json.dumps({"objects": {}, "info": info}))
        self.file(path, "0.runtime").write_text('{"return_code": 1}')
        line = "[MFLOG|0|2026-01-01T00:00:00.000000Z|task|1]hello\n"
        self.file(path, "0.task_stdout.log").write_text(line)

    def _package(self, task: str) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            info = {"script": "flow.py", "environment_type": "conda"}
            members = {"INFO": json.dumps(info), "flow.py": "", "conda.manifest": "{}"}
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content.encode()))
        key = self.blob(buffer.getvalue(), packed=False)
        location = f"{self.root}/F/data/{key[:2]}/{key}"
        package = {"location": location, "ds_type": "local", "sha": key}
        self.metadata(task, "code-package", json.dumps(package))
        self.metadata(task, "conda_env_prefix", "a/b/c")

    def file(self, path: str, name: str) -> Path:
        """Return a file beside a task."""
        return self.root / path / name

    def metadata(self, task: str, name: str, value: Any) -> Path:
        """Write a metadata field with any value."""
        fields = {"field_name": name, "value": value, "type": name, "ts_epoch": MOMENT}
        file = self.root / task / f"_meta/sysmeta_{name}_{MOMENT}.json"
        file.write_text(json.dumps({**fields, "tags": ["attempt_id:0"]}))
        return file

    def artifact(self, task: str, name: str, value: Any, **fields: Any) -> bytes:
        """Write an artifact and its record; return the bytes of its value."""
        blob = value if isinstance(value, bytes) else pickle.dumps(value, protocol=4)
        made = {
            "name": name,
            "attempt_id": 0,
            "sha": self.blob(blob),
            "ds_type": "local",
            "location": f":root:{self.root}",
            "content_type": "pickle-v4",
            "ts_epoch": MOMENT,
            **fields,
        }
        (self.root / task / f"_meta/0_artifact_{name}.json").write_text(json.dumps(made))
        return blob

    def blob(self, content: bytes, *, packed: bool = True) -> str:
        """Store some content, and return its key."""
        key = hashlib.sha1(content).hexdigest()
        file = self.root / "F/data" / key[:2] / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content, 1) if packed else content)
        return key

    def copy(self, home: str) -> Hostile:
        """Return a copy elsewhere, which refers to itself."""
        shutil.copytree(self.root, Path(home) / ".metaflow")
        return Hostile(Path(home))

    def client(self, **options: Any) -> Client:
        """Return a new client; at its trust, content of the store runs no code."""
        return Client(f"local@{self.home}", **{"namespace": None, "trust": "safe", **options})


#: Names and texts that cause trouble somewhere.
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "", ".", "..", "../../../..", "/etc/passwd", "None", "0", "5", "²", "٣", "-1", "1e999",
            "9" * 30, "x" * 300, "a/b", "\0", "\ud800", "a:b,c:d", ":,:", "user:ada", "attempt_id:²",
            "local", "spin", "s3", "nope", "pickle-v4", "null", "[]", "{}", "[[]]", '{"a": 1}',
            "start", "end", "body", "join", "1700000000000000", ":root:", ":root:/", "local://",
            "[" * 900 + "]" * 900, "[" * 100_000,
            '{"location": "/F/data/ab/cd", "ds_type": "local", "sha": "x"}',
            '{"ds_type": "local", "location": "a/b/c/d/e/f", "attempt": 1e999}',
        ]
    ),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**30), 1e308, 2**63, -1, 5e18, 253402300800000, float("inf")]),
)
#: Names of fields and keys that mfc reads.
KEYS = st.sampled_from(
    [
        "steps", "next", "type", "start_step", "end_step", "matching_join", "info", "size", "ts_epoch",
        "tags", "system_tags", "value", "sha", "location", "ds_type", "content_type", "attempt_id",
        "field_name", "user_name", "return_code", "serializer_info", "source", "encoding", "url",
        "is_text", "sub-type", "x", "_success", "start", "end", "body", "join", "id", "name", "timestamp",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(KEYS, st.text(max_size=3)), inner, max_size=4),
    ),
    max_leaves=8,
)
#: Bytes that are not JSON, or JSON beyond every limit.
BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"", b"{", b"[" * 200_000, b'{"a":' * 100_000, b"9" * 9_000, b"\xff\xfe", b"\xef\xbb\xbf{}",
            b'{"value": ' + b"[" * 400 + b"]" * 400 + b', "field_name": "x", "ts_epoch": 1}',
            b'{"ts_epoch": Infinity}', b'{"ts_epoch": NaN}', b'{"ts_epoch": 1e400}', b"null", b"\0" * 70_000,
            b"\x1f\x8b", gzip.compress(b"\0" * 10_000_000, 9), gzip.compress(b"x")[:-4],
            gzip.compress(b"x")[:-4] + b"\xff" * 4,
        ]
    ),
)  # fmt: skip
#: Values in pickles that a safe load builds.
VALUES = st.one_of(
    JSON,
    st.binary(max_size=5),
    st.sets(st.integers(), max_size=2),
    st.tuples(JSON, JSON),
    st.builds(
        lambda steps, rest: {**GRAPH, "steps": {**GRAPH["steps"], **steps}, **rest},
        st.dictionaries(
            st.one_of(st.sampled_from(sorted(GRAPH["steps"])), TEXTS),
            st.one_of(JSON, st.dictionaries(KEYS, st.one_of(JSON, st.lists(TEXTS, max_size=3)))),
            max_size=3,
        ),
        st.dictionaries(st.sampled_from(["start_step", "end_step"]), JSON, max_size=2),
    ),
)
