"""Locks that outlive a fork."""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

Lock = TypeVar("Lock")

_KNOWN: weakref.WeakSet[Any] = weakref.WeakSet()


def fork_safe(lock: Lock) -> Lock:
    """Return `lock`; a forked child finds it open when another thread of its parent held it."""
    _KNOWN.add(lock)
    return lock


def _open_all() -> None:
    for lock in _KNOWN:
        if lock.acquire(blocking=False):  # free, or held by the very thread that forked
            lock.release()
        else:
            lock._at_fork_reinit()  # as logging and concurrent.futures do


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
