"""Client: the way in, for those who want more than one or none of the process's state."""

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

    # Where and what

    @property
    def provider(self) -> MetadataProvider:
        """The metadata provider."""
        return self._reader.provider

    def use(self, metadata: str | os.PathLike[str] | MetadataProvider | None) -> str:
        """Read from another metadata provider from now on; return its address.

        Objects made before keep theirs. Nothing changes if this raises.

        Args:
            metadata: an address, a provider, or None for what the configuration says.

        Raises:
            BadAddress: the address leads nowhere.
            PluginNotFound: no plugin serves it.
        """
        return self._reader.use(metadata)

    @property
    def namespace(self) -> str | None:
        """The namespace: only runs in it are seen; None sees all. It can be set."""
        return self._reader.namespace

    @namespace.setter
    def namespace(self, namespace: str | None) -> None:
        self._reader.namespace = namespace

    @property
    def trust(self) -> Trust:
        """What `.data` may build."""
        return self._reader.trust

    @property
    def policy(self) -> NamespacePolicy:
        """The rules of namespaces."""
        return self._reader.policy

    def plugins(self) -> list[PluginInfo]:
        """Return all plugins, in use or not, with what is known of each; loads them all."""
        return self._reader.plugins.infos()

    def filesystem(self, ds_type: str) -> Filesystem:
        """Return the filesystem of a datastore type, such as `s3`.

        Raises:
            PluginNotFound: no plugin serves it.
        """
        return self._reader.filesystem(ds_type)

    @property
    def stats(self) -> Stats:
        """What the reading of this client has cost so far."""
        return self._reader.stats

    @property
    def cache(self) -> Cache:
        """The blobs of remote datastores that are kept on the local disk."""
        return self._reader.cache

    def __enter__(self: Self) -> Self:
        """Become the current client of this thread, or of this task of asyncio."""
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
        """Refuse to be pickled or copied: locks, plugins and the environment stay here."""
        raise TypeError(
            f"{self!r} cannot be pickled or copied; make another with Client(…) where it is "
            "needed. Its objects can be pickled, and are found again by the client there"
        )

    def __repr__(self) -> str:
        return repr(self._reader)
