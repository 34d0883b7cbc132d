"""Failing backends of any kind: at the n-th file, connection, statement or report.

This thread is watched while it runs a query. At its n-th call to the system (an opened file, a
read, a listed directory, a socket, a statement of a database) the call fails as that system
makes it fail. The kit then checks the plugin's answer.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from mfc.errors import MetaflowException, MfcWarning, Unanswered
from mfc_testing._contract import ClauseBroken, same

_STATEMENTS = frozenset(
    ("execute", "executemany", "fetchone", "fetchmany", "fetchall", "commit", "connect")
)
_READS = frozenset(("read", "read1", "readinto", "readline", "readlines", "readall"))
_SOCKETS = frozenset(("connect", "recv", "recv_into", "send", "sendall"))
_OPENS = frozenset(map(id, (builtins.open, io.open, os.open, os.listdir, os.scandir)))
#: Functions with which Python itself reads files.
_OF_PYTHON = (
    "importlib",
    "zipimport",
    "linecache",
    "tokenize",
    "pkgutil",
    "encodings",
    "pathlib._",
)


class Broken:
    """Outcome of a block of `failing`."""

    #: Whether the call was reached, and how it failed.
    error: Exception | None = None


@contextlib.contextmanager
def failing(number: int) -> Iterator[Broken]:
    """Make the `number`-th call to a backend within the block fail, in this thread."""
    met, left = Broken(), number
    before = sys.getprofile()

    def watch(frame: Any, event: str, called: Any) -> None:
        nonlocal left
        if event != "c_call" or met.error is not None:
            return
        error = _failure(called)
        if error is None or str(frame.f_globals.get("__name__", "")).startswith(_OF_PYTHON):
            return
        left -= 1
        if left == 0:
            met.error = error
            raise error

    sys.setprofile(watch)
    try:
        yield met
    finally:
        sys.setprofile(before)


def _failure(called: Any) -> Exception | None:
    """Return the failure of a call to a system; None for other calls."""
    owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    if id(called) in _OPENS or (
        name in _READS and isinstance(owner, io.IOBase) and not _in_memory(owner)
    ):
        return OSError(errno.EIO, os.strerror(errno.EIO))
    if name in _SOCKETS and isinstance(owner, socket.socket) and not _within_process(owner):
        # Some clients ignore a reset while sending, and then wait for the answer.
        number = errno.ECONNRESET if name.startswith("recv") else errno.EHOSTUNREACH
        return OSError(number, os.strerror(number))
    if name in _STATEMENTS and owner is not None:
        module = owner.__name__ if isinstance(owner, type(sys)) else type(owner).__module__
        root = sys.modules.get(module.split(".")[0].lstrip("_"))
        kind = getattr(root, "OperationalError", None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind("disk I/O error")
    return None


def _within_process(connection: socket.socket) -> bool:
    """Tell a socket pair by which a thread wakes an event loop: no backend is behind it.

    asyncio ignores its failures, and would sleep for ever.
    """
    if connection.family != getattr(socket, "AF_UNIX", None):
        return False
    try:
        return not connection.getpeername()
    except OSError:  # not connected yet, as a pair always is
        return False


def _in_memory(file: io.IOBase) -> bool:
    inner: Any = file
    while inner is not None and not isinstance(inner, (io.BytesIO, io.StringIO)):
        inner = getattr(inner, "buffer", None) or getattr(inner, "raw", None)
    return inner is not None


class FailingMeter:
    """A `Meter` that fails at its n-th report, as a client's does when it gives up."""

    def __init__(self) -> None:
        self.left = 0
        self.failed = False

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count down.

        Raises:
            Unanswered: the count is reached.
        """
        del size, cache_hits
        if self.left and reads:
            self.left -= 1
            if self.left == 0:
                self.failed = True
                raise Unanswered("the kit's meter", "the backend is gone, in this test")


def at_every_call(
    given: str,
    question: Callable[[], object],
    errors: tuple[type[Exception], ...] = (MetaflowException,),
    *,
    never: type[Exception] | None = None,
    most: int = 40,
) -> None:
    """Repeat a query with the backend failing at its 1st, 2nd, … call; and again without failures.

    Args:
        given: the query, as text.
        question: runs the query.
        errors: errors that may be raised.
        never: errors that may not, although subclasses of those.
        most: most calls to fail.

    Raises:
        ClauseBroken: another error was raised; or a wrong answer came without a warning; or the
            next query is answered differently.
    """
    __tracebackhide__ = True
    expected = question()
    for number in range(1, most + 1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with failing(number) as met:
                answer = outcome(question)
        if met.error is None:
            return
        case = f"{given}, the backend failing at call {number} with {met.error!r}"
        judge(case, expected, answer, errors, caught)
        if never is not None and isinstance(answer, never):
            advice = f"{never.__name__} says that it is not there; that is not known"
            raise ClauseBroken(case, f"another error than {never.__name__}", _told(answer), advice)
        again = outcome(question)
        if not same(expected, again):
            raise ClauseBroken(f"{given}, asked again after {case}", expected, _told(again))


def judge(
    case: str,
    expected: object,
    answer: object,
    errors: tuple[type[Exception], ...],
    caught: list[warnings.WarningMessage],
) -> None:
    """Check that a failure was reported: by an error of the contract, or by a warning.

    Raises:
        ClauseBroken: the failure was swallowed.
    """
    __tracebackhide__ = True
    wanted = " or ".join(kind.__name__ for kind in errors)
    if isinstance(answer, Exception):
        if not isinstance(answer, errors):
            raise ClauseBroken(case, f"{wanted} raised", _told(answer)) from answer
        return
    told = any(issubclass(warning.category, MfcWarning) for warning in caught)
    if not told and not same(expected, answer):
        advice = "let no failure pass for an answer: nothing may be swallowed"
        raise ClauseBroken(case, f"{wanted} raised, or {expected}", answer, advice)


def outcome(question: Callable[[], object]) -> object:
    """Return the answer or the error, without references to failed objects."""
    try:
        return question()
    except Exception as error:  # noqa: BLE001 - the error is the answer
        link: BaseException | None = error
        while link is not None:
            traceback.clear_frames(link.__traceback__)
            link = link.__cause__ or link.__context__
        return error


def _told(answer: object) -> object:
    from mfc_testing._contract import raised

    return raised(answer) if isinstance(answer, Exception) else answer
