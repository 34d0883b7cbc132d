"""Intended differences between mfc and Metaflow 2.19.39, with mfc's answers.

Each entry is asserted by the tests, and an entry without a difference fails them.
"""

from __future__ import annotations

from .comparison import Difference
from .expectations import (
    answered,
    instead,
    not_raising,
    raised_name,
    raises,
    same_lines_in_order_of_file,
    says,
)
from .object_differences import (
    LINEAGE_DIFFERENCES,
    OBJECT_DIFFERENCES,
    TRIGGER_DIFFERENCES,
)
from .release_differences import RELEASE_DIFFERENCES, of_releases

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
NO_LINES = {"iterator": [{"tuple": [None, ""]}]}

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

SERVICE_DIFFERENCES = (
    Difference(
        ("service null tags",),
        "*",
        "tags that are null are none; Metaflow's TypeError comes from the inside",
        lambda metaflow, mfc: (
            raised_name(metaflow) == "TypeError"
            and raised_name(mfc) in ("", "MetaflowNamespaceMismatch", "NotInNamespace")
        ),
    ),
    Difference(
        ("service settings",),
        "metadata('http://127.0.0.1:1/prefix')",
        "to choose a service asks it nothing",
        not_raising("ValueError", "service@http://127.0.0.1:1/prefix"),
    ),
    Difference(
        ("service settings",),
        "get_metadata after *",
        "to choose a service asks it nothing",
        says("service@http://127.0.0.1:1/prefix"),
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
        "metadata('*/.metaflow')",
        "the directory of results may be named itself",
        says("local@<root>"),
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
    *(
        Difference(
            ("bad_input", "service bad_input"),
            f"Task(good, attempt={attempt})",
            "an attempt is a whole number, and True is none",
            raises("MetaflowNotFound"),
        )
        for attempt in ("1.5", "True")
    ),
    *(
        Difference(
            ("bad_input", "service bad_input"),
            keys,
            "a tag that is looked for is text",
            raises("ValueError"),
        )
        for keys in ("run.steps(5)", "flow.runs(None)")
    ),
    Difference(
        ("tags", "service tags"),
        "*(bytes)",
        "a tag is text, and the error says so",
        lambda metaflow, mfc: raised_name(metaflow) == "TypeError" and raised_name(mfc) == "BadTag",
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
    *RELEASE_DIFFERENCES,
    *of_releases((*OBJECT_DIFFERENCES, *LINEAGE_DIFFERENCES, *LOG_DIFFERENCES)),
    *OBJECT_DIFFERENCES,
    *LINEAGE_DIFFERENCES,
    *TRIGGER_DIFFERENCES,
    *LOG_DIFFERENCES,
    *INPUT_DIFFERENCES,
    *SERVICE_DIFFERENCES,
    *PLACE_DIFFERENCES,
    *TAG_DIFFERENCES,
)
