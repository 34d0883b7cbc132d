"""The body of an answer, read with a bound on its size once it is uncompressed."""

from __future__ import annotations

import requests

from mfc.errors import Unanswered

#: Megabytes that a body may take, unless a setting says otherwise.
LARGEST = 256
_MEGABYTE = 1_000_000
#: Bytes read at a time: compressed ones, each of which may become a thousand.
_CHUNK = 16 * 1024
#: A body may grow to so many times its compressed size, and by so many bytes besides. JSON of a
#: service shrinks to a fiftieth at best.
_RATIO, _FREE = 200, 16 * _MEGABYTE


def body_of(response: requests.Response, question: str, megabytes: int) -> bytes:
    """Return the body of a response, uncompressed.

    Args:
        response: a streamed response of which nothing was read.
        question: the request, for errors.
        megabytes: the most that the body may take, uncompressed.

    Raises:
        Unanswered: the body is larger, or is compressed in a way that was not asked for.
        requests.RequestException: it did not arrive whole.
    """
    encoding = response.headers.get("Content-Encoding", "")
    if "," in encoding:
        raise Unanswered(question, f"the answer is compressed repeatedly ({encoding[:80]!r})")
    size, chunks = 0, []
    for chunk in response.iter_content(_CHUNK):
        size += len(chunk)
        if size > megabytes * _MEGABYTE:
            reason = f"the answer is larger than {megabytes} MB; MFC_SERVICE_BODY can allow more"
            raise Unanswered(question, reason)
        if size > _FREE + _RATIO * response.raw.tell():
            reason = f"the answer grows to more than {_RATIO} times its compressed size"
            raise Unanswered(question, reason)
        chunks.append(chunk)
    return b"".join(chunks)
