"""Record `answers.json`: real Metaflow's answers about the sample.

    .venv-metaflow/bin/python tests/sample/answer.py

Runs under Metaflow's interpreter, so nothing of mfc is imported: the questions are loaded by path.
Values that Metaflow's client cannot load without the flow's own code are left out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2] / "plugins/mfc-testing/src/mfc_testing/sample"


def main() -> None:
    spec = importlib.util.spec_from_file_location("questions", HERE / "_questions.py")
    questions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(questions)
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(HERE / "sample.tgz") as tar:
            tar.extractall(directory, filter="data")
        os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = directory
        # Records name the original root; Metaflow looks only there.
        place = Path("/tmp/mfc-sample/flows")
        place.mkdir(parents=True)
        (place / ".metaflow").symlink_to(f"{directory}/.metaflow")
        try:
            answers = asked(questions)
        finally:
            (place / ".metaflow").unlink()
            place.rmdir()
            place.parent.rmdir()
    import metaflow

    provenance = {
        "metaflow": metaflow.__version__,
        "python": platform.python_version(),
        "by": "tests/sample/answer.py",
        "of": "sample.tgz",
    }
    made = {"provenance": provenance, "answers": answers}
    (HERE / "answers.json").write_text(json.dumps(made, indent=0, ensure_ascii=False) + "\n")
    print({kind: len(found) for kind, found in answers.items()})


def asked(questions):
    import metaflow

    metaflow.namespace(None)
    metaflow.metadata("local")
    answers = {kind: questions.answers(metaflow, kind) for kind in ("object", "data", "log")}
    unloaded = [
        key
        for key, value in answers["data"].items()
        if isinstance(value, dict) and "raises" in value
    ]
    for key in unloaded:
        print("left out:", key, answers["data"].pop(key))
    return answers


if __name__ == "__main__":
    main()
