"""The timeline of a run: when each attempt of each task started and ended."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import attrs

from mfc._facts._reading import index_in
from mfc._facts._unfinished import OUTCOME, STACK, in_turn
from mfc._recorded._graph import GRAPH, Graph, graph_in, parameters_of
from mfc._recorded._lineage import PATH_FIELD, position_of
from mfc._recorded._metadata import newest, of_attempt
from mfc._recorded._run import RecordedRun
from mfc._recorded._status import STALE, sign_of, task_status
from mfc._recorded._task import RecordedTask
from mfc._recorded._times import ENDED, STARTED, Span, local_time, spans_of
from mfc.errors import DatastoreError, visible
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query

_NOTED = "attempt_ok"
_FIELDS = (STARTED, ENDED, _NOTED, PATH_FIELD)


@attrs.frozen
class TimelineRow:
    """One attempt of a task. Times are naive and local."""

    #: Of the task.
    pathspec: str
    #: Name of the step.
    step: str
    #: From 0; None of a task of which no attempt has started.
    attempt: int | None
    #: Index in the innermost foreach around the task; None outside of any, or if not recorded.
    index: int | None
    #: `running`, `completed`, `failed` or `unknown`.
    status: str
    #: When the task was created, before its first attempt.
    created: datetime
    #: When the attempt started; None if it did not note that.
    started: datetime | None = None
    #: When the attempt ended, well or not; None if it has not.
    finished: datetime | None = None
    #: The time from `started` to `finished`; None without one of them.
    duration: timedelta | None = None


@attrs.frozen(repr=False)
class Timeline:
    """The attempts of the tasks of a run: steps in the order in which they began, then tasks."""

    #: Of the run.
    pathspec: str
    rows: tuple[TimelineRow, ...] = ()

    def __iter__(self) -> Iterator[TimelineRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        tasks = len({row.pathspec for row in self.rows})
        words = Counter(row.status for row in self.rows)
        parts = [f"attempts: {len(self.rows)}", f"tasks: {tasks}"]
        parts += [f"{word}: {words[word]}" for word in sorted(words)]
        return f"<Timeline of {visible(self.pathspec)}, {', '.join(parts)}>"


# Pickles, tracebacks and documentation name them by where users import them from.
TimelineRow.__module__ = Timeline.__module__ = "mfc"


def timeline_of(run: RecordedRun) -> Timeline:
    """Return the timeline of a run; `Run.timeline` documents it."""
    scope, noted = run.scope, dict[Pathspec, list[MetadataRecord]]()
    steps = [s for s in scope.below(run.path, Query()) if not s.path.name.startswith("_")][::-1]
    tasks = {step.path: list(scope.below(step.path, Query()))[::-1] for step in steps}
    for record in scope.provider.metadata(run.path, _FIELDS):
        noted.setdefault(record.task, []).append(record)
    seen = _Seen(run, tasks, noted)
    return Timeline(str(run.path), tuple(seen.rows()))


class _Seen:
    """The records of all tasks of a run, and the questions that are left."""

    def __init__(
        self,
        run: RecordedRun,
        tasks: Mapping[Pathspec, list[Record]],
        noted: Mapping[Pathspec, list[MetadataRecord]],
    ) -> None:
        self._run, self._tasks, self._noted = run, tasks, noted
        records = itertools.chain.from_iterable(tasks.values())
        #: Each task, with start and end of its attempts.
        self._spans = {record: spans_of(noted.get(record.path, ())) for record in records}

    @functools.cached_property
    def _graph(self) -> Graph | None:
        scope = self._run.scope
        found = scope.provider.artifacts(parameters_of(self._run.path), (GRAPH,))
        return next((graph_in(scope, record) for record in found), None)

    def rows(self) -> Iterator[TimelineRow]:
        """Yield a row for each attempt, and for each task without one."""
        indexes = {step: self._indexes(step) for step in self._tasks}
        outcomes, words = self._outcomes(), self._words()
        for step, records in self._tasks.items():
            for record in records:
                spans = self._spans[record]
                index = indexes[step].get(record.path)
                if not spans:
                    quiet = time.time() - sign_of(record) / 1000 >= STALE
                    yield _row(record, None, index, "unknown" if quiet else "running", Span())
                for number, span in spans.items():
                    word = words.get((record.path, number))
                    if word is None:
                        well = self._well(record.path, number)
                        if well is None:
                            well = outcomes.get((record.path, number), False)
                        word = "completed" if well else "failed"
                    yield _row(record, number, index, word, span)

    def _attempts(self) -> Iterator[tuple[Record, int, Span]]:
        for record, spans in self._spans.items():
            for number, span in spans.items():
                yield record, number, span

    def _well(self, task: Pathspec, attempt: int) -> bool | None:
        """Tell how an attempt noted that it went; None if it did not (before 2.2.5)."""
        noted = newest(of_attempt(self._noted[task], attempt)).get(_NOTED)
        return None if noted is None else noted == "True"

    def _outcomes(self) -> dict[tuple[Pathspec, int], bool]:
        """Return how attempts went that ended without a note of that, by their artifacts."""
        scope = self._run.scope
        old = {
            record.path.parent
            for record, number, span in self._attempts()
            if span.ended is not None and self._well(record.path, number) is None
        }
        return {
            (found.path.parent, found.attempt): self._plain(found) is True
            for step in old
            for found in scope.provider.artifacts(step, (OUTCOME,))
        }

    def _words(self) -> dict[tuple[Pathspec, int], str]:
        """Return where attempts stand that did not note their end, as each of them tells."""
        left = [(record, n) for record, n, span in self._attempts() if span.ended is None]

        def ask(each: tuple[Record, int]) -> str:
            record, number = each
            if number < max(self._spans[record]):
                return "failed"  # another attempt followed
            return str(task_status(RecordedTask(self._run.scope, record, attempt=number)))

        asked = in_turn(self._run.scope, ask, iter(left))
        keys = [(record.path, number) for record, number in left]
        return dict(zip(keys, asked, strict=True))

    def _indexes(self, step: Pathspec) -> dict[Pathspec, int | None]:
        """Return the index of each task of a step that has one."""
        found, lack = dict[Pathspec, int | None](), False
        for record in self._tasks[step]:
            fields = newest(self._noted.get(record.path, ()))
            if PATH_FIELD in fields:
                found[record.path] = index_in(str(fields[PATH_FIELD]))
            else:
                lack = lack or ENDED in fields
        if lack and (self._graph is None or self._graph.depth_of(step.name) != 0):
            # Before Metaflow 2.15, and of clones.
            stacks = list(self._run.scope.provider.artifacts(step, (STACK,)))
            values = in_turn(self._run.scope, self._plain, iter(stacks))
            for record, value in zip(stacks, values, strict=True):
                found.setdefault(record.path.parent, index_in(position_of(value) or ""))
        return found

    def _plain(self, record: ArtifactRecord) -> object:
        scope = self._run.scope
        try:
            return scope.reader.plain(record, scope.provider)
        except DatastoreError:
            return None


def _row(
    record: Record, attempt: int | None, index: int | None, status: str, span: Span
) -> TimelineRow:
    started, ended = (None if at is None else local_time(at) for at in span)
    return TimelineRow(
        str(record.path),
        record.path.parent.name,
        attempt,
        index,
        status,
        local_time(record.created),
        started,
        ended,
        span.duration,
    )
