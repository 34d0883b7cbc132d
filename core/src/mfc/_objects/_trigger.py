"""The events that started a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mfc._arguments import members
from mfc._objects._current import current_client
from mfc._recorded._times import local_time
from mfc._session._scope import Scope
from mfc.errors import BadArgument, ChildNotFound, MetaflowException, Unanswered, visible
from mfc.model import Level, Pathspec

if TYPE_CHECKING:
    from datetime import datetime

    from mfc._objects._run import Run
    from mfc.hookspecs import Event

_RUN = "run"
_EVENTS = "MetaflowEvent, or mappings with its fields name, id, timestamp and type"


class MetaflowEvent(NamedTuple):
    """An event, with Metaflow's fields."""

    name: str | None
    id: str | None
    #: Naive, local time; None, or any other value that the sender put there.
    timestamp: datetime | Any
    #: `event` or `run`.
    type: str | None


class Trigger:
    """The events that started a run, newest first.

    Args:
        events: the events; mappings with Metaflow's keys become `MetaflowEvent`.
        scope: the scope in which runs among them are found.

    Raises:
        BadArgument: a member is not an event.
    """

    def __init__(
        self, events: Iterable[MetaflowEvent | Mapping[str, Any]] = (), scope: Scope | None = None
    ) -> None:
        self._events = list(map(_event, members("events", events, _EVENTS)))
        self._scope = scope or Scope.now(current_client())
        self._known_runs: list[Run] | None = None

    @classmethod
    def _of(cls, scope: Scope, events: Iterable[Event]) -> Trigger:
        newest_first = sorted(events, key=lambda event: _seconds(event.timestamp), reverse=True)
        shown = (
            MetaflowEvent(event.name, event.id, _local(event.timestamp), event.type)
            for event in newest_first
        )
        return cls(shown, scope)

    @classmethod
    def from_runs(cls, run_objs: Iterable[Run]) -> Trigger:
        """Return the trigger that these runs form once they have ended.

        Args:
            run_objs: runs; those without an end task are left out.
        """
        from mfc._objects._run import Run  # it imports this module

        runs = list(members("run_objs", run_objs, "runs, as [Run('Flow/7')]"))
        for run in runs:
            if not isinstance(run, Run):
                raise BadArgument.of("run_objs", run, "a collection of runs, as [Run('Flow/7')]")
        ended = [(run, end) for run in runs if (end := run.end_task) is not None]
        ended.sort(key=lambda pair: _time(pair[0].finished_at), reverse=True)
        events = []
        for run, end in ended:
            flow, step = run.path_components[0], end.path_components[2]
            # A custom end step sends two events: one under its own name, one under `end`.
            for name in dict.fromkeys((step, "end")):
                event = f"metaflow.{flow}.{name}"
                events.append(MetaflowEvent(event, end.pathspec, run.finished_at, _RUN))
        trigger = cls(events, ended[0][0]._scope if ended else None)
        trigger._known_runs = [run for run, _ in ended]
        return trigger

    @property
    def event(self) -> MetaflowEvent | None:
        """The newest event."""
        return next(iter(self._events), None)

    @property
    def events(self) -> list[MetaflowEvent] | None:
        """All events, newest first; None without events."""
        return list(self._events) or None

    @property
    def run(self) -> Run | None:
        """The newest run among the events."""
        return next(iter(self.runs or ()), None)

    @property
    def runs(self) -> list[Run] | None:
        """The runs among the events, newest first; None without runs.

        Deleted runs are left out.
        """
        if self._known_runs is None:
            self._known_runs = [
                run
                for event in self._events
                if event.type == _RUN and (run := self._run(event)) is not None
            ]
        return list(self._known_runs) or None

    def _run(self, event: MetaflowEvent) -> Run | None:
        if not isinstance(event.id, str):
            return None
        from mfc._objects._run import Run  # it imports this module

        components = event.id.split("/")[:2]
        try:
            path = Pathspec.parse("/".join(components), Level.RUN)
            found = Run._at(self._scope.unchecked(), path)
        except Unanswered:
            raise
        except MetaflowException:
            return None
        return found

    def __getitem__(self, key: str) -> Run | MetaflowEvent:
        """Return the newest run of flow `key` among the events, else the newest event `key`.

        Raises:
            ChildNotFound: neither exists; a KeyError.
        """
        for run in self.runs or ():
            if run.path_components[0] == key:
                return run
        for event in self._events:
            if event.name == key:
                return event
        raise ChildNotFound(repr(self), key)

    def __iter__(self) -> Iterator[MetaflowEvent]:
        return iter(self._events)

    def __contains__(self, ident: object) -> bool:
        try:
            self[ident]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __copy__(self) -> Trigger:
        made = Trigger(self._events, self._scope)
        made._known_runs = self._known_runs
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Trigger:
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        return {"_runs": self._known_runs, "_events": self._events}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of this class, or of Metaflow's own."""
        events = [MetaflowEvent(*event) for event in state.get("_events") or ()]
        self.__init__(events)  # type: ignore[misc]
        self._known_runs = state.get("_runs")

    def __repr__(self) -> str:
        names = (str(event.name) for event in self._events if isinstance(event.name, (str, int)))
        return f"<Trigger: {visible(', '.join(names))}>"


def _seconds(stamp: Any) -> float:
    """Return a sort key; values that are not numbers come last."""
    number = isinstance(stamp, (int, float)) and not isinstance(stamp, bool)
    try:
        return float(stamp) if number else float("-inf")
    except OverflowError:  # too many digits for a time
        return float("-inf")


def _event(given: object) -> MetaflowEvent:
    if isinstance(given, MetaflowEvent):
        return given
    if not isinstance(given, Mapping) or not given.keys() <= set(MetaflowEvent._fields):
        raise BadArgument.of("events", given, f"a collection of {_EVENTS}")
    event = MetaflowEvent(*map(given.get, MetaflowEvent._fields))
    return event._replace(timestamp=_local(event.timestamp))


def _local(stamp: Any) -> Any:
    try:
        return local_time(int(stamp * 1000)) if _seconds(stamp) > 0 else stamp
    except (OverflowError, ValueError, OSError):
        return stamp


def _time(moment: datetime | None) -> float:
    return moment.timestamp() if moment else float("-inf")
