"""The service's own description, as OpenAPI: `/openapi.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from mfc_server._limits import MAX_ITEMS, MAX_PATTERN, MAX_TAGS
from mfc_server._schema import MAX_ATTEMPT, NAME_LENGTH

Schema = dict[str, Any]
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH}
_TAGS: Schema = {"type": "array", "items": {"type": "string"}, "maxItems": MAX_TAGS}
_OWN: Schema = {
    "user_name": {**_NAME, "nullable": True},
    "tags": {**_TAGS, "nullable": True},
    "system_tags": {**_TAGS, "nullable": True},
}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items, "maxItems": MAX_ITEMS}


_FIELDS = ("field_name", "value", "type")
_VALUES = ("name", "location", "ds_type")
#: Bodies by the last part of the path.
_BODIES: dict[str, Schema] = {
    "{flow}": _object(**_OWN),
    "run": _object(**_OWN, run_number=_NAME),
    "step": _object(**_OWN),
    "task": _object(**_OWN, task_id=_NAME),
    "heartbeat": {},
    "mutate": _object(tags_to_add=_TAGS, tags_to_remove=_TAGS),
    "metadata": _array(_object(_FIELDS, **_OWN, **dict.fromkeys(_FIELDS, _NAME))),
    "artifact": _array(
        _object(
            _VALUES,
            **_OWN,
            **dict.fromkeys((*_VALUES, "sha", "type", "content_type"), _NAME),
            attempt_id={"type": "integer", "minimum": 0, "maximum": MAX_ATTEMPT},
        )
    ),
}
_LISTED = ("flows", "runs", "tasks", "metadata", "artifacts")
_PAGE = {"_limit": {"type": "integer", "minimum": 0}, "_cursor": {"type": "string"}}
_TEXT: Schema = {"type": "string"}
#: Parameters by the last part of the path, beside those of pages.
_PARAMETERS: dict[str, Schema] = {
    "runs": dict.fromkeys(
        ("_tags", "_tags:any", "user", "user_name", "status", "run_id", "ts_epoch:ge"), _TEXT
    ),
    "tasks": dict.fromkeys(("task_id", "task_name", "ts_epoch:ge", "user_name:co"), _TEXT),
    "filtered_tasks": {
        "metadata_field_name": _TEXT,
        "pattern": {"type": "string", "maxLength": MAX_PATTERN},
    },
}
_ANSWERS = {
    "200": "done, or found",
    "400": "the request is wrong; the body says how",
    "401": "x-api-key is missing or wrong",
    "403": "of another site, or for another host",
    "404": "no such object",
    "408": "the body came too slowly",
    "409": "it exists already",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "a system tag cannot be removed",
    "503": "busy, or the database is away; try again",
}
_ABOUT = {
    "/ping": "Tell that the server answers.",
    "/version": "Return the release of Metaflow's service that this one answers like.",
    "/healthcheck": "Tell whether the database answers.",
    "/openapi.json": "Return this description.",
}


def description(table: Mapping[str, Mapping[str, Any]], prefix: str) -> dict[str, Any]:
    """Return the description of the endpoints of a table.

    Args:
        table: endpoints by path and method.
        prefix: path in front of all.
    """
    paths = {
        path: {verb.lower(): _operation(path, verb, each) for verb, each in verbs.items()}
        for path, verbs in table.items()
    }
    for path, says in _ABOUT.items():
        paths[path] = {"get": {"summary": says, "responses": _answers("200")}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Metaflow metadata service (mfc-server)",
            "version": version("mfc-server"),
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
    }


def _operation(path: str, verb: str, endpoint: Any) -> dict[str, Any]:
    last = path.rpartition("/")[2]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _NAME}
        for name in re.findall(r"{(\w+)}", path)
    ]
    found: dict[str, Any] = {
        "summary": (endpoint.__doc__ or "").strip().splitlines()[0],
        "operationId": f"{endpoint.__name__} {path}",
        "responses": _answers(*_ANSWERS),
    }
    if verb == "GET":
        queried = {**(_PAGE if last in _LISTED else {}), **_PARAMETERS.get(last, {})}
        parameters += [{"name": n, "in": "query", "schema": s} for n, s in queried.items()]
    else:
        content = {"application/json": {"schema": _BODIES[last]}}
        found["requestBody"] = {"required": last != "heartbeat", "content": content}
    return {**found, "parameters": parameters}


def _answers(*codes: str) -> dict[str, Any]:
    return {code: {"description": _ANSWERS[code]} for code in codes}
