"""Read what Netflix Metaflow recorded: its Client API, without Metaflow.

>>> from mfc import Flow, Run, Task, namespace
"""

from mfc._client import Client
from mfc._entry import (
    default_metadata,
    default_namespace,
    get_metadata,
    get_namespace,
    inspect_spin,
    metadata,
    namespace,
    unpickle,
)
from mfc._objects import (
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
from mfc._pickle import Placeholder, Trust
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
from mfc.model import Stats, Status

#: Metaflow's name for the class in its annotations.
MetaflowTrigger = Trigger

__version__ = "0.1.0"

__all__ = [
    "Client",
    "DataArtifact",
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
    "Trigger",
    "Trust",
    "default_metadata",
    "default_namespace",
    "get_metadata",
    "get_namespace",
    "inspect_spin",
    "metadata",
    "namespace",
    "unpickle",
]

# Pickles, tracebacks and documentation name these by where users import them from.
for _public in (
    Client, DataArtifact, Flow, Metadata, Metaflow, MetaflowCode, MetaflowData, MetaflowEvent,
    Run, Step, Task, Trigger,
):  # fmt: skip
    _public.__module__ = "mfc"
