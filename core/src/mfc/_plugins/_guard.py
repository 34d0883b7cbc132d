"""Guards around the objects of plugins: errors outside the contract become `BrokenPlugin`.

Without the guard, an AttributeError of a provider would look like a missing artifact, and a
KeyError like a missing child.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from mfc import hookspecs
from mfc.errors import BrokenPlugin, MetaflowException, shown
from mfc.hookspecs import Capabilities, Event
from mfc.model import ArtifactRecord, MetadataRecord, Pathspec, PendingRecord, Record
from mfc.query import Query

if TYPE_CHECKING:
    from mfc.hookspecs import (
        ArtifactDecoder,
        FileDecoder,
        Filesystem,
        MetadataProvider,
        NamespacePolicy,
        TagChange,
    )
    from mfc.trust import Trust

T = TypeVar("T")


class Plugin(NamedTuple):
    """A plugin, with the fields for errors."""

    name: str
    distribution: str = ""
    version: str = ""

    def failed(self, where: str, cause: BaseException) -> BrokenPlugin:
        """Return the error for an exception outside the contract."""
        said = f"{type(cause).__name__}: {cause}"
        failure = BrokenPlugin(self.name, f"{where} failed: {said}", *self[1:])
        failure.__cause__ = cause
        return failure

    def answered(self, where: str, answer: object, expected: str) -> BrokenPlugin:
        """Return the error for an answer that the contract does not allow."""
        given = shown(answer)
        if inspect.iscoroutine(answer):
            answer.close()  # avoids the warning that it was never awaited
            given = "a coroutine, as an async function does"
        return BrokenPlugin(self.name, f"{where} answered {given}; expected {expected}", *self[1:])


def _require(plugin: Plugin, hook: str, answer: object, role: type[Any]) -> None:
    """Check that the answer of a hook has the methods of its role, a Protocol of the contract.

    Raises:
        BrokenPlugin: methods are missing.
    """
    wanted = [name for name in vars(role) if not name.startswith("_")]
    lacking = [name for name in wanted if not _has(answer, name)]
    if lacking:
        expected = f"a {role.__name__} of mfc.hookspecs; it lacks {', '.join(lacking)}"
        raise plugin.answered(f"hook {hook}", answer, expected)


#: Arguments of the client for each method of a role: how many by position, and names.
_CALLS: dict[str, tuple[int, tuple[str, ...]]] = {
    "root": (1, ()),
    "get": (2, ()),
    "children": (2, ()),
    "metadata": (2, ()),
    "artifacts": (3, ()),
    "retag": (2, ()),
    "recent": (2, ()),
    "cat_file": (1, ("start", "end")),
    "size": (1, ()),
    "open": (1, ()),
    "default": (0, ()),
    "required": (1, ()),
    "sees": (2, ()),
    "may_retag": (2, ()),
    "decode": (3, ()),
    "decode_file": (3, ()),
}


def check_methods(answer: object, plugin: Plugin) -> list[BrokenPlugin]:
    """Return the faults of an object's methods that can be found without calling them.

    Args:
        answer: the answer of a hook, guarded or not.
        plugin: its plugin.
    """
    inner = answer._inner if isinstance(answer, _Guarded) else answer  # noqa: SLF001 - of this module
    kind, found = type(inner).__name__, []
    for name, (places, words) in _CALLS.items():
        method = getattr(inner, name, None)
        if method is None:
            continue
        if not callable(method):
            found.append(plugin.answered(f"{kind}.{name}", method, "a method"))
            continue
        if is_async(method):
            found.append(BrokenPlugin(plugin.name, f"{kind}.{name} is async", *plugin[1:]))
        try:
            inspect.signature(method).bind(*range(places), **dict.fromkeys(words))
        except TypeError as cause:
            reason = f"{kind}.{name} cannot be called as the contract says: {cause}"
            found.append(BrokenPlugin(plugin.name, reason, *plugin[1:]))
        except ValueError:
            continue  # a function in C without a signature
    return found


def _has(answer: object, name: str) -> bool:
    try:
        return hasattr(answer, name)
    except Exception:  # noqa: BLE001 - a property may run any code; the call reports the error
        return True


class _Guarded:
    def __init__(self, inner: Any, plugin: Plugin) -> None:
        self._inner, self._plugin = inner, plugin

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._inner, method)(*arguments)
        except (MetaflowException, MemoryError):
            raise
        except (Exception, SystemExit) as cause:
            raise self._plugin.failed(f"{type(self._inner).__name__}.{method}", cause) from cause

    def _attribute(self, name: str, kind: type[T], expected: str) -> T:
        where = f"{type(self._inner).__name__}.{name}"
        try:
            found = getattr(self._inner, name)
        except (MetaflowException, MemoryError):
            raise
        except (Exception, SystemExit) as cause:
            raise self._plugin.failed(where, cause) from cause
        if not isinstance(found, kind):
            raise self._plugin.answered(where, found, expected)
        return found

    def _wrong(self, method: str, answer: object, expected: str) -> BrokenPlugin:
        return self._plugin.answered(f"{type(self._inner).__name__}.{method}", answer, expected)

    def _tags(self, method: str, answer: object, expected: str) -> frozenset[str]:
        if not isinstance(answer, (set, frozenset)):
            raise self._wrong(method, answer, expected)
        if not all(isinstance(tag, str) for tag in answer):
            raise self._wrong(method, answer, expected)
        return frozenset(answer)


class GuardedProvider(_Guarded):
    """A metadata provider whose failures and wrong answers name its plugin."""

    def __init__(self, provider: MetadataProvider, plugin: Plugin) -> None:
        super().__init__(provider, plugin)
        self.address = self._attribute("address", str, "text")
        self.capabilities = self._attribute("capabilities", Capabilities, "a Capabilities")

    def __getattr__(self, name: str) -> Any:
        # Optional methods, present if the provider has them.
        if name == "patience" and isinstance(self._inner, hookspecs.Patient):
            return self._seconds(name)
        if name == "recent" and isinstance(self._inner, hookspecs.Recent):
            return partial(self._each, "recent", MetadataRecord)
        raise AttributeError(name)

    def _seconds(self, name: str) -> float:
        found = self._attribute(name, object, "seconds")
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not found >= 0:
            where = f"{type(self._inner).__name__}.{name}"
            raise self._plugin.answered(where, found, "a number of seconds, 0 or more")
        return float(found)

    def root(self, ds_type: str) -> str | None:
        """See `MetadataProvider`."""
        answer = self._call("root", ds_type)
        if answer is not None and not isinstance(answer, str):
            raise self._wrong("root", answer, "text or None")
        return answer

    def get(self, path: Pathspec, attempt: int | None = None) -> Record | None:
        """See `MetadataProvider`."""
        answer = self._call("get", path, attempt)
        if answer is not None and not isinstance(answer, Record):
            raise self._wrong("get", answer, "a Record or None")
        return self._pending("get", answer) if isinstance(answer, PendingRecord) else answer

    def children(self, path: Pathspec, query: Query) -> Iterator[Record]:
        """See `MetadataProvider`."""
        return self._each("children", Record, path, query)

    def metadata(
        self, path: Pathspec, names: Collection[str] | None = None
    ) -> Iterator[MetadataRecord]:
        """See `MetadataProvider`."""
        return self._each("metadata", MetadataRecord, path, names)

    def artifacts(
        self, path: Pathspec, names: Collection[str] | None = None, attempt: int | None = None
    ) -> Iterator[ArtifactRecord]:
        """See `MetadataProvider`."""
        return self._each("artifacts", ArtifactRecord, path, names, attempt)

    def retag(self, run: Pathspec, change: TagChange) -> frozenset[str]:
        """See `MetadataProvider`."""
        answer = self._call("retag", run, change)
        return self._tags("retag", answer, "the user tags, a frozenset of text")

    def _each(self, method: str, kind: type[T], *arguments: Any) -> Iterator[T]:
        answer = self._call(method, *arguments)
        if not isinstance(answer, Iterable):
            raise self._wrong(method, answer, f"an iterator over {kind.__name__} objects")
        return self._checked(method, kind, answer)

    def _checked(self, method: str, kind: type[T], answer: Iterable[Any]) -> Iterator[T]:
        try:
            for record in answer:
                if not isinstance(record, kind):
                    raise self._wrong(method, record, f"{kind.__name__} objects")
                yield self._pending(method, record) if isinstance(record, PendingRecord) else record
        except (MetaflowException, MemoryError):
            raise
        except (Exception, SystemExit) as cause:
            raise self._plugin.failed(f"{type(self._inner).__name__}.{method}", cause) from cause

    def _pending(self, method: str, record: Any) -> Any:
        """Return a pending record whose `find` is guarded like the listing."""
        where = f"{type(self._inner).__name__}.{method}, a record that is found later,"

        def find() -> Record:
            try:
                found: object = record.found()
            except (MetaflowException, MemoryError):
                raise
            except (Exception, SystemExit) as cause:
                raise self._plugin.failed(where, cause) from cause
            if not isinstance(found, Record):
                raise self._plugin.answered(where, found, "a Record")
            return found

        return PendingRecord(record.path, find)


class GuardedPolicy(_Guarded):
    """A namespace policy whose failures and wrong answers name its plugin."""

    def __init__(self, policy: NamespacePolicy, plugin: Plugin) -> None:
        super().__init__(policy, plugin)

    def default(self) -> str:
        """See `NamespacePolicy`."""
        answer = self._call("default")
        if not isinstance(answer, str):
            raise self._wrong("default", answer, "a namespace as text")
        return answer

    def required(self, namespace: str) -> frozenset[str]:
        """See `NamespacePolicy`."""
        answer = self._call("required", namespace)
        return self._tags("required", answer, "a frozenset of tags, of text")

    def sees(self, namespace: str, record: Record) -> bool:
        """See `NamespacePolicy`."""
        answer = self._call("sees", namespace, record)
        if not isinstance(answer, bool):  # a coroutine would count as true and show every run
            raise self._wrong("sees", answer, "True or False")
        return answer

    def may_retag(self, namespace: str | None, record: Record) -> str | None:
        """See `NamespacePolicy`."""
        answer = self._call("may_retag", namespace, record)
        if answer is not None and not isinstance(answer, str):
            raise self._wrong("may_retag", answer, "None, or the reason why not as text")
        return answer


class GuardedDecoder(_Guarded):
    """A decoder whose failures name its plugin."""

    def __init__(self, decoder: ArtifactDecoder, plugin: Plugin) -> None:
        super().__init__(decoder, plugin)

    def decode(self, blob: bytes, artifact: ArtifactRecord, trust: Trust) -> object:
        """See `ArtifactDecoder`."""
        return self._value("decode", blob, artifact, trust)

    def _value(self, method: str, *arguments: Any) -> object:
        answer = self._call(method, *arguments)
        if inspect.iscoroutine(answer):
            raise self._wrong(method, answer, "the value")
        found: object = answer
        return found


class GuardedFileDecoder(GuardedDecoder):
    """A decoder that can also read files."""

    def __init__(self, decoder: FileDecoder, plugin: Plugin) -> None:
        super().__init__(decoder, plugin)

    def decode_file(self, file: BinaryIO, artifact: ArtifactRecord, trust: Trust) -> object:
        """See `FileDecoder`."""
        return self._value("decode_file", file, artifact, trust)


# Each function returns the guarded answer of a hook, or raises BrokenPlugin if it is unfit.


def provider_of(answer: Any, plugin: Plugin) -> MetadataProvider:
    """Return the guarded answer of `mfc_metadata_provider`."""
    _require(plugin, "mfc_metadata_provider", answer, hookspecs.MetadataProvider)
    return GuardedProvider(answer, plugin)


def filesystem_of(answer: Any, plugin: Plugin) -> Filesystem:
    """Return the checked answer of `mfc_filesystem`; `Files` handles any exception of it."""
    _require(plugin, "mfc_filesystem", answer, hookspecs.Filesystem)
    found: Filesystem = answer
    return found


def policy_of(answer: Any, plugin: Plugin) -> NamespacePolicy:
    """Return the guarded answer of `mfc_namespace_policy`."""
    _require(plugin, "mfc_namespace_policy", answer, hookspecs.NamespacePolicy)
    return GuardedPolicy(answer, plugin)


def decoder_of(answer: Any, plugin: Plugin) -> ArtifactDecoder:
    """Return the guarded answer of `mfc_artifact_decoder`."""
    _require(plugin, "mfc_artifact_decoder", answer, hookspecs.ArtifactDecoder)
    if _has(answer, "decode_file"):
        return GuardedFileDecoder(answer, plugin)
    return GuardedDecoder(answer, plugin)


def classes_of(answer: object, plugin: Plugin) -> frozenset[str]:
    """Return the checked answer of `mfc_safe_classes`."""
    where = "hook mfc_safe_classes"
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise plugin.answered(where, answer, "full names of classes")
    try:
        names = list(answer)
    except Exception as cause:
        raise plugin.failed(where, cause) from cause
    for name in names:
        if not isinstance(name, str):
            raise plugin.answered(where, name, "full names of classes")
    return frozenset(names)


def builders_of(answer: object, plugin: Plugin) -> dict[str, Callable[[Any], object]]:
    """Return the answer of `mfc_value_builders`; the error of a builder names its plugin."""
    where = "hook mfc_value_builders"
    if not isinstance(answer, Mapping):
        raise plugin.answered(where, answer, "a mapping of builders by the full name of a class")
    found: dict[str, Callable[[Any], object]] = {}
    for name, build in answer.items():
        if not isinstance(name, str) or not callable(build) or is_async(build):
            raise plugin.answered(where, {name: build}, "functions by the full name of a class")
        found[name] = partial(_built, build, f"builder of {name}", plugin)
    return found


def _built(build: Callable[[Any], object], where: str, plugin: Plugin, parts: Any) -> object:
    try:
        return build(parts)
    except (MetaflowException, MemoryError):
        raise
    except (Exception, SystemExit) as cause:
        raise plugin.failed(where, cause) from cause


def events_of(answer: object, plugin: Plugin) -> list[Event]:
    """Return the checked answer of `mfc_trigger`."""
    where = "hook mfc_trigger"
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        raise plugin.answered(where, answer, "Event objects")
    try:
        events = list(answer)
    except Exception as cause:
        raise plugin.failed(where, cause) from cause
    for event in events:
        if not isinstance(event, Event):
            raise plugin.answered(where, event, "Event objects")
    return events


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether a function returns a coroutine or an async generator instead of an answer."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
