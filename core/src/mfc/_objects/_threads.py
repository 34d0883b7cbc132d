"""Threads that ask questions, and that nobody waits for when the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


class Threads(Generic[Item, T]):
    """A few threads that ask the same thing of many items.

    The pool of the standard library is waited for when the interpreter ends: after Ctrl-C, until
    the last question that hangs has failed. These threads are daemons.

    Args:
        ask: answers for an item.
        width: threads at most.
    """

    def __init__(self, ask: Callable[[Item], T], width: int) -> None:
        self._ask, self._width, self._started = ask, width, 0
        self._waiting: SimpleQueue[tuple[Future[T], Item] | None] = SimpleQueue()

    def ask(self, item: Item) -> Future[T]:
        """Return the answer to be."""
        future: Future[T] = Future()
        self._waiting.put((future, item))
        if self._started < self._width:
            self._started += 1
            threading.Thread(target=self._run, name="mfc", daemon=True).start()
        return future

    def close(self) -> None:
        """Let threads end when they are done with what they are at; the rest is not asked."""
        while True:
            try:
                waiting = self._waiting.get_nowait()
            except Empty:
                break
            if waiting is not None:
                waiting[0].cancel()
        for _ in range(self._started):
            self._waiting.put(None)

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            future, item = waiting
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._ask(item))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is wanted
                future.set_exception(error)
