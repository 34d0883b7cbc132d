"""Client: the explicit way to read, independent of the process's global state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from mfc._objects._artifact import DataArtifact
from mfc._objects._current import HasReader
from mfc._objects._flow import Flow, Metaflow
from mfc._objects._run import Run
from mfc._objects._step import Step
from mfc._objects._task import Task
from mfc._session._reader import DEFAULT, Reader, Unset
from mfc.model import Stats
from mfc.trust import Trust

if TYPE_CHECKING:
    from types import TracebackType

    from mfc._cache import Cache
    from mfc._plugins._discovery import PluginInfo
    from mfc.config import Config
    from mfc.hookspecs import Filesystem, MetadataProvider, NamespacePolicy

Self = TypeVar("Self", bound="Client")


class Client(HasReader):
    """A reader of Metaflow results with its own provider, namespace and plugins.

    Several clients can coexist, and each is thread-safe. The global functions and constructors
    use the current client: that of the innermost `with client:`, else one per process.

    Args:
        metadata: address of the metadata (`local@/data`, a path, a URL) or a provider. None
            means the configured address, looked up on first use.
        namespace: the visible namespace; None makes all runs visible; by default the user's own.
        config: settings for this client, with or without `METAFLOW_`; or a `Config`.
        trust: the objects that `.data` may build: `full` (any, as in Metaflow), `safe` (an
            allow-list), `none`, or a `Trust`.
        plugins: rules about the installed plugins, as in setting `MFC_PLUGINS`, and modules or
            objects with further hook implementations.

    Raises:
        BadAddress: `metadata` cannot be used.
        PluginNotFound: no plugin serves it.
        BadSetting: an argument is invalid.
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
        self._reader = Reader(
            metadata, namespace=namespace, config=config, trust=trust, plugins=plugins
        )

    def flows(self) -> Metaflow:
        """Return all flows, as `Metaflow()` does."""
        return Metaflow(client=self)

    def flow(self, pathspec: str) -> Flow:
        """Return `Flow(pathspec)` of this client."""
        return Flow(pathspec, client=self)

    def run(self, pathspec: str) -> Run:
        """Return `Run(pathspec)` of this client."""
        return Run(pathspec, client=self)

    def step(self, pathspec: str) -> Step:
        """Return `Step(pathspec)` of this client."""
        return Step(pathspec, client=self)

    def task(self, pathspec: str, attempt: int | None = None) -> Task:
        """Return `Task(pathspec, attempt)` of this client."""
        return Task(pathspec, attempt, client=self)

    def artifact(self, pathspec: str, attempt: int | None = None) -> DataArtifact:
        """Return `DataArtifact(pathspec, attempt)` of this client."""
        return DataArtifact(pathspec, attempt, client=self)

    @property
    def provider(self) -> MetadataProvider:
        """The metadata provider."""
        return self._reader.provider

    def use(self, metadata: str | os.PathLike[str] | MetadataProvider | None) -> str:
        """Switch to another metadata provider; return its address.

        Existing objects keep their provider. The client is unchanged if this raises.

        Args:
            metadata: an address, a provider, or None for the configured address.

        Raises:
            BadAddress: the address cannot be used.
            PluginNotFound: no plugin serves it.
        """
        return self._reader.use(metadata)

    @property
    def namespace(self) -> str | None:
        """The namespace: only its runs are visible; None makes all visible. It can be set."""
        return self._reader.namespace

    @namespace.setter
    def namespace(self, namespace: str | None) -> None:
        self._reader.namespace = namespace

    @property
    def trust(self) -> Trust:
        """The objects that `.data` may build."""
        return self._reader.trust

    @property
    def policy(self) -> NamespacePolicy:
        """The rules of namespaces."""
        return self._reader.policy

    def plugins(self) -> list[PluginInfo]:
        """Return all plugins, in use or not, with their details; loads them all."""
        return self._reader.plugins.infos()

    def filesystem(self, ds_type: str) -> Filesystem:
        """Return the filesystem of a datastore type, such as `s3`.

        Raises:
            PluginNotFound: no plugin serves it.
        """
        return self._reader.filesystem(ds_type)

    @property
    def stats(self) -> Stats:
        """The cost of this client's reading so far."""
        return self._reader.stats

    @property
    def cache(self) -> Cache:
        """The cache of remote blobs on the local disk."""
        return self._reader.cache

    def __enter__(self: Self) -> Self:
        """Become the current client of this thread or asyncio task."""
        self._reader.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def __reduce__(self) -> NoReturn:
        """Refuse pickling and copying: locks, plugins and the environment belong to the process."""
        raise TypeError(
            f"{self!r} cannot be pickled or copied; make another with Client(…) where it is "
            "needed. Its objects can be pickled, and are found again by the client there"
        )

    def __repr__(self) -> str:
        return repr(self._reader)
