"""Queries to a service, their answers, and the required form of errors about them."""

from __future__ import annotations

import contextlib
import faulthandler
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mfc import Client, errors
from mfc.errors import MetaflowException

#: Seconds allowed for a query, far more than it takes; and seconds after which it counts as hung.
TIMEOUT, HANGS = 30.0, 15.0
#: Seconds allowed for a query that gets no answer.
SHORT = 1.0
#: Objects of a page, so few that listings take several pages.
PAGE = 5
LEAF = "NestedForeachFlow/4/leaf"
RUN = "BranchFlow/2"
#: Internals that an error must not show, of the service or of mfc.
INSIDE = ("Traceback", "SELECT ", "psycopg", "pgerror", "object at 0x", "HTTPConnectionPool")

QUESTIONS: dict[str, Callable[[Client], Any]] = {
    "flows": lambda c: sorted(flow.id for flow in c.flows()),
    "runs": lambda c: [run.id for run in c.flow("ForeachFlow")],
    "newest runs": lambda c: [run.id for run in c.flow("FailFlow").runs(limit=3)],
    "runs of a user": lambda c: [run.id for run in c.flow("FailFlow").runs(user="alice")],
    "latest": lambda c: [c.flow("FailFlow").latest_run.id, str(c.flow("LogFlow").latest_run)],
    "latest successful": lambda c: str(c.flow("FailFlow").latest_successful_run),
    "successful runs": lambda c: [(r.id, r.successful, r.finished) for r in c.flow("FailFlow")],
    "completed": lambda c: [r.id for r in c.flow("FailFlow").runs(status="completed")],
    "failed": lambda c: [r.id for r in c.flow("FailFlow").runs(status="failed")],
    "statuses": lambda c: [str(run.status) for run in c.flow("RetryFlow")],
    "steps": lambda c: [step.id for step in c.run("NestedForeachFlow/4")],
    "tasks": lambda c: [(task.id, task.successful) for task in c.step(LEAF)],
    "metadata": lambda c: [[(m.name, m.value) for m in t.metadata] for t in c.step(LEAF)],
    "metadata of a dictionary": lambda c: [t.metadata_dict for t in c.step(LEAF)],
    "artifacts": lambda c: [[(a.id, a.sha) for a in task.artifacts] for task in c.step(LEAF)],
    "one artifact": lambda c: c.task(f"{LEAF}/{c.step(LEAF).task.id}")["_success"].sha,
    "parents": lambda c: [[p.id for p in task.parent_tasks] for task in c.step(LEAF)],
    "children": lambda c: [[k.id for k in t.child_tasks] for t in c.step(LEAF)],
    "end": lambda c: str(c.run("NestedForeachFlow/4").end_task),
    "no such run": lambda c: c.run("ForeachFlow/999999"),
}


def client(url: str, timeout: float = TIMEOUT, **settings: Any) -> Client:
    """Return a client with small pages, so that listings take several."""
    more = {"MFC_SERVICE_TIMEOUT": timeout, "METAFLOW_SERVICE_PAGE_SIZE": PAGE, **settings}
    return Client(f"service@{url}", namespace=None, config=more)


def through(port: int, service: str) -> str:
    """Return the URL of a service, by way of a proxy."""
    return f"http://127.0.0.1:{port}{urlsplit(service).path}"


def answer(ask: Callable[[], Any]) -> Any:
    """Return the answer, or the class of mfc's error."""
    try:
        return ask()
    except MetaflowException as error:
        clear(error)
        return type(error)


def answers(url: str, **settings: Any) -> Mapping[str, Any]:
    """Return the answers to all queries, each from a new client."""
    return {
        name: answer(lambda question=question: question(client(url, **settings)))
        for name, question in QUESTIONS.items()
    }


def clear(error: BaseException) -> None:
    """Check that an error is mfc's, and has what the user must know but no internals."""
    shown = "".join(traceback.format_exception(error))
    assert type(error).__module__ == errors.__name__ or isinstance(error, MetaflowException), shown
    message = str(error)
    assert 20 < len(message) < 600, message
    assert not any(word in message for word in INSIDE), message
    assert message.isprintable(), message


@contextlib.contextmanager
def in_time(seconds: float = HANGS) -> Iterator[None]:
    """Fail a call that takes far longer than allowed; abort the run instead of hanging."""
    faulthandler.dump_traceback_later(4 * seconds, exit=True)
    start = time.monotonic()
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert time.monotonic() - start < seconds
