"""Runs the kit on faulty plugins, several at once: `python -m tests.kit.faulty.measure [names]`."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mfc_testing import (
    ArtifactDecoderTests,
    FilesystemTests,
    NamespacePolicyTests,
    ProviderTests,
    TriggerDecoderTests,
)
from mfc_testing._contract import ClauseBroken, ContractTests, clauses
from mfc_testing.decoder import equal_values

from . import files, fresh, operators, others, sql_faults, unusual
from .sql import Database, Sql

#: One faulty plugin: the class of the kit, and the function that makes its fixtures in a directory.
Case = tuple[type[ContractTests], Callable[[Path], dict[str, Callable[[], Any]]]]
#: Seconds that one plugin may take.
PATIENCE = 90
#: Clauses to run first, which find most, and slow ones to run last.
EARLY = ("siblings", "record", "query-", "values", "times-exact", "moving", "failures", "file-si")
LATE = ("random-histories", "retag-processes", "module-light")


class Quick(ProviderTests):
    patience = 0.05
    examples = 8


def database(kind: type[Sql]) -> Case:
    def fixtures(directory: Path) -> dict[str, Callable[[], Any]]:
        numbers, shared = itertools.count(), {}

        def make() -> Database:
            place = directory / str(next(numbers))
            place.mkdir()
            return Database(kind, place, shared)

        return {"new_backend": lambda: make}

    return Quick, fixtures


def stored(kind: type) -> Case:
    def fixtures(directory: Path) -> dict[str, Callable[[], Any]]:
        numbers, shared, objects = itertools.count(), {}, files.ObjectStore()

        def make() -> Any:
            if issubclass(kind, files.Bucket):
                return files.Buckets(kind, objects, shared, next(numbers))
            return files.Folders(kind, directory, shared, next(numbers))

        return {"new_store": lambda: make}

    return FilesystemTests, fixtures


def policy(kind: type) -> Case:
    return NamespacePolicyTests, lambda _: {
        "policy": kind,
        "visible": lambda: others.VISIBLE,
        "hidden": lambda: others.HIDDEN,
        "locked": lambda: others.LOCKED,
    }


def trigger(function: Callable[..., Any]) -> Case:
    return TriggerDecoderTests, lambda _: {
        "plugin": lambda: others.trigger(function),
        "samples": lambda: others.TRIGGERS_SAMPLES,
        "without": lambda: [{others.FIELD: "[]"}],
    }


def decoder(kind: type, wanted: Callable[[str], bool] | None = None) -> Case:
    def fixtures(_: Path) -> dict[str, Callable[[], Any]]:
        made, samples = kind(), getattr(kind, "SAMPLES", others.SAMPLES)
        damaged = getattr(kind, "DAMAGED", [blob[: len(blob) // 2] for blob, _ in samples])
        return {
            "plugin": lambda: others.decoding(made, wanted),
            "encoding": lambda: "kit-json",
            "samples": lambda: samples,
            "decoder": lambda: made,
            "info": dict,
            "unsafe": tuple,
            "damaged": lambda: damaged,
            "same": lambda: equal_values,
        }

    return ArtifactDecoderTests, fixtures


CASES: dict[str, Case] = {kind.__name__: database(kind) for kind in sql_faults.FAULTY}
CASES |= {kind.__name__: stored(kind) for kind in files.FAULTY}
CASES |= {f"policy {kind.__name__}": policy(kind) for kind in others.POLICIES}
CASES |= {f"trigger {name}": trigger(made) for name, made in others.TRIGGERS.items()}
CASES |= {f"decoder {kind.__name__}": decoder(kind) for kind in others.DECODERS}
CASES |= {
    f"decoder for {name}": decoder(others.Decoder, wanted) for name, wanted in others.CLAIMS.items()
}
CASES |= {f"fresh {kind.__name__}": database(kind) for kind in fresh.PROVIDERS}
CASES |= {f"fresh {kind.__name__}": stored(kind) for kind in fresh.FILES}
CASES |= {f"fresh {kind.__name__}": policy(kind) for kind in fresh.POLICIES}
CASES |= {f"fresh {name}": trigger(made) for name, made in fresh.TRIGGERS.items()}
CASES |= {f"fresh {kind.__name__}": decoder(kind) for kind in fresh.DECODERS}
CASES |= {f"made: {name}": database(make(Sql)) for name, make in operators.made().items()}
RIGHT: dict[str, Case] = {
    "policy": policy(others.Policy),
    "trigger": trigger(others.right_trigger),
    "decoder": decoder(others.Decoder),
    "decoder of files": decoder(others.FileDecoder),
    "Sql": database(Sql),
    "Bucket": stored(files.Bucket),
    "Folder": stored(files.Folder),
}
RIGHT |= {f"right {kind.__name__}": database(kind) for kind in unusual.PROVIDERS}
RIGHT |= {f"right {kind.__name__}": stored(kind) for kind in unusual.FILES}
RIGHT |= {f"right {kind.__name__}": policy(kind) for kind in unusual.POLICIES}
RIGHT |= {f"right {name}": trigger(made) for name, made in unusual.TRIGGERS.items()}
RIGHT |= {f"right {kind.__name__}": decoder(kind) for kind in unusual.DECODERS}


def broken(case: Case, *, everything: bool = False, only: str = "") -> Iterator[ClauseBroken]:
    """Yield the failures of a plugin: the first, or all; or those of one clause only."""
    tests, fixtures = case
    with tempfile.TemporaryDirectory(dir=_memory()) as directory:
        given = fixtures(Path(directory))
        found = sorted(clauses(tests).items(), key=_turn)
        for name, test in found:
            if only not in ("", name):
                continue
            wanted = [n for n in inspect.signature(test).parameters if n != "self"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    test(tests(), **{n: given[n]() for n in wanted})
                except pytest.skip.Exception:
                    continue
                except ClauseBroken as failure:
                    yield failure
                    if not everything:
                        return


def _turn(item: tuple[str, object]) -> tuple[bool, bool]:
    """Sort clauses: those that find much first, slow ones last."""
    name = item[0]
    return name in LATE, not name.startswith(EARLY)


def _hung(*_: object) -> None:
    raise TimeoutError


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def judged(name: str) -> tuple[str, str, float]:
    """Return the first clause that finds a plugin faulty."""
    began = time.monotonic()
    case = (CASES | RIGHT)[name]
    signal.signal(signal.SIGALRM, _hung)
    signal.alarm(PATIENCE if name in CASES else 4 * PATIENCE)
    found = None
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = next(broken(case, everything=False), None)
    except TimeoutError:
        return name, "(hangs)", time.monotonic() - began
    finally:
        signal.alarm(0)
    told = "" if found is None else found.clause
    if name in RIGHT and found is not None:
        told = str(found)
    return name, told, time.monotonic() - began


def main(names: list[str]) -> int:
    """Print the score and the survivors."""
    wanted = [n for n in (*RIGHT, *CASES) if not names or any(n.startswith(s) for s in names)]
    began, results = time.monotonic(), {}
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=20) as pool:
        for name, clause, seconds in pool.imap_unordered(judged, wanted):
            results[name] = clause
            print(f"{seconds:6.1f} s  {name}: {clause or 'nothing found'}", flush=True)
    faulty = [name for name in wanted if name in CASES]
    survivors = sorted(name for name in faulty if not results[name])
    failed = sorted(name for name in wanted if name in RIGHT and results[name])
    print(f"\n{len(faulty) - len(survivors)} of {len(faulty)} faulty plugins found", end=", ")
    print(f"{len(failed)} right ones failed, in {time.monotonic() - began:.0f} s")
    print("Survivors:", ", ".join(survivors) or "none")
    print("Right, but failed:", ", ".join(f"{n} ({results[n]})" for n in failed) or "none")
    return 1 if survivors or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
