"""The rows of the table: the values, the way in which each client reads them, and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.benchmarks.stores.data import BUCKET, FLOW, RUN

#: Columns: the client that the worker makes, and the column's title.
CLIENTS = {"metaflow": "metaflow", "load": "mfc", "loop": "mfc", "bare": "floor"}
TITLES = {
    "metaflow": "Metaflow",
    "load": "mfc, load",
    "loop": "mfc, loop",
    "bare": "obstore, 32 threads",
}
#: Placeholder for the directory of the data in statements.
DIRECTORY = "DIRECTORY"

_LOAD, _LOOP = "list(load(step, 'x'))", "[task.data.x for task in step]"
_HASHES = "[hashlib.sha1(value).hexdigest() for value in result]"


@dataclass(frozen=True)
class Limits:
    """Limits for `load`, as parts of another client's cost; None without a limit."""

    wall: float | None = None
    cpu: float | None = None
    bare: float | None = None


@dataclass(frozen=True)
class Operation:
    """One kind of values.

    Attributes:
        name: short, for `--rows`.
        step: the step with the values.
        statements: by column.
        setup: before the clock, of Metaflow and mfc.
        answer: an expression of `result` whose value must be the same from all.
        warm: whether it is read a second time, with the cache that the first time filled.
        settings: environment of the clients.
    """

    name: str
    title: str
    step: str
    statements: Mapping[str, str]
    limits: Limits = field(default_factory=Limits)
    setup: str = ""
    answer: str = "result"
    warm: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def setup_of(self, column: str) -> str:
        """Return the setup of a column, which runs before the clock."""
        if column == "bare":
            return "import hashlib\nfrom stores import bare"
        return f"import hashlib\nstep = Step('{FLOW}/{RUN}/{self.step}')\n{self.setup}"


def _statements(step: str) -> dict[str, str]:
    bare = f"bare.values('{DIRECTORY}/{step}.keys', '{BUCKET}')"
    return {"metaflow": _LOOP, "load": _LOAD, "loop": _LOOP, "bare": bare}


_SMALL = _statements("small")
_LISTED = {"load": "list(load(artifacts))", "loop": "[a.data for a in artifacts]"}
_LISTED["bare"] = _SMALL["bare"]
_LIST = "artifacts = list(step.artifacts('x'))"

OPERATIONS: tuple[Operation, ...] = (
    Operation("small", "5,000 of 300 B", "small", _SMALL, Limits(wall=1 / 8, cpu=1 / 8)),
    Operation(
        "listed", "5,000 of 300 B, listed before", "small", _LISTED, Limits(bare=1.5), setup=_LIST
    ),
    Operation(
        "uncached",
        "the same, MFC_CACHE=0",
        "small",
        _LISTED,
        setup=_LIST,
        settings={"MFC_CACHE": "0"},
    ),
    Operation("medium", "200 of 1 MB", "medium", _statements("medium"), answer=_HASHES),
    Operation(
        "large", "1 of 200 MB", "large", _statements("large"), Limits(wall=1 / 2), answer=_HASHES
    ),
    Operation(
        "warm",
        "5,000 of 300 B, cached",
        "small",
        {column: _SMALL[column] for column in ("metaflow", "load", "loop")},
        Limits(wall=1 / 3),
        warm=True,
    ),
)
