"""Turn measurements against a service into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.service.operations import Operation

_KIB = 1024


@dataclass(frozen=True)
class Cost:
    """Cost of an operation for one client.

    Attributes:
        up: bytes sent, headers included; `down` those received.
        walls: milliseconds, the median, by added latency.
        answer: hash of the answer.
    """

    requests: int
    up: int
    down: int
    walls: Mapping[int, float]
    answer: str


@dataclass(frozen=True)
class Row:
    """An operation and its cost for each client; a text gives the reason of a failure."""

    operation: Operation
    costs: Mapping[str, Cost | str]

    def cost(self, client: str) -> Cost | None:
        """Return the cost for a client, None if it is missing."""
        found = self.costs.get(client)
        return found if isinstance(found, Cost) else None

    def faults(self) -> list[str]:
        """Return the violations of limits, empty without any."""
        found = [f"{client}: {text}" for client, text in self.costs.items() if type(text) is str]
        metaflow, mfc = self.cost("metaflow"), self.cost("mfc")
        if mfc is None:
            return found
        operation = self.operation
        if mfc.requests > operation.allowed:
            found.append(f"{mfc.requests} requests, {operation.allowed} allowed")
        if operation.kilobytes is not None and mfc.down > operation.kilobytes * _KIB:
            found.append(f"{mfc.down / _KIB:.1f} KB down, {operation.kilobytes} allowed")
        if metaflow is None:
            return found
        if metaflow.answer != mfc.answer:
            found.append("the answers differ")
        for delay, limit in operation.walls:
            ratio = mfc.walls[delay] / metaflow.walls[delay] if delay in mfc.walls else 0
            if ratio > limit:
                found.append(
                    f"1/{1 / ratio:.0f} of Metaflow's time at {delay} ms, not 1/{1 / limit:.0f}"
                )
        return found


def table(rows: Sequence[Row], latencies: Sequence[int], *, markdown: bool = False) -> str:
    """Return the table, and below it the violations."""
    head = ["operation", "requests Metaflow", "mfc", "minimum", "KB down Metaflow", "mfc"]
    for delay in latencies:
        head += [f"ms Metaflow, +{delay} ms" if delay else "ms Metaflow", "mfc", "ratio"]
    lines = [head, *(_cells(row, latencies) for row in rows)]
    if markdown:
        lines.insert(1, ["---", *["--:"] * (len(head) - 1)])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    faults = [f"{row.operation.title}: {fault}" for row in rows for fault in row.faults()]
    return "\n".join([*shown, *(faults or ["every row is as it must be"])])


def _cells(row: Row, latencies: Sequence[int]) -> list[str]:
    metaflow, mfc, operation = row.cost("metaflow"), row.cost("mfc"), row.operation
    cells = [operation.title]
    cells += [f"{cost.requests:,}" if cost else "-" for cost in (metaflow, mfc)]
    more = "".join(f"+{number}" for number in (operation.exists, operation.loop) if number)
    cells.append(f"{operation.minimum:,}{more}")
    cells += [f"{cost.down / _KIB:,.1f}" if cost else "-" for cost in (metaflow, mfc)]
    for delay in latencies:
        times = [cost.walls.get(delay) if cost else None for cost in (metaflow, mfc)]
        cells += [f"{time:,.1f}" if time else "-" for time in times]
        before, after = times
        cells.append(f"1/{before / after:,.1f}" if before and after else "-")
    return cells
