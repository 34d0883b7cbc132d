"""The history that most clauses query, and larger ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc_testing.history import History

#: Milliseconds since 1970 UTC: creation time of the example's flow; all else is younger.
T = 1_700_000_000_000
ROOT = Pathspec()
FLOW = Pathspec(("Kit",))
OTHER = Pathspec(("Other",))
#: The run with steps and tasks, and the step with all kinds of tasks.
RUN = FLOW.child("1700000004000000")
STEP = RUN.child("fit")
#: Attempt 0 failed, attempt 1 finished, attempt 2 runs.
RETRIED = STEP.child("2")
#: Its attempts are unfinished.
RUNNING = STEP.child("10")
#: Its artifacts and fields have names that resemble each other.
NAMED = STEP.child("x-4")
#: A task without artifacts or metadata.
BARE = STEP.child("5")
_ADA, _BOB = frozenset({"user:ada", "runtime:dev"}), frozenset({"user:bob", "runtime:dev"})


def sha(number: int) -> str:
    """Return a text in the form of a SHA-1."""
    return f"{number:040x}"


#: The SHA-1 of the pickles of True and False, protocol 4: the client knows their values without
#: reading.
TRUE = "868436778cb011a1c6230bc12534683ab0b7f1c3"
FALSE = "2473d4676d5b2aba674167293142f8031ada401b"


def run(
    name: str, at: int, user: str | None, tags: Iterable[str] = (), system: Iterable[str] = ()
) -> Record:
    """Return the record of a run of the example's flow; `at` counts from T."""
    return Record(FLOW.child(name), T + at, user, frozenset(tags), frozenset(system))


def _runs() -> list[Record]:
    return [
        run("7", 3_000, "bob", ["red"], _BOB),
        run("1700000002000000", 2_000, "ada", ["red", "blue"], _ADA),
        run("10", 6_000, "carol", ["green"], ["user:carol"]),
        run("argo-kit-x9", 3_000, "bob", [], _BOB),
        run("1700000004000001", 4_000, "ada", [], _ADA),
        run("1700000001000000", 1_000, "ada", ["blue"], _ADA),
        Record(RUN, T + 4_000, "ada", frozenset({"red", "blue", "grün ß"}), _ADA),
        run("9", 5_000, None, ["blues", "re"], []),
        Record(OTHER.child("7"), T + 2_500, "ada", frozenset({"blue"}), _ADA),
    ]


def _below(path: Pathspec, at: int, user: str | None = "ada") -> Record:
    return Record(path, T + at, user)


def field(
    task: Pathspec, name: str, value: Any, at: int, attempt: int | None = 0
) -> MetadataRecord:
    """Return a metadata record; `at` counts from T."""
    return MetadataRecord(task, name, value, name, T + at, attempt)


def artifact(
    task: Pathspec, name: str, at: int, attempt: int = 0, key: str | None = None
) -> ArtifactRecord:
    """Return an artifact record, of user ada; `at` counts from T."""
    return ArtifactRecord(
        task.child(name),
        T + at,
        "ada",
        attempt=attempt,
        sha=key or sha(at * 10 + attempt),
        ds_type="kit",
        location=":root:/kit/root",
        encoding="pickle-v4",
    )


def finished(task: Pathspec, at: int, attempt: int = 0, *, ok: bool = True) -> History:
    """Return the metadata for the end of an attempt, successful or failed."""
    marks = (
        field(task, "attempt", str(attempt), at - 20, attempt),
        field(task, "attempt-done", str(attempt), at, attempt),
    )
    key = TRUE if ok else FALSE
    values = (
        # The name of the flow is an artifact of every attempt.
        artifact(task, "name", at - 2, attempt),
        artifact(task, "_task_ok", at - 2, attempt, key),
        artifact(task, "_success", at - 2, attempt, key),
    )
    return History((), values, marks)


def _tasks() -> History:
    steps = [("start", 4_100), ("_parameters", 4_050), (STEP.name, 4_300), ("end", 4_900)]
    made = [("3", 4_310), ("2", 4_310), ("x-4", 4_330), ("10", 4_320), ("5", 4_305)]
    records = [
        *(_below(RUN.child(name), at) for name, at in steps),
        *(_below(STEP.child(name), at, "bob" if name == "3" else "ada") for name, at in made),
        _below(RUN.child("start").child("1"), 4_110),
        _below(RUN.child("_parameters").child("0"), 4_060),
    ]
    artifacts = [
        artifact(RETRIED, "x", 4_340, 0),
        artifact(RETRIED, "y", 4_360, 1),
        artifact(RETRIED, "x", 4_365, 1),
        artifact(RETRIED, "only_first", 4_341, 0),
        artifact(RETRIED, "x", 4_380, 2),
        artifact(STEP.child("3"), "x", 4_345),
        artifact(RUNNING, "x", 4_346),
        *(artifact(NAMED, name, 4_350 + at) for at, name in enumerate(("x", "xy", "a.x", "x_x"))),
        artifact(RUN.child("start").child("1"), "x", 4_150),
    ]
    return History(records, artifacts, _fields())


