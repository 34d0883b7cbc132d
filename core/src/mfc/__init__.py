"""Read what Netflix Metaflow recorded: its Client API, without Metaflow.

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
    "unpickle",
]

# Pickles, tracebacks and documentation name these by where users import them from.
for _public in (
    Client, DataArtifact, Flow, Metadata, Metaflow, MetaflowCode, MetaflowData, MetaflowEvent,
    Run, Step, Task, Trigger,
):  # fmt: skip
    _public.__module__ = "mfc"


if not TYPE_CHECKING:  # else every misspelt name would be fine to a type checker

    def __getattr__(name: str) -> Any:
        """Load classes of facts and values when they are asked for.

        Those are facts, `Placeholder`, and Metaflow's classes in values, which pickles name.
        """
        if name == "Failure":
            from mfc._facts._failure import Failure  # few readers see one

            return Failure
        if name in ("Timeline", "TimelineRow"):
            from mfc._facts import _timeline  # likewise

            return getattr(_timeline, name)
        if name[:1].isupper():  # modules are asked for, too
            from mfc import _pickle  # 8 ms, and most readers never see one

            if name == "Placeholder":
                return _pickle.Placeholder
            if name in _pickle.PUBLIC:
                return _pickle.PUBLIC[name]
        raise AttributeError(f"module 'mfc' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
