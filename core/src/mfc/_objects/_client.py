"""Client: the way in, for those who want more than one or none of the process's state."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from mfc._concurrency._forks import fork_safe
from mfc._session._reader import DEFAULT, OBJECTS, Reader, Unset, innermost
from mfc.errors import BadArgument
from mfc.model import Level

if TYPE_CHECKING:
    from mfc._objects import DataArtifact, Flow, Metaflow, MetaflowObject, Run, Step, Task
    from mfc.config import Config
    from mfc.hookspecs import MetadataProvider
    from mfc.trust import Trust


class Client(Reader):
    """A reader of Metaflow results with its own provider, namespace and plugins.

    Many can live side by side, each may be used from many threads. The global functions and
    constructors use the current client: that of the innermost `with client:`, else one per
    process.

    Args:
        metadata: address of the metadata (`local@/data`, a path, a URL) or a provider. None
            takes what the configuration says, found when it is first needed.
        namespace: what to see; None is everything; by default the user's own.
        config: settings for this client alone, with or without `METAFLOW_`; or a `Config`.
        trust: what `.data` may build: `full` (anything, as Metaflow), `safe` (an allow-list),
            `none`, or a `Trust`.
        plugins: rules about the installed plugins, as setting `MFC_PLUGINS` has them, and modules
            or objects with hook implementations, used besides them.

    Raises:
        BadAddress: `metadata` leads nowhere.
        PluginNotFound: no plugin serves it.
        BadSetting: an argument is not of its kind.
    """

    def __init__(
        self,
        metadata: str | os.PathLike[str] | MetadataProvider | None = None,
        *,
        namespace: str | Unset | None = DEFAULT,
        config: Config | Mapping[str, Any] | None = None,
        trust: Literal["full", "safe", "none"] | Trust = "full",
        plugins: Iterable[object] = (),
    ) -> None:
        super().__init__(metadata, namespace=namespace, config=config, trust=trust, plugins=plugins)

    def flows(self) -> Metaflow:
        """Return all flows, as `Metaflow()` does."""
        return OBJECTS[Level.ROOT](client=self)  # type: ignore[no-any-return]

    def flow(self, pathspec: str) -> Flow:
        """Return `Flow(pathspec)` of this client."""
        return self._object(Level.FLOW, pathspec)  # type: ignore[return-value]

    def run(self, pathspec: str) -> Run:
        """Return `Run(pathspec)` of this client."""
        return self._object(Level.RUN, pathspec)  # type: ignore[return-value]

    def step(self, pathspec: str) -> Step:
        """Return `Step(pathspec)` of this client."""
        return self._object(Level.STEP, pathspec)  # type: ignore[return-value]

    def task(self, pathspec: str, attempt: int | None = None) -> Task:
        """Return `Task(pathspec, attempt)` of this client."""
        return self._object(Level.TASK, pathspec, attempt)  # type: ignore[return-value]

    def artifact(self, pathspec: str, attempt: int | None = None) -> DataArtifact:
        """Return `DataArtifact(pathspec, attempt)` of this client."""
        return self._object(Level.ARTIFACT, pathspec, attempt)  # type: ignore[return-value]

    def _object(self, level: Level, pathspec: str, attempt: int | None = None) -> MetaflowObject:
        return OBJECTS[level](pathspec, attempt, client=self)  # type: ignore[no-any-return]


_lock = fork_safe(threading.Lock())
_default: list[Client] = []


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it, and is not in the child
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


def chosen_client(client: object) -> Reader:
    """Return the client that argument `client` is, or the current one if it is None.

    Raises:
        BadArgument: it is anything else.
    """
    if client is None:
        return current_client()
    if not isinstance(client, Reader):
        raise BadArgument.of("client", client, "a mfc.Client, or None for the current one")
    return client


def current_client() -> Reader:
    """Return the client of the innermost `with client:`, else the one of the process."""
    client = innermost()
    if client is not None:
        return client
    with _lock:
        if not _default:
            _default.append(Client())
        return _default[0]
