"""Hypothesis strategies for records of a provider, and for queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from mfc.model import ArtifactRecord, Level, MetadataRecord, Pathspec, Record, is_name
from mfc.query import Query
from mfc_testing._example import AWKWARD, T, finished, sha
from mfc_testing.history import History

#: Names of other entries in the directory of a flow or task in Metaflow's own layout.
_RESERVED = frozenset({"_meta", "data", "latest_run"})
#: Digits of µs since 1970: such run ids are times in Metaflow's local layout.
_TIME_DIGITS = 16
#: Milliseconds within which all times fall; few, so that ties occur.
_SPAN = 40
_FIELDS = ("kind", "kind_of", "größe")
_USERS = ("ada", "bob", None)
_TAGS = ("blue", "red", "user:ada", "grün ß", "a b")


def _nameable(name: str) -> bool:
    timed = len(name) == _TIME_DIGITS and name.isdigit()
    return is_name(name) and name not in _RESERVED and not timed


def names(max_size: int = 24) -> st.SearchStrategy[str]:
    """Return names of objects: usual ones, awkward ones, and any valid text."""
    usual = st.sampled_from(["start", "end", "1", "2", "10", "x", "X", "argo-kit-x9", "fit_all"])
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
    anything = st.text(characters, min_size=1, max_size=max_size).filter(_nameable)
    return usual | st.sampled_from(AWKWARD) | anything


def pathspecs(level: Level) -> st.SearchStrategy[Pathspec]:
    """Return the pathspecs of one level."""
    return st.lists(names(), min_size=level, max_size=level).map(lambda n: Pathspec(tuple(n)))


def times() -> st.SearchStrategy[int]:
    """Return times in ms since 1970 UTC, close to each other."""
    return st.integers(T, T + _SPAN)


def tags() -> st.SearchStrategy[frozenset[str]]:
    """Return sets of tags."""
    anything = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
    return st.frozensets(st.sampled_from(_TAGS) | anything, max_size=4)


def users() -> st.SearchStrategy[str | None]:
    """Return users, and None for an unknown user."""
    return st.sampled_from(_USERS)


def records(level: Level) -> st.SearchStrategy[Record]:
    """Return records of flows, runs, steps or tasks; runs have tags, others carry their run's."""
    path, owned = pathspecs(level), level > Level.FLOW
    tagged = tags() if level is Level.RUN else st.just(frozenset[str]())
    user = users() if owned else st.none()
    return st.builds(Record, path, times(), user, tagged, tagged)


def artifact_records(task: Pathspec | None = None) -> st.SearchStrategy[ArtifactRecord]:
    """Return artifact records, of one task if it is given."""
    tasks = pathspecs(Level.TASK) if task is None else st.just(task)
    return st.builds(
        ArtifactRecord,
        st.builds(Pathspec.child, tasks, names()),
        times(),
        users(),
        attempt=st.integers(0, 5),
        sha=st.integers(1, 2**159).map(sha),
        ds_type=st.just("kit"),
        location=st.just(":root:/kit/root"),
        encoding=st.sampled_from(["pickle-v4", "gzip+pickle-v2", None]),
    )


def metadata_records(task: Pathspec | None = None) -> st.SearchStrategy[MetadataRecord]:
    """Return metadata records, of one task if it is given; values are text, mostly."""
    tasks = pathspecs(Level.TASK) if task is None else st.just(task)
    characters = st.characters(exclude_categories=["Cs"])
    value = st.sampled_from(["alpha", "beta", "alpha-2", "0", ""]) | st.text(characters, max_size=9)
    value_of_any_kind = value | st.integers() | st.booleans() | st.lists(value, max_size=2)
    field = st.sampled_from(_FIELDS)
    attempt = st.none() | st.integers(0, 5)
    return st.builds(MetadataRecord, tasks, field, value_of_any_kind, field, times(), attempt)


def logs() -> st.SearchStrategy[bytes]:
    """Return the content of a log file: Metaflow's lines, and other output of a process."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.encode)
    stamp = st.datetimes().map(lambda at: at.isoformat(timespec="microseconds").encode())
    line = st.builds(
        lambda at, source, key, rest: b"[MFLOG|0|%bZ|%b|%b]%b" % (at, source, key, rest),
        stamp,
        st.sampled_from([b"runtime", b"task"]),
        st.uuids().map(lambda key: str(key).encode()),
        text,
    )
    return st.lists(line | text | st.binary(max_size=20), max_size=8).map(b"\n".join)


def queries(
    near: Sequence[Record] = (), *, tasks: bool = False, status: bool = False
) -> st.SearchStrategy[Query]:
    """Return queries with random parts.

    Args:
        near: records whose times, names and tags are queried; by default, those of this module.
        tasks: whether children are tasks, which have metadata to match.
        status: whether queries may have a status.
    """
    pattern = st.sampled_from(["alpha", "beta|alpha", "al.*", ".*", "", "(?i)ALPHA", "[a-z]+-2"])
    match = st.tuples(st.sampled_from(_FIELDS), pattern)
    words = st.sampled_from(["running", "completed", "failed", "unknown"])
    moments = sorted({record.created + more for record in near for more in (0, 1)})
    time = st.sampled_from(moments) if near else times()
    name = st.sampled_from([record.path.name for record in near]) if near else names()
    known = {tag for record in near for tag in (*record.tags, *record.system_tags)}
    tag = st.sampled_from(sorted({*_TAGS, *known}))
    parts: dict[str, st.SearchStrategy[Any]] = {
        "tags": st.frozensets(tag, max_size=2),
        "since": time,
        "until": time,
        "user": st.sampled_from(["ada", "bob", "ad"]),
        "names": st.frozensets(name | names(), max_size=6),
        "limit": st.integers(0, 6),
    }
    if tasks:
        parts["metadata"] = match
    if status:
        parts["status"] = words
    # Few parts at once: with many, hardly a record would match.
    chosen = st.lists(st.sampled_from(sorted(parts)), max_size=3, unique=True)
    return chosen.flatmap(
        lambda names_of: st.fixed_dictionaries({part: parts[part] for part in names_of})
    ).map(lambda given: Query(**given))


def _unlike(path: Pathspec, names_of: list[str]) -> list[Pathspec]:
    return [path.child(name) for name in names_of]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return small histories in which every record's parents exist."""
    few = st.lists(names(), max_size=3, unique=True)
    flows = _unlike(Pathspec(), draw(st.lists(names(), min_size=1, max_size=2, unique=True)))
    made = History([Record(flow, draw(times())) for flow in flows])
    runs = [run for flow in flows for run in _unlike(flow, draw(few))]
    for run in runs:
        record = Record(run, draw(times()), draw(users()), draw(tags()), draw(tags()))
        made += History([record])
        for step in _unlike(run, draw(few)):
            made += History([Record(step, draw(times()), record.user)])
            for task in _unlike(step, draw(few)):
                made += History([Record(task, draw(times()), record.user)]) + draw(_task(task))
    return made


@st.composite
def _task(draw: st.DrawFn, task: Pathspec) -> History:
    """Return the records of one task."""
    unique_artifacts = st.lists(
        artifact_records(task), max_size=3, unique_by=lambda record: (record.path, record.attempt)
    )
    unique_fields = st.lists(
        metadata_records(task), max_size=3, unique_by=lambda record: (record.name, record.created)
    )
    made = History((), draw(unique_artifacts), draw(unique_fields))
    for attempt in range(draw(st.integers(0, 2))):
        made += finished(task, _SPAN + 100 * (attempt + 1), attempt, ok=draw(st.booleans()))
    return made
