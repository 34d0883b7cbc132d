"""A request as the endpoints see it, and their answers: objects, a listing, or a refusal."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from mfc_server._database import Database
from mfc_server._json import NotJson, parse
from mfc_server._limits import LARGE_BODY, MAX_ITEMS
from mfc_server._rows import Kind
from mfc_server._schema import MAX_SERIAL

#: Rows of a page by default, and at most.
USUAL_LIMIT, MAX_LIMIT = 50, 500
_PARSING = threading.Lock()


class Refused(Exception):
    """The request cannot be answered; the body gives the reason."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


@attrs.frozen
class Part:
    """Several objects of a listing as JSON, separated by commas."""

    text: str
    is_last: bool


@attrs.frozen
class Answer:
    """An answer: `body` as JSON, or the parts of a listing."""

    body: object = None
    #: Of a listing; between parts, no connection is held.
    parts: Iterator[Part] | None = None
    status: int = 200
    #: Set where the listing is a page.
    limit: int | None = None
    next_cursor: str | None = None
    #: Whether the answer carries the version of the service.
    versioned: bool = True


@attrs.frozen
class Page:
    """A page of a listing: at most `limit` rows behind the row with the keys `after`."""

    limit: int
    after: tuple[Any, ...] | None = None


@attrs.frozen
class Call:
    """One request: the names in its path, its parameters, its body."""

    database: Database
    names: Mapping[str, str] = attrs.field(factory=dict)
    params: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def param(self, name: str) -> str | None:
        """Return a parameter's value; the first where it is repeated."""
        return next((value for key, value in self.params if key == name), None)

    def document(self) -> dict[str, Any]:
        """Return the body, a JSON object; a missing body is refused."""
        document = self._json()
        if not isinstance(document, dict):
            raise Refused(400, f"the body has to be an object, not {document!r:.80}")
        return document

    def documents(self) -> list[dict[str, Any]]:
        """Return the body, a JSON array of objects."""
        documents = self._json()
        if not isinstance(documents, list) or not all(isinstance(d, dict) for d in documents):
            raise Refused(400, f"the body has to be an array of objects, not {documents!r:.80}")
        if len(documents) > MAX_ITEMS:
            raise Refused(413, f"{len(documents)} objects are more than {MAX_ITEMS}; send several")
        return documents

    def _json(self) -> Any:
        # Parsing a large body blocks the interpreter: one at a time, so that other requests go on
        # in between.
        with _PARSING if len(self.body) >= LARGE_BODY else contextlib.nullcontext():
            try:
                return parse(self.body)
            except NotJson as error:
                raise Refused(400, f"the body is not JSON: {error}") from error

    def page(self, kind: Kind, *, filtered: bool = False) -> Page | None:
        """Return the requested page, or None for the whole listing.

        Args:
            kind: the kind of listed objects.
            filtered: whether filters alone turn the answer into pages.

        Raises:
            Refused: the limit or the cursor is invalid.
        """
        limit, cursor = self.param("_limit"), self.param("_cursor")
        if limit is None and cursor is None and not filtered:
            return None
        try:
            count = min(int(limit), MAX_LIMIT) if limit else USUAL_LIMIT
        except ValueError:
            count = -1
        if count < 0:
            raise Refused(400, f"_limit has to be a number of 1 to 500, not {limit!r:.80}")
        return Page(count, _after(cursor, kind) if cursor else None)


def cursor(kind: Kind, values: Sequence[Any]) -> str:
    """Return the cursor for the rows behind the one with these values of the keys."""
    names = (key.name for key in kind.keys)
    document = json.dumps(dict(zip(names, values, strict=True)))
    return base64.b64encode(document.encode()).decode()


def _after(text: str, kind: Kind) -> tuple[Any, ...]:
    try:
        found = parse(base64.b64decode(text.encode("ascii")))
        return tuple(_key(key.type.python_type, found[key.name]) for key in kind.keys)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise Refused(400, "Invalid cursor") from error


def _key(kind: type, value: object) -> Any:
    """Return a value for a column of a cursor."""
    if kind is int and type(value) is int and abs(value) <= MAX_SERIAL:
        return value
    if kind is str and isinstance(value, str) and "\0" not in value:
        return value
    raise ValueError(value)
