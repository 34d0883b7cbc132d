"""The questions that loops ask of runs and tasks, each in its narrow and its wide form."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Collection, Mapping
from operator import attrgetter
from typing import Any

from mfc._concurrency._prefetch import Question, side_by_side
from mfc._recorded._graph import GRAPH, graph_told
from mfc._session._provider import recent_of
from mfc._session._scope import Scope
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query

#: In notes: outcomes were told by metadata.
BY_METADATA = "outcomes by metadata"
#: Metadata that says how an attempt ended; since this version of Metaflow.
_OUTCOME, _OUTCOME_SINCE = "attempt_ok", (2, 2, 5)
ENDED_WELL = (_OUTCOME, "True")
#: Seconds after which all that an attempt leaves is registered, clocks that differ included.
_SETTLED = 60.0
#: Seconds before the last metadata of a run in which a task that was cut off may have ended.
_CUT_OFF = 10.0
#: Metadata at the end of a run that is looked at first, and what is looked at if that is old.
_FIRST, _MOST = 8, 500
#: Tasks that are asked one by one rather than with all of their step.
_FEW = 16
#: The step that is the last one, where there is one of this name.
_END = "end"
#: First release after which a flow's endpoints may have other names: builds between releases have
#: the number of the last one.
_ENDPOINTS_SINCE = (2, 19, 22)
_created = attrgetter("created")
_VERSION = re.compile(r"metaflow_version:(\d+)\.(\d+)\.(\d+)")


def artifact_of(scope: Scope, step: Pathspec, name: str) -> Question[Record | None]:
    """Return the question for the artifact `name` of tasks of a step."""
    return Question(
        ("artifact", name),
        lambda task: scope.provider.get(task.path.child(name)),
        lambda: {record.path.parent: record for record in scope.provider.artifacts(step, (name,))},
    )


def metadata_of(
    scope: Scope, step: Pathspec, names: Collection[str] | None = None
) -> Question[list[MetadataRecord]]:
    """Return the question for the metadata of tasks of a step, or for some fields of it."""

    def every() -> Mapping[Pathspec, list[MetadataRecord]]:
        found: dict[Pathspec, list[MetadataRecord]] = {}
        for record in scope.provider.metadata(step, names):
            found.setdefault(record.task, []).append(record)
        for records in found.values():
            records.sort(key=_created)
        return found

    key = ("metadata", None if names is None else frozenset(names))
    return Question(key, lambda task: list(scope.provider.metadata(task.path, names)), every, [])


def outcome_of(
    scope: Scope, like: Record, name: str, notes: dict[str, Any]
) -> Question[bool | None]:
    """Return the question whether the artifact `name` of tasks of a step is True.

    None for tasks without one. Where `notes` say that they were told by metadata, those may be
    clones, of which only artifacts tell.

    It is answered from the metadata that every attempt leaves at its end, where that says the
    same: all of a step cost one question.

    Args:
        scope: where to ask.
        like: the record of one of the tasks.
        name: `_task_ok` or `_success`.
        notes: what one of the tasks told of all of them.
    """
    step = like.path.parent
    by_metadata = scope.provider.capabilities.full("metadata") and leaves_outcome(like)

    def one(task: Record) -> bool:
        return of(task.path)

    def of(task: Pathspec) -> bool:
        if not by_metadata:
            return _is_true(scope, scope.provider.get(task.child(name)))
        found = {r.path.name: r for r in scope.provider.artifacts(task, (name, GRAPH))}
        if GRAPH in found:
            notes[GRAPH] = found[GRAPH]
        return _is_true(scope, found.get(name))

    def every() -> Mapping[Pathspec, bool]:
        can_tell = by_metadata and recent_of(scope.provider) is not None
        if can_tell and (name == "_task_ok" or cannot_catch(scope, step.name, notes)):
            found = _outcomes(scope, step, of)
            if found is not None:
                notes[BY_METADATA] = True
                return found
        return {
            record.path.parent: _is_true(scope, record)
            for record in scope.provider.artifacts(step, (name,))
        }

    return Question(("outcome", name), one, every, missing=None, alone=1)


def _outcomes(
    scope: Scope, step: Pathspec, one: Callable[[Pathspec], bool]
) -> Mapping[Pathspec, bool] | None:
    """Return which tasks of a step ended well, from what their attempts noted at their end.

    None where that does not tell of most.

    Args:
        scope: where to ask.
        step: path of the step.
        one: asks a task; needed where its attempts ended in different ways.
    """
    # In this order: what ends after the first question is not among those that ended well.
    well = noted(scope, step, ENDED_WELL)
    doubtful = unsettled(scope, step)
    if doubtful is None:  # those of which nothing is noted are asked one by one
        return dict.fromkeys(well, True)
    badly = noted(scope, step, (_OUTCOME, "False"))
    unclear = sorted(well & badly | doubtful & (well | badly), key=str)
    if len(unclear) > _FEW and 2 * len(unclear) > len(well | badly):
        return None
    looked_at = zip(unclear, side_by_side(one, unclear), strict=True)
    return {**dict.fromkeys(badly, False), **dict.fromkeys(well, True), **dict(looked_at)}


def noted(scope: Scope, step: Pathspec, mark: tuple[str, str]) -> set[Pathspec]:
    """Return the tasks of a step for which a value of a metadata field matches a pattern."""
    return {record.path for record in scope.provider.children(step, Query(metadata=mark))}


def unsettled(scope: Scope, step: Pathspec) -> set[Pathspec] | None:
    """Return the tasks of a run whose artifacts may not all be there, though an end is noted.

    They come after it, and do not come at all where the writer was killed meanwhile; then nothing
    that is much newer was registered for the run. None, where a run went on to its end: all of
    its steps before that are settled.

    Args:
        scope: where to ask; its provider tells what was registered lately.
        step: the step that is asked about.
    """
    lately = recent_of(scope.provider)
    assert lately is not None  # noqa: S101 - callers have looked
    newest = lately(step.parent, 0)
    first = list(itertools.islice(newest, _FIRST))
    if step.name != _END and any(map(_ends_run, first)):
        return None
    now, found = time.time() * 1000, set[Pathspec]()
    for number, record in enumerate(itertools.chain(first, newest)):
        cut_off = record.created >= first[0].created - _CUT_OFF * 1000 and number < _MOST
        if not cut_off and record.created < now - _SETTLED * 1000:
            break
        found.add(record.task)
    return found


def _ends_run(record: MetadataRecord) -> bool:
    """Tell whether metadata says that a run went well to its end, and all steps before with it."""
    return (record.task.parent.name, record.name, record.value) == (_END, *ENDED_WELL)


def _is_true(scope: Scope, record: Record | None) -> bool:
    if not isinstance(record, ArtifactRecord):
        return False
    return scope.reader.plain(record, scope.provider) is True


def leaves_outcome(record: Record) -> bool:
    """Tell whether the Metaflow that made a task notes at the end of an attempt how it went."""
    return any(version >= _OUTCOME_SINCE for version in _versions(record))


def names_endpoints(record: Record) -> bool:
    """Tell whether the Metaflow that made a run let its first and last step have any name."""
    versions = _versions(record)
    return not versions or max(versions) >= _ENDPOINTS_SINCE


def _versions(record: Record) -> list[tuple[int, ...]]:
    """Return the versions of Metaflow that a run or task was made by; there should be one."""
    found = filter(None, map(_VERSION.match, record.system_tags))
    return [tuple(map(int, match.groups())) for match in found]


def cannot_catch(scope: Scope, step: str, notes: dict[str, Any]) -> bool:
    """Tell whether nothing around a step turns an exception into an attempt that went well.

    Args:
        scope: where the graph is read.
        step: name of the step that `notes` are about.
        notes: what one of its tasks told of all of them.
    """
    graph = graph_told(scope, notes)
    return graph is not None and graph.cannot_catch(step)
