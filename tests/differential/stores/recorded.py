"""Runs of the flow in a cloud, by real Metaflow, and the answers of both clients about them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.differential.canonical import Answer
from tests.differential.stores.clouds import Cloud

FLOW = Path(__file__).parent / "flows/stored.py"
TESTS = Path(__file__).parents[2]
#: seconds for one command
PATIENCE = 180


@dataclass(frozen=True)
class Recorded:
    """A folder with the metadata of runs whose datastore is in a cloud."""

    folder: Path
    cloud: Cloud
    #: ids of the runs by their labels
    runs: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        return environment(self.folder, self.cloud)

    def answers(self, client: str, python: str, questions: str, place: Path) -> dict[str, Answer]:
        """Return the answers of one client, in a process of its own; labels stand for ids."""
        out = place / f"{client}-{questions}.json"
        arguments = [client, str(self.folder), questions, str(out)]
        done(python, "-m", "differential.walk", *arguments, env=self.environment(), cwd=place)
        text = out.read_text()
        for label, run_id in self.runs.items():
            text = text.replace(run_id, f"<{label}>")
        found: dict[str, Answer] = json.loads(text)
        return found


def record(folder: Path, cloud: Cloud, python: str) -> Recorded:
    """Let Metaflow run the flow until it fails, and resume it."""
    (folder / ".metaflow").mkdir()
    runs: dict[str, str] = {}
    options = ("--no-pylint", "--quiet", "--datastore", cloud.ds_type)
    note = folder / "run-id"
    for label, verb, fails in (("failed", ("run", "--tag", "one"), True), ("resumed", (), False)):
        arguments = verb or ("resume", "--origin-run-id", runs["failed"])
        told = {"FLOW_FAILS": "1"} if fails else {}
        done(
            python,
            *(str(FLOW), *options, *arguments, "--run-id-file", str(note)),
            env={**environment(folder, cloud), **told},
            cwd=folder,
            fails=fails,
        )
        runs[label] = note.read_text().strip()
    return Recorded(folder, cloud, runs)


def environment(folder: Path, cloud: Cloud) -> dict[str, str]:
    """Return the variables of a process of either client."""
    kept = {
        n: v for n, v in os.environ.items() if n in ("PATH", "LANG", "TMPDIR") or n[:3] == "COV"
    }
    path = os.environ.get("MFC_METAFLOW_PYTHON", "")
    return {
        **kept,
        "PATH": os.pathsep.join((str(Path(path).parent.absolute()), kept.get("PATH", os.defpath))),
        "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", ""))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "USERNAME": "alice",
        "TZ": "XYZ-5:30",
        "METAFLOW_CLIENT_CACHE_PATH": str(folder / "cache"),
        "METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": "1",
        f"METAFLOW_DATASTORE_SYSROOT_{cloud.ds_type.upper()}": cloud.root,
        **cloud.environment,
    }


def done(*command: str, env: Mapping[str, str], cwd: Path, fails: bool = False) -> str:
    """Run a command to its end, and return its output."""
    result = subprocess.run(
        command,
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        errors="replace",
        check=False,
    )
    if (result.returncode != 0) != fails:
        shown = f"{result.stdout[-3000:]}{result.stderr[-3000:]}"
        raise RuntimeError(f"{command} ended with {result.returncode}\n{shown}")
    return result.stdout
