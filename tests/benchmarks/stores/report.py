"""Turn measurements at an object store into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.stores.operations import TITLES, Limits

_MB = 1_000_000
#: Digits to which ratios are shown.
_HEAD = ("values", "client", "requests", "MB down", "peak MB")
_PER_DELAY = ("s", "CPU s", "wall of Metaflow's", "CPU of Metaflow's", "wall of obstore's")


@dataclass(frozen=True)
class Cost:
    """Cost of reading values for one client.

    Attributes:
        down: bytes received, headers included.
        peak_mb: peak memory of the process, imports included.
        walls: milliseconds, medians, by added latency; `cpus` the time of processors, children's
            included.
        answer: hash of the answer.
    """

    requests: int
    down: int
    peak_mb: float
    walls: Mapping[int, float]
    cpus: Mapping[int, float]
    answer: str = ""


@dataclass(frozen=True)
class Row:
    """Values, and the cost of reading them in each column; a text gives the reason of a failure."""

    title: str
    costs: Mapping[str, Cost | str]
    limits: Limits

    def cost(self, column: str) -> Cost | None:
        """Return the cost of a column, None if it was not measured."""
        found = self.costs.get(column)
        return found if isinstance(found, Cost) else None

    def ratio(self, column: str, other: str, delay: int, kind: str = "walls") -> float | None:
        """Return a column's time as a part of another's, None if one is missing."""
        times = [getattr(cost, kind).get(delay) for cost in map(self.cost, (column, other)) if cost]
        return times[0] / times[1] if len(times) > 1 and all(times) else None

    def faults(self, delays: Sequence[int]) -> list[str]:
        """Return the violations of limits, empty without any."""
        failed = [
            f"{TITLES[name]}: {text}" for name, text in self.costs.items() if type(text) is str
        ]
        if len({found.answer for found in self.costs.values() if isinstance(found, Cost)}) > 1:
            failed.append("the answers differ")
        wanted = (
            ("metaflow", "walls", self.limits.wall, "Metaflow's time"),
            ("metaflow", "cpus", self.limits.cpu, "Metaflow's processor time"),
            ("bare", "walls", self.limits.bare, "obstore's time"),
        )
        for delay in delays:
            for other, kind, limit, name in wanted:
                ratio = self.ratio("load", other, delay, kind)
                if limit is not None and ratio is not None and ratio > limit:
                    failed.append(f"{_part(ratio)} of {name} at {delay} ms, not {_part(limit)}")
        return [f"{self.title}: {text}" for text in failed]


@dataclass(frozen=True)
class Single:
    """One figure, and its limit."""

    title: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def text(self) -> str:
        """The figure, and whether it keeps its limit."""
        must = ""
        if self.limit is not None:
            right = "as it must be" if self.value <= self.limit else "NOT as it must be"
            must = f", {right} (at most {self.limit:g})"
        return f"{self.title}: {self.value:.1f} {self.unit}{must}"


def table(rows: Sequence[Row], delays: Sequence[int], *, markdown: bool = False) -> str:
    """Return the table, and below it the violations."""
    head = [*_HEAD, *(f"{text}, +{delay} ms" for delay in delays for text in _PER_DELAY)]
    lines = [
        head,
        *(_cells(row, name, delays) for row in rows for name in TITLES if row.cost(name)),
    ]
    if markdown:
        lines.insert(1, ["---", "---", *["--:"] * (len(head) - 2)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            cell.rjust(width) if number > 1 else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    faults = [fault for row in rows for fault in row.faults(delays)]
    return "\n".join([*shown, *(faults or ["every row is as it must be"])])


def _cells(row: Row, column: str, delays: Sequence[int]) -> list[str]:
    cost = row.cost(column)
    assert cost
    cells = [row.title, TITLES[column], f"{cost.requests:,}", f"{cost.down / _MB:,.1f}"]
    cells.append(f"{cost.peak_mb:,.0f}")
    for delay in delays:
        cells += [_seconds(times.get(delay)) for times in (cost.walls, cost.cpus)]
        ratios = (
            row.ratio(column, "metaflow", delay),
            row.ratio(column, "metaflow", delay, "cpus"),
            row.ratio(column, "bare", delay),
        )
        cells += [_part(ratio) if ratio else "-" for ratio in ratios]
    return cells


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:,.2f}"


def _part(ratio: float) -> str:
    return f"1/{1 / ratio:.1f}" if ratio < 1 else f"{ratio:.2f}"
