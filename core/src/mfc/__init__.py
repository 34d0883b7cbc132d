"""Read results of Netflix Metaflow: its Client API, without Metaflow installed.

>>> from mfc import Flow, Run, Task, namespace
"""

from typing import TYPE_CHECKING, Any

from mfc._objects import (
    Client,
    DataArtifact,
    Flow,
    Metadata,
    Metaflow,
    MetaflowCode,
    MetaflowData,
    MetaflowEvent,
    Run,
    Step,
    Task,
    Trigger,
)
from mfc._objects._functions import (
    default_metadata,
    default_namespace,
    get_metadata,
    get_namespace,
    inspect_spin,
    load,
    metadata,
    namespace,
    plugins,
    table,
    unpickle,
)
from mfc.errors import (
    MetaflowException,
    MetaflowInternalError,
    MetaflowInvalidPathspec,
    MetaflowNamespaceMismatch,
    MetaflowNotFound,
    MetaflowTaggingError,
    MetaflowUnknownUser,
    MfcWarning,
)
from mfc.model import CacheInfo, Stats, Status
from mfc.trust import Trust

if TYPE_CHECKING:
    from mfc._facts._failure import Failure
    from mfc._facts._table import Table
    from mfc._facts._timeline import Timeline, TimelineRow
    from mfc._pickle import Placeholder

#: Metaflow's name for the class in its annotations.
MetaflowTrigger = Trigger

__version__ = "0.1.0"

__all__ = [
    "CacheInfo",
    "Client",
    "DataArtifact",
    "Failure",
    "Flow",
    "Metadata",
    "Metaflow",
    "MetaflowCode",
    "MetaflowData",
    "MetaflowEvent",
    "MetaflowException",
    "MetaflowInternalError",
    "MetaflowInvalidPathspec",
    "MetaflowNamespaceMismatch",
    "MetaflowNotFound",
    "MetaflowTaggingError",
    "MetaflowTrigger",
    "MetaflowUnknownUser",
    "MfcWarning",
    "Placeholder",
    "Run",
    "Stats",
    "Status",
    "Step",
    "Table",
    "Task",
    "Timeline",
    "TimelineRow",
    "Trigger",
    "Trust",
    "default_metadata",
    "default_namespace",
    "get_metadata",
    "get_namespace",
    "inspect_spin",
    "load",
    "metadata",
    "namespace",
    "plugins",
    "table",
    "unpickle",
]

# Pickles, tracebacks and documentation show the module that users import these from.
for _public in (
    Client, DataArtifact, Flow, Metadata, Metaflow, MetaflowCode, MetaflowData, MetaflowEvent,
    Run, Step, Task, Trigger,
):  # fmt: skip
    _public.__module__ = "mfc"


if not TYPE_CHECKING:  # with it, type checkers would accept every misspelt name

    def __getattr__(name: str) -> Any:
        """Load facts, `Placeholder`, and classes that pickles of Metaflow name, on first use."""
        if name == "Failure":
            from mfc._facts._failure import Failure  # few programs need it

            return Failure
        if name in ("Timeline", "TimelineRow"):
            from mfc._facts import _timeline  # likewise

            return getattr(_timeline, name)
        if name == "Table":
            from mfc._facts._table import Table  # likewise

            return Table
        if name[:1].isupper():  # `__getattr__` is also called for submodules
            from mfc import _pickle  # 8 ms, and most programs never need it

            if name == "Placeholder":
                return _pickle.Placeholder
            if name in _pickle.PUBLIC:
                return _pickle.PUBLIC[name]
        raise AttributeError(f"module 'mfc' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
