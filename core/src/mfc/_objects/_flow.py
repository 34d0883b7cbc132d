"""Metaflow (all flows) and Flow (all runs of one)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import attrs

from mfc._arguments import milliseconds
from mfc._concurrency._prefetch import ahead
from mfc._objects._current import HasReader, chosen_client
from mfc._objects._listing import FlowList
from mfc._objects._object import MetaflowObject
from mfc._objects._run import Run
from mfc._objects._state import provider_for, reader_for, trust_state
from mfc._objects._tabling import Rows
from mfc._session._reader import Reader
from mfc._session._scope import Scope
from mfc.errors import (
    ChildNotFound,
    DatastoreError,
    MetaflowException,
    MetaflowNotFound,
    Unanswered,
    UnreadableRecord,
    warn,
)
from mfc.model import Level, Pathspec, PendingRecord
from mfc.query import Query


class Metaflow:
    """All flows of a metadata provider that have a run in the namespace, newest first.

    It uses the namespace at the time of each call, as in Metaflow.

    Args:
        client: where to look; by default the current client.
    """

    def __init__(self, *, client: HasReader | None = None) -> None:
        self._reader: Reader = chosen_client(client)
        self._provider = self._reader.provider

    @property
    def _scope(self) -> Scope:
        return attrs.evolve(Scope.now(self._reader), provider=self._provider)

    @property
    def flows(self) -> list[Flow]:
        """All flows in the namespace."""
        found = FlowList(self)
        found.hidden = not found and self._any_flow()
        found.namespace = self._reader.namespace
        return found

    def __iter__(self) -> Iterator[Flow]:
        """Yield the flows in the namespace."""
        scope = self._scope
        flows = (Flow._of(scope, r) for r in self._provider.children(Pathspec(), Query()))
        if scope.filter is None:
            yield from flows
            return

        def checked(flow: Flow) -> tuple[Flow, bool]:
            return flow, _answer(flow, Flow._in_scope)

        asked = ahead(checked, flows) if scope.remote else map(checked, flows)
        yield from (flow for flow, seen in asked if seen)

    def _any_flow(self) -> bool:
        return any(True for _ in self._provider.children(Pathspec(), Query(limit=1)))

    def __getitem__(self, name: str) -> Flow:
        """Return the flow `name`.

        Raises:
            ChildNotFound: the flow does not exist; both a MetaflowNotFound and a KeyError.
            MetaflowNamespaceMismatch: the flow has no run in the namespace.
        """
        path = Pathspec.parse(name, Level.FLOW)
        try:
            return Flow._at(self._scope, path)
        except MetaflowNotFound:
            raise ChildNotFound(str(self), name) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(flow.id == name for flow in self)

    def __str__(self) -> str:
        return "Metaflow()"

    __repr__ = __str__

    def _ipython_key_completions_(self) -> list[str]:
        return [flow.id for flow in self]

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self._provider.address, **trust_state(self._scope)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Join the current client; Metaflow's own pickle does not name a provider."""
        self._reader = reader_for(state)
        self._provider = provider_for(self._reader, state.get("address"))

    def __copy__(self) -> Metaflow:
        made = Metaflow.__new__(Metaflow)
        made._reader, made._provider = self._reader, self._provider
        return made

    def __deepcopy__(self, memo: object) -> Metaflow:
        return self.__copy__()


def _successful(run: Run) -> bool:
    return run.successful


def _answer(thing: Any, question: Callable[[Any], bool]) -> bool:
    """Return a predicate's answer about one object; warn and return False if it is unreadable."""
    try:
        return question(thing)
    except Unanswered:
        raise  # it concerns all objects, not this one
    except (UnreadableRecord, DatastoreError) as unreadable:
        warn(f"Left out of a listing: {thing}: {unreadable}")
        return False


def _stands(run: Run, word: str) -> bool:
    """Tell whether `word` is the run's status; an unreadable one warns and is `unknown`."""
    from mfc._recorded._status import run_standing  # few programs need it

    try:
        return run_standing(run._recorded) == word
    except Unanswered:
        raise
    except MetaflowException as unreadable:
        if word != "unknown":
            warn(f"Left out of a listing: {run}: {unreadable}")
        return word == "unknown"


