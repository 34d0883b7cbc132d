"""The state of a client: provider, namespace, plugins, values. All mutable state is here."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from mfc._arguments import members, path_of
from mfc._concurrency._forks import fork_safe
from mfc._plugins._guard import Plugin, provider_of
from mfc._session._provider import CompletedProvider, Counter
from mfc._storage._known import UNKNOWN, known
from mfc._storage._place import ROOT_MARK, Place, Roots, bound, place_of
from mfc.config import Config
from mfc.errors import (
    BadAddress,
    BadArgument,
    MetaflowException,
    MetaflowUnknownUser,
    PluginError,
    warn,
)
from mfc.model import ArtifactRecord, Pathspec, Stats
from mfc.trust import Trust

if TYPE_CHECKING:
    from types import TracebackType

    from mfc._cache import Cache
    from mfc._plugins._decoders import Decoders
    from mfc._storage._blob import Fetched, Planned, Wanted
    from mfc._storage._datastore import Datastore
    from mfc._storage._spool import Held
    from mfc.hookspecs import (
        ArtifactDecoder,
        Event,
        Filesystem,
        MetadataProvider,
        NamespacePolicy,
    )

Self = TypeVar("Self", bound="Reader")

#: The classes of the Client API by module and name in Metaflow's pickles; `mfc._objects` fills it.
STANDINS: dict[tuple[str, str], type[Any]] = {}
#: Metadata fields of a task with recorded code, and of a cloned task.
_CODE, _ORIGIN = "code-package", "origin-task-id"


def know_objects() -> None:
    """Make pickled client objects of Metaflow load as mfc's own."""
    from mfc import _pickle  # listings need no values, so not at start-up

    _pickle.STANDINS.update(STANDINS)


class Unset:
    """Marks a namespace that has not been chosen yet."""

    def __repr__(self) -> str:
        return "<default namespace>"


DEFAULT: Final = Unset()


