"""Let an old release of Metaflow run the flows beside this file, and pack what it recorded.

    python record.py PYTHON FOLDER

PYTHON has the release installed. Its runs are recorded below FOLDER/<release>, and packed into <release>.tar.xz beside
this file, with the moment at which each file was written. PROVENANCE.md says which releases were recorded with what.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

HERE = pathlib.Path(__file__).parent
#: what is run, one after the other: file, command, variables; the first run fails, and the second resumes it
COMMANDS = (
    ("branches.py", "run", {"FAIL": "1"}),
    ("branches.py", "resume", {}),
    ("keeper.py", "run", {}),
)
#: with the line ends of Windows in its midst
WORDS = b"one\ntwo\r\nthree \xc3\xa9\n"


def main(python: str, folder: pathlib.Path) -> None:
    """Record one release."""
    version = [python, "-c", "import metaflow; print(metaflow.__version__)"]
    release = subprocess.run(version, check=True, capture_output=True, text=True).stdout.strip()
    place = folder / release
    shutil.rmtree(place, ignore_errors=True)
    (place / ".metaflow").mkdir(parents=True)
    (place / "words.txt").write_bytes(WORDS)
    for file, command, variables in COMMANDS:
        shutil.copy(HERE / file, place)
        subprocess.run(
            [python, file, "--no-pylint", command, "--max-workers", "2"],
            cwd=place,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "USERNAME": "ada",
                "LANG": "C.UTF-8",
                **variables,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=not variables,
        )
    with tarfile.open(HERE / f"{release}.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(p for p in (place / ".metaflow").rglob("*") if p.is_file()):
            member = archive.gettarinfo(path, str(path.relative_to(place)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = path.stat().st_mtime_ns / 1e9  # type: ignore[assignment] # fractions fit
            with path.open("rb") as content:
                archive.addfile(member, content)
    sys.stdout.write(f"{release}\n")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
