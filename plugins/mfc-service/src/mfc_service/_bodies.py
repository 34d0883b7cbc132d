"""Reading the body of an answer, with a bound on its uncompressed size."""

from __future__ import annotations

import requests

from mfc.errors import Unanswered

#: Most megabytes of a body, unless a setting says otherwise.
LARGEST = 256
_MEGABYTE = 1_000_000
#: Bytes read at a time: compressed bytes, each of which may expand to a thousand.
_CHUNK = 16 * 1024
#: A body may expand by this factor, and by this many bytes besides. JSON of a service shrinks to a
#: fiftieth at best.
_RATIO, _FREE = 200, 16 * _MEGABYTE


def body_of(response: requests.Response, question: str, megabytes: int) -> bytes:
    """Return the body of a response, uncompressed.

    Args:
        response: a streamed, unread response.
        question: the request, for errors.
        megabytes: the most that the body may take once uncompressed.

    Raises:
        Unanswered: the body is larger, or has an encoding that was not requested.
        requests.RequestException: the body is incomplete.
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
