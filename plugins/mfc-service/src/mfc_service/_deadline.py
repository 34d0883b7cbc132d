"""Calls that end in time, however slowly the other side sends: their sockets are shut down."""

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

_current = threading.local()


class Call:
    """One request and its answer, from now to a deadline.

    As a context, it makes connections of this thread known to the watch.

    Args:
        seconds: until the deadline.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.expired = self.done = False
        self._connection: Any = None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def __enter__(self) -> Call:
        _current.call = self
        _watch().add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.done = True
        self._connection = _current.call = None

    def uses(self, connection: Any) -> None:
        """Note the connection that the call waits for."""
        self._connection = connection

    def expire(self) -> None:
        """End the call if it still waits: who reads from its socket gets an error."""
        connection = self._connection
        if self.done:
            return
        self.expired = True
        sock = getattr(connection, "sock", None)
        if sock is not None:
            # It may have been closed a moment ago, by the thread that uses it.
            with contextlib.suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)


class _Watch:
    """The thread that ends calls; it sleeps until the earliest deadline."""

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
    """Return the watch of this process; a forked child has no thread of its parent's."""
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
    """Tells the call of this thread which connection it waits for."""

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        _noted(self)
        super().putrequest(*arguments, **options)  # type: ignore[misc]

    def connect(self) -> None:
        _noted(self)
        super().connect()  # type: ignore[misc]


def _noted(connection: object) -> None:
    call: Call | None = getattr(_current, "call", None)
    if call is not None:
        call.uses(connection)


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


#: Connection pools whose calls can be ended, by scheme.
POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
