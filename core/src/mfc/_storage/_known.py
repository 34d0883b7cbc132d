"""Values that are known from their content address, without reading the blob."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Unknown(Enum):
    """The answer for an address whose value must be read."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN

#: SHA-1 of the pickle → value. Protocol 4 is what Metaflow writes today, protocol 2 what it
#: wrote until 2025 wherever it could.
KNOWN_SHA1: Final[dict[str, object]] = {
    "868436778cb011a1c6230bc12534683ab0b7f1c3": True,
    "2473d4676d5b2aba674167293142f8031ada401b": False,
    "dbc1aaddc8b7343d6d33b34edcf608b8f8801918": None,
    "c5cf38908fc549f499ade5b17ce221ff0ced377f": [],
    "69e77141c3eb7a8c9ce864251d70c02723f29332": True,
    "caa40ab420354941d2127f64360105b8548b8802": False,
    "f3627f46179fdd95bf0e83101840fd1d71b60e40": None,
    "4ca058df2ea422cca260c585409d6ac9face7ebe": [],
}


def known(sha: str) -> object:
    """Return the value stored under `sha`, or `UNKNOWN`.

    >>> known("868436778cb011a1c6230bc12534683ab0b7f1c3")
    True
    """
    value = KNOWN_SHA1.get(sha, UNKNOWN)
    # The caller owns the value; a shared list would carry one caller's change to the next.
    return [] if value == [] else value
