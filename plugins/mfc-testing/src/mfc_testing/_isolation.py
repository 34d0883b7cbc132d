"""Running a query elsewhere: in threads, in a forked child, in a fresh interpreter."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from mfc_testing._contract import ClauseBroken, ask, holds

_T = TypeVar("_T")
_ASKERS, _TIMES = 6, 4
#: Seconds that a forked child may take to answer.
_PATIENCE = 20.0
#: Heavy modules, which a plugin's module must import only in its hooks.
_HEAVY = frozenset(
    [
        "aiohttp",
        "asyncio",
        "azure",
        "boto3",
        "botocore",
        "fsspec",
        "google",
        "grpc",
        "httpx",
        "numpy",
        "pandas",
        "requests",
        "sqlalchemy",
        "torch",
        "urllib3",
    ]
)


def in_threads(given: str, question: Callable[[], _T]) -> None:
    """Run a query in several threads at once; each answer must equal that of a single thread.

    Raises:
        ClauseBroken: an answer differs, or a thread failed.
    """
    __tracebackhide__ = True
    expected = ask(given, question)
    answers: list[object] = []
    start = threading.Barrier(_ASKERS)

    def read() -> None:
        start.wait()
        for _ in range(_TIMES):
            try:
                answers.append(question())
            except Exception as error:  # noqa: BLE001, PERF203 - the error is the answer
                answers.append(error)

    threads = [threading.Thread(target=read) for _ in range(_ASKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        holds(answer == expected, f"{given}, from {_ASKERS} threads at once", expected, answer)


def side_by_side(read: Callable[..., bytes], wanted: list[tuple[str, int, int]]) -> None:
    """Run many reads at once, each in its own thread; each must give its usual result.

    Raises:
        ClauseBroken: a result differs.
    """
    __tracebackhide__ = True
    expected = {given: ask(f"cat_file{given}", partial(read, *given)) for given in wanted}
    start = threading.Barrier(len(wanted))
    answers: list[tuple[tuple[str, int, int], object]] = []

    def repeat(given: tuple[str, int, int]) -> None:
        start.wait()
        for _ in range(_TIMES):
            try:
                answers.append((given, read(*given)))
            except Exception as error:  # noqa: BLE001, PERF203 - the error is the answer
                answers.append((given, error))

    threads = [threading.Thread(target=repeat, args=(given,)) for given in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for given, answer in answers:
        case = f"cat_file{given}, besides {len(wanted) - 1} other reads"
        holds(answer == expected[given], case, expected[given], answer)


def needs_fork() -> None:
    """Skip where processes cannot fork."""
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot fork here")


def forked(question: Callable[[], object]) -> tuple[int, int]:
    """Run a query in a forked child; return its process and the pipe for `answered`."""
    end, start = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a provider must bear forks with threads
        child = os.fork()
    if child:
        os.close(start)
        return child, end
    try:
        os.close(end)
        try:
            answer: object = question()
        except Exception as error:  # noqa: BLE001 - the parent shows it
            answer = repr(error)
        with os.fdopen(start, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
    finally:
        os._exit(0)  # pytest must not continue in the child


def answered(child: tuple[int, int]) -> Any:
    """Return what a forked child answered; None if it died.

    Raises:
        ClauseBroken: the child hung.
    """
    __tracebackhide__ = True
    process, end = child
    parts: list[bytes] = []
    deadline = time.monotonic() + _PATIENCE
    with os.fdopen(end, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            if not (part := pipe.read(1 << 16)):
                os.waitpid(process, 0)
                answer = b"".join(parts)
                return pickle.loads(answer) if answer else None  # noqa: S301 - the kit's own child
            parts.append(part)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    hung = f"nothing within {_PATIENCE:.0f} s: does it wait for a lock that was held at the fork?"
    raise ClauseBroken("a question in a forked child", "an answer", hung)


def in_fork(given: str, question: Callable[[], object]) -> None:
    """Run a query in a forked child, then here again; both must answer as before.

    Raises:
        ClauseBroken: an answer differs.
    """
    __tracebackhide__ = True
    expected = ask(given, question)
    answer = answered(forked(question))
    holds(answer == expected, f"{given}, in a forked child", expected, answer)
    again = ask(given, question)
    holds(again == expected, f"{given}, in the parent of a forked child", expected, again)


def imports_lightly(module: str | None, most: int) -> None:
    """Import a plugin's module in a fresh interpreter, and check which modules that loads.

    Raises:
        ClauseBroken: a heavy module, or more than `most` modules, are loaded, or the import fails.
    """
    __tracebackhide__ = True
    if module is None:
        pytest.skip("the class gives no `module`")
    code = (
        "import sys, json, mfc.hookspecs; before = set(sys.modules); "
        f"import {module}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603 - the module's name is the author's own
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    given = f"import {module}, in a fresh interpreter"
    if done.returncode:
        raise ClauseBroken(given, "no error", done.stderr)
    added = json.loads(done.stdout.splitlines()[-1])
    heavy = sorted({name for name in added if name.split(".")[0] in _HEAVY})
    advice = "import heavy libraries inside the hooks"
    holds(not heavy, given, "nothing heavy comes with it", heavy, advice)
    expected = f"at most {most} modules come with it"
    holds(len(added) <= most, given, expected, f"{len(added)}: {', '.join(added)}", advice)


def _open_files() -> dict[str, str] | None:
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        found = {}
        for name in names:
            with contextlib.suppress(OSError):
                found[name] = os.readlink(f"{directory}/{name}")
        return found or dict.fromkeys(names, "a file")
    return None


@contextlib.contextmanager
def nothing_left_open(given: str) -> Iterator[None]:
    """Check that the block closes the files that it opens, once its own objects are gone.

    Raises:
        ClauseBroken: a file is still open, or only the garbage collector closed it.
    """
    gc.collect()
    before = _open_files()
    with warnings.catch_warnings(record=True) as caught, _unraisable_as_warnings():
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    left = [str(w.message) for w in caught if issubclass(w.category, ResourceWarning)]
    holds(not left, given, "no ResourceWarning", left, "close what the call opened: with …")
    after = _open_files()
    if before is not None and after is not None:
        opened = [after[name] for name in after.keys() - before.keys() if name not in before]
        opened = [name for name in opened if "/fd" not in name]
        holds(not opened, given, "no file or connection left open", opened)


def leaves_nothing_open(given: str, use: Callable[[], None]) -> None:
    """Check that `use` closes what it opens. A leak shows each time, a growing pool only once.

    Raises:
        ClauseBroken: a file is still open, or only the garbage collector closed it.
    """
    __tracebackhide__ = True
    for last in (False, False, True):
        try:
            with nothing_left_open(given):
                use()
        except ClauseBroken:  # noqa: PERF203 - up to three tries
            if last:
                raise
        else:
            return


@contextlib.contextmanager
def _unraisable_as_warnings() -> Iterator[None]:
    """Keep pytest from collecting ResourceWarnings as errors: the clause examines them itself."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


class WaitingChild:
    """A child process, forked in advance, that runs its query on demand."""

    def __init__(self, question: Callable[[], object]) -> None:
        self._told, self._tell = os.pipe()
        self._gone = False

        def when_told() -> object:
            os.close(self._tell)
            os.read(self._told, 1)
            return question()

        self._child = forked(when_told)
        os.close(self._told)

    def go(self, seconds: float) -> None:
        """Let the child run its query once, and wait for the answer up to this long."""
        if not self._gone:
            self._gone = True
            os.close(self._tell)
            select.select([self._child[1]], [], [], seconds)

    def answer(self) -> Any:
        """Return the child's answer; None if it died.

        Raises:
            ClauseBroken: the child hung.
        """
        __tracebackhide__ = True
        return answered(self._child)


@contextlib.contextmanager
def waiting_child(question: Callable[[], object]) -> Iterator[WaitingChild]:
    """Give a forked child that waits to run a query; its answer must be taken."""
    child = WaitingChild(question)
    try:
        yield child
    except BaseException:
        child.go(0)
        child.answer()
        raise
