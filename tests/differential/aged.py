"""Roots that are not recorded but made of recorded ones.

Today's Metaflow no longer writes some things that its client still reads: logs before mflog, locations that name
the blob, old encodings, code packages of the first format, metadata without an attempt. They are made here by
rewriting a recorded root, each as the versions of Metaflow wrote it that the functions name. The same holds for a
root that was moved, for one in a folder whose name is a glob pattern, and for folders with settings.

Source: Metaflow 2.19's client and datastore, which keep the code that reads these forms.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import pickle
import shutil
import tarfile
from collections.abc import Iterator

#: where the moved root says that it is, and where nothing is
GONE = "/nowhere/recorded"
GLOB = "glob[1]*"
#: a file beside `.metaflow` with the texts that stand for this root in what was recorded
ALIASES = "root_aliases.json"


def make_other_roots(folder: pathlib.Path, runs: dict[str, str]) -> None:
    """Make every root that is made of others."""
    _age(folder / "aged", runs)
    _move(folder / "main", folder / "moved")
    shutil.copytree(folder / "tagged", folder / GLOB)
    (folder / GLOB / ALIASES).write_text(json.dumps([str(folder / "tagged")]))
    shutil.copytree(folder / "tagged", folder / "configured")
    (folder / "configured" / ALIASES).write_text(json.dumps([str(folder / "tagged")]))
    (folder / "configured" / ".metaflow" / "config.json").write_text(
        json.dumps({"METAFLOW_USER": "bob"})
    )
    (folder / "configured" / "deep").mkdir()
    (folder / "home").mkdir()
    profile = {"METAFLOW_USER": "bob", "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "tagged")}
    (folder / "home" / "config_tried.json").write_text(json.dumps(profile))
    (folder / "empty" / "deep").mkdir(parents=True)
    (folder / "main" / "deep" / "er").mkdir(parents=True)


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a root, and let every record say that it was written somewhere that is gone."""
    shutil.copytree(source, target)
    for path in target.rglob("*.json"):
        text = path.read_text()
        if str(source) in text:
            path.write_text(text.replace(str(source), GONE))
    (target / ALIASES).write_text(json.dumps([GONE, str(source)]))


def _age(root: pathlib.Path, runs: dict[str, str]) -> None:
    store = root / ".metaflow"
    _old_locations(store, store / runs["aged"])
    _old_encodings(store, store / runs["aged"] / "start")
    _old_metadata(store / runs["aged"] / "middle")
    _old_logs(store, store / runs["aged"])
    _old_package(store, store / runs["aged_package"])
    _awkward_logs(store / runs["aged_logs"] / "many")
    _one_artifact(store / runs["aged_logs"] / "end")
    _no_datastore(store / runs["aged_logs"] / "start")
    _only_begun(store / runs["aged_package"])


def _records(folder: pathlib.Path, pattern: str) -> Iterator[tuple[pathlib.Path, dict[str, str]]]:
    for path in sorted(folder.rglob(pattern)):
        yield path, json.loads(path.read_text())


def _old_locations(store: pathlib.Path, run: pathlib.Path) -> None:
    """Name the blob instead of the root, as before Metaflow 2.2.10."""
    for path, record in _records(run, "*_artifact_*.json"):
        sha = record["sha"]
        path.write_text(
            json.dumps(
                {**record, "location": str(store / run.parent.name / "data" / sha[:2] / sha)}
            )
        )


def _old_encodings(store: pathlib.Path, step: pathlib.Path) -> None:
    """Write one artifact in protocol 2 and one without an encoding, as Metaflow under Python 2 did."""
    for name, encoding in (
        ("doubled", "gzip+pickle-v2"),
        ("value", None),
        ("name", "gzip+pickle-v4"),
    ):
        for path, record in _records(step, f"*_artifact_{name}.json"):
            flow = store / step.parent.parent.name
            value = pickle.loads(
                gzip.decompress((flow / "data" / record["sha"][:2] / record["sha"]).read_bytes())
            )
            blob = pickle.dumps(value, protocol=4 if encoding == "gzip+pickle-v4" else 2)
            sha = _store(flow, gzip.compress(blob), hashlib.sha1(blob).hexdigest(), raw=False)
            location = str(flow / "data" / sha[:2] / sha)
            path.write_text(
                json.dumps(
                    {
                        **record,
                        "sha": sha,
                        "location": location,
                        "content_type": encoding or record["content_type"],
                    }
                )
            )


def _store(flow: pathlib.Path, content: bytes, sha: str, *, raw: bool) -> str:
    path = flow / "data" / sha[:2] / sha
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    pathlib.Path(f"{path}_meta").write_text(json.dumps({"cas_raw": raw, "cas_version": 1}))
    return sha


