"""Calls with a deadline, however slowly the other side sends: their sockets are shut down."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: Seconds before a deadline in which an answer is not expected any more.
_NEAR = 0.05

_current = threading.local()


class Call:
    """One request and its answer, from now until a deadline.

    As a context manager, it registers the connections of this thread with the watch.

    Args:
        seconds: until the deadline.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.expired = self.done = False
        #: Whether the connection was used before, and whether it answered this call.
        self.reused = self.answered = False
        self._connection: Any = None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the deadline is reached, or too near for an answer."""
        return self.expired or self.left < _NEAR

    @property
    def dropped(self) -> bool:
        """Whether an idle connection broke: it was reused, and brought nothing."""
        return self.reused and not self.answered and not self.over

    def __enter__(self) -> Call:
        _current.call = self
        _watch().add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.done = True
        self._connection = _current.call = None

    def uses(self, connection: Any) -> None:
        """Note the connection that the call waits for.

        Raises:
            TimeoutError: the deadline is over; the watch found no socket to shut down.
        """
        self._connection = connection
        if self.expired:
            raise TimeoutError("the deadline is over")

    def expire(self) -> None:
        """End the call if it still waits: its read from the socket fails."""
        connection = self._connection
        if self.done:
            return
        self.expired = True
        sock = getattr(connection, "sock", None)
        if sock is not None:
            # The thread that uses the socket may just have closed it; and TLS in TLS cannot be shut
            # down.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sock.shutdown(socket.SHUT_RDWR)


class _Watch:
    """The thread that ends calls at their deadlines; it sleeps until the earliest one."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._order = itertools.count()
        self._calls: list[tuple[float, int, Call]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="mfc-service-deadlines", daemon=True).start()

    def add(self, call: Call) -> None:
        with self._changed:
            earliest = not self._calls or call.deadline < self._calls[0][0]
            heapq.heappush(self._calls, (call.deadline, next(self._order), call))
            if earliest:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls:
                    self._changed.wait()
                deadline, _, call = self._calls[0]
                left = deadline - time.monotonic()
                if left > 0 and not call.done:
                    self._changed.wait(left)
                    continue
                heapq.heappop(self._calls)
            call.expire()


_lock = threading.Lock()
_known: _Watch | None = None


def _watch() -> _Watch:
    """Return the watch of this process; a forked child lacks the thread of its parent."""
    global _known  # noqa: PLW0603, one thread per process
    found = _known
    if found is None or found.pid != os.getpid():
        with _lock:
            if _known is None or _known.pid != os.getpid():
                _known = _Watch()
            found = _known
    return found


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603, another thread may have held it when the process was forked
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class _Watched:
    """Tells this thread's call which connection it waits for, and how old that is."""

    sock: Any
    _old = False

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        if call := _call():
            call.reused, call.answered = self._old and self.sock is not None, False
            call.uses(self)
        super().putrequest(*arguments, **options)  # type: ignore[misc]

    def connect(self) -> None:
        self._old = False
        call = _call()
        if call:
            call.uses(self)
        super().connect()  # type: ignore[misc]
        if call:
            call.uses(self)  # the socket exists only now

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self._old = True
        if call := _call():
            call.answered = True
        return response


def _call() -> Call | None:
    return getattr(_current, "call", None)


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _Timely:
    """Waits for a connection until the call's deadline at most."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        call = _call()
        seconds = timeout if call is None else max(call.left, 0)
        return super()._get_conn(seconds)  # type: ignore[misc]


class _HTTPPool(_Timely, HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(_Timely, HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


#: Connection pools whose calls can be ended, by scheme.
POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
