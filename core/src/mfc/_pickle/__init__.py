"""Pickled values: from bytes to objects without Metaflow, within the client's trust.

`loads` is the entry point. A value's own classes come from their libraries, Metaflow's from
`STANDINS`, and missing classes become a `Placeholder`.
"""

from __future__ import annotations

from mfc._pickle._loads import loads
from mfc._pickle._placeholder import Placeholder
from mfc._pickle._standins import (
    PUBLIC,
    STANDINS,
    ConfigValue,
    ForeachFrame,
    IncludedFile,
    MetaflowEvent,
    MetaflowExceptionWrapper,
)

__all__ = [
    "PUBLIC",
    "STANDINS",
    "ConfigValue",
    "ForeachFrame",
    "IncludedFile",
    "MetaflowEvent",
    "MetaflowExceptionWrapper",
    "Placeholder",
    "loads",
]
