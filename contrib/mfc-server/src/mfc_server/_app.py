"""The application: paths to endpoints, threads for the database, answers as the service's."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from typing import TypeVar

import anyio.to_thread
import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from mfc_server import _reads, _writes
from mfc_server._call import Answer, Call, Part, Refused
from mfc_server._database import Database
from mfc_server._entrance import Bodies, Entrance, decoded, parameters
from mfc_server._failures import answer_to
from mfc_server._limits import MAX_PARAMS, THREADS, USUAL_SECONDS
from mfc_server._openapi import description
from mfc_server._schema import NAME_LENGTH

#: The release of Metaflow's service that this server imitates.
SERVICE_VERSION = "2.5.1"
VERSION_HEADER = "METADATA_SERVICE_VERSION"

Endpoint = Callable[[Call], Answer]
Handler = Callable[[Request], Awaitable[Response]]
_Result = TypeVar("_Result")
_log = logging.getLogger("mfc_server")


def table() -> dict[str, dict[str, Endpoint]]:
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


@attrs.frozen
class Terms:
    """Limits and rules for clients.

    Attributes:
        hosts: names of this server that requests may use if no key is required.
        seconds: time for a body to arrive, and for a request to get its turn.
        stopping: whether long listings should end because the server is stopping.
    """

    hosts: Collection[str] = ()
    seconds: float = USUAL_SECONDS
    stopping: Callable[[], bool] = lambda: False


def application(
    database: Database, api_key: str | None = None, prefix: str = "", terms: Terms | None = None
) -> ASGIApp:
    """Return the service as an ASGI application.

    Args:
        database: the database with all objects.
        api_key: required value of the header `x-api-key`; None: no key is required.
        prefix: path under which the service answers, `/metaflow` for example.
        terms: limits and rules for clients; None: the usual ones.
    """
    terms = terms or Terms()
    service = _Service(database, terms)
    routes = [
        _route(prefix + path, {verb: service.handler(each) for verb, each in verbs.items()})
        for path, verbs in table().items()
    ]
    for path, handler in service.about_itself(prefix).items():
        routes.append(_route(prefix + path, {"GET": handler}))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})  # type: ignore[dict-item]
    app.router.redirect_slashes = False
    return Entrance(app, api_key, prefix, terms.hosts)


def _route(path: str, verbs: dict[str, Handler]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await verbs[request.method](request)

    route = Route(path, endpoint, methods=list(verbs))
    route.methods = set(verbs)  # without the HEAD that GET would add
    return route


class _Service:
    """Answers requests from one database, each kind of work in its own threads."""

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database, self._seconds, self._stopping = database, terms.seconds, terms.stopping
        self._bodies = Bodies(terms.seconds)
        self._reads, self._writes, self._pieces, self._patterns, self._health = (
            anyio.Semaphore(count)
            for count in (
                THREADS.reads,
                THREADS.writes,
                THREADS.pieces,
                THREADS.patterns,
                THREADS.health,
            )
        )
        #: Limiter for work that already has its turn: it never makes anything wait.
        self._threads = anyio.CapacityLimiter(THREADS.connections)

    def handler(self, endpoint: Endpoint) -> Handler:
        """Return the handler for requests to an endpoint."""

        async def handle(request: Request) -> Response:
            try:
                return await self._answer(endpoint, request)
            except Exception as error:  # noqa: BLE001 - the log gets everything
                return answer_to(error, request, {VERSION_HEADER: SERVICE_VERSION})

        return handle

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        body = await self._bodies.read(request.scope, request.receive)
        if body is None:
            return Response(status_code=400)  # to a client that left
        names = {key: decoded(value) for key, value in request.path_params.items()}
        call = Call(
            self._database, names, parameters(request.scope["query_string"], MAX_PARAMS), body
        )
        turn = self._writes if request.method != "GET" else self._reads
        if call.param("pattern"):
            turn = self._patterns
        answer = await self._in_turn(turn, lambda: _ask(endpoint, call, request.method))
        headers = {VERSION_HEADER: SERVICE_VERSION} if answer.versioned else {}
        if answer.limit is not None:
            headers["X-Limit"] = str(answer.limit)
        if answer.next_cursor is not None:
            headers["X-Next-Cursor"] = answer.next_cursor
        if answer.parts is None:
            return PlainTextResponse(json.dumps(answer.body), answer.status, headers)
        parts = answer.parts
        first = await self._in_turn(turn, lambda: next(parts))
        if first.is_last:
            return PlainTextResponse(f"[{first.text}]", answer.status, headers)
        rest = self._streamed(first.text, parts)
        return StreamingResponse(rest, answer.status, headers, "text/plain; charset=utf-8")

    async def _streamed(self, first: str, parts: Iterator[Part]) -> AsyncIterator[str]:
        """Yield a long listing; while the client reads a part, only that part is held."""
        yield f"[{first}"
        del first
        is_last = False
        while not is_last:
            if self._stopping():
                raise _Ended("a long listing was ended, since the server ends")
            part = await self._in_turn(self._pieces, lambda: next(parts))
            is_last = part.is_last
            yield f", {part.text}" if part.text else ""
        yield "]"

    async def _in_turn(self, turn: anyio.Semaphore, work: Callable[[], _Result]) -> _Result:
        """Run a function in a thread once fewer than the limit of its kind are running.

        Raises:
            TimeoutError: the turn did not come in time.
        """
        with anyio.fail_after(self._seconds):
            await turn.acquire()
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        finally:
            turn.release()

    def about_itself(self, prefix: str) -> dict[str, Handler]:
        """Return the endpoints about the service itself, by path."""
        described = json.dumps(description(table(), prefix))

        async def ping(_: Request) -> Response:
            return PlainTextResponse("pong", headers={VERSION_HEADER: SERVICE_VERSION})

        async def version(_: Request) -> Response:
            return PlainTextResponse(SERVICE_VERSION)

        async def openapi(_: Request) -> Response:
            return Response(described, media_type="application/json")

        async def health(_: Request) -> Response:
            try:
                up = await self._in_turn(self._health, self._database.alive)
            except TimeoutError:
                up = False
            body = json.dumps(json.dumps({"status": "UP" if up else "DOWN"}))
            headers = {VERSION_HEADER: SERVICE_VERSION}
            return Response(body, 200 if up else 500, headers, "application/json")

        return {
            "/ping": ping,
            "/version": version,
            "/openapi.json": openapi,
            "/healthcheck": health,
        }


class _Ended(Exception):
    """A listing was cut off; the client notices, because the last chunk is missing."""


def _ask(endpoint: Endpoint, call: Call, method: str) -> Answer:
    if any("\0" in name for name in call.names.values()):
        raise Refused(404, {})
    if method != "GET":
        for name in call.names.values():
            if len(name) > NAME_LENGTH:
                raise Refused(
                    400, f"{name!r:.80} in the path has more than {NAME_LENGTH} characters"
                )
    return endpoint(call)


async def _no_route(_: Request, error: HTTPException) -> Response:
    """Answer a request without a route in plain text, unlike one for a missing object."""
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ",".join(sorted(headers["Allow"].split(", ")))
    reason = {404: "Not Found", 405: "Method Not Allowed"}.get(error.status_code, error.detail)
    return PlainTextResponse(f"{error.status_code}: {reason}", error.status_code, headers)
