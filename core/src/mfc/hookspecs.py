"""The contract: everything a plugin may serve, top to bottom on one page.

A plugin is a distribution with an entry point in group `mfc`. The entry's name is the kind it
serves (`local`, `s3`, …); its value is a module (or object) with functions marked `@hookimpl`::

    from mfc.hookspecs import hookimpl

    @hookimpl
    def mfc_metadata_provider(address, config, meter):
        if address.startswith("mine@"):
            return MineProvider(address.removeprefix("mine@"))

- A hook that is not concerned returns None, or yields nothing. Take only the arguments that you
  need. Wrappers (`hookimpl(wrapper=True)`) are refused: hooks answer.
- The module imports fast: heavy libraries are imported inside the hooks.
- Whatever a hook returns may be called from several threads at once, and in a forked child.
- Of errors only classes of `mfc.errors` leave a plugin; a library's own are chained to them.
- The client closes nothing: what a plugin opens, it closes when it is done with the call, or
  when the object is garbage-collected.

Three names at the top of the module are optional: `MFC_CONTRACT`, the version of this page that
the plugin is written for (another one is refused); `MFC_CAPABILITIES`, what its provider does, for
listings; `MFC_HOOKSPECS`, a module or class with hooks of the plugin's own, which other plugins
implement and it asks through `Hooks`; `hookimpl(optionalhook=True)` marks one that waits for a
publisher who need not be installed.
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

#: Version of this page.
CONTRACT = 1

hookspec = pluggy.HookspecMarker("mfc")
hookimpl = pluggy.HookimplMarker("mfc")


class Meter(Protocol):
    """Where a plugin reports what it cost; `client.stats` shows it."""

    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count files opened or requests sent, bytes received, answers from a cache.

        A page of records is one read, and so is a file that is read as a whole. Only a request
        whose answer has no bound counts the records that it gave. Let pass what this raises: it
        ends the question.
        """


class Hooks(Protocol):
    """The way to hooks that a plugin publishes itself."""

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        """Return what other plugins answer, None left out: the registered first, then by name.

        Raises:
            PluginError: no plugin publishes `hook`, or not with these arguments; or one that
                implements it failed.
        """


class Support(enum.Enum):
    """How well a provider does something itself."""

    #: Exactly as the contract says; the client relies on it.
    FULL = "full"
    #: It helps: it may give too much, never too little; the client goes over the answer.
    PARTIAL = "partial"
    #: It is ignored; the client does it.
    UNSUPPORTED = "unsupported"
    #: Some versions of the backend do; the client goes over the answer.
    VERSIONED = "depends on the backend's version"


@attrs.frozen
class Capabilities:
    """What a provider does itself. The client completes the rest: the answer is the same.

    Declare what is done, no more and no less: the kit fails on either.
    """

    # Parts of a `Query` that `children` honours.
    tags: Support = Support.UNSUPPORTED
    since: Support = Support.UNSUPPORTED
    until: Support = Support.UNSUPPORTED
    status: Support = Support.UNSUPPORTED
    user: Support = Support.UNSUPPORTED
    names: Support = Support.UNSUPPORTED
    metadata: Support = Support.UNSUPPORTED
    #: Withheld unless every other part of the query is fully supported.
    limit: Support = Support.UNSUPPORTED

    #: Children come newest first. If not, the client must read all of a listing before the first.
    order: Support = Support.FULL
    #: Artifacts of an attempt that is asked for. If not, the backend knows only the last one.
    attempts: Support = Support.FULL
    #: Both `metadata` and `artifacts` of a whole step or run in one call, each task by its own
    #: last attempt; else the client asks task by task.
    bulk: Support = Support.UNSUPPORTED
    #: Each call waits for a network. The client then prefers one wide question to many narrow
    #: ones, and asks independent ones at once, from several threads.
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
        """Tell whether it is worth asking for `part`."""
        return getattr(self, part) is not Support.UNSUPPORTED


