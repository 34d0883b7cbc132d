"""Locks that work after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, TypeVar

Lock = TypeVar("Lock")

_KNOWN: weakref.WeakSet[Any] = weakref.WeakSet()
_WAITED_FOR: weakref.WeakSet[Any] = weakref.WeakSet()
#: Seconds that a fork waits for a lock.
_PATIENCE = 5.0
_held = threading.local()


def fork_safe(lock: Lock) -> Lock:
    """Return `lock`; a forked child finds it open if another thread of its parent held it."""
    _KNOWN.add(lock)
    return lock


def _open_all() -> None:
    for lock in _KNOWN:
        if lock.acquire(blocking=False):  # free, or held by the very thread that forked
            lock.release()
        else:
            lock._at_fork_reinit()  # noqa: SLF001 - as logging and concurrent.futures do


def fork_waits(lock: Lock) -> Lock:
    """Return `lock` as `fork_safe` does; a fork also waits until other threads have released it."""
    _WAITED_FOR.add(lock)
    return fork_safe(lock)


def _hold_all() -> None:
    _held.locks = [lock for lock in list(_WAITED_FOR) if lock.acquire(timeout=_PATIENCE)]


def _release_all() -> None:
    for lock in _held.locks:
        lock.release()
    _held.locks = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
    os.register_at_fork(before=_hold_all, after_in_parent=_release_all, after_in_child=_release_all)
