"""Recognise runs that may have completed, from a few names and files of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from mfc.errors import UnreadableRecord
from mfc.hookspecs import Meter
from mfc_local._json import names_in, parsed, read_bytes
from mfc_local._paths import exists

_META, _PARAMETERS, _START, _END = "_meta", "_parameters", "start", "end"
_OUTCOMES = ("_artifact__task_ok.json", "_artifact__success.json")
_END_STEP, _ORIGIN = "sysmeta_end_step_", "sysmeta_origin-run-id_"
#: Matches the system tags of a run by a Metaflow in which every last step is called `end`.
_ALWAYS_END = re.compile(rb'"metaflow_version:(?:[01]|2\.(?:\d|1[0-8]))\.')


def may_be_completed(run: str, meter: Meter) -> bool:
    """Tell whether the end step of a run may have succeeded; False only where it has not.

    Args:
        run: its directory.
        meter: where reads are counted.
    """
    look = _Look(run, meter)
    try:
        if exists(f"{run}/{_END}"):
            return look.ended_well(_END)
        # Flows may name their last step otherwise. The run recorded the name, unless it was
        # resumed.
        noted = look.value(look.first_task(_PARAMETERS), _END_STEP)
        if noted is not None:
            return noted != _END and look.ended_well(noted)
        return not look.always_end() and look.is_resumed()
    except UnreadableRecord:
        return True  # the client reports the error


class _Look:
    """A look at the directory of one run."""

    def __init__(self, run: str, meter: Meter) -> None:
        self._run, self._meter = run, meter

    def _names(self, path: str) -> list[str]:
        self._meter.add(reads=1)
        return names_in(f"{self._run}/{path}")

    def _content(self, path: str) -> bytes | None:
        content = read_bytes(f"{self._run}/{path}")
        self._meter.add(reads=1, size=len(content or b""))
        return content

    def ended_well(self, step: str) -> bool:
        """Tell whether a task of a step has recorded its outcome."""
        return any(
            entry.endswith(_OUTCOMES)
            for task in self._tasks(step)
            for entry in self._names(f"{step}/{task}/{_META}")
        )

    def first_task(self, step: str) -> list[str]:
        """Return paths of what one task of a step recorded."""
        # Metaflow numbers the tasks of a run from 0, starting with the parameters', so this one
        # mostly exists.
        usual = "0" if step == _PARAMETERS else "1"
        for task in itertools.chain((usual,), self._tasks(step)):
            if names := self._names(f"{step}/{task}/{_META}"):
                return [f"{step}/{task}/{_META}/{name}" for name in names]
        return []

    def _tasks(self, step: str) -> Iterator[str]:
        yield from (task for task in self._names(step) if task != _META)

    def value(self, paths: list[str], start: str) -> str | None:
        """Return the value of a metadata field; None if it was not recorded.

        Args:
            paths: what a task recorded.
            start: how names of the field's files begin.
        """
        for path in paths:
            if path.rpartition("/")[2].startswith(start):
                content = self._content(path)
                found = None if content is None else parsed(content, path).get("value")
                return found if isinstance(found, str) else None
        return None

    def always_end(self) -> bool:
        """Tell whether the run's Metaflow always names the last step `end`."""
        content = self._content(f"{_META}/_self.json")
        return content is not None and _ALWAYS_END.search(content) is not None

    def is_resumed(self) -> bool:
        """Tell whether the run resumes another one, which each of its tasks records."""
        for step in itertools.chain((_START,), self._steps()):
            if noted := self.first_task(step):
                return self.value(noted, _ORIGIN) not in (None, "None")
        return False

    def _steps(self) -> Iterator[str]:
        yield from (step for step in self._names(".") if step not in (_META, _PARAMETERS))