@runtime_checkable
class MetadataProvider(Protocol):
    """Where the records are.

    Every record of a step, task or artifact carries the tags of its run as they are now: the
    provider puts them there. A backend that keeps Metaflow's own JSON makes records with
    `Record.of_json(path, fields, run)` and its like, any other makes them directly. `children`,
    `metadata` and `artifacts` return iterators, never lists or None.

    If the backend as a whole is gone or does not answer, every reading method raises Unanswered
    (or UnreadableRecord) with the address and the reason, listings included, in their midst, too;
    `retag` raises MetaflowTaggingError.
    """

    @property
    def address(self) -> str:
        """Text that makes an equal provider again, `local@/data`; it holds no secret."""

    @property
    def capabilities(self) -> Capabilities:
        """What this provider does itself."""

    def root(self, ds_type: str) -> str | None:
        """Return the datastore root of `ds_type` beside these records, or None.

        It is tried before the root that a record names: results may have been moved or copied.
        """

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """Return the record at `path` (flow to artifact), or None if there is none.

        Args:
            path: of a flow, run, step, task or artifact; never the root.
            attempt: for artifacts, the attempt; None means the one finished last. Other
                records do not depend on it.

        Raises:
            UnreadableRecord: there is one, but it cannot be read or understood.
        """

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """Yield the records one level below `path` (root to step), newest first, lazily.

        Records of equal time come in an order of the backend's choice, the same at each call. A
        listing may be left half-read: hold nothing open that stops a writer in between.
        Parts of `query` that are not supported are ignored; the parts hold together. No such
        `path`: nothing. An unreadable record is left out with an `MfcWarning` that names it.
        """

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """Yield the metadata of all attempts of a task; with bulk, of all tasks of a step or run.

        Of one task the oldest comes first, of many they come in any order; `names` limits it to
        these fields. An unreadable record is left out with an `MfcWarning`.
        """

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """Yield the artifacts of a task; with bulk, of all tasks of a step or run.

        Newest first within a task; `names` limits them, one given twice counts once. `attempt`
        None means, for each task, the attempt that finished last, which is the newest value of
        metadata field `attempt-done`; a task of which none has finished has no artifacts. An
        unreadable record is left out with an `MfcWarning`.
        """

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """Change the user tags of `run`, atomically against every other writer; return them.

        `change` is called with the run's user and system tags as they are at that moment,
        perhaps repeatedly, and returns the user tags wanted or raises MetaflowTaggingError; for a
        run that does not exist it is not called. Nothing else of the run changes. A provider that
        declares this unsupported raises MetaflowTaggingError.

        What users of the client ask for comes as an `mfc.tags.TagEdit`, which says what goes and
        what comes: a backend that can do this itself need not be asked for the tags first.

        Raises:
            MetaflowNotFound: no such run.
            MetaflowTaggingError: not written: other writers won each time, or no permission.
        """


@runtime_checkable
class Recent(Protocol):
    """A metadata provider that finds what was registered lately without reading the rest; optional.

    The client then tells the states of all tasks of a step by a few questions.
    """

    def recent(self, run: Pathspec, since: int) -> Iterator[MetadataRecord]:
        """Yield the metadata of all tasks of a run that was registered at `since` or later.

        The newest comes first, and reading stops where the caller does.

        Args:
            run: path of a run; nothing comes of one that does not exist.
            since: milliseconds since 1970 UTC.
        """


@runtime_checkable
class Patient(Protocol):
    """A metadata provider that says how long its backend may be away; optional."""

    #: Seconds without an answer after which `loglines(follow=True)` gives up; 60 without this.
    patience: float


#: Given a run's user and system tags, the user tags that it shall have; `mfc.tags.TagEdit` is one.
TagChange = Callable[[frozenset[str], frozenset[str]], frozenset[str]]


