"""Limits of one request: sizes, counts and seconds, so that the others are still answered."""

from __future__ import annotations

import attrs

#: Most bytes of a request's line and headers, and of its body.
MAX_HEAD, MAX_BODY = 64 * 1024, 4 * 1024 * 1024
#: Bytes from which a body is large, and how many large ones are held at a time.
LARGE_BODY, LARGE_BODIES = 128 * 1024, 16
#: Objects in the array of one POST.
MAX_ITEMS = 10_000
#: Most levels of nested arrays and objects.
MAX_DEPTH = 64
#: Tags in one list, and characters of all of them: every row below a run includes them.
MAX_TAGS, MAX_TAG_TEXT = 1_000, 64 * 1024
#: Parameters of a query, values of all filters, and values that are matched as patterns.
MAX_PARAMS, MAX_VALUES, MAX_LIKE_VALUES = 100, 1_000, 100
#: Characters of a regular expression or of a LIKE pattern.
MAX_PATTERN = 1_000
#: Characters after which a part of a listing is sent, and rows of a part.
PIECE, PIECE_ROWS = 64 * 1024, 1_000
#: Bytes that the system buffers for a slow client.
SEND_BUFFER = 128 * 1024
#: Characters after which a page ends before its limit; its cursor leads on.
PAGE = 8 * 1024 * 1024
#: Rows fetched from the database at a time.
FETCHED = 32
#: Deadline in seconds for a client or the database, by default.
USUAL_SECONDS = 20.0


@attrs.frozen
class Threads:
    """Most concurrent requests of each kind in the database; others wait for their turn.

    Together they equal the number of connections, so a connection is always free.
    """

    reads: int = 14
    writes: int = 8
    pieces: int = 3
    patterns: int = 2
    health: int = 1

    @property
    def connections(self) -> int:
        """Number of all connections."""
        return sum(attrs.astuple(self))


THREADS = Threads()