def _fields() -> list[MetadataRecord]:
    return [
        field(RETRIED, "kind", "alpha", 4_311),
        field(RETRIED, "kind", "beta", 4_362, 1),
        field(RETRIED, "attempt", "2", 4_375, 2),
        field(STEP.child("3"), "kind", "beta", 4_312),
        field(STEP.child("3"), "kind", "alpha", 4_346),
        field(RUNNING, "kind", "alpha-2", 4_322),
        field(RUNNING, "attempt", "0", 4_321),
        field(NAMED, "kind", "xalpha", 4_331),
        field(NAMED, "kind_of", "alpha", 4_332),
        field(NAMED, "kind-of", "größe\nzwei", 4_333, None),
        field(NAMED, "listed", ["alpha", 1], 4_334),
        field(NAMED, "counted", 5, 4_335),
        field(NAMED, "told", value=True, at=4_336),
        field(RUN.child("start").child("1"), "kind", "alpha", 4_112),
    ]


def example() -> History:
    """Return the example: two flows, nine runs, one of them with all kinds of tasks."""
    start = RUN.child("start").child("1")
    other = OTHER.child("7").child("start")
    elsewhere = FLOW.child("10").child("fit")
    history = History([Record(FLOW, T), Record(OTHER, T + 500), *_runs()])
    history += History([_below(other, 2_600), _below(other.child("2"), 2_610)])
    history += History([_below(elsewhere, 6_100), _below(elsewhere.child("2"), 6_110)])
    history += _tasks()
    for ended in (
        finished(RETRIED, 4_350, 0, ok=False),
        finished(RETRIED, 4_370, 1),
        finished(STEP.child("3"), 4_370),
        finished(NAMED, 4_390),
        finished(start, 4_200),
        finished(other.child("2"), 2_700),
        finished(elsewhere.child("2"), 6_200, ok=False),
    ):
        history += ended
    return history


def many_runs(number: int) -> History:
    """Return a flow with so many runs, ids and times as Metaflow's local runs have them."""
    flow = Record(FLOW, T)
    names = [f"{(T + 1_000 * n) * 1000 + n}" for n in range(1, number + 1)]
    runs = [Record(FLOW.child(name), int(name) // 1000, "ada") for name in names]
    # Neither oldest nor newest first, to reveal a backend that keeps insertion order.
    return History([flow, *runs[::2], *runs[1::2]])


def many_tasks(number: int) -> History:
    """Return a step with so many tasks, each with one finished attempt and its artifacts."""
    records = [Record(FLOW, T), run("1", 1, "ada")]
    step = FLOW.child("1").child("each")
    records.append(Record(step, T + 2, "ada"))
    history = History()
    for number_of in range(1, number + 1):
        task = step.child(str(number_of))
        records.append(Record(task, T + 100 * number_of, "ada"))
        history += finished(task, 100 * number_of + 60)
    return History(records) + history


#: Names that real systems have trouble with; each is valid in Metaflow's tree.
AWKWARD = (
    "naïve café", "ß", "日本語", "e\u0301", "🚲", "a b", " lead", "trail ", "..a", "a..", "-dash",
    "100%", "50%25", "a+b", "a&b=c", "a?b", "a#b", "a;b", "a:b", "a,b", "it's", 'say "it"',
    "back\\slash", "a*b", "[ab]", "{x}", "~", "$HOME", "`x`", "NULL", "None", "0", "007", "1e3",
    "true", "tab\there", "line\nbreak", "x" * 120,
)  # fmt: skip
#: Names without an object: too long for a disk, not Unicode, patterns, escapes out of the tree.
ABSENT = (
    "absent", "x" * 3000, "\ud800", "*", "?", "[a-z]", "%", "%2e%2e", "..\\..", "' OR 1=1 --",
    "1; DROP TABLE runs", "a\nb", "\u202e", "Kit*", "K_t", "7%", "_meta", "data", "latest_run",
)  # fmt: skip
