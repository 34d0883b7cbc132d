"""A coverage-guided fuzzer of loads below full trust; `make fuzz` runs it.

    python tests/fuzz/pickles.py [libfuzzer's arguments]

Every input is tried as a pickle, as a program of the grammar, or mixed into a recorded pickle. A
crash, an exception that is not mfc's, a load of more than 2 s of CPU time, one that needs more than
64 MB and 8 times its size beyond what the process ever had, or a process of more than 1 GB ends the
run.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "properties"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pickles"))
with atheris.instrument_imports(include=["mfc._pickle"]):
    import mfc._pickle._loads
    import mfc._pickle._numpy
    import mfc._pickle._pandas

from pickle_programs import program
from reading import cases

from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

LEVELS = (Trust.safe(), Trust.safe(), Trust.plain())
SECONDS = 2.0
#: Kilobytes that a load may take besides 8 times its size.
MEMORY = 64 * 1024
#: Small recorded pickles of one pandas, for mutations.
RECORDED = [case.pickled for case in cases(["python3_11_pandas3_1"]) if len(case.pickled) < 2000]
#: Without their frames, whose lengths a mutation would invalidate before it reaches anything else.
SEEDS = [seed[:2] + seed[11:] if seed[2:3] == b"\x95" else seed for seed in RECORDED]
warnings.simplefilter("ignore")


def peak() -> int:
    """Return the peak memory of this process in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one(data: bytes) -> None:
    """Load one input."""
    if not data:
        return
    mode, rest = data[0], data[1:]
    if mode % 4 == 0:
        blob = rest
    elif mode % 4 < 3 or len(rest) < 4:
        blob = program(rest)
    else:
        seed = bytearray(SEEDS[int.from_bytes(rest[:2], "little") % len(SEEDS)])
        for place, value in zip(rest[2::3], rest[3::3]):  # noqa: B905 - the last may be cut
            seed[(place * 7 + value * 13) % len(seed)] = value
        blob = bytes(seed)
    before, started = peak(), time.process_time()
    with contextlib.suppress(UntrustedValue, UndecodableArtifact):
        mfc._pickle._loads.loads(blob, LEVELS[mode % len(LEVELS)])
    if time.process_time() - started > SECONDS:
        raise TimeoutError(f"{time.process_time() - started:.1f} s: {blob!r}")
    if peak() - before > MEMORY + 8 * len(blob) // 1024:
        raise MemoryError(f"{peak() - before} KB: {blob!r}")


def main() -> None:
    """Fuzz until libFuzzer's limits are reached."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
