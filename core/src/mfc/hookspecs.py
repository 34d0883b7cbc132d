"""The plugin contract: everything a plugin may serve, on one page.

A plugin is a distribution with an entry point in group `mfc`. The entry's name is the kind it
serves (`local`, `s3`, …); its value is a module (or object) with functions marked `@hookimpl`::

    from mfc.hookspecs import hookimpl

    @hookimpl
    def mfc_metadata_provider(address, config, meter):
        if address.startswith("mine@"):
            return MineProvider(address.removeprefix("mine@"))

- A hook that does not apply returns None or an empty iterable. Take only the arguments that you
  need. Wrappers (`hookimpl(wrapper=True)`) are refused: hooks answer.
- The module imports fast: heavy libraries are imported inside the hooks.
- The objects that a hook returns are called from several threads at once, and in forked children.
- A plugin raises only classes of `mfc.errors`; a library's own exceptions are chained to them.
- The client never closes a plugin's resources. A plugin closes them at the end of the call, or
  when the object is garbage-collected.

Three names at the top of the module are optional:

- `MFC_CONTRACT`: the contract version that the plugin is written for; any other is refused.
- `MFC_CAPABILITIES`: the capabilities of its provider, for listings.
- `MFC_HOOKSPECS`: a module or class with the plugin's own hooks, which other plugins implement and
  which it calls through `Hooks`. `hookimpl(optionalhook=True)` marks an implementation whose
  publisher need not be installed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol, runtime_checkable

import attrs
import pluggy

from mfc.config import Config
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, Record
from mfc.query import Query
from mfc.trust import Trust
from mfc.values import Parts

#: Version of this contract.
CONTRACT = 1

hookspec = pluggy.HookspecMarker("mfc")
hookimpl = pluggy.HookimplMarker("mfc")


class Meter(Protocol):
    """Receiver of a plugin's reading costs; `client.stats` shows them."""

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count files opened or requests sent, bytes received, answers from a cache.

        A page of records is one read, and so is a file read as a whole. A request with an
        unbounded answer counts the records that it returned. Do not catch exceptions raised
        here: they end the client's question.
        """


class Hooks(Protocol):
    """Access to the hooks that a plugin publishes itself."""

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        """Return the answers of the other plugins, without None.

        Registered plugins come first, the others by name.

        Raises:
            PluginError: `hook` is not published or takes other arguments, or an implementation
                failed.
        """


class Support(enum.Enum):
    """How far a provider does something itself."""

    #: Exactly as the contract says; the client relies on it.
    FULL = "full"
    #: The answer may hold too much, never too little; the client filters it again.
    PARTIAL = "partial"
    #: The provider ignores it; the client does the work.
    UNSUPPORTED = "unsupported"
    #: Some versions of the backend do it; the client filters the answer again.
    VERSIONED = "depends on the backend's version"


@attrs.frozen
class Capabilities:
    """Work that a provider does itself. The client does the rest, with the same answer.

    Declare exactly what the provider does: the kit fails on a claim too many or too few.
    """

    # Parts of a `Query` that `children` honours.
    tags: Support = Support.UNSUPPORTED
    since: Support = Support.UNSUPPORTED
    until: Support = Support.UNSUPPORTED
    status: Support = Support.UNSUPPORTED
    user: Support = Support.UNSUPPORTED
    names: Support = Support.UNSUPPORTED
    metadata: Support = Support.UNSUPPORTED
    #: The client passes it only if every other part of the query is fully supported.
    limit: Support = Support.UNSUPPORTED

    #: Children come newest first. Otherwise the client reads a whole listing before the first.
    order: Support = Support.FULL
    #: Artifacts of any attempt. Otherwise the backend knows only the last attempt.
    attempts: Support = Support.FULL
    #: Both `metadata` and `artifacts` of a whole step or run in one call, each task by its own
    #: last attempt. Otherwise the client makes a call for each task.
    bulk: Support = Support.UNSUPPORTED
    #: Each call waits for a network. The client then prefers one wide call to many narrow ones,
    #: and makes independent calls concurrently.
    remote: Support = Support.UNSUPPORTED
    #: Tags can be changed.
    retag: Support = Support.UNSUPPORTED

    def full(self, part: str) -> bool:
        """Tell whether the client may rely on `part`, the name of a field.

        >>> Capabilities(tags=Support.FULL).full("tags")
        True
        """
        return getattr(self, part) is Support.FULL

    def useful(self, part: str) -> bool:
        """Tell whether passing `part` to the provider helps."""
        return getattr(self, part) is not Support.UNSUPPORTED


@runtime_checkable
class MetadataProvider(Protocol):
    """A source of records.

    Every record of a step, task or artifact carries the current tags of its run: the provider
    puts them there. A backend that stores Metaflow's own JSON makes records with
    `Record.of_json(path, fields, run)` and its like, any other makes them directly. `children`,
    `metadata` and `artifacts` return iterators, never lists or None.

    If the backend as a whole is gone or does not answer, every reading method raises Unanswered
    (or UnreadableRecord) with the address and the reason, also part-way through a listing.
    `retag` raises MetaflowTaggingError.
    """

    @property
    def address(self) -> str:
        """Text from which an equal provider can be made, `local@/data`; without secrets."""

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this provider."""

    def root(self, ds_type: str) -> str | None:
        """Return the datastore root of `ds_type` beside these records, or None.

        The client tries it before the root in a record: results may have been moved or copied.
        """

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path` (flow to artifact), or None if it does not exist.

        Args:
            path: of a flow, run, step, task or artifact; never the root.
            attempt: for artifacts, the attempt; None means the one finished last. Other
                records do not depend on it.

        Raises:
            UnreadableRecord: the record exists, but cannot be read or understood.
        """

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records one level below `path` (root to step), newest first, lazily.

        Records of equal time come in an order of the backend's choice, the same at each call. The
        client may stop part-way: between records, hold no lock that stops a writer. Unsupported
        parts of `query` are ignored; the others must all hold. A missing `path` yields no records.
        An unreadable record is left out with an `MfcWarning` that names it.
        """

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of all attempts of a task; with bulk, of all tasks of a step or run.

        The metadata of one task comes oldest first; that of many tasks in any order. `names`
        limits it to these fields. An unreadable record is left out with an `MfcWarning`.
        """

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of a task; with bulk, of all tasks of a step or run.

        They come newest first within a task. `names` limits them; duplicates count once. `attempt`
        None means, for each task, the attempt that finished last: the newest value of metadata
        field `attempt-done`. A task without a finished attempt has no artifacts. An unreadable
        record is left out with an `MfcWarning`.
        """

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of `run`, atomically against every other writer; return them.

        `change` is called with the run's user and system tags as they are at that moment,
        perhaps repeatedly. It returns the new user tags or raises MetaflowTaggingError. It is not
        called for a missing run. The rest of the run stays as it is. A provider that declares
        this unsupported raises MetaflowTaggingError.

        The client passes an `mfc.tags.TagEdit`, which has the tags to remove and to add: a backend
        that can apply these itself need not read the tags first.

        Raises:
            MetaflowNotFound: the run does not exist.
            MetaflowTaggingError: not written: other writers won each time, or no permission.
        """


@runtime_checkable
class Recent(Protocol):
    """Optional: a metadata provider that finds recent metadata without reading the rest.

    The client then learns the states of all tasks of a step from a few calls.
    """

    def recent(self, run: Pathspec, since: int) -> Iterator[MetadataRecord]:
        """Yield the metadata of all tasks of a run that was registered at `since` or later.

        The newest comes first. Read lazily: the caller may stop at any point.

        Args:
            run: path of a run; a missing run yields nothing.
            since: milliseconds since 1970 UTC.
        """


@runtime_checkable
class Patient(Protocol):
    """Optional: a metadata provider that says how long its backend may be away."""

    #: Seconds without an answer after which `loglines(follow=True)` gives up; 60 by default.
    patience: float


#: Takes a run's user and system tags, returns its new user tags; `mfc.tags.TagEdit` is one.
TagChange = Callable[[frozenset[str], frozenset[str]], frozenset[str]]


class Filesystem(Protocol):
    """A source of bytes: the part of an fsspec filesystem that the client uses.

    The client counts its own calls of these methods: do not report them to a `Meter`. A path is
    a datastore's root without protocol (`bucket/prefix`, `/data/.metaflow`), followed by
    Metaflow's layout (`Flow/data/ab/abcd…`, `Flow/7/train/1/0.data.json`). A missing file raises
    FileNotFoundError, a forbidden one PermissionError, any other failure OSError.

    A filesystem of local files has the attribute `local_file` set to True, as fsspec's
    `LocalFileSystem` has: its files are read directly and never cached. Any other filesystem is
    called from many threads concurrently, and its calls are abandoned after a timeout. The
    optional attribute `usual_root` is the root from the settings; the client tries it when the
    root in a record is gone.
    """

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of a file, or of the range [start, end) of it.

        A range may begin or end beyond the end of the file; it is then cut there, perhaps to
        nothing. Where both are given, `start` is less than `end`.
        """

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes."""

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file opened for reading bytes; each call returns a new file object."""


class NamespacePolicy(Protocol):
    """The rules of visibility, and of changes to tags."""

    def default(self) -> str:
        """Return the initial namespace.

        Raises:
            MetaflowUnknownUser: the user's name is not set anywhere.
        """

    def required(self, namespace: str) -> frozenset[str]:
        """Return tags that every run in `namespace` has; providers may filter by them."""

    def sees(self, namespace: str, record: Record) -> bool:
        """Tell whether `record`, of a run or something below it, is in `namespace`.

        It is never called for namespace None: a policy hides, it does not lock.

        Raises:
            BadArgument: the namespace does not exist; the text lists those that do.
        """

    def may_retag(self, namespace: str | None, record: Record) -> str | None:
        """Return None if the tags of run `record` may be changed, else the reason against it."""


@attrs.frozen
class Event:
    """An event that started a run, as recorded."""

    name: str | None = None
    id: str | None = None
    #: Seconds (not ms) since 1970 UTC, or any other value that the sender put there.
    timestamp: Any = None
    #: `event`, or `run` when a finished run sent it (`id` is then its end task's pathspec).
    type: str | None = None


class ArtifactDecoder(Protocol):
    """A decoder from bytes to objects."""

    def decode(self, blob: bytes, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the value that `blob` encodes.

        Args:
            blob: the verified bytes, uncompressed.
            artifact: the record that names it.
            trust: the client's; below `full` the decoder runs no code of the store.

        Raises:
            UntrustedValue: `trust` does not allow it.
            UndecodableArtifact: the bytes are not what the encoding says.
        """


class FileDecoder(ArtifactDecoder, Protocol):
    """Optional: a decoder that can read large values from a file."""

    def decode_file(self, file: BinaryIO, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the value that a file encodes, as `decode` does for bytes.

        It is called when the bytes are in a file already, so that memory need not hold both bytes
        and value. The file is seekable, stands at its start and holds verified bytes. It is
        closed once this returns: the value must not need it.
        """


@hookspec
def mfc_metadata_provider(
    address: str, config: Config, meter: Meter, hooks: Hooks
) -> MetadataProvider | None:
    """Return the provider for an address: `kind`, `kind@where`, a URL or a path.

    Raises:
        BadAddress: the address belongs to this plugin, but cannot be used.
    """


@hookspec
def mfc_filesystem(ds_type: str, config: Config, meter: Meter, hooks: Hooks) -> Filesystem | None:
    """Return the filesystem for datastore type `ds_type` (`local`, `s3`, …); once per client."""


@hookspec
def mfc_namespace_policy(config: Config, hooks: Hooks) -> NamespacePolicy | None:
    """Return the rules of visibility, once per client; Metaflow's apply if all return None."""


@hookspec
def mfc_trigger(metadata: Mapping[str, Any]) -> Iterable[Event] | None:
    """Return the events that started a run, from its start task's metadata (newest by name).

    The answers of all plugins are added to those in Metaflow's own `execution-triggers`. An empty
    answer says that events started the run, but are unknown; None leaves it to other plugins.
    """


@hookspec
def mfc_artifact_decoder(
    encoding: str, info: Mapping[str, Any], config: Config
) -> ArtifactDecoder | None:
    """Return the decoder for an encoding.

    `info` is the writer's note on the artifact, such as `size`, `type`, `encoding` and, from a
    serializer of Metaflow, `serializer_info`. It is `{}` without a note, and for pickles.
    """


@hookspec
def mfc_safe_classes() -> Iterable[str] | None:
    """Return the classes, as `module.Name`, that a pickle may build at `trust="safe"`."""


@hookspec
def mfc_value_builders() -> Mapping[str, Callable[[Parts], object]] | None:
    """Return builders of values by class, `module.Name`, for `trust="safe"`; once per client.

    A builder receives the parts of one object from a pickle, and makes it through public
    constructors. Code named by the store never runs, so the parts may hold anything.

    Raises:
        ValueError, TypeError: the parts are not those that the class writes.
    """
