"""Record `sample.tgz`: run the flows with real Metaflow, pack the `.metaflow` tree they leave.

    MFC_METAFLOW_PYTHON=.venv-metaflow/bin/python python tests/sample/record.py

Metaflow's records contain absolute paths. So everything, including Metaflow's environment, runs in
a directory with a neutral name, and the archive is searched for text that should not be in it: the
checkout, the environment, the home directory, host and user name.
"""

from __future__ import annotations

import getpass
import gzip
import io
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ARCHIVE = HERE.parents[1] / "plugins/mfc-testing/src/mfc_testing/sample/sample.tgz"
#: Where the flows run; recorded as the datastore's root, so the name must not vary.
PLACE = Path("/tmp/mfc-sample")

RUNS = [
    ("ada", "train.py", ["--tag", "baseline"], True),
    ("grace", "train.py", ["--days", "4", "--dry_only", "True"], True),
    ("ada", "refresh.py", ["--patience", "60"], True),
    ("ada", "train.py", ["--tag", "nightly", "--tag", "model:bikes"], True),
    ("ada", "refresh.py", ["--tag", "nightly"], False),
]


def main() -> None:
    python = Path(os.environ["MFC_METAFLOW_PYTHON"])
    PLACE.mkdir()
    try:
        (PLACE / "env").symlink_to(python.parent.parent)
        shutil.copytree(HERE / "flows", PLACE / "flows")
        for user, script, options, successful in RUNS:
            run(user, script, options, successful=successful)
        pack(PLACE / "flows" / ".metaflow", ARCHIVE)
    finally:
        shutil.rmtree(PLACE)
    check(ARCHIVE, [str(python.parent.parent), str(HERE), str(Path.home()), socket.gethostname()])
    print(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size / 1000:.0f} kB")


def run(user: str, script: str, options: list[str], *, successful: bool) -> None:
    command = [str(PLACE / "env/bin" / "python"), script, "--no-pylint", "run", *options]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(PLACE),
        "USERNAME": user,
        "METAFLOW_DEFAULT_METADATA": "local",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    done = subprocess.run(
        command, cwd=PLACE / "flows", env=environment, capture_output=True, text=True, check=False
    )
    if (done.returncode == 0) != successful:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    print(f"{user}: {script} {' '.join(options)}")


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


def check(archive: Path, strangers: list[str]) -> None:
    """Search every file, including compressed ones, for traces of this machine."""
    if getpass.getuser() != "root":  # the word is part of every second path
        strangers = [*strangers, getpass.getuser()]
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            content = file.read() if file else b""
            if content.startswith(b"\x1f\x8b"):
                content += gzip.decompress(content)
            for stranger in strangers:
                if stranger.encode() in content or stranger in member.name:
                    raise SystemExit(f"{member.name} holds {stranger!r}")


if __name__ == "__main__":
    main()
