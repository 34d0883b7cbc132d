"""The application: paths to endpoints, threads for the database, answers as the service's."""

from __future__ import annotations

import itertools
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

import anyio.to_thread
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mfc_server import _reads, _writes
from mfc_server._call import Answer, Call, Refused
from mfc_server._database import Database

#: The release of Metaflow's service that this one answers like.
SERVICE_VERSION = "2.5.1"
VERSION_HEADER = "METADATA_SERVICE_VERSION"
#: Characters after which a listing is sent piece by piece.
PIECE = 256 * 1024
#: Requests that are answered at the same time; others wait.
THREADS = 24
#: PostgreSQL's class of errors that are the request's fault, such as a wrong regular expression.
WRONG_DATA = "22"

Endpoint = Callable[[Call], Answer]
_log = logging.getLogger("mfc_server")


def _table() -> dict[str, dict[str, Endpoint]]:
    """Return the endpoints by path and method."""
    run = "/flows/{flow}/runs/{run}"
    step = f"{run}/steps/{{step}}"
    task = f"{step}/tasks/{{task}}"
    return {
        "/flows": {"GET": _reads.all_flows},
        "/flows/{flow}": {"GET": _reads.one_flow, "POST": _writes.create_flow},
        "/flows/{flow}/run": {"POST": _writes.create_run},
        "/flows/{flow}/runs": {"GET": _reads.all_runs},
        run: {"GET": _reads.one_run},
        f"{run}/heartbeat": {"POST": _writes.run_heartbeat},
        f"{run}/tag/mutate": {"PATCH": _writes.mutate_tags},
        f"{run}/metadata": {"GET": _reads.all_metadata},
        f"{run}/artifacts": {"GET": _reads.all_artifacts},
        f"{run}/steps": {"GET": _reads.all_steps},
        step: {"GET": _reads.one_step},
        f"{step}/step": {"POST": _writes.create_step},
        f"{step}/task": {"POST": _writes.create_task},
        f"{step}/filtered_tasks": {"GET": _reads.filtered_tasks},
        f"{step}/artifacts": {"GET": _reads.all_artifacts},
        f"{step}/tasks": {"GET": _reads.all_tasks},
        task: {"GET": _reads.one_task},
        f"{task}/heartbeat": {"POST": _writes.task_heartbeat},
        f"{task}/metadata": {"GET": _reads.all_metadata, "POST": _writes.create_metadata},
        f"{task}/artifact": {"POST": _writes.create_artifacts},
        f"{task}/artifacts": {"GET": _reads.all_artifacts},
        f"{task}/artifacts/{{name}}": {"GET": _reads.one_artifact},
        f"{task}/artifacts/{{name}}/attempt/{{attempt}}": {"GET": _reads.one_artifact},
        f"{task}/attempt/{{attempt}}/artifacts": {"GET": _reads.attempt_artifacts},
    }


def application(database: Database, api_key: str | None = None, prefix: str = "") -> ASGIApp:
    """Return the service as an ASGI application.

    Args:
        database: where everything is.
        api_key: what every request has to bring in `x-api-key`; None: nothing is asked for.
        prefix: path under which the service answers, `/metaflow` for example.
    """
    limiter = anyio.CapacityLimiter(THREADS)
    routes = [
        _route(path, {verb: partial(_answered, database, e, limiter) for verb, e in verbs.items()})
        for path, verbs in _table().items()
    ]
    routes += [_route("/ping", {"GET": _ping}), _route("/version", {"GET": _version})]
    routes.append(_route("/healthcheck", {"GET": partial(_health, database)}))
    if prefix:
        routes = [Mount(prefix, routes=routes)]  # type: ignore[list-item]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})  # type: ignore[dict-item]
    app.router.redirect_slashes = False
    return _Entrance(app, api_key)


class _Entrance:
    """Checks the key, and leaves the path encoded: a name may have a slash in it."""

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app, self._key = app, api_key and api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("latin-1")
            if self._key and not self._admitted(scope):
                refusal = PlainTextResponse(json.dumps("x-api-key is missing or wrong"), 401)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope) -> bool:
        # Whether it is alive may be asked by everybody, and tells nothing else.
        if scope["path"].endswith(("/ping", "/healthcheck")):
            return True
        given = dict(scope["headers"]).get(b"x-api-key", b"")
        return secrets.compare_digest(given, self._key or b"")