class Reader:
    """The state of a client, and reading with it; `Client` documents the arguments."""

    def __init__(
        self,
        metadata: str | os.PathLike[str] | MetadataProvider | None = None,
        *,
        namespace: str | Unset | None = DEFAULT,
        config: Config | Mapping[str, Any] | None = None,
        trust: str | Trust = "full",
        plugins: Iterable[object] = (),
    ) -> None:
        # pluggy's and importlib's import time, on first use
        from mfc._plugins._asking import Plugins

        if not isinstance(config, (Config, Mapping, type(None))):
            raise BadArgument.of("config", config, "a mapping of settings, or a mfc.config.Config")
        self.config = config if isinstance(config, Config) else Config(config or {})
        self.trust = Trust.of(trust)
        chosen = members("plugins", plugins, "rules about plugins, modules or objects")
        self.plugins = Plugins(chosen, self.config)
        self._lock = fork_safe(threading.RLock())
        self._counter = Counter()
        self._filesystems: dict[str, Filesystem] = {}
        self._found_decoders: Decoders | None = None
        self._known_classes: tuple[frozenset[str], dict[str, Any]] | None = None
        self._policy: NamespacePolicy | None = None
        self._provider: MetadataProvider | None = None
        self._namespace: str | Unset | None = DEFAULT
        if not isinstance(namespace, Unset):
            self.namespace = namespace
        self._datastore: Datastore | None = None
        self._last_place: tuple[Any, Place] = (None, Place("", (), ""))
        self._cache: Cache | None = None
        if metadata is not None:
            self.use(metadata)

    def use(self, metadata: str | os.PathLike[str] | MetadataProvider | None) -> str:
        """Switch to another metadata provider; return its address.

        Existing objects keep their provider. The client is unchanged if this raises.

        Args:
            metadata: an address, a provider, or None for the configured address.

        Raises:
            BadAddress: the address cannot be used.
            PluginNotFound: no plugin serves it.
        """
        provider = self.provider_at(metadata)
        with self._lock:
            self._provider = provider
        return provider.address

    def provider_at(
        self, metadata: str | os.PathLike[str] | MetadataProvider | None
    ) -> MetadataProvider:
        """Return the provider at an address, without switching to it."""
        if metadata is None:
            metadata = self.config.text("DEFAULT_METADATA", "local") or "local"
        if isinstance(metadata, os.PathLike):
            metadata = os.path.abspath(path_of("metadata", metadata, "an address, or a path"))
        if isinstance(metadata, str) and metadata.strip():
            return CompletedProvider(self.plugins.provider(metadata, self._counter), self._counter)
        if isinstance(metadata, str) or "address" not in dir(metadata):
            raise BadAddress.of("metadata", metadata, "an address as text, a path or a provider")
        guarded = provider_of(metadata, Plugin(type(metadata).__qualname__))
        return CompletedProvider(guarded, self._counter)

    @property
    def provider(self) -> MetadataProvider:
        """The metadata provider."""
        with self._lock:
            if self._provider is None:
                self._provider = self.provider_at(None)
            return self._provider

    @property
    def policy(self) -> NamespacePolicy:
        """The rules of namespaces."""
        with self._lock:
            if self._policy is None:
                self._policy = self.plugins.policy()
            return self._policy

    @property
    def namespace(self) -> str | None:
        """The namespace: only its runs are visible; None makes all visible.

        If the user's name is unknown (root in a container), it is None, with a warning.
        """
        with self._lock:
            if isinstance(self._namespace, Unset):
                try:
                    self._namespace = self.policy.default()
                except MetaflowUnknownUser as unknown:
                    warn(f"{unknown}; seeing all runs")
                    self._namespace = None
            return self._namespace

    @namespace.setter
    def namespace(self, namespace: str | None) -> None:
        if namespace is not None and not isinstance(namespace, str):
            raise BadArgument.of("namespace", namespace, "text such as 'user:ada', or None")
        with self._lock:
            self._namespace = None if namespace is None else str.__str__(namespace)

    def reset_namespace(self) -> str | None:
        """Switch back to the default namespace.

        Raises:
            MetaflowUnknownUser: the user's name is unknown.
        """
        self.namespace = self.policy.default()
        return self.namespace

    def within(self, trust: Trust) -> Reader:
        """Return this client, or a copy whose trust is limited to `trust`."""
        limited = self.trust.within(trust)
        if limited == self.trust:
            return self
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__)  # shares everything but the trust
        client.trust = limited
        return client

    @property
    def stats(self) -> Stats:
        """The cost of this client's reading so far."""
        return self._counter.snapshot()

    # Values

    @property
    def datastore(self) -> Datastore:
        """The reader of blobs, and of the files beside tasks."""
        if self._datastore is None:
            # Listings need no values, so not at start-up.
            from mfc._storage._datastore import Datastore
            from mfc._storage._files import limits_of

            limits = limits_of(self.config)
            self._datastore = Datastore(self.filesystem, self._counter, self.cache, limits)
        return self._datastore

    @property
    def cache(self) -> Cache:
        """The cache of remote blobs on the local disk."""
        with self._lock:
            if self._cache is None:
                from mfc._cache import Cache  # likewise

                self._cache = Cache(self.config)
            return self._cache

    def filesystem(self, ds_type: str) -> Filesystem:
        """Return the filesystem of a datastore type.

        Raises:
            PluginNotFound: no plugin serves it.
        """
        found = self._filesystems.get(ds_type)
        if found is None:
            with self._lock:
                found = self._filesystems.get(ds_type)
                if found is None:
                    found = self.plugins.filesystem(ds_type, self._counter)
                    self._filesystems[ds_type] = found
        return found

    def place(self, record: ArtifactRecord, provider: MetadataProvider) -> Place:
        """Return the place of an artifact's value."""
        # Consecutive artifacts mostly share a place.
        known, found = self._last_place
        flow, level = record.path.components[0], self.trust.level
        this = provider, record.ds_type, record.location, flow, level
        if known != this:
            roots = self.roots(record.ds_type, provider)
            found = self.bound_to_roots(place_of(record, roots), roots, str(record.path))
            self._last_place = this, found
        return found

    def bound_to_roots(self, found: Place, roots: Roots, subject: str) -> Place:
        """Return a place if the trust allows it: at `none`, only places under known roots.

        Raises:
            UntrustedValue: the record names another root.
        """
        return bound(found, roots, subject) if self.trust.level == "none" else found

    def roots(self, ds_type: str, provider: MetadataProvider) -> Roots:
        """Return the roots, besides the recorded one, where results of a type may be."""
        own = provider.root(ds_type)
        if own is not None:
            return Roots(own)
        try:
            return Roots(None, getattr(self.filesystem(ds_type), "usual_root", None))
        except MetaflowException:
            raise
        except Exception as cause:
            reason = f"usual_root of the filesystem of {ds_type!r} failed: {cause!r}"
            raise PluginError(reason) from cause

    def wanted(self, record: ArtifactRecord, provider: MetadataProvider) -> Wanted:
        """Return the blob to read for the value of an artifact."""
        from mfc._storage._blob import Wanted  # listings need no values, so not at start-up

        return Wanted(self.place(record, provider), record.sha, str(record.path))

    def ahead(
        self, artifacts: Sequence[tuple[ArtifactRecord, MetadataProvider]]
    ) -> list[Planned | None]:
        """Return the prefetch plan of each artifact; None where prefetch cannot help."""
        if self.trust.level == "none":
            return [None] * len(artifacts)
        wanted = [self._remote(*artifact) for artifact in artifacts]
        asked = [one for one in wanted if one is not None]
        found = self.datastore.find(asked) if asked else {}
        return [
            None if one is None else self._planned(*artifact, one, found.get(one.key))
            for artifact, one in zip(artifacts, wanted, strict=True)
        ]

    def _remote(self, record: ArtifactRecord, provider: MetadataProvider) -> Wanted | None:
        """Return the remote read for a value; None if it does not need one."""
        if known(record.sha) is not UNKNOWN:
            return None
        try:
            if self.datastore.is_local(record.ds_type):
                return None
            return self.wanted(record, provider)
        except MetaflowException:  # raised when the value itself is read
            return None

    def _planned(
        self,
        record: ArtifactRecord,
        provider: MetadataProvider,
        wanted: Wanted,
        content: bytes | None,
    ) -> Planned:
        from mfc._storage._blob import Planned  # as above

        datastore = self.datastore
        needed = content is None and datastore.needs_fetching(wanted)
        if self._decoders.need_note(record):

            def prepare() -> Fetched | None:
                self._decoders.prepare(record, partial(self._noted, record, provider))
                return datastore.fetch(wanted) if needed else content

            return Planned(wanted, None, ((datastore, record.path, record.attempt), prepare))
        if not needed:
            return Planned(wanted, content)
        key = datastore, wanted.where, wanted.key
        return Planned(wanted, None, (key, partial(datastore.fetch, wanted)))

    def raw(self, record: ArtifactRecord, provider: MetadataProvider) -> bytes:
        """Return the verified bytes of an artifact's encoded value."""
        with self.datastore.held(self.wanted(record, provider)) as held:
            return held.read()

    def value(
        self,
        record: ArtifactRecord,
        provider: MetadataProvider,
        read: Callable[[], Held] | None = None,
    ) -> object:
        """Return the value of an artifact, at this client's trust.

        Args:
            record: the artifact.
            provider: where the record is from.
            read: returns the content, if the caller already has or prefetches it.

        Raises:
            UntrustedValue: the trust does not allow the value.
            DatastoreError: the value cannot be read.
        """
        if self.trust.level == "none":
            self.trust.require_any(str(record.path), record.store)
        if (value := known(record.sha)) is not UNKNOWN:
            return value
        return self._decoded(record, provider, self.trust, read)

    def plain(
        self,
        record: ArtifactRecord,
        provider: MetadataProvider,
        read: Callable[[], Held] | None = None,
    ) -> object:
        """Return a value that Metaflow itself wrote; code named in it never runs."""
        if (value := known(record.sha)) is not UNKNOWN:
            return value
        return self._decoded(record, provider, Trust.plain(), read)

    def _decoded(
        self,
        record: ArtifactRecord,
        provider: MetadataProvider,
        trust: Trust,
        read: Callable[[], Held] | None = None,
    ) -> object:
        if read is not None and self._decoders.need_note(record):
            with read() as held:  # first, since prefetch also finds the decoder
                return self._built(self._decoder(record, provider), held, (record, provider), trust)
        decoder = self._decoder(record, provider)
        with read() if read else self.datastore.held(self.wanted(record, provider)) as held:
            return self._built(decoder, held, (record, provider), trust)

    def _built(
        self,
        decoder: Any,
        held: Held,
        origin: tuple[ArtifactRecord, MetadataProvider],
        trust: Trust,
    ) -> object:
        # Listings need no values, so not at start-up.
        from mfc._pickle._origin import HAS_CODE

        record, provider = origin
        if (place := self.place(record, provider)).original:  # errors name the root tried first
            record = attrs.evolve(record, location=f"{ROOT_MARK}{place.roots[0]}")
        token = HAS_CODE.set(partial(_has_code, provider, record.path.parent))
        try:
            with self:  # client objects inside the value belong to this client
                file = held.file if hasattr(decoder, "decode_file") else None
                if file is not None:
                    return decoder.decode_file(file, record, self._extended(trust))
                return decoder.decode(held.read(), record, self._extended(trust))
        finally:
            HAS_CODE.reset(token)

    def events(self, metadata: Mapping[str, Any]) -> list[Event] | None:
        """Return the events in the metadata of a start task; None if it mentions no events."""
        return self.plugins.events(metadata)

    def _extended(self, trust: Trust) -> Trust:
        if trust.level != "safe":
            return trust
        if self._known_classes is None:
            self._known_classes = self.plugins.safe_classes(), self.plugins.value_builders()
        names, builders = self._known_classes
        return attrs.evolve(trust, allow=trust.allow | names, builders=builders)

    @property
    def _decoders(self) -> Decoders:
        if self._found_decoders is None:
            # listings need no values, so not at start-up
            from mfc._plugins._decoders import Decoders

            know_objects()
            self._found_decoders = Decoders(self.plugins.decoder)
        return self._found_decoders

    def _decoder(self, record: ArtifactRecord, provider: MetadataProvider) -> ArtifactDecoder:
        return self._decoders.of(record, partial(self._noted, record, provider))

    def _noted(self, record: ArtifactRecord, provider: MetadataProvider) -> Mapping[str, Any]:
        """Return the writer's note on an artifact."""
        where, path = self.place(record, provider), record.path.parent
        noted = self.datastore.attempt_info(where, path, record.attempt).get(record.path.name)
        return noted if isinstance(noted, dict) else {}

    def __enter__(self: Self) -> Self:
        """Become the current reader of the functions of `mfc`, in this thread or asyncio task."""
        CURRENT.set((*CURRENT.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        CURRENT.set(CURRENT.get()[:-1])

    def __repr__(self) -> str:
        where = self._provider.address if self._provider else "default metadata"
        return f"Client({where!r}, namespace={self._namespace!r})"


#: The readers of the enclosing `with client:` blocks, innermost last, by thread and asyncio task.
CURRENT: contextvars.ContextVar[tuple[Reader, ...]] = contextvars.ContextVar("mfc", default=())


def _has_code(provider: MetadataProvider, task: Pathspec) -> bool | None:
    """Tell whether the code of a task was recorded; None for clones, and without an answer."""
    try:
        fields = {record.name for record in provider.metadata(task, (_CODE, _ORIGIN))}
    except MetaflowException:
        return None
    return True if _CODE in fields else None if _ORIGIN in fields else False
