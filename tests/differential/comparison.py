"""Compare the answers of two clients, and show the differences."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from .canonical import Answer

#: tells whether mfc's answer is the intended one, given Metaflow's
Expected: TypeAlias = Callable[[Answer, Answer], bool]

ABSENT = {"not asked": True}
#: the key under which a walk reports that an exception ended it
ENDED = "the walk ended early"
#: differences shown in full before the rest is only counted
SHOWN = 40
WIDTH = 320


@dataclass(frozen=True)
class Difference:
    """An intended difference: the reason, and mfc's answer."""

    #: names of the scenarios in which it shows; it has to show in each
    scenarios: tuple[str, ...]
    #: pattern of the keys concerned, as in `fnmatch`; write `[` as `[[]`
    keys: str
    reason: str
    expected: Expected
    #: whether each recording shows it; False where it depends on chance, such as two log lines in
    #: one microsecond
    certain: bool = True


@dataclass
class Report:
    """The outcome of one scenario."""

    wrong: list[str] = field(default_factory=list)
    #: entries of the table that matched no difference
    idle: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        """Return one line per difference, then the idle entries of the table."""
        lines = [f"{len(self.wrong)} answers differ from Metaflow's", *self.wrong[:SHOWN]]
        if len(self.wrong) > SHOWN:
            lines.append(f"… and {len(self.wrong) - SHOWN} more")
        lines += [
            f"listed as a difference, but not seen: {entry.keys} ({entry.reason})"
            for entry in self.idle
        ]
        return "\n".join(lines)


def same(metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether both answers are the same to a caller.

    An exception of mfc may be of a more special class than Metaflow's. Its text is its own: callers
    catch classes.
    """
    if isinstance(metaflow, dict) and isinstance(mfc, dict):
        if "raises" in metaflow and "raises" in mfc:
            rest = [name for name in metaflow if name not in ("raises", "classes", "text")]
            kin = metaflow["raises"] in mfc["classes"]
            return kin and all(same(metaflow[name], mfc.get(name, ABSENT)) for name in rest)
        return list(metaflow) == list(mfc) and all(
            same(metaflow[name], mfc[name]) for name in metaflow
        )
    if isinstance(metaflow, list) and isinstance(mfc, list):
        return len(metaflow) == len(mfc) and all(map(same, metaflow, mfc))
    return type(metaflow) is type(mfc) and bool(metaflow == mfc)


def holds(entry: Difference, metaflow: Answer, mfc: Answer) -> bool:
    """Tell whether a difference is as `entry` says; answers of different kinds never are."""
    try:
        return entry.expected(metaflow, mfc)
    except (AttributeError, IndexError, KeyError, TypeError):
        return False


def compare(
    scenario: str, metaflow: dict[str, Answer], mfc: dict[str, Answer], table: Iterable[Difference]
) -> Report:
    """Compare all answers of one scenario, less the intended differences."""
    report = Report()
    entries = [entry for entry in table if scenario in entry.scenarios]
    seen: set[Difference] = set()
    if not same(metaflow.get(ENDED, ABSENT), mfc.get(ENDED, ABSENT)):
        report.wrong.append(_line(ENDED, metaflow.get(ENDED, ABSENT), mfc.get(ENDED, ABSENT), []))
        return report
    for key in [*metaflow, *(key for key in mfc if key not in metaflow)]:
        theirs, ours = metaflow.get(key, ABSENT), mfc.get(key, ABSENT)
        if same(theirs, ours):
            continue
        matching = [entry for entry in entries if fnmatch.fnmatchcase(key, entry.keys)]
        holding = [entry for entry in matching if holds(entry, theirs, ours)]
        seen.update(holding)
        if not holding:
            report.wrong.append(_line(key, theirs, ours, matching))
    report.idle = [entry for entry in entries if entry not in seen and entry.certain]
    return report


def _line(key: str, metaflow: Answer, mfc: Answer, entries: list[Difference]) -> str:
    why = f"   meant to differ otherwise: {entries[0].reason}\n" if entries else ""
    theirs, ours = _excerpts(_written(metaflow), _written(mfc))
    return f"{key}\n   metaflow: {theirs}\n   mfc:      {ours}\n{why}"


def _written(answer: Answer) -> str:
    if isinstance(answer, dict) and "classes" in answer:
        answer = {name: value for name, value in answer.items() if name != "classes"}
    return json.dumps(answer, ensure_ascii=False)


def _excerpts(first: str, second: str) -> tuple[str, str]:
    """Return both texts, cut to where they begin to differ."""
    at = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    start = max(0, at - WIDTH // 4)
    mark = "…" if start else ""
    return mark + first[start : start + WIDTH], mark + second[start : start + WIDTH]
