"""Print the cost of finding plugins beside many unrelated distributions, and beside listing them once.

    python -m tests.benchmarks.discovery [--distributions 300] [--repeat 15]

Milliseconds inside fresh processes; the questions take turns, with and without the unrelated
distributions.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

CHECKOUT = Path(__file__).resolve().parents[2]
#: The same modules are loaded in each case, because the garbage collector's work grows with them.
READY = "from mfc import Client; import mfc_local._provider, mfc._plugins._asking"
#: Question → code that prepares it, code inside the clock.
QUESTIONS = {
    "list once": (
        f"import importlib.metadata; {READY}",
        "importlib.metadata.entry_points(group='mfc')",
    ),
    "first provider": (f"import importlib.metadata; {READY}", "Client('local@.')"),
    "second client": (f"{READY}; Client('local@.')", "Client('local@.')"),
    "import mfc": ("pass", "import mfc"),
}
CLOCK = """
import time
{before}
start = time.perf_counter()
{timed}
print((time.perf_counter() - start) * 1000)
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n" + "A long description. " * 200
ENTRY_POINTS = "[console_scripts]\n{name} = {name}:main\n\n[pytest11]\n{name} = {name}.plugin\n"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.discovery")
    parser.add_argument("--distributions", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    times: dict[tuple[str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        crowd, work = Path(directory, "crowd"), Path(directory, "work")
        (work / ".metaflow").mkdir(parents=True)
        install(crowd, options.distributions)
        for turn in range(options.repeat + 1):
            for question in QUESTIONS:
                for crowded in (False, True):
                    found = milliseconds(question, work, crowd if crowded else None)
                    if turn:
                        times.setdefault((question, crowded), []).append(found)
    sys.stdout.write(table(times, options.distributions))
    return 0


def install(directory: Path, distributions: int) -> None:
    """Write the metadata of unrelated distributions, with entry points in other groups."""
    for number in range(distributions):
        name = f"unrelated_{number}"
        folder = directory / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(METADATA.format(name=name))
        (folder / "entry_points.txt").write_text(ENTRY_POINTS.format(name=name))


def milliseconds(question: str, work: Path, crowd: Path | None) -> float:
    """Return what a question takes in a fresh process, its preparation not counted."""
    before, timed = QUESTIONS[question]
    path = [str(crowd)] if crowd else []
    path += [os.path.abspath(entry) for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", CLOCK.format(before=before, timed=timed)],
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(work), "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def table(times: dict[tuple[str, bool], list[float]], distributions: int) -> str:
    """Return medians and the fastest samples, which have less noise; each case is compared with listing."""
    shown = []
    for name, pick in (("median", median), ("fastest", min)):
        found = {key: pick(values) for key, values in times.items()}
        more = {question: found[question, True] - found[question, False] for question in QUESTIONS}
        shown.append(
            f"{name:16}{'without':>10}{f'with {distributions}':>10}{'more':>10}{'of listing':>12}\n"
        )
        shown += [
            f"{question:16}{found[question, False]:8.1f}ms{found[question, True]:8.1f}ms"
            f"{more[question]:8.1f}ms{more[question] / more['list once']:11.2f}x\n"
            for question in QUESTIONS
        ]
    return "".join(shown)


if __name__ == "__main__":
    sys.exit(main())
