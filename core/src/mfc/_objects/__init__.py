"""The objects of the Client API."""

from mfc._objects._artifact import DataArtifact, MetaflowArtifacts, MetaflowData
from mfc._objects._client import Client
from mfc._objects._code_package import MetaflowCode
from mfc._objects._flow import Flow, Metaflow
from mfc._objects._object import MetaflowObject
from mfc._objects._run import Run
from mfc._objects._step import Step
from mfc._objects._task import Metadata, Task
from mfc._objects._trigger import MetaflowEvent, Trigger
from mfc._session._reader import STANDINS

__all__ = [
    "Client",
    "DataArtifact",
    "Flow",
    "Metadata",
    "Metaflow",
    "MetaflowArtifacts",
    "MetaflowCode",
    "MetaflowData",
    "MetaflowEvent",
    "MetaflowObject",
    "Run",
    "Step",
    "Task",
    "Trigger",
]

# Where Metaflow's pickles look for the same classes.
for _module, _classes in {
    "metaflow.client.core": (Metaflow, Flow, Run, Step, Task, DataArtifact, Metadata, MetaflowData),
    "metaflow.events": (Trigger, MetaflowEvent),
}.items():
    for _class in _classes:
        STANDINS[_module, _class.__name__] = _class
