"""A directory of results, written file by file as Metaflow writes them."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from mfc import Client

MOMENT = 1_700_000_000_000


class Tree:
    """Writes the files of a `.metaflow` directory.

    Source:
        Metaflow 2.19, layout of the local metadata provider and datastore.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / ".metaflow"
        self.root.mkdir()

    def meta(self, path: str) -> Path:
        directory = self.root / path / "_meta"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def object(self, path: str, created: int = MOMENT, **fields: Any) -> None:
        names = ("flow_id", "run_number", "step_name", "task_id")
        made = {**dict(zip(names, path.split("/"), strict=False)), "ts_epoch": created, **fields}
        (self.meta(path) / "_self.json").write_text(json.dumps(made))

    def run(
        self,
        run_id: str | int,
        created: int | None = None,
        tags: tuple[str, ...] = (),
        user: str = "ada",
    ) -> str:
        if not (self.root / "F/_meta/_self.json").exists():
            self.object("F")
        path = f"F/{run_id}"
        created = int(run_id) // 1000 + 3 if created is None else created
        system = [f"user:{user}", "runtime:dev"]
        self.object(path, created, user_name=user, tags=list(tags), system_tags=system)
        return path

    def task(self, run: str, step: str = "start", task: str = "1", created: int = MOMENT) -> str:
        self.object(f"{run}/{step}", created)
        self.object(f"{run}/{step}/{task}", created)
        return f"{run}/{step}/{task}"

    def metadata(
        self, task: str, name: str, value: Any, created: int = MOMENT, attempt: int | None = 0
    ) -> Path:
        tags = [] if attempt is None else [f"attempt_id:{attempt}"]
        fields = {
            "field_name": name,
            "value": value,
            "type": name,
            "tags": tags,
            "ts_epoch": created,
        }
        file = self.meta(task) / f"sysmeta_{name}_{created}.json"
        file.write_text(json.dumps(fields))
        return file

    def artifact(self, task: str, name: str, value: Any, attempt: int = 0, **fields: Any) -> Path:
        blob = value if isinstance(value, bytes) else pickle.dumps(value, protocol=4)
        key = hashlib.sha1(blob).hexdigest()
        path = self.root / "F/data" / key[:2] / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(blob, 3))
        made = {
            "name": name,
            "attempt_id": attempt,
            "sha": key,
            "ds_type": "local",
            "location": f":root:{self.root}",
            "content_type": "pickle-v4",
            "ts_epoch": MOMENT,
            **fields,
        }
        (self.meta(task) / f"{attempt}_artifact_{name}.json").write_text(json.dumps(made))
        return path

    def finish(
        self, task: str, attempt: int = 0, *, ok: bool = True, created: int = MOMENT
    ) -> None:
        self.metadata(task, "attempt", str(attempt), created, attempt)
        self.metadata(task, "attempt-done", str(attempt), created + 1, attempt)
        for name in ("_task_ok", "_success"):
            self.artifact(task, name, ok, attempt)

    def client(self, **options: Any) -> Client:
        return Client(f"local@{self.home}", namespace=None, **options)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)
