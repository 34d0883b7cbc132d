"""Run: one execution of a flow."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from mfc._arguments import texts, whole
from mfc._concurrency._prefetch import Question
from mfc._objects._artifact import AT_END, DataArtifact, MetaflowData, artifacts_below
from mfc._objects._code_package import UNCLEAR, MetaflowCode, noted_package
from mfc._objects._listing import Listing
from mfc._objects._object import MetaflowObject
from mfc._objects._step import Step
from mfc._objects._task import Task
from mfc._objects._trigger import Trigger
from mfc._recorded._metadata import ORIGIN_RUN, newest, origin_name
from mfc._recorded._run import RecordedRun
from mfc._recorded._times import local_time
from mfc.errors import MetaflowTaggingError
from mfc.model import ArtifactRecord, Level, PendingRecord, Record, Status
from mfc.tags import TagEdit

if TYPE_CHECKING:
    from mfc._facts._failure import Failure
    from mfc._facts._timeline import Timeline
    from mfc._objects._flow import Flow


class Run(MetaflowObject):
    """One execution of a flow. `Run("Flow/7")`; iterating gives its steps, newest first."""

    __slots__ = ()
    _level = Level.RUN
    _child_class = Step
    if TYPE_CHECKING:
        parent: Flow

    @classmethod
    def _above(cls) -> type[Flow]:
        from mfc._objects._flow import Flow  # it imports this module

        return Flow

    @property
    def _recorded(self) -> RecordedRun:
        """The recorded run, made anew on each use."""
        walk = getattr(self, "_walk", None)
        return RecordedRun(self._scope, self._record, self._siblings, walk)

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps, newest first, except those whose names begin with `_`."""
        return self._children()

    def __getitem__(self, name: str) -> Step:
        """Return the step `name`.

        Raises:
            ChildNotFound: the step does not exist (yet); a KeyError.
        """
        found: Step = super().__getitem__(name)
        return found

    def steps(self, *tags: str) -> Iterator[Step]:
        """Yield the steps, newest first, if the run has all of `tags`."""
        wanted = texts("tags", tags)
        return (step for step in self if step.tags.issuperset(wanted))

    def artifacts(self, *names: str) -> Iterator[DataArtifact]:
        """Yield the artifacts of all tasks of all steps, newest first; see `Step.artifacts`."""
        wanted = texts("names", names)
        described = f"artifacts of {self.pathspec}: {', '.join(wanted) or 'all'}"
        tasks = (task for step in self for task in step)
        return Listing(artifacts_below(self, tasks, wanted), described, self._scope)

    # The end

    def _at_end(self, name: str) -> ArtifactRecord | None:
        """Return an artifact of the end task, or None if it does not exist (yet)."""

        def find(run: Record) -> ArtifactRecord | None:
            return self._beside(run)._recorded.end_artifacts((name,)).get(name)

        return self._recorded.ask(Question((AT_END, name), find))

    @property
    def end_task(self) -> Task | None:
        """The task of the end step; None if the run has not reached it."""
        end = self._recorded.endpoint_task("end")
        return None if end is None else self._end_task(end.record)

    @property
    def data(self) -> MetaflowData | None:
        """The artifacts of the end task by name; None without an end task."""
        if self._scope.remote and (
            found := self._recorded.ask(Question(AT_END, self._found_at_end))
        ):
            path = next(iter(found.values())).path.parent
            record = PendingRecord(path, lambda: self._scope.provider.get(path))
            return MetaflowData(self._end_task(record), found)
        end = self.end_task
        return None if end is None else end.data

    def _found_at_end(self, run: Record) -> dict[str, ArtifactRecord]:
        """Return the artifacts of the end task of this run, or of a sibling in its listing."""
        return self._beside(run)._recorded.end_artifacts()

    def _beside(self, run: Record) -> Run:
        """Return this run, or a sibling in its listing."""
        return self if run.path == self._record.path else Run._of(self._scope, run)

    def _end_task(self, record: Record) -> Task:
        """Return the end task, whose values are prefetched with those of other runs' end tasks."""
        end = Task._of(self._scope, record)
        if hasattr(self, "_walk"):
            end._walk = self._walk
        return end

    def _truth(self, name: str) -> bool:
        record = self._at_end(name)
        if record is None:
            return False
        return self._scope.reader.plain(record, self._scope.provider) is True

    @property
    def successful(self) -> bool:
        """Whether the end task was successful."""
        return self._truth("_success")

    @property
    def finished(self) -> bool:
        """Whether the end task completed."""
        return self._truth("_task_ok")

    @property
    def finished_at(self) -> datetime | None:
        """Time when the end task ended: naive, local time; None before that."""
        record = self._at_end("_task_ok")
        return None if record is None else local_time(record.created)

    @property
    def duration(self) -> timedelta | None:
        """The time from the creation of the run to the end of its end task, well or not.

        None while the end task has not ended, and for runs that never came so far. It costs as
        much as `finished_at`; a loop over runs reads ahead.
        """
        record = self._at_end("_task_ok")
        if record is None:
            return None
        return timedelta(milliseconds=record.created - self._record.created)

    @property
    def status(self) -> Status:
        """`running`, `completed`, `failed` or `unknown`; `.reason` says why."""
        from mfc._recorded._status import run_status  # few programs need it

        return run_status(self._recorded)

    def failures(self, limit: int | None = None) -> list[Failure]:
        """Return the tasks that failed and the steps that were due and never started.

        Root causes come first, then the failures that they led to, which are `collateral`: tasks
        of later steps that lacked a result, tasks that were cut off, steps that never started.
        Among each, earlier steps come first, and of one step the tasks created first. A retry
        that went well is not a failure, nor is an exception that `@catch` took.

        A task without an end is `killed` once it gave no sign of life for 24 hours, or for ten
        minutes in a run in which another task failed. In a run that stopped without a failure,
        the tasks that were running then are `killed`, and the steps due then `never started`.

        On a service the run costs two requests, and a step of any number of tasks two. The
        datastore has the rest of tasks whose last attempt raised an exception: two or three reads
        each. Each task that was killed costs up to four requests more. While no task has failed,
        and the run has not ended, the cost is that of `status`. Elsewhere the tasks of steps that
        have not passed are read one by one.

        Args:
            limit: at most so many, the first ones; the rest is not read.

        Raises:
            BadArgument: an argument is not of its kind; a ValueError.
            Unanswered: the metadata's backend does not answer.
        """
        from mfc._facts._failures import failures_of  # few ask for it

        if limit is not None:
            limit = min(whole("limit", limit, "a number of failures, 0 or more"), sys.maxsize)
        return failures_of(self._recorded, limit)

    def timeline(self) -> Timeline:
        """Return when each attempt of each task started and ended, a row for each.

        Steps come in the order in which they began, of a step the tasks in the order in which they
        were created, then attempts. A task of which no attempt has started has one row. The status
        of an attempt is as of `Task(…, attempt=n).status`, told by the marks of the attempt where
        it has ended.

        It costs a question for the steps, one for the tasks of each step, one for the metadata of
        the run, which a service gives in pages of 500 entries, and the graph; and the status of
        each task that has not ended. Positions in a foreach are read from the datastore, one value
        for each task, where metadata lacks them: before Metaflow 2.15, and for clones.

        Raises:
            Unanswered: the metadata's backend does not answer.
        """
        from mfc._facts._timeline import timeline_of  # few ask for it

        return timeline_of(self._recorded)

    # Origin

    @property
    def user(self) -> str | None:
        """Who started it, as the run recorded it; None if it did not. Nothing is read."""
        return self._record.user

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the parameters by name, in the order of the flow.

        Nothing is read before it is used: then the names, by one question and one value of the
        datastore, and each value when it is asked for, at the trust of the client. A loop over
        runs reads the records ahead. Constants of the flow are left out; Metaflow before 2.4 did
        not tell them from parameters, so there they are in it. Empty if the run recorded none.

        Raises:
            KeyError: of `parameters[name]`, for a name that is missing.
            DatastoreError: of a value, as `DataArtifact.data` documents.
        """
        from mfc._facts._parameters import Parameters  # few ask for it

        return Parameters(self._recorded)

    @property
    def code(self) -> MetaflowCode | None:
        """The code package of the run; None if it was not recorded."""
        if self._scope.remote:
            package = noted_package(self._scope, self._record.path)
            if package is not UNCLEAR:
                flow = self._record.path.components[0]
                return MetaflowCode(flow, package, scope=self._scope) if package else None
        for step in self:
            task = step.task
            if task is not None and (code := task.code) is not None:
                return code
        return None

    @property
    def trigger(self) -> Trigger | None:
        """The events that started this run; None if it was started otherwise."""
        task = self._recorded.endpoint_task("start")
        events = self._scope.reader.events(newest(task.metadata())) if task else None
        return None if events is None else Trigger._of(self._scope, events)

    @property
    def origin_pathspec(self) -> str | None:
        """The run that this one resumes; None if it is not a resumed run."""
        path = self._record.path
        for record in self._scope.provider.metadata(path, (ORIGIN_RUN,)):
            origin = origin_name(record.value)  # every task of the run says the same
            return f"{path.components[0]}/{origin}" if origin else None
        return None

    # Tags

    def add_tag(self, tag: str | Iterable[str]) -> None:
        """Add a tag (or several); see `replace_tags`."""
        self.replace_tag([], tag)

    def add_tags(self, tags: Iterable[str]) -> None:
        """Add tags; see `replace_tags`."""
        self.replace_tag([], tags)  # Metaflow also accepts a single tag here

    def remove_tag(self, tag: str | Iterable[str]) -> None:
        """Remove a tag (or several); see `replace_tags`."""
        self.replace_tag(tag, [])

    def remove_tags(self, tags: Iterable[str]) -> None:
        """Remove tags; see `replace_tags`."""
        self.replace_tags(tags, [])

    def replace_tag(
        self, tag_to_remove: str | Iterable[str], tag_to_add: str | Iterable[str]
    ) -> None:
        """Remove a tag and add another (or several of each); see `replace_tags`."""
        one = (str, bytes)
        self.replace_tags(
            [tag_to_remove] if isinstance(tag_to_remove, one) else tag_to_remove,
            [tag_to_add] if isinstance(tag_to_add, one) else tag_to_add,
        )

    def replace_tags(self, tags_to_remove: Iterable[str], tags_to_add: Iterable[str]) -> None:
        """Remove tags, then add tags, as one change; this object shows the result.

        System tags are silently not added, and missing tags are ignored. The run's time of
        creation and its user stay the same.

        Args:
            tags_to_remove: user tags.
            tags_to_add: 1 to 500 characters each; a run has at most 50, unless it already has more.

        Raises:
            MetaflowTaggingError: a system tag would be removed, a tag is invalid, the run would
                have too many tags, both arguments are empty, or the change could not be written.
            MetaflowNotFound: the run is gone.
        """
        edit = TagEdit.of(tags_to_remove, tags_to_add)
        scope = self._scope
        if (refusal := scope.reader.policy.may_retag(scope.namespace, self._record)) is not None:
            raise MetaflowTaggingError(f"The tags of {self} may not be changed: {refusal}")
        if not scope.provider.capabilities.useful("retag"):
            raise MetaflowTaggingError(f"{scope.provider.address} cannot change tags")
        tags = scope.provider.retag(self._record.path, edit)
        self._record = attrs.evolve(self._record, tags=tags)
