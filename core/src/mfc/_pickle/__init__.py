"""Pickled values: from bytes to objects without Metaflow, as far as they are trusted.

`loads` is the way in. A value's own classes come from their libraries, Metaflow's from
`STANDINS`, and those that are missing become a `Placeholder`.
"""

from __future__ import annotations

from mfc._pickle._known import KNOWN_SHA1, UNKNOWN, Unknown, known
from mfc._pickle._placeholder import Placeholder
from mfc._pickle._standins import (
    STANDINS,
    ConfigValue,
    ForeachFrame,
    IncludedFile,
    MetaflowEvent,
    MetaflowExceptionWrapper,
    register_standin,
)
from mfc._pickle._trust import Trust
from mfc._pickle._unpickler import loads

__all__ = [
    "KNOWN_SHA1",
    "STANDINS",
    "UNKNOWN",
    "ConfigValue",
    "ForeachFrame",
    "IncludedFile",
    "MetaflowEvent",
    "MetaflowExceptionWrapper",
    "Placeholder",
    "Trust",
    "Unknown",
    "known",
    "loads",
    "register_standin",
]