class Flow(MetaflowObject):
    """All runs of one flow. `Flow("Name")`; it is in a namespace if one of its runs is."""

    __slots__ = ()
    _level = Level.FLOW
    _child_class = Run

    def _find(self, scope: Scope, path: Pathspec, attempt: int | None) -> None:
        """Look for a run in the namespace, which also proves that the flow exists.

        Remote providers are asked even if every run is visible: a listing of runs mostly follows,
        and a provider may learn from the newest run how to answer it.
        """
        looked = scope.filter is not None or scope.remote
        if looked and any(scope.below(path, Query(limit=1))):
            self._scope, self._attempt, self._parent, self._siblings = scope, None, None, None
            self._record = PendingRecord(path, lambda: scope.provider.get(path))
            return
        super()._find(scope, path, attempt)

    def _in_scope(self) -> bool:
        return self._scope.filter is None or self._any_run()

    def _any_run(self) -> bool:
        return any(True for _ in self._child_records(Query(limit=1)))

    def is_in_namespace(self) -> bool:
        """Tell whether a run of this flow is in the client's current namespace."""
        scope = Scope.now(self._scope.reader)
        namespace = scope.namespace
        return namespace is None or Flow._of(scope, self._record)._any_run()

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs in the namespace, newest first."""
        return self._children(hidden=True)

    def __getitem__(self, name: str) -> Run:
        """Return the run with this id.

        Raises:
            ChildNotFound: the run does not exist; a KeyError.
            MetaflowNamespaceMismatch: the run is not in the namespace.
        """
        found: Run = super().__getitem__(name)
        return found

    @property
    def latest_run(self) -> Run | None:
        """The newest run in the namespace, in any state; None without runs."""
        return next(self._selected(Query(limit=1)), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest successful run in the namespace; None without one.

        A run whose outcome cannot be read is skipped with a warning.
        """
        # Successful runs are completed, and some backends can filter by that.
        helped = self._scope.provider.capabilities.useful("status")
        query = Query(status="completed" if helped else None)
        runs = self._listed(self._child_records(query))
        return next((run for run in runs if _answer(run, _successful)), None)

    def runs(
        self,
        *tags: str,
        since: datetime | date | timedelta | str | None = None,
        until: datetime | date | timedelta | str | None = None,
        status: str | None = None,
        user: str | None = None,
        limit: int | None = None,
    ) -> Rows[Run]:
        """Return an iterator over the matching runs in the namespace, newest first.

        `.table(…)` of it is a table of them; see `mfc.table`.

        Args:
            tags: the run has all of these tags.
            since: created then or later: a datetime or date (local time unless it has a time zone),
                a timedelta or text such as `24h` or `7d` back from now, or text in ISO 8601.
            until: created before; as `since`.
            status: `running`, `completed`, `failed` or `unknown`; see `Run.status`.
            user: the user who started the run.
            limit: the maximum number of runs.

        Raises:
            BadArgument: an argument is invalid; a ValueError.
        """
        query = Query(
            tags,
            since=None if since is None else milliseconds("since", since),
            until=None if until is None else milliseconds("until", until),
            status=status,
            user=user,
            limit=limit,
        )
        return Rows(self._selected(query), f"runs of {self}", self._scope, Level.RUN)

    def failed_runs(
        self,
        *,
        since: datetime | date | timedelta | str | None = None,
        limit: int | None = None,
    ) -> Rows[Run]:
        """Return an iterator over the runs in the namespace whose status is `failed`, newest first.

        It is `runs(status="failed")`: each run that is passed on the way costs its `status`.

        Args:
            since: as of `runs`.
            limit: at most so many.

        Raises:
            BadArgument: an argument is not of its kind; a ValueError.
        """
        return self.runs(since=since, status="failed", limit=limit)

    def _selected(self, query: Query) -> Iterator[Run]:
        if query.status is None or self._scope.provider.capabilities.full("status"):
            return self._listed(self._child_records(query))
        runs: Iterator[Run] = self._listed(self._child_records(attrs.evolve(query, limit=None)))
        matching = (run for run in runs if _stands(run, query.status))
        return itertools.islice(matching, query.limit)
