"""Intended differences of objects, lineage and triggers; the table is in `differences.py`."""

from __future__ import annotations

from .comparison import ABSENT, Difference
from .expectations import (
    answered,
    existing_steps,
    fewer,
    found,
    instead,
    no_origin,
    not_raising,
    placeholder,
    raised_name,
    same_in_another_order,
    same_metadata_in_order_of_time,
    same_pairs,
    says,
    user_code_only,
)

#: walks through all objects of a root
DIRECTORIES = ("objects", "own", "moved objects")
MAIN = (*DIRECTORIES, "service objects")
OBJECTS = (
    *MAIN,
    "production",
    "aged objects",
    "glob objects",
    "service of_bob",
    "service production",
    "service aged objects",
)
ATTEMPTS = ("attempts", "aged attempts", "service attempts", "service aged attempts")
SERVICE_OBJECTS = tuple(name for name in OBJECTS if name.startswith("service"))

OBJECT_DIFFERENCES = (
    Difference(
        (*OBJECTS, "spin", *ATTEMPTS),
        "*.metadata",
        "metadata is ordered by time; Metaflow gives the order of the directory, or the newest first",
        same_metadata_in_order_of_time,
    ),
    Difference(
        (*SERVICE_OBJECTS, "service attempts", "service aged attempts"),
        "*.metadata_dict",
        "metadata is ordered by time, and metadata_dict by it; the values are the same",
        same_pairs,
    ),
    Difference(
        (*OBJECTS, "spin"),
        "*.origin_pathspec",
        "a run that was never resumed has no origin; Metaflow says 'Flow/None', or StopIteration without a step",
        no_origin,
    ),
    Difference(
        (*OBJECTS, "spin", "pickles", "bad_input", "service pickles", "service bad_input"),
        "*list*",
        "an artifact has no children; Metaflow's KeyError comes from the inside",
        not_raising("KeyError", []),
    ),
    Difference(
        MAIN,
        "ValuesFlow/*.artifacts",
        "an artifact whose name is no identifier does not hide the others",
        lambda metaflow, mfc: raised_name(metaflow) == "ValueError" and "MetaflowArtifacts" in mfc,
    ),
    Difference(
        MAIN,
        "ValuesFlow/*.artifacts[[]*]",
        "an artifact whose name is no identifier does not hide the others",
        answered,
    ),
    Difference(
        ("attempts", "service attempts"),
        "Task('ValuesFlow/*.artifacts",
        "an artifact whose name is no identifier does not hide the others",
        lambda metaflow, mfc: raised_name(metaflow) == "ValueError" and "MetaflowArtifacts" in mfc,
    ),
    Difference(
        DIRECTORIES,
        "ValuesFlow/*[[]'[*]']",
        "names are never patterns",
        lambda metaflow, mfc: raised_name(metaflow) == "TypeError" and "/*')" in str(mfc),
    ),
    Difference(DIRECTORIES, "ValuesFlow/*[[]'br[[]ack]et']", "names are never patterns", answered),
    Difference(
        DIRECTORIES,
        "ValuesFlow/*contains('br[[]ack]et')",
        "names are never patterns",
        instead(False, True),
    ),
    Difference(
        MAIN,
        "ValuesFlow/*.data",
        "a class that only the flow's file has is a placeholder, not an exception",
        placeholder,
    ),
    Difference(
        ("service objects",),
        "ValuesFlow/*.data",
        "an object whose service does not answer is an error of its artifact",
        lambda metaflow, mfc: (
            raised_name(metaflow) == "ValueError" and raised_name(mfc) == "UndecodableArtifact"
        ),
    ),
    Difference(
        MAIN,
        "RunningFlow/<running>/work/*.size",
        "sizes follow the attempt whose artifacts are shown, also while another one runs",
        lambda metaflow, mfc: raised_name(metaflow) == "DataException" and isinstance(mfc, int),
    ),
    Difference(
        ("code", "moved code", "aged code", "service code", "service aged code"),
        "*.extract()",
        "extract() writes the user's code only, as documented",
        user_code_only,
    ),
    Difference(
        (*MAIN, "aged objects", "service aged objects"),
        "*.code.extract()",
        "extract() writes the user's code only, as documented",
        user_code_only,
    ),
    Difference(
        ("aged objects", "service aged objects"),
        "LogsFlow*",
        "a task with one artifact is a task like any other; Metaflow's TypeError comes from the inside",
        lambda metaflow, mfc: answered(metaflow, mfc) or metaflow == ABSENT,
    ),
    Difference(
        ("aged attempts", "service aged attempts"),
        "Task('LogsFlow*/end/*",
        "a task with one artifact is a task like any other; Metaflow's TypeError comes from the inside",
        answered,
    ),
)

