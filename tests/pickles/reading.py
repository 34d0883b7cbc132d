"""Read the recorded values with the libraries of the interpreter that runs this, and compare.

    python reading.py [NAME ...]

Needs mfc-core; prints the differences, and ends with 1 if more than one value in a hundred differs.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from described import described

from mfc import Placeholder, unpickle
from mfc.errors import UndecodableArtifact, UntrustedValue

RECORDED = Path(__file__).parent / "recorded"


class Case(NamedTuple):
    """One pickle, and the description of its value."""

    writer: str
    name: str
    protocol: int
    pickled: bytes
    described: Any


def cases(names: list[str] | None = None) -> Iterator[Case]:
    """Yield the recorded pickles."""
    for path in sorted(RECORDED.glob("*.json.xz")):
        writer = path.name.partition(".")[0]
        if names and writer not in names:
            continue
        with lzma.open(path, "rt") as file:
            content = json.load(file)
        for value in content["values"]:
            for protocol, pickled in value["pickles"].items():
                yield Case(
                    writer, value["name"], int(protocol), bytes.fromhex(pickled), value["described"]
                )


def read(case: Case, trust: str) -> str:
    """Return `equal`, `refused` with a sentence that names the missing class, or the difference."""
    try:
        value = unpickle(case.pickled, trust=trust)  # type: ignore[arg-type]
    except UntrustedValue as error:
        return "refused" if "__main__" in str(error) else f"refused: {error}"
    except UndecodableArtifact as error:
        named = " installed: " in str(error) or "pip install" in str(error)
        return "version" if named else f"failed: {error}"
    if isinstance(value, Placeholder):
        return "placeholder" if value.advice else "placeholder without advice"
    return compared(case, value)


def compared(case: Case, value: object) -> str:
    """Return `equal`, or the difference of a value from the written one."""
    found = json.loads(json.dumps(described(value)))
    return "equal" if found == case.described else f"differs: {difference(case.described, found)}"


def difference(one: Any, other: Any) -> str:
    """Return the first place where two descriptions differ."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(difference(a, b) for a, b in zip(one, other) if a != b)  # noqa: B905
    return f"{str(one)[:120]} -> {str(other)[:120]}"


def plainly(case: Case) -> str:
    """Return the result of pickle itself for a case."""
    try:
        return compared(case, pickle.loads(case.pickled))
    except BaseException as error:
        return f"pickle: {type(error).__name__}: {error}"


def main() -> int:
    """Read everything, and print the differences."""
    warnings.simplefilter("ignore")
    counted: dict[str, Counter[str]] = {"safe": Counter(), "full": Counter()}
    worse = 0
    for case in cases(sys.argv[1:]):
        for trust, counts in counted.items():
            said = read(case, trust)
            kind = said.partition(":")[0]
            counts[kind] += 1
            if kind in {"differs", "failed"} or said.startswith("refused:"):
                print(trust, case.writer, case.name, case.protocol, said[:300])
            if trust == "full" and said != "equal" and plainly(case) == "equal":
                worse += 1
                print("WORSE", case.writer, case.name, case.protocol, said[:300])
    versions = {}
    for name in ("numpy", "pandas", "pyarrow", "pytz"):
        with contextlib.suppress(ImportError):
            versions[name] = __import__(name).__version__
    good = sum(counted["safe"][kind] for kind in ("equal", "version", "refused", "placeholder"))
    share = good / max(1, sum(counted["safe"].values()))
    print(
        sys.version.split()[0], versions, {trust: dict(counts) for trust, counts in counted.items()}
    )
    print(f"{share:.2%} at safe; worse than pickle at full: {worse}")
    return int(share < 0.99 or worse > 0)


if __name__ == "__main__":
    sys.exit(main())
