"""Turn figures into the table: ratios, targets, and whether they are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Figures, MeasurementFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.operations import Target

HEADINGS = (
    "operation",
    "Metaflow",
    "mfc",
    "floor",
    "mfc/Mf",
    "mfc/floor",
    "must reach",
    "reached",
    "peak MB Mf/mfc",
    "reads mfc/min",
)
#: Noise between two medians of the same work; it counts where a row must not exceed another row.
NOISE = 1.05
#: The same for peak memory.
MEMORY_NOISE = 1.02


@dataclass(frozen=True)
class Row:
    """One measured row.

    Attributes:
        columns: client → its figures, or the reason why they are missing.
        notes: facts that the columns do not show.
        faults: facts that make the row miss its target whatever its time.
    """

    name: str
    title: str
    target: Target
    columns: Mapping[str, Figures | MeasurementFailed]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def figures(self, client: str) -> Figures | None:
        """Return the figures of `client`, None when it was not measured or failed."""
        found = self.columns.get(client)
        return found if isinstance(found, Figures) else None

    def ratio(self, client: str) -> float | None:
        """Return the time of mfc as a multiple of `client`'s."""
        mfc, other = self.figures("mfc"), self.figures(client)
        return mfc.ms / other.ms if mfc and other else None

    def remarks(self) -> list[str]:
        """Return the remarks to the table: errors, different answers, memory."""
        failed = {
            client: error
            for client, error in self.columns.items()
            if isinstance(error, MeasurementFailed)
        }
        remarks = [
            *self.notes,
            *self.faults,
            *(f"{client}: {error}" for client, error in failed.items()),
        ]
        answers = {
            client: found.answer
            for client in self.columns
            if (found := self.figures(client)) and found.answer
        }
        if len(set(answers.values())) > 1:
            remarks.append(f"answers differ: {answers}")
        metaflow, mfc = self.figures("metaflow"), self.figures("mfc")
        if metaflow and mfc and mfc.peak_mb > metaflow.peak_mb * MEMORY_NOISE:
            remarks.append(
                f"peak memory {mfc.peak_mb:.0f} MB is more than Metaflow's {metaflow.peak_mb:.0f} MB"
            )
        counted = ((mfc and mfc.stats) or {}).get("reads")
        if mfc and mfc.answer and counted not in (None, mfc.reads):
            remarks.append(f"client.stats counts {counted:,} reads, {mfc.reads:,} were seen")
        return remarks

    def as_json(self) -> dict[str, Any]:
        """Return the row for a JSON file."""
        columns = {
            client: found.as_json() if isinstance(found, Figures) else {"error": str(found)}
            for client, found in self.columns.items()
        }
        head = {"name": self.name, "operation": self.title, "must_reach": self.target.text}
        return {**head, **columns, "remarks": self.remarks()}


def reached(row: Row, rows: Sequence[Row]) -> bool | None:
    """Tell whether mfc reaches the row's target; None when that is unknown."""
    mfc = row.figures("mfc")
    if not mfc:
        return None
    if row.target.floors is not None:
        ratio = row.ratio("floor")
        return None if ratio is None else ratio <= row.target.floors
    if row.target.row is not None:
        other = next((found.figures("mfc") for found in rows if found.name == row.target.row), None)
        return None if other is None else mfc.ms <= other.ms * NOISE
    return row.target.at_most is not None and mfc.ms <= row.target.at_most and not row.faults


def cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the texts of one line of the table."""
    metaflow, mfc, floor = (row.figures(client) for client in ("metaflow", "mfc", "floor"))
    verdict = {True: "yes", False: "NO", None: "?"}[reached(row, rows)]
    memory = "/".join(
        f"{found.peak_mb:.0f}" if found and found.peak_mb else "-" for found in (metaflow, mfc)
    )
    reads = "/".join(
        f"{found.reads:,}" if found and found.answer else "-" for found in (mfc, floor)
    )
    times = (f"{found.ms:,.1f}" if found else "-" for found in (metaflow, mfc, floor))
    ratios = (
        f"{ratio:.2f}" if (ratio := row.ratio(client)) else "-" for client in ("metaflow", "floor")
    )
    return (row.title, *times, *ratios, row.target.text, verdict, memory, reads)


def table(rows: Sequence[Row]) -> str:
    """Return the aligned table, and below it the remarks."""
    lines = [HEADINGS, *(cells(row, rows) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = {0, HEADINGS.index("must reach")}
    shown = [
        "  ".join(
            cell.ljust(width) if number in texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    remarks = [f"{row.name}: {remark}" for row in rows for remark in row.remarks()]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:], *remarks])
