"""Record `recorded/`: real Metaflow runs a flow whose arrays an extension writes as safetensors.

    MFC_METAFLOW_PYTHON=.venv-metaflow/bin/python python contrib/mfc-safetensors/tests/record.py

Metaflow's records contain absolute paths, so everything runs in a directory with a neutral name.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOW, ANSWERS = HERE / "recorded" / "weigh.py", HERE / "recorded" / "answers.py"
#: The distribution of the writer, as users would install it beside Metaflow.
EXTENSION = "metaflow-tensors"
#: Where the flow runs when the bundled recording is made; records name this directory.
PLACE = Path("/tmp/mfc-safetensors")


def record(place: Path, python: str) -> str:
    """Run the flow in `place`, which gets a `.metaflow`; return Metaflow's answers as JSON."""
    (place / "env").symlink_to(Path(python).parent.parent)
    shutil.copy(FLOW, place)
    install(HERE / "extension", place / "extension")
    python = str(place / "env" / "bin" / "python")
    run(place, python, FLOW.name, "--no-pylint", "run", "--run-id-file", "id")
    return run(place, python, str(ANSWERS), f"Weigh/{(place / 'id').read_text()}")


def install(extension: Path, target: Path) -> None:
    """Install the extension in the form of a distribution, whose name Metaflow notes.

    Source:
        Metaflow 2.19, `extension_support`, which requires the `top_level.txt` of setuptools.
    """
    shutil.copytree(extension, target, ignore=shutil.ignore_patterns("__pycache__"))
    files = [str(path.relative_to(target)) for path in target.rglob("*.py")]
    facts = target / f"{EXTENSION.replace('-', '_')}-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {EXTENSION}\nVersion: 0.1.0\n")
    (facts / "RECORD").write_text("".join(f"{file},,\n" for file in sorted(files)))
    (facts / "top_level.txt").write_text("metaflow_extensions\n")


def run(place: Path, *command: str) -> str:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(place),
        "USERNAME": "ada",
        "METAFLOW_DEFAULT_METADATA": "local",
        "PYTHONPATH": str(place / "extension"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def pack(tree: Path, archive: Path) -> None:
    """Write the tree's files in order, without an owner, readable for all users."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            if path.is_file() and not path.is_symlink():
                member = tar.gettarinfo(path, arcname=f".metaflow/{path.relative_to(tree)}")
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode, member.mtime = 0o644, int(member.mtime)
                with path.open("rb") as file:
                    tar.addfile(member, file)
    archive.write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))


def main() -> None:
    PLACE.mkdir()
    try:
        answers = record(PLACE, os.environ["MFC_METAFLOW_PYTHON"])
        pack(PLACE / ".metaflow", HERE / "recorded" / "weigh.tgz")
        (HERE / "recorded" / "weigh.json").write_text(answers, encoding="utf-8")
    finally:
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main()
