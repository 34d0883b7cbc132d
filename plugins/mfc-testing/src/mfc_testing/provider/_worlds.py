"""Histories that reveal whole classes of mistakes: similar names, odd values, odd times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import attrs

from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record
from mfc_testing._example import FLOW, T, artifact, field, finished, sha
from mfc_testing.history import History

#: Names that begin alike, or match each other as patterns.
_FLOWS, _RUNS = ("Kit", "Kit2", "K_t"), ("1", "10", "11", "1_", "100")
_STEPS, _TASKS = ("fit", "fit2", "f_t"), ("1", "10", "2")
_FIELDS, _ARTIFACTS = ("kind", "kind2", "k_nd"), ("x", "x2", "x_")
_USERS, _TAGS = ("ada", "ada2", "a_a"), ("blue", "blue2", "b_ue", "blu")

NAMES = frozenset((*_FLOWS, *_RUNS, *_STEPS, *_TASKS))
#: A run whose name is not a time, and its only step.
RUN = FLOW.child("1")
STEP = RUN.child("fit")

#: Text that databases, parsers and protocols tend to change.
TEXTS = (
    " ", "  lead", "trail  ", "\ttab\t", "a\r\nb", "a\rb", "a\nb\n", "\n", "nul\0in", "007", "1e3",
    "1.0", "-0", "5", "05:00", "true", "True", "null", "None", "NULL", "NaN", '"quoted"',
    "'single'", "it's", "[1, 2]", '{"a": 1}', "back\\slash", "\\n", "\\u0041", "100%", "%s{}",
    "%41", "a+b", "é", "e\u0301", "\ufeffbom", "a\u2028b", "\u200b", "🚲", "ß", "İi", "\x7f\x01",
    "a,b;c|d", "&amp;<b>", "2023-11-14T22:13:20Z", "0x10",
    "\uff11\uff12", "x" * 100_000, "ü" * 5_000,
    "", "\ud800", "b'bytes'", "ADA", "ada", "=1+1", "#", "//", "-", "~",
)  # fmt: skip
#: Values of metadata that are not text.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**53 + 1, 2**31, 1.5, 1.0, [], {}, [1, "1", None, [True]],
    {"b": {"a": [1]}, "a": None}, [[]], [" "], {"1": 1}, [0.1, 1e22],
)  # fmt: skip
#: Tags of runs, and their user names.
TAGS = (
    "a b", " lead", "trail ", "a,b", "a;b", "a|b", "a:b", "a\tb", "a\nb", '"', "'", "\\", "[]",
    '["a"]', "{}", "%", "_", "*", "é", "e\u0301", "ß", "SS", "ss", "A", "a", "0", "00", "null",
    "None", "🚲", "&", "a&b=c", "#", "+", "-a", "x" * 400,
)  # fmt: skip
USERS = (
    "ada@example.org", "o'brien", "größe", "Ada", "ada", "ada ", "a%", "NULL", "None", "null",
    "domain\\ada", "a b", "0", "e\u0301", "é",
)  # fmt: skip
#: Milliseconds at the limits of clocks, calendars and number formats.
TIMES = (
    0, 1, 999, 1_000, 1_001, 86_399_999, 999_999_999_999, 1_000_000_000_000, T, T + 1, T + 2,
    T + 999, T + 1_000,
    # New York's clocks are set back and forward; the hour comes twice, or is skipped.
    1_699_162_200_000, 1_699_165_800_000, 1_699_165_800_001, 1_710_055_800_000,
    1_710_059_400_000, 2_147_483_647_999, 2_147_483_648_001, 4_294_967_296_123,
    4_102_444_800_001, 32_503_679_999_999,
)  # fmt: skip
#: Zones in the form that needs no table: with summer time, half an hour off, far in the east.
ZONES = ("EST5EDT,M3.2.0,M11.1.0", "IST-5:30", "LINT-14")


def siblings() -> History:
    """Return flows, runs, steps and tasks whose names begin alike, one within the other."""
    numbers = itertools.count(1)
    made = History()
    for flow in _FLOWS:
        path = Pathspec((flow,))
        made += History([Record(path, T + next(numbers))])
        for run in _RUNS if flow == "Kit" else _RUNS[:2]:
            made += _sibling_run(path.child(run), numbers)
    return made


def _sibling_run(run: Pathspec, numbers: Iterator[int]) -> History:
    at = next(numbers)
    tags, system = {_TAGS[at % 4], f"of {run}"}, {_TAGS[at % 3], f"in {run}"}
    user = _USERS[at % 3]
    made = History([Record(run, T + 100 * at, user, frozenset(tags), frozenset(system))])
    # Few, as they are read one by one: a whole tree in Kit/1 and Kit/10, a part elsewhere.
    whole = run.parent.name == "Kit" and run.name in ("1", "10")
    for step in _STEPS if whole else _STEPS[:1]:
        path = run.child(step)
        made += History([Record(path, T + 100 * at + 10, user)])
        for task in _TASKS if step != "f_t" else _TASKS[:1]:
            made += _sibling_task(path.child(task), next(numbers))
    return made


def _sibling_task(task: Pathspec, at: int) -> History:
    begun, last = 100 * at + 20, at % 3
    made = History([Record(task, T + begun, _USERS[at % 3])])
    for attempt in range(last + 1):
        ended = begun + 10 * (attempt + 1)
        values = [
            artifact(task, name, ended - 5 + n, attempt, sha(1_000 * at + 10 * attempt + n))
            for n, name in enumerate(_ARTIFACTS)
        ]
        fields = [
            field(task, name, f"{task} {attempt} {n}", ended - 5 + n, attempt)
            for n, name in enumerate(_FIELDS)
        ]
        made += History((), values, fields)
        if attempt < last or at % 2:
            made += finished(task, ended + 5, attempt, ok=attempt == last)
    return made


def in_a_task(task: Pathspec = STEP.child("1")) -> History:  # noqa: B008 - frozen
    """Return a flow down to one empty task."""
    levels = [task.up(level) for level in list(Level)[1:5]]
    return History(
        [Record(path, T + path.level, None if path.level == 1 else "ada") for path in levels]
    )


def odd_fields(task: Pathspec) -> list[MetadataRecord]:
    """Return a field of metadata for each odd value."""
    values = (*TEXTS, *VALUES)
    kinds = ("Kind", " a b ", "e\u0301", None, "", "x" * 300, "a\nb", "0", "é")
    return [
        MetadataRecord(
            task, f"v{n}", value, kinds[n % len(kinds)], T + 100 + n, None if n % 5 == 0 else n % 3
        )
        for n, value in enumerate(values)
    ]


def odd_artifacts(task: Pathspec) -> list[ArtifactRecord]:
    """Return artifacts whose fields are odd: datastores, places, encodings, users, times."""
    base = artifact(task, "base", 300)
    stores = ("s3", "local", "gs", "azure", "a b", "S3")
    places = (
        ":root:s3://bucket/a b", "s3://bucket/root/Kit/data/00/00", "", ":root:C:\\results",
        "https://host/a?b=c#d", ":root:/größe/", ":root:", " :root:/lead", ":root:/trail/ ",
        ":root:/e\u0301", "x" * 300, "a\nb",
    )  # fmt: skip
    encodings = (
        None,
        "",
        "pickle-v2",
        "gzip+pickle-v4",
        "JSON",
        "größe",
        "a b ",
        "e\u0301",
        "x" * 300,
        "a\nb",
    )
    users = (None, "Ada", "o'brien")
    found = [
        *(attrs.evolve(base, ds_type=store) for store in stores),
        *(attrs.evolve(base, location=place) for place in places),
        *(attrs.evolve(base, encoding=encoding) for encoding in encodings),
        *(attrs.evolve(base, user=user) for user in users),
        *(attrs.evolve(base, created=time) for time in TIMES),
        attrs.evolve(base, sha="0" * 40),
        attrs.evolve(base, sha="00e1" * 10),
    ]
    return [attrs.evolve(made, path=task.child(f"a{n}")) for n, made in enumerate(found)]


def odd_runs() -> list[Record]:
    """Return runs with odd tags and users, each in one run alone."""
    tagged = [
        Record(FLOW.child(f"u{n}"), T + n, "ada", frozenset({tag}), frozenset({f"in{n}"}))
        for n, tag in enumerate(TAGS)
    ]
    system = [
        Record(FLOW.child(f"s{n}"), T + 100 + n, "ada", frozenset({f"of{n}"}), frozenset({tag}))
        for n, tag in enumerate(TAGS)
    ]
    users = [Record(FLOW.child(f"o{n}"), T + 200 + n, user) for n, user in enumerate(USERS)]
    # A system tag that names a user does not set the user.
    nobody = Record(FLOW.child("nobody"), T + 300, None, system_tags=frozenset({"user:eve"}))
    return [*tagged, *system, *users, nobody]


def odd_times() -> History:
    """Return runs, tasks, artifacts and metadata at odd times; a task of each time has all."""
    runs = [Record(FLOW.child(f"at{n}"), time, "ada") for n, time in enumerate(TIMES)]
    records = [Record(FLOW, 0), *runs, Record(RUN, 5, "ada"), Record(STEP, 0, "ada")]
    made = History(records)
    for n, time in enumerate(TIMES):
        task = STEP.child(f"t{n}")
        made += History([Record(task, time, "ada")])
    task = STEP.child("t0")
    fields = [MetadataRecord(task, f"f{n}", str(n), "x", time, 0) for n, time in enumerate(TIMES)]
    done = MetadataRecord(task, "attempt-done", "0", "attempt-done", 5, 0)
    values = [attrs.evolve(artifact(task, f"a{n}", 0), created=at) for n, at in enumerate(TIMES)]
    return made + History((), values, [*fields, done])
