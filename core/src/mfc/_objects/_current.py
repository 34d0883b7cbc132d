"""The current client: of the innermost `with client:`, else one per process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from mfc._concurrency._forks import fork_safe
from mfc._session._reader import CURRENT, Reader
from mfc.errors import BadArgument

if TYPE_CHECKING:
    from mfc._concurrency._calls import Limits

_lock = fork_safe(threading.Lock())
_default: list[Reader] = []


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - it may be held by a thread that does not exist in the child
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


class HasReader:
    """Base of `Client`: keeps the reader private, so that only public names show in completion."""

    _reader: Reader


def chosen_client(client: object) -> Reader:
    """Return the reader of argument `client`, or of the current client if that is None.

    Raises:
        BadArgument: `client` is not a client.
    """
    if client is None:
        return current_client()
    if not isinstance(client, HasReader):
        raise BadArgument.of("client", client, "a mfc.Client, or None for the current one")
    return client._reader


def current_client() -> Reader:
    """Return the reader of the innermost `with client:`, else that of the process."""
    clients = CURRENT.get()
    if clients:
        return clients[-1]
    with _lock:
        if not _default:
            _default.append(Reader())
        return _default[0]


def limits() -> Limits:
    """Return the bounds on reading of the current client."""
    return current_client().datastore.limits