def _route(path: str, verbs: dict[str, Any]) -> Route:
    async def endpoint(request: Request) -> Response:
        found: Response = await verbs[request.method](request)
        return found

    route = Route(path, endpoint, methods=list(verbs))
    route.methods = set(verbs)  # without the HEAD that GET would bring
    return route


async def _answered(
    database: Database, endpoint: Endpoint, limiter: anyio.CapacityLimiter, request: Request
) -> Response:
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response(status_code=400)
    names = {key: unquote(value) for key, value in request.path_params.items()}
    call = Call(database, names, request.query_params.multi_items(), body)
    try:
        return await anyio.to_thread.run_sync(_ask, endpoint, call, limiter=limiter)
    except Refused as refused:
        return _json(refused.body, refused.status)
    except NoConnection:
        busy = _json("every connection to the database is busy, please retry", 503)
        busy.headers["Retry-After"] = "1"
        return busy
    except DBAPIError as error:
        cause: Any = error.orig
        if (getattr(cause, "sqlstate", None) or "").startswith(WRONG_DATA):
            return _json(f"the database cannot use that: {cause.diag.message_primary}", 400)
        # The statement and its values are for the log alone.
        _log.exception("%s %s", request.method, request.url.path)
        return _json(_failure("the database refused; the server's log says why"), 500)


def _ask(endpoint: Endpoint, call: Call) -> Response:
    """Answer in a thread: wholly, or with the beginning of a long listing."""
    if any("\0" in name for name in call.names.values()):
        raise Refused(404, {})
    answer = endpoint(call)
    headers = {VERSION_HEADER: SERVICE_VERSION} if answer.versioned else {}
    if answer.limit is not None:
        headers["X-Limit"] = str(answer.limit)
    if answer.next_cursor is not None:
        headers["X-Next-Cursor"] = answer.next_cursor
    if answer.rows is None:
        return PlainTextResponse(json.dumps(answer.body), answer.status, headers)
    pieces = _pieces(answer.rows)
    first, second = next(pieces), next(pieces, None)
    if second is None:
        return PlainTextResponse(first, answer.status, headers)
    rest = iterate_in_threadpool(itertools.chain((first, second), pieces))
    return StreamingResponse(rest, answer.status, headers, "text/plain; charset=utf-8")


def _pieces(rows: Iterator[Any]) -> Iterator[str]:
    """Write a listing as JSON, in pieces of about `PIECE` characters."""
    encode = json.JSONEncoder().encode
    buffer, size, before = ["["], 1, ""
    for row in rows:
        text = before + encode(row)
        before = ", "
        buffer.append(text)
        size += len(text)
        if size > PIECE:
            yield "".join(buffer)
            buffer, size = [], 0
    yield "".join([*buffer, "]"])


def _failure(detail: str) -> dict[str, Any]:
    title = "Internal Server Error"
    return {"traceback": "", "detail": detail, "status": 500, "title": title, "type": "about:blank"}


def _json(body: object, status: int = 200) -> Response:
    return PlainTextResponse(json.dumps(body), status, {VERSION_HEADER: SERVICE_VERSION})


async def _ping(_: Request) -> Response:
    return PlainTextResponse("pong", headers={VERSION_HEADER: SERVICE_VERSION})


async def _version(_: Request) -> Response:
    return PlainTextResponse(SERVICE_VERSION)


async def _health(database: Database, _: Request) -> Response:
    up = await anyio.to_thread.run_sync(database.alive)
    body = json.dumps(json.dumps({"status": "UP" if up else "DOWN"}))
    headers = {VERSION_HEADER: SERVICE_VERSION}
    return Response(body, 200 if up else 500, headers, "application/json")


async def _no_route(_: Request, error: HTTPException) -> Response:
    """Answer what has no route: in plain text, by which clients tell it from a missing object."""
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ",".join(sorted(headers["Allow"].split(", ")))
    reason = {404: "Not Found", 405: "Method Not Allowed"}.get(error.status_code, error.detail)
    return PlainTextResponse(f"{error.status_code}: {reason}", error.status_code, headers)
