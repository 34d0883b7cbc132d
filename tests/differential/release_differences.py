"""Intended differences about results of old releases; the table is in `differences.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .canonical import Answer
from .comparison import Difference
from .expectations import fewer, found, not_raising, raised_name
from .released import RELEASES

ALL = tuple(f"released {release}" for release in RELEASES)
#: The graph is recorded since 2.4, and the place in a foreach since a 2.13 release.
_NUMBERS = {name: tuple(map(int, name.split()[1].split(".")[:2])) for name in ALL}
WITHOUT_GRAPH = tuple(name for name in ALL if _NUMBERS[name] < (2, 4))
WITHOUT_PLACE = tuple(name for name in ALL if (2, 4) <= _NUMBERS[name] < (2, 13))
#: Metaflow's answers for a missing log
NOTHING = ("", "\n", 0, {"iterator": []}, {"iterator": [{"tuple": [None, ""]}]})
#: walks with the same differences as results of any release
LIKE = ("objects", "aged objects", "attempts", "aged attempts", "logs", "aged logs")


def told(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether mfc has an answer where Metaflow lacks the graph; another test checks it."""
    return raised_name(metaflow) == "KeyError" and isinstance(mfc, dict) and "raises" not in mfc


def of_releases(table: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return the entries that hold for old results as for current ones, where they show."""
    return tuple(
        replace(entry, scenarios=ALL, certain=False)
        for entry in table
        if not set(LIKE).isdisjoint(entry.scenarios)
    )


RELEASE_DIFFERENCES = (
    *(
        Difference(
            WITHOUT_GRAPH,
            keys,
            "lineage of runs that recorded no graph is told by what their tasks did; Metaflow's is a KeyError",
            told,
        )
        for keys in ("*.parent_*", "*.child_*")
    ),
    *(
        Difference(
            WITHOUT_PLACE,
            keys,
            "a task in a foreach has the neighbours at its place; Metaflow gives all tasks of the step before",
            fewer,
        )
        for keys in ("*.parent_task*", "*.child_task*")
    ),
    Difference(
        ALL,
        "*/words.data",
        "an included file that moved with its tree is read where it is",
        not_raising("FileNotFoundError", "one\ntwo\nthree é\n"),
        certain=False,
    ),
    Difference(
        tuple(name for name in ALL if _NUMBERS[name] < (2, 4)),
        "Task(*<second BranchesFlow *attempt=0).metadata",
        "a clone has its attempt's metadata, although only its end is recorded",
        lambda metaflow, mfc: metaflow == [] and len(mfc) > 0,
        certain=False,
    ),
    Difference(
        tuple(name for name in ALL if _NUMBERS[name] < (2, 4)),
        "Task(*<second BranchesFlow *attempt=0).index",
        "a clone has its attempt's index",
        not_raising("", 0),
        certain=False,
    ),
    Difference(
        WITHOUT_GRAPH,
        "log of *.loglines(*",
        "loglines() reads the same log as stdout, also one of before mflog",
        lambda metaflow, mfc: metaflow in NOTHING and bool(mfc["iterator"]),
        certain=False,
    ),
    Difference(
        ALL,
        "log of *<second BranchesFlow*",
        "the log of a clone is its origin's; Metaflow looks in the clone's own folder",
        lambda metaflow, mfc: metaflow in NOTHING and bool(mfc),
        certain=False,
    ),
    *(
        Difference(
            ALL,
            f"*<second BranchesFlow*.{name}_task*",
            "a clone's place in foreaches is that of its origin; Metaflow finds no neighbours",
            found,
            certain=False,
        )
        for name in ("parent", "child")
    ),
)