LINEAGE_DIFFERENCES = (
    Difference(
        OBJECTS,
        "*/_parameters.child_steps",
        "_parameters is in no graph, and has no neighbours there",
        not_raising("KeyError", {"iterator": []}),
    ),
    Difference(
        OBJECTS,
        "*/_parameters/*.*_task*",
        "_parameters is in no graph, and has no neighbours there",
        lambda metaflow, mfc: raised_name(metaflow) == "KeyError" and mfc == {"iterator": []},
    ),
    Difference(
        (*MAIN, "spin", "aged objects", "service aged objects"),
        "*_steps",
        "steps that were not run are left out; Metaflow fails at the first",
        existing_steps,
    ),
    Difference(
        MAIN,
        "FailuresFlow/<failures>/end/*_task*",
        "the graph is known from any task of the run",
        existing_steps,
    ),
    Difference(
        ("aged objects", "service aged objects"),
        "LogsFlow/*/end/*_task*",
        "the graph is known from any task of the run",
        existing_steps,
    ),
    Difference(
        ATTEMPTS,
        "*, attempt=1).*_task*",
        "the graph is known from any task of the run, also for an attempt that there is not",
        lambda metaflow, mfc: raised_name(metaflow) == "KeyError" and not raised_name(mfc),
    ),
    Difference(
        MAIN,
        "*_task*",
        "tasks are ordered newest first, as elsewhere; Metaflow gives the order of the directory",
        same_in_another_order,
        certain=False,
    ),
    Difference(
        MAIN,
        "NestedFlow/<nested_resumed>/*_task*",
        "a clone's place in foreaches is that of its origin",
        found,
    ),
    Difference(
        MAIN,
        "SwitchFlow/*_task*",
        "an iteration of a recursive step follows the one before; Metaflow names all",
        fewer,
    ),
    Difference(
        MAIN,
        "EndpointsFlow.latest_successful_run",
        "a resumed run of a flow with other names for start and end has ended as well",
        says({"Run": "Run('EndpointsFlow/<endpoints_resumed>')"}),
    ),
    Difference(
        MAIN,
        "EndpointsFlow/<endpoints_resumed>.*",
        "a resumed run of a flow with other names for start and end has ended as well",
        lambda metaflow, mfc: (metaflow in (None, False) and bool(mfc)) or metaflow == ABSENT,
    ),
)

TRIGGER_DIFFERENCES = (
    Difference(
        (*MAIN,),
        "SingleFlow/<by_*>.trigger*",
        "events are found by name also beside runs, and a run that is gone does not hide the others",
        lambda metaflow, mfc: (
            (raised_name(metaflow) in ("KeyError", "MetaflowNotFound") or metaflow is False)
            and mfc != ABSENT
            and raised_name(mfc) in ("", "KeyError")
        ),
    ),
    Difference(
        MAIN,
        "SingleFlow/<odd_stamps>.trigger*",
        "a stamp with a fraction is a time as well",
        lambda _, mfc: "datetime" in str(mfc) and "1700000000.5" not in str(mfc),
    ),
    Difference(
        MAIN,
        "SingleFlow/<*ed_stamps>.trigger*",
        "stamps of several types do not hide the events",
        answered,
    ),
    Difference(
        MAIN,
        "SingleFlow/<*_key>.trigger*",
        "an event that lacks a field, or has more, is an event",
        answered,
    ),
    Difference(
        MAIN,
        "SingleFlow/<*>.trigger*",
        "a trigger that Metaflow cannot make is asked what other triggers are",
        lambda metaflow, _: metaflow == ABSENT,
    ),
)
