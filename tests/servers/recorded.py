"""A server with the recorded answers of one version of the real service."""

from __future__ import annotations

import contextlib
import http
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from tests.servers.front import Asked, Front, Reply, front, passed
from tests.servers.recordings import Exchange

#: The status of an unrecorded request; clients accept it as no answer.
UNKNOWN = 599
#: Versions that introduced these features, see the protocol's history.
ATTEMPTS, ALWAYS_STORED, FILTERED_TASKS = (2, 0, 6), (2, 2, 0), (2, 5, 0)
NO_ROUTE = Reply(b"404: Not Found", 404)


def replied(exchange: Exchange) -> Reply:
    """Return the recorded answer: its status, its headers, the bytes of its body."""
    text = exchange.get("text")
    body = (json.dumps(exchange.get("body")) if text is None else text).encode()
    # Sizes are of the original bodies, before roots were renamed and tracebacks cut out.
    headers = {k: v for k, v in exchange["headers"].items() if k != "Content-Length"}
    return Reply(body, exchange["status"], headers)


class Replay:
    """Answers with recordings only.

    Args:
        exchanges: the recorded exchanges; of two answers to the same request the first counts.
        whole: whether unrecorded parameters are ignored, as by a service without parameters.
    """

    def __init__(self, exchanges: Iterable[Exchange], *, whole: bool = False) -> None:
        self._known: dict[tuple[str, str], Exchange] = {}
        self._whole = whole
        #: Requests that were never recorded.
        self.unknown: list[str] = []
        for exchange in exchanges:
            self._known.setdefault((exchange["method"], exchange["target"]), exchange)

    def __call__(self, asked: Asked) -> Reply:
        found = self.find(asked)
        if found is None or "body_truncated" in found:
            return self.missing(asked)
        return replied(found)

    def find(self, asked: Asked) -> Exchange | None:
        """Return the recorded exchange for a request."""
        exact = self._known.get((asked.method, asked.target))
        if exact is None and self._whole:
            return self._known.get((asked.method, asked.target.partition("?")[0]))
        return exact

    def missing(self, asked: Asked) -> Reply:
        """Note a request that has no recorded answer."""
        self.unknown.append(f"{asked.method} {asked.target}")
        return Reply(b"never recorded", UNKNOWN)


class Old(Replay):
    """A version of the service without pages and filters, on the rows of the recordings.

    Recorded requests get the recorded answer, whatever their parameters. Lists that the recording
    cuts short are completed, and other requests are answered in the way of that version, with the
    rows of a current service.

    Args:
        version: the version that it announces.
        exchanges: the recording of that version.
        rows: URL of a current service on the same rows.
    """

    def __init__(self, version: str, exchanges: list[Exchange], rows: str) -> None:
        super().__init__(exchanges)
        self._version, self._rows = version, rows
        self._number = tuple(map(int, version.split(".")))
        for exchange in exchanges:
            path = exchange["target"].partition("?")[0]
            self._known.setdefault((exchange["method"], path), exchange)

    def find(self, asked: Asked) -> Exchange | None:
        path = asked.target.partition("?")[0]
        if path.endswith("/filtered_tasks"):
            return super().find(asked)
        return self._known.get((asked.method, path))

    def missing(self, asked: Asked) -> Reply:
        path = asked.target.partition("?")[0]
        if asked.method != "GET" or not path.startswith("/flows"):
            return super().missing(asked)
        if not self._has_route(path):
            return NO_ROUTE
        found = self.find(asked)
        reply = self._today(asked, path)
        if reply.status == http.HTTPStatus.NOT_FOUND:
            body = "{}" if self._number < (2, 0, 5) else {}
            return Reply(body, reply.status, {"METADATA_SERVICE_VERSION": self._version})
        document = self._aged(json.loads(reply.content), path)
        if found is not None:
            document = self._completed(found, document)
        single = isinstance(document, dict)
        return Reply(document, 200, {"METADATA_SERVICE_VERSION": self._version} if single else {})

    def _today(self, asked: Asked, path: str) -> Reply:
        parts = path.split("/")
        if path.endswith("/filtered_tasks"):
            return passed(asked, self._rows)
        if self._number < ALWAYS_STORED and parts[-2] == "artifacts":
            # The newest attempt with this artifact, whatever the last attempt was.
            each = (f"{path}/attempt/{attempt}" for attempt in range(5, -1, -1))
            found = (passed(asked, self._rows, target=target) for target in each)
            return next((r for r in found if r.status == http.HTTPStatus.OK), Reply({}, 404))
        return passed(asked, self._rows, target=path)

    def _has_route(self, path: str) -> bool:
        if "/attempt/" in path:
            return self._number >= ATTEMPTS
        return not path.endswith("/filtered_tasks") or self._number >= FILTERED_TASKS

    def _aged(self, document: Any, path: str) -> Any:
        if path.endswith("/filtered_tasks"):
            return document
        if isinstance(document, dict):
            return {name: value for name, value in document.items() if name != "user"}
        rows = [self._aged(row, path) for row in document]
        if path.endswith("/artifacts") and self._number < (2, 0, 5):
            highest = max((row["attempt_id"] for row in rows), default=0)
            return [row for row in rows if row["attempt_id"] == highest]
        return rows[::-1]  # unordered, so it may be the worst order

    def _completed(self, found: Exchange, rows: list[Any]) -> list[Any]:
        kept, total = found["body"], found["body_truncated"]["items_total"]
        known = {_identity(row) for row in kept}
        rest = [row for row in rows if _identity(row) not in known]
        complete = [*rest, *kept]
        # The tables leave flows out.
        if len(complete) != total and "/runs" in found["target"]:
            self.unknown.append(f"{unquote(found['target'])}: {len(complete)} rows, not {total}")
        return complete


def _identity(row: dict[str, Any]) -> tuple[str, ...]:
    names = ("id", "flow_id", "run_number", "step_name", "task_id", "name", "attempt_id")
    return tuple(str(row.get(name)) for name in names)


@contextlib.contextmanager
def replaying(replay: Replay) -> Iterator[Front]:
    """Run a replaying server until the end of the block; unrecorded requests fail it."""
    with front(replay) as server:
        yield server
    assert not replay.unknown, f"never recorded: {replay.unknown}"
