"""The recorded exchanges, and the comparison of answers with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Exchange = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "service-recordings"
DATASET = FOLDER / "dataset"
HEADERS = ("X-Limit", "X-Next-Cursor", "METADATA_SERVICE_VERSION", "Content-Type", "Allow")
#: Fields that vary between equal answers: times of the server, orders of sets.
VOLATILE = ("ts_epoch", "last_heartbeat_ts")


def exchanges(number: str, *, exact: bool = False) -> list[Exchange]:
    """Return the exchanges of one file, by its number or its exact name."""
    (path,) = FOLDER.glob(f"{number}.json" if exact else f"{number}_*.json")
    return json.loads(path.read_text("utf-8"))


def reads() -> Iterator[tuple[str, Exchange]]:
    """Yield every recorded read of the newest service, with the number of its file.

    Reads among recorded writes (26, 29) are repeated with those.
    """
    for number in (*range(1, 26), 30):
        for exchange in exchanges(f"{number:02}"):
            elided = "<" in exchange["target"]
            if exchange["method"] in ("GET", "HEAD", "OPTIONS") and not elided:
                yield f"{number:02}", exchange


def normal(value: Any, without: tuple[str, ...] = ()) -> Any:
    """Return an answer's body with unordered parts sorted, and without some fields."""
    if isinstance(value, dict):
        return {
            key: sorted(part) if key in ("tags", "system_tags") and part else normal(part, without)
            for key, part in value.items()
            if key not in without
        }
    if isinstance(value, list):
        return sorted((normal(part, without) for part in value), key=repr)
    return value


def same_body(exchange: Exchange, body: Any, text: str, without: tuple[str, ...] = ()) -> bool:
    """Tell whether an answer equals the recorded one."""
    if "text" in exchange:
        # The version in a text of HTTP's own belongs to aiohttp.
        return text == exchange["text"]
    if exchange.get("body") is None:
        return not text or exchange["method"] == "HEAD"
    expected, got = normal(exchange["body"], without), normal(body, without)
    if cut := exchange.get("body_truncated"):
        return len(got) == cut["items_total"] and all(item in got for item in expected)
    return got == expected
