"""Answers to errors: the client's, the database's, and the server's own."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mfc_server._call import Refused
from mfc_server._database import is_wrong_data

#: Seconds after which a client may retry.
AGAIN = 1
#: Transient classes: connection, resources, an operator's intervention, a held lock, and a
#: standby's answer to a write.
PASSING = ("08", "53", "57", "55", "58", "40", "25006")
#: A statement was ended at its deadline, by PostgreSQL or SQLite.
TOO_LONG = "57014"
_INTERRUPTED = ("interrupted", "user-defined function raised exception")

_log = logging.getLogger("mfc_server")


def answer_to(error: Exception, request: Request, headers: Mapping[str, str]) -> Response:
    """Return the answer to a request that raised an error; the details go to the log."""
    if isinstance(error, Refused):
        return _json(error.body, error.status, headers)
    if isinstance(error, (NoConnection, TimeoutError)):
        return _later("the server is busy, please retry", headers)
    said = _of_database(error, request) if isinstance(error, DBAPIError) else None
    if said is not None and said[0] < 500:  # noqa: PLR2004
        return _json(said[1], said[0], headers)
    # The statement and its values go only to the log.
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    if said is not None:
        return _later(said[1], headers)
    detail = "the server failed; its log says why"
    title = "Internal Server Error"
    body = {"traceback": "", "detail": detail, "status": 500, "title": title, "type": "about:blank"}
    return _json(body, 500, headers)


def _of_database(error: DBAPIError, request: Request) -> tuple[int, str] | None:
    """Return status and message for a database's refusal; None if the server is at fault."""
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None) or ""
    of_sqlite = isinstance(cause, sqlite3.Error)
    if state == TOO_LONG or (of_sqlite and str(cause) in _INTERRUPTED):
        if request.url.query:
            return 400, "the database takes too long for that: ask for less, or more simply"
        return 503, "the database takes too long; please retry"
    if is_wrong_data(error):
        why = cause if of_sqlite else cause.diag.message_primary
        return 400, f"the database cannot use that: {why}"
    # Neither database has a code for a failed connection.
    away = not state and type(cause).__name__ == "OperationalError"
    if away or state.startswith(PASSING) or error.connection_invalidated:
        why = f" ({cause})" if of_sqlite else ""
        return 503, f"the database does not answer as it should{why}; please retry"
    return None


def _later(message: str, headers: Mapping[str, str]) -> Response:
    return _json(message, 503, {**headers, "Retry-After": str(AGAIN)})


def _json(body: object, status: int, headers: Mapping[str, str]) -> Response:
    return PlainTextResponse(json.dumps(body), status, dict(headers))
