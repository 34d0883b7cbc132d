"""Limits of one request: sizes, counts and seconds, so that the others go on being answered."""

from __future__ import annotations

import attrs

#: Bytes of a request's line and headers, and of its body.
MAX_HEAD, MAX_BODY = 64 * 1024, 4 * 1024 * 1024
#: Bytes from which a body is large, and how many such are held at a time.
LARGE_BODY, LARGE_BODIES = 128 * 1024, 16
#: Objects in the array of one POST.
MAX_ITEMS = 10_000
#: Arrays and objects inside each other.
MAX_DEPTH = 64
#: Tags in one list, and characters of all of them: every row below a run is answered with them.
MAX_TAGS, MAX_TAG_TEXT = 1_000, 64 * 1024
#: Parameters of a query, values of all filters, and those that are looked for as patterns.
MAX_PARAMS, MAX_VALUES, MAX_LIKE_VALUES = 100, 1_000, 100
#: Characters of a regular expression or of a LIKE pattern.
MAX_PATTERN = 1_000
#: Characters after which a part of a listing is sent, and rows of a part.
PIECE, PIECE_ROWS = 64 * 1024, 1_000
#: Bytes that the system keeps for a client that does not read them yet.
SEND_BUFFER = 128 * 1024
#: Characters after which a page ends before its limit; its cursor leads on.
PAGE = 8 * 1024 * 1024
#: Rows that are taken from the database at a time.
FETCHED = 32
#: Seconds for what a client or the database has to do, unless the operator says otherwise.
USUAL_SECONDS = 20.0


@attrs.frozen
class Threads:
    """How many requests of each kind use the database at a time; others wait for their turn.

    Together they are as many as there are connections: none is ever waited for.
    """

    reads: int = 14
    writes: int = 8
    pieces: int = 3
    patterns: int = 2
    health: int = 1

    @property
    def connections(self) -> int:
        """All of them."""
        return sum(attrs.astuple(self))


THREADS = Threads()
