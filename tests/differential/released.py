"""Trees that old releases of Metaflow recorded, as `releases/` keeps them: unpacked where they are asked about."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import operator
import pathlib
import tarfile
from collections.abc import Iterator

from .aged import ALIASES

FOLDER = pathlib.Path(__file__).parent / "releases"
#: the folder of the releases, as their records name it
RECORDED = "/recorded"
RELEASES = tuple(
    sorted(
        (path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz")),
        key=lambda release: [int(part) for part in release.split(".")],
    )
)


def unpacked(cache: pathlib.Path) -> pathlib.Path:
    """Return a folder with a folder for each release, as if it had been recorded there."""
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for release in RELEASES:
        digest.update((FOLDER / f"{release}.tar.xz").read_bytes())
    place = cache / digest.hexdigest()[:16]
    if not (place / "runs.json").exists():
        runs: dict[str, str] = {}
        for release in RELEASES:
            unpack(release, place / release)
            (place / release / ALIASES).write_text(json.dumps([f"{RECORDED}/{release}"]))
            runs.update(_labels(release, place / release / ".metaflow"))
        (place / "empty").mkdir()
        (place / "runs.json").write_text(json.dumps(runs))
    return place


@contextlib.contextmanager
def unpacking(cache: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give what `unpacked` returns, while nothing else unpacks there."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = unpacked(cache)
    yield place


def unpack(release: str, folder: pathlib.Path) -> None:
    """Unpack a tree into a folder; its records say that it was written there."""
    for name, content in files(release):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(moved(name, content, release, folder))


def moved(name: str, content: bytes, release: str, folder: pathlib.Path) -> bytes:
    """Return the content of a file as it is where the release wrote in another folder."""
    if not name.endswith(".json"):
        return content
    return content.replace(f"{RECORDED}/{release}".encode(), str(folder).encode())


def files(release: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the files of a tree in the order in which they were written."""
    found = []
    with tarfile.open(FOLDER / f"{release}.tar.xz") as archive:
        for member in archive:  # in its own order, for it is decompressed from the start to go back
            content = archive.extractfile(member)
            assert content is not None
            found.append((member.mtime, member.name, content.read()))
    for _, name, written in sorted(found, key=operator.itemgetter(0)):
        yield name, written


def _labels(release: str, root: pathlib.Path) -> dict[str, str]:
    """Return pathspecs of runs by labels; a flow's first run failed, and its second resumed it."""
    found = {}
    for flow in ("BranchesFlow", "KeeperFlow"):
        ids = sorted(path.name for path in (root / flow).iterdir() if path.name.isdecimal())
        for word, number in zip(("first", "second"), ids, strict=False):
            found[f"{word} {flow} {release}"] = f"{flow}/{number}"
    return found
