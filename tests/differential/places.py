"""Places to read: recorded directories, or services on a database.

A root has a name (`main`, `tagged`, …), and an address that a client's `metadata()` takes.
"""

from __future__ import annotations

import itertools
import pathlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.servers.metadata import Hub

from .services import ROOTS, database


@dataclass(frozen=True, eq=False)
class Directories:
    """Recorded `.metaflow` directories."""

    #: the folder of recordings
    place: pathlib.Path
    kind: str = "directories"

    @property
    def prefix(self) -> str:
        """The beginning of each root's address."""
        return f"{self.place}/"

    def at(self, root: str) -> str:
        """Return the address of a root."""
        return str(self.place / root)

    def copied(self, root: str, folder: str) -> str:
        """Return the address of a copy of a root, which may be changed."""
        target = pathlib.Path(folder, "copy")
        shutil.copytree(self.place / root, target)
        return str(target.resolve())


@dataclass(frozen=True, eq=False)
class Services:
    """Services, one for each root, with the recorded rows in databases of one kind."""

    place: pathlib.Path
    #: `sqlite` or `postgresql`
    kind: str
    hub: Hub
    #: returns the URL of a new database with the rows of a file
    filled: Callable[[pathlib.Path], str]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def prefix(self) -> str:
        """The beginning of each root's address."""
        return f"http://127.0.0.1:{self.hub.port}/{self.kind}-"

    def __post_init__(self) -> None:
        """Serve every root, because a client may go from one to another."""
        for root in ROOTS:
            self._serve(root, root)

    def at(self, root: str) -> str:
        """Return the address of a root."""
        return f"{self.prefix}{root}"

    def copied(self, root: str, _: str) -> str:
        """Return the address of a copy of a root, which may be changed."""
        return self._serve(root, f"copy{next(self._numbers)}")

    def _serve(self, root: str, name: str) -> str:
        url, _ = self.hub.serve(f"{self.kind}-{name}", self.filled(database(self.place, root)))
        return url