def _old_metadata(step: pathlib.Path) -> None:
    """Take the attempt out of the metadata's tags, as before Metaflow 2.4, and write ids as numbers."""
    for path, record in _records(step, "sysmeta_*.json"):
        path.write_text(json.dumps({**record, "tags": []}))
    for path, record in _records(step, "_self.json"):
        numbers = {
            name: int(record[name])
            for name in ("run_number", "task_id")
            if str(record.get(name)).isdigit()
        }
        path.write_text(json.dumps({**record, **numbers}))


def _old_logs(store: pathlib.Path, run: pathlib.Path) -> None:
    """Keep logs as plain text whose place is in the metadata, as before Metaflow 2.2.9."""
    task = next(path for path in (run / "start").iterdir() if path.name != "_meta")
    parts = task.relative_to(store).parts
    for stream in ("stdout", "stderr"):
        location = store.joinpath(*parts, f"0.{stream}.log")
        location.write_bytes(f"legacy {stream} é\r\nlast line".encode())
        value = {"ds_type": "local", "location": str(location), "attempt": 0}
        path, record = next(_records(task, "sysmeta_ds-root_*.json"))
        field = f"log_location_{stream}"
        old = {**record, "field_name": field, "type": "log_location", "value": json.dumps(value)}
        path.with_name(f"sysmeta_{field}_{record['ts_epoch']}.json").write_text(json.dumps(old))


def _old_package(store: pathlib.Path, run: pathlib.Path) -> None:
    """Pack the code in the first format, as before Metaflow 2.16."""
    info = {
        "script": "old.py",
        "environment_type": "local",
        "metaflow_version": "2.10.0",
        "username": "alice",
    }
    members = {
        "INFO": json.dumps(info),
        "CONFIG": "{}",
        "old.py": "# an old flow\n",
        "metaflow/__init__.py": "",
        "part/code.py": "A = 1\n",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    content = buffer.getvalue()
    flow = store / run.parent.name
    sha = _store(flow, content, hashlib.sha1(content).hexdigest(), raw=True)
    value = {"location": str(flow / "data" / sha[:2] / sha), "ds_type": "local", "sha": sha}
    for path, record in _records(run, "sysmeta_code-package_*.json"):
        path.write_text(json.dumps({**record, "value": json.dumps(value)}))


def _one_artifact(step: pathlib.Path) -> None:
    """Leave one artifact only, as a task without parameters and internal artifacts would have."""
    for path in step.rglob("*_artifact_*.json"):
        if not path.name.endswith("_artifact_name.json"):
            path.unlink()


def _no_datastore(step: pathlib.Path) -> None:
    """Take away where the datastore is, as for a task that ended before it said so."""
    for path in step.rglob("sysmeta_ds-*.json"):
        path.unlink()


def _only_begun(run: pathlib.Path) -> None:
    """Make two runs of an orchestrator: one that has no step yet, and one with a step that has no task."""
    record = json.loads((run / "_meta" / "_self.json").read_text())
    for name, step in (("argo-empty", ""), ("argo-begun", "only")):
        made = {**record, "run_number": name, "ts_epoch": record["ts_epoch"] + len(name)}
        folder = run.parent / name
        (folder / "_meta").mkdir(parents=True)
        (folder / "_meta" / "_self.json").write_text(json.dumps(made))
        if step:
            (folder / step / "_meta").mkdir(parents=True)
            (folder / step / "_meta" / "_self.json").write_text(
                json.dumps({**made, "step_name": step})
            )


def _awkward_logs(step: pathlib.Path) -> None:
    """Write logs of two sources with equal stamps, with lines that do not parse, and with a clock that steps back."""

    def line(stamp: str, source: str, text: str, number: int, mark: str = "") -> str:
        return f"{mark}[MFLOG|0|2024-01-01T00:00:{stamp}Z|{source}|{9 - number}]{text}\n"

    task = next(path for path in step.iterdir() if path.name != "_meta")
    stamps = (
        ("01.000000", "first"),
        ("01.000000", "second"),
        ("01.000000", "third"),
        ("03.000000", "later"),
        ("02.000000", "clock back"),
    )
    lines = [line(stamp, "runtime", text, number) for number, (stamp, text) in enumerate(stamps)]
    lines[2:2] = [
        "a line without header\n",
        "[MFLOG|0|2024-01-01T00:00:01Z|runtime|1]stamp without fraction\n",
    ]
    (task / "0.runtime_stdout.log").write_text("".join(lines))
    remote = [
        line("01.500000", "task", "from the task", 1),
        line("02.500000", "task", "to be kept", 2, mark="[!"),
    ]
    (task / "0.task_stdout.log").write_text("".join(remote))
