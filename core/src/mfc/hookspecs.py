"""The contract: everything a plugin may serve, top to bottom on one page.

A plugin is a distribution with an entry point in group `mfc`. The entry's name is the kind it
serves (`local`, `s3`, …); its value is a module (or object) with functions marked `@hookimpl`::

    from mfc.hookspecs import hookimpl

    @hookimpl
    def mfc_metadata_provider(address, config, meter):
        if address.startswith("mine@"):
            return MineProvider(address.removeprefix("mine@"))

A hook that is not concerned returns None. Take only the arguments that you need. The module must
import fast: keep heavy libraries inside the hooks.

Every provider, filesystem and decoder may be called from several threads at once. Nothing here
is closed by the client: what a plugin opens, it closes when it is garbage-collected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol, runtime_checkable

import attrs
import pluggy

from mfc.config import Config
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc.trust import Trust

#: Version of this page. A plugin says `MFC_CONTRACT = 1` if it wants to be refused elsewhere.
CONTRACT = 1

hookspec = pluggy.HookspecMarker("mfc")
hookimpl = pluggy.HookimplMarker("mfc")


class Meter(Protocol):
    """Where a plugin reports what it cost."""

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count files opened or requests sent, bytes received, answers from a cache."""


@attrs.frozen
class Capabilities:
    """What a provider does itself; the client completes the rest, so the answer is the same."""

    #: Names of the parts of a `Query` that `children` honours, exactly as `Query` defines them.
    query: frozenset[str] = frozenset()
    #: Tags can be changed.
    retag: bool = False


@runtime_checkable
class MetadataProvider(Protocol):
    """Where the records are. Errors: `UnreadableRecord` and other classes of `mfc.errors` only."""

    @property
    def address(self) -> str:
        """Text that makes an equal provider again, `local@/data`; it holds no secret."""

    @property
    def capabilities(self) -> Capabilities:
        """What this provider does itself."""

    def root(self, ds_type: str) -> str | None:
        """Return this backend's own datastore root of `ds_type`, or None.

        It is tried when the root that a record names is gone: results were moved or copied.
        """

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path` (flow to artifact), or None if there is none.

        Args:
            path: of a flow, run, step, task or artifact; never the root.
            attempt: for artifacts, the attempt; None means the one finished last. Other
                records do not depend on it.
        """

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records one level below `path` (root to step), newest first, lazily.

        Records of equal time come in an order of the backend's choice, the same at each call.
        Parts of `query` that the capabilities do not name are ignored. An unreadable record is
        left out with an `MfcWarning` that names it. No such `path`: nothing.
        """

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of all attempts of a task, or of all tasks of a step or run.

        The oldest comes first within a task; `names` limits it to these fields.
        """

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of a task, or of all tasks of a step or run.

        Newest first within a task; `names` limits them. `attempt` None means, for each task,
        the attempt that finished last; a task of which none has finished has no artifacts.
        """

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of `run`, atomically against every other writer; return them.

        `change` is called with the run's user and system tags as they are at that moment,
        perhaps repeatedly, and returns the user tags wanted or raises MetaflowTaggingError.

        Raises:
            MetaflowNotFound: no such run.
            MetaflowTaggingError: not written: other writers won each time, or no permission.
        """


#: Given a run's user and system tags, the user tags that it shall have.
TagChange = Callable[[frozenset[str], frozenset[str]], frozenset[str]]


class Filesystem(Protocol):
    """Where the bytes are: any fsspec filesystem is one; these methods are all that is used.

    Paths come without protocol (`bucket/prefix/…`, `/data/.metaflow/…`). A missing file raises
    FileNotFoundError, one that may not be read PermissionError, anything else OSError.
    """

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of a file, or of the range [start, end) of it."""

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes."""

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file, opened for reading bytes."""


class NamespacePolicy(Protocol):
    """Who sees what, and who may change tags."""

    def default(self) -> str:
        """Return the namespace at start.

        Raises:
            MetaflowUnknownUser: nothing tells who the user is.
        """

    def required(self, namespace: str) -> frozenset[str]:
        """Return tags that every run in `namespace` has: what providers may filter by."""

    def sees(self, namespace: str, record: Record) -> bool:
        """Tell whether `record`, of a run or something below it, is in `namespace`."""

    def may_retag(self, namespace: str | None, record: Record) -> str | None:
        """Return None if the tags of run `record` may be changed, else the reason why not."""


@attrs.frozen
class Event:
    """An event that started a run, as recorded."""

    name: str | None = None
    id: str | None = None
    #: Seconds since 1970 UTC, or what else the sender put there.
    timestamp: Any = None
    #: `event`, or `run` when a finished run sent it (`id` is then its end task's pathspec).
    type: str | None = None


class ArtifactDecoder(Protocol):
    """Bytes to object."""

    def decode(self, blob: bytes, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the value that `blob` encodes.

        Args:
            blob: the verified bytes, uncompressed.
            artifact: the record that names it.
            trust: of the client; below `full` no code of the store may run.

        Raises:
            UntrustedValue: `trust` does not allow it.
            UndecodableArtifact: the bytes are not what the encoding says.
        """


@hookspec
def mfc_metadata_provider(address: str, config: Config, meter: Meter) -> MetadataProvider | None:
    """Whose address is this: `kind`, `kind@where`, a URL, a path?

    Raises:
        BadAddress: it is yours, but leads nowhere.
    """


@hookspec
def mfc_filesystem(ds_type: str, config: Config) -> Filesystem | None:
    """Who stores datastore type `ds_type` (`local`, `s3`, …)? Asked once per client."""


@hookspec
def mfc_namespace_policy(config: Config) -> NamespacePolicy | None:
    """Which rules of visibility hold? Asked once per client; the first plugin to answer decides."""


@hookspec
def mfc_trigger(metadata: Mapping[str, Any]) -> Iterable[Event] | None:
    """Which events started the run whose start task has this metadata (newest value by name)?"""


@hookspec
def mfc_artifact_decoder(encoding: str, info: Mapping[str, Any]) -> ArtifactDecoder | None:
    """Who reads this encoding? `info` is what the writer left beside it, `{}` if nothing."""


@hookspec
def mfc_safe_classes() -> Iterable[str] | None:
    """Which classes, as `module.Name`, may be built from a pickle at `trust="safe"`?"""