class Filesystem(Protocol):
    """Where the bytes are: any fsspec filesystem is one; these methods are all that is used.

    The client counts its own calls of these methods: report nothing for them to a `Meter`. Paths
    are a datastore's root, without protocol (`bucket/prefix`, `/data/.metaflow`), and then
    Metaflow's layout (`Flow/data/ab/abcd…`, `Flow/7/train/1/0.data.json`). A missing file raises
    FileNotFoundError, one that may not be read PermissionError, anything else OSError.

    Where paths are files of this machine, attribute `local_file` is True, as fsspec's
    `LocalFileSystem` has it: they are read at once, and never cached. Any other filesystem is
    asked by many threads side by side, and is left behind when it does not answer in time.
    Attribute `usual_root`, if there is one, is the root that the settings name: it is tried when
    the root that a record names is gone.
    """

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of a file, or of the range [start, end) of it.

        A range may end or begin beyond the end of the file: what there is of it comes, perhaps
        nothing. Where both are given, `start` is less than `end`.
        """

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes."""

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """Return the file, opened for reading bytes; each call opens one of its own."""


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
        """Tell whether `record`, of a run or something below it, is in `namespace`.

        Never asked where the namespace is None: a policy hides, it does not lock.

        Raises:
            BadArgument: there is no such namespace; the text says which there are.
        """

    def may_retag(self, namespace: str | None, record: Record) -> str | None:
        """Return None if the tags of run `record` may be changed, else the reason why not."""


@attrs.frozen
class Event:
    """An event that started a run, as recorded."""

    name: str | None = None
    id: str | None = None
    #: Seconds (not ms) since 1970 UTC, or what else the sender put there.
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


class FileDecoder(ArtifactDecoder, Protocol):
    """A decoder that reads large values from a file; to have this method is a matter of choice."""

    def decode_file(self, file: BinaryIO, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the value that a file encodes, as `decode` does of its bytes.

        Asked where the bytes lie in a file already, so that they need not be in memory besides the
        value. The file stands at its start, can be sought in, holds verified bytes, and is closed
        once this returns: the value must not need it.
        """


@hookspec
def mfc_metadata_provider(
    address: str, config: Config, meter: Meter, hooks: Hooks
) -> MetadataProvider | None:
    """Whose address is this: `kind`, `kind@where`, a URL, a path?

    Raises:
        BadAddress: it is yours, but leads nowhere.
    """


@hookspec
def mfc_filesystem(ds_type: str, config: Config, meter: Meter, hooks: Hooks) -> Filesystem | None:
    """Who stores datastore type `ds_type` (`local`, `s3`, …)? Asked once per client."""


@hookspec
def mfc_namespace_policy(config: Config, hooks: Hooks) -> NamespacePolicy | None:
    """Which rules of visibility hold? Asked once per client; Metaflow's if nobody answers."""


@hookspec
def mfc_trigger(metadata: Mapping[str, Any]) -> Iterable[Event] | None:
    """Which events started the run whose start task has this metadata (newest value by name)?

    What all plugins answer adds up; Metaflow's own `execution-triggers` is always read, too. An
    empty answer says that events started it, and that none of them can be told; None says nothing.
    """


@hookspec
def mfc_artifact_decoder(
    encoding: str, info: Mapping[str, Any], config: Config
) -> ArtifactDecoder | None:
    """Who reads this encoding?

    `info` is the writer's note on the artifact, such as `size`, `type`, `encoding` and, from a
    serializer of Metaflow, `serializer_info`; `{}` if there is none, and for pickles.
    """


@hookspec
def mfc_safe_classes() -> Iterable[str] | None:
    """Which classes, as `module.Name`, may be built from a pickle at `trust="safe"`?"""


@hookspec
def mfc_value_builders() -> Mapping[str, Callable[[Parts], object]] | None:
    """Which builders make values of which classes, by `module.Name`, at `trust="safe"`?

    A builder gets what a pickle says of one object, and makes it through public constructors. No
    code that the store names runs, so what it is given may be anything. Asked once per client.

    Raises:
        ValueError, TypeError: what it is given is not what the class writes.
    """
