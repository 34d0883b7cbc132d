"""Where mfc is meant to answer otherwise than Metaflow 2.19.39, and what it says instead.

Each entry is asserted by the tests, and one that nothing needs fails them.
"""

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
    raises,
    same_in_another_order,
    same_lines_in_order_of_file,
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
LOGS = ("logs", "moved logs", "aged logs", "service logs", "service aged logs")
SETTINGS = (
    "settings",
    "settings deep",
    "settings without root",
    "settings of nobody",
    "settings of a user",
    "settings of sudo",
    "settings of production",
    "settings of a root",
    "settings of a profile",
    "settings of a folder",
    "settings of spin",
)
ATTEMPTS = ("attempts", "aged attempts", "service attempts", "service aged attempts")
SERVICE_OBJECTS = tuple(name for name in OBJECTS if name.startswith("service"))
NO_LINES = {"iterator": [{"tuple": [None, ""]}]}

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

LOG_DIFFERENCES = (
    Difference(
        (*LOGS, "spin"),
        "*.loglines(*",
        "without a datastore there are no lines; Metaflow makes one without a time",
        instead(NO_LINES, {"iterator": []}),
    ),
    Difference(
        LOGS,
        "*.std???",
        "without a datastore the log is empty; Metaflow's is one line",
        instead("\n", ""),
    ),
    Difference(
        ("logs", "moved logs", "service logs"),
        "*/bytes_not_text/*stdout*",
        "bytes that are not UTF-8 are replaced, and do not hide the rest",
        lambda metaflow, mfc: (
            raised_name(metaflow) == "UnicodeDecodeError" and "\ufffd" in str(mfc)
        ),
    ),
    Difference(
        ("logs", "moved logs", "service logs"),
        "*ResumableFlow/<resumed*std???*",
        "the log of a clone is its origin's; Metaflow looks in the clone's own folder",
        lambda metaflow, mfc: metaflow in ("", 0, {"iterator": []}) and bool(mfc),
    ),
    Difference(
        ("aged logs", "service aged logs"),
        "*LogsFlow/<aged_logs>/many/*stdout*",
        "lines keep the order of their file, and unparseable ones their place",
        same_lines_in_order_of_file,
    ),
    Difference(
        ("logs", "moved logs", "service logs"),
        "*LogsFlow/*stdout*",
        "lines of one microsecond keep the order of their file",
        same_lines_in_order_of_file,
        certain=False,
    ),
    Difference(
        ("aged logs", "service aged logs"),
        "ResumableFlow/<aged>/start/*.loglines(*",
        "loglines() reads the same log as stdout, also one of before mflog",
        lambda _, mfc: "legacy" in str(mfc) or b"legacy".hex() in str(mfc),
    ),
    Difference(
        ("aged logs", "service aged logs"),
        "*LogsFlow/<aged_logs>/bytes_not_text/*stdout*",
        "bytes that are not UTF-8 are replaced, and do not hide the rest",
        lambda metaflow, mfc: (
            raised_name(metaflow) == "UnicodeDecodeError" and "\ufffd" in str(mfc)
        ),
    ),
)

INPUT_DIFFERENCES = (
    *(
        Difference(
            ("bad_input", "service bad_input"),
            keys,
            "an empty or dotted component is no name, and a pathspec is text",
            raises("MetaflowInvalidPathspec"),
        )
        for keys in (
            "Flow(*)",
            "Run(*)",
            "Step('{run}/')",
            "Task('{run}/only/.')",
            "DataArtifact(*/')",
            "Metaflow()[[]*",
        )
    ),
    Difference(
        ("bad_input", "service bad_input"),
        "*(good, attempt=[[]])",
        "an attempt of another type is no attempt",
        raises("MetaflowNotFound"),
    ),
    Difference(
        ("bad_input",),
        "*ans[*]')",
        "names are never patterns",
        raises("MetaflowNotFound"),
    ),
    Difference(
        ("bad_input",),
        "'[*]' in task",
        "names are never patterns",
        instead(True, False),
    ),
    Difference(
        ("bad_input",),
        "task[[]'[*]']",
        "names are never patterns",
        raises("KeyError"),
    ),
    Difference(
        ("bad_input", "service bad_input"),
        "* in *",
        "an empty or dotted name is no child",
        instead(True, False),
    ),
    Difference(
        ("bad_input",),
        "5 in *",
        "a number is no child",
        not_raising("AttributeError", False),
    ),
    Difference(("bad_input",), "*[[]5]", "a number is no child", raises("KeyError")),
    Difference(
        ("bad_input", "service bad_input"),
        "loglines of no stream",
        "there are two streams, and no third",
        raises("ValueError"),
    ),
    Difference(
        (
            *("namespaces", "switching", "pickles"),
            *("service namespaces", "service switching", "service pickles"),
        ),
        "*Flow(*.is_in_namespace*",
        "a flow answers for the namespace of now, as its runs do",
        instead(True, False),
    ),
)

