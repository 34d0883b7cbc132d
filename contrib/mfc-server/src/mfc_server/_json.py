"""JSON from clients; values that cannot be stored and sent again as JSON are refused."""

from __future__ import annotations

import json
from typing import Any

from mfc_server._limits import MAX_DEPTH


class NotJson(ValueError):
    """The text is not storable JSON; the message gives the reason."""


def parse(text: bytes | str) -> Any:
    r"""Return the value of a JSON text.

    Args:
        text: UTF-8, if it comes as bytes.

    Raises:
        NotJson: the text is not JSON, has a number or character that JSON excludes, or is too deep.

    >>> parse('{"a": [1, null]}')
    {'a': [1, None]}
    >>> for text in ("[NaN]", "[1e999]", r'"\ud800"', "[" * 99 + "]" * 99):
    ...     try:
    ...         parse(text)
    ...     except NotJson as error:
    ...         print(error)
    NaN is not a number of JSON
    1e999 is too large for a number
    a text has half of a surrogate pair, which UTF-8 cannot express
    arrays and objects are more than 64 deep
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        found = json.loads(text, parse_constant=_constant, parse_float=_float)
    except NotJson:
        raise
    except UnicodeDecodeError as error:
        raise NotJson(f"it is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise NotJson(_TOO_DEEP) from error
    except ValueError as error:
        raise NotJson(str(error)) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _deep(found):
        raise NotJson(_TOO_DEEP)
    # Only an escape makes half of a pair: UTF-8 was decoded strictly, and a str is checked here.
    if "\\u" in text or not text.isascii():
        _check_texts(found)
    return found


_TOO_DEEP = f"arrays and objects are more than {MAX_DEPTH} deep"


def _constant(name: str) -> Any:
    raise NotJson(f"{name} is not a number of JSON")


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotJson(f"{digits:.40} is too large for a number")
    return number


def _deep(found: Any) -> bool:
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return False
        level = [each for each in inner if isinstance(each, (dict, list))]
    return bool(level)


def _check_texts(found: Any) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        reason = "a text has half of a surrogate pair, which UTF-8 cannot express"
        raise NotJson(reason) from error
