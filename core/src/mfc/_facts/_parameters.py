"""The parameters of a run: names at once, values when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mfc._concurrency._prefetch import Question
from mfc._recorded._graph import GRAPH, parameters_of
from mfc._recorded._run import RecordedRun
from mfc._recorded._values import value_of
from mfc.errors import DatastoreError, visible
from mfc.model import ArtifactRecord, Record

_KEY = "parameters"
#: The artifact in which every run has the name of its flow.
_OF_FLOW = "name"


class Parameters(Mapping[str, Any]):
    """The parameters of a run by name, in the order of the flow.

    Names are read when one is first asked for, a value each time it is. It equals a mapping of the
    same names and values, and is pickled as a `dict`.
    """

    def __init__(self, run: RecordedRun) -> None:
        self._run = run

    @cached_property
    def _records(self) -> dict[str, ArtifactRecord]:
        """The artifacts that hold the values, by name."""
        scope = self._run.scope

        def artifacts(run: Record) -> dict[str, ArtifactRecord]:
            found = scope.provider.artifacts(parameters_of(run.path))
            return {record.path.name: record for record in found}

        found = self._run.ask(Question(_KEY, artifacts))
        names = self._named(found[GRAPH]) if GRAPH in found else None
        if names is None:  # before Metaflow 2.4
            names = sorted(n for n in found if not n.startswith("_") and n != _OF_FLOW)
        return {name: found[name] for name in names if name in found}

    def _named(self, record: ArtifactRecord) -> list[str] | None:
        """Return the names that `_graph_info` has; None if it has none.

        A run leaves constants of the flow beside its parameters.
        """
        scope = self._run.scope
        try:
            info = scope.reader.plain(record, scope.provider)
        except DatastoreError:
            return None
        noted = info.get(_KEY) if isinstance(info, dict) else None
        if not isinstance(noted, list):
            return None
        names = [entry.get("name") for entry in noted if isinstance(entry, dict)]
        return [name for name in names if isinstance(name, str)]

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter; of an IncludeFile the file's content.

        Raises:
            KeyError: the run has no such parameter.
            DatastoreError: as `DataArtifact.data` documents.
        """
        return value_of(self._run.scope, self._records[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        names = ", ".join(map(visible, self))
        return f"<parameters of Run('{visible(str(self._run.path))}'): {names or 'none'}>"

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)