PLACE_DIFFERENCES = (
    Difference(
        ("two_roots", "service two_roots"),
        "*.list",
        "an object stays with the root that it came from",
        lambda metaflow, mfc: bool(mfc) and "<newer>" not in str(mfc) and metaflow != mfc,
    ),
    Difference(
        ("two_roots", "service two_roots"),
        "*.state",
        "an object stays with the root that it came from",
        lambda _, mfc: "@<root>" in str(mfc),
    ),
    Difference(
        ("two_roots", "service two_roots"),
        "get_metadata after unpickling *",
        "unpickling an object does not move the process to another root",
        lambda _, mfc: str(mfc).endswith("@<place>/tagged"),
    ),
    Difference(
        ("two_roots", "service two_roots"),
        "flows after unpickling *",
        "unpickling an object does not move the process to another root",
        says(["Flow('SingleFlow')"]),
    ),
    *(
        Difference(
            SETTINGS,
            f"metadata({address!r})",
            "an address is text, and an empty one is none",
            raises("MetaflowException"),
        )
        for address in ("", None, 5)
    ),
    Difference(
        SETTINGS,
        "get_metadata after *missing*",
        "a provider that cannot be had leaves the old one",
        lambda metaflow, mfc: metaflow.startswith("spin@") and not mfc.startswith("spin@/no"),
    ),
    Difference(
        SETTINGS,
        "get_metadata after 'spin@/no such folder'",
        "a provider that cannot be had leaves the old one",
        lambda metaflow, mfc: metaflow.startswith("spin@") and not mfc.startswith("spin@/no"),
        certain=False,
    ),
    Difference(
        ("settings without root", "settings of a root", "settings of spin"),
        "*local*",
        "an address without a folder means the default folder, as documented; Metaflow keeps the last one",
        lambda metaflow, mfc: (
            metaflow == "local@<root>" and mfc.startswith("local@") and mfc != metaflow
        ),
    ),
    Difference(
        ("settings without root", "settings of a root", "settings of spin"),
        "get_metadata after *",
        "what follows an address that was refused follows the one before it",
        lambda metaflow, mfc: (
            metaflow == "local@<root>" and mfc.startswith("local@") and mfc != metaflow
        ),
    ),
    Difference(
        ("settings of nobody",),
        "get_namespace at first",
        "a user without a name reads in the global namespace",
        not_raising("MetaflowUnknownUser", None),
    ),
    Difference(
        ("settings of nobody",),
        "flows in the default namespace",
        "a user without a name reads in the global namespace",
        answered,
    ),
)

TAG_DIFFERENCES = (
    *(
        Difference(
            ("tags",),
            f"*: {name} stays",
            "tagging does not move a run in time",
            instead(False, True),
        )
        for name in ("created_at", "latest_run")
    ),
    Difference(
        ("tags", "service tags"),
        "*(bytes)",
        "a tag is text, and the error says so",
        lambda metaflow, mfc: (
            raised_name(metaflow) == "TypeError" and raised_name(mfc) == "MetaflowTaggingError"
        ),
    ),
    *(
        Difference(
            ("tags", "service tags"),
            f"*({name}): *",
            "what a generator gives is not lost",
            lambda metaflow, mfc: (
                set(metaflow["frozenset"]) ^ set(mfc["frozenset"]) <= {"new", "one"}
            ),
        )
        for name in ("generator", "iterator", "generators")
    ),
)

DIFFERENCES: tuple[Difference, ...] = (
    *OBJECT_DIFFERENCES,
    *LINEAGE_DIFFERENCES,
    *TRIGGER_DIFFERENCES,
    *LOG_DIFFERENCES,
    *INPUT_DIFFERENCES,
    *PLACE_DIFFERENCES,
    *TAG_DIFFERENCES,
)
