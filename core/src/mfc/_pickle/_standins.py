"""Equivalents of the classes that Metaflow puts into pickles.

Metaflow is never imported, even where it is installed: a value must not depend on the installed
version. Fields, text and behaviour are those of Metaflow 2.19; `STANDINS` maps stored names to
classes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from types import NoneType
from typing import Any, NamedTuple, NoReturn

from mfc import errors
from mfc._pickle._builders import Builder
from mfc._pickle._scan import Refused
from mfc._pickle._stdlib import attributes
from mfc.values import Parts

_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class ForeachFrame(NamedTuple):
    """One level of the foreach that a task is in; old runs stored only four fields."""

    #: step that opened the foreach.
    step: str | None = None
    #: name of the artifact that was iterated over.
    var: str | None = None
    #: number of splits; None if it was not known.
    num_splits: int | None = None
    #: index of this split.
    index: int | None = None  # type: ignore[assignment] # hides tuple.index, as Metaflow's
    #: shortened text of this split's value.
    value: str | None = None


class RangeInfo(NamedTuple):
    """The requested part of an S3 object; -1 means up to the end."""

    total_size: int
    request_offset: int = 0
    request_length: int = -1


class MetaflowEvent(NamedTuple):
    """One event that started a run."""

    #: name of the event.
    name: str
    #: unique name of this occurrence; for a run, the pathspec of its end task.
    id: str
    #: time of the event.
    timestamp: object
    #: `event` or `run`.
    type: str


class ParameterContext(NamedTuple):
    """The argument of a function that computes a parameter's default."""

    flow_name: str
    user_name: str
    parameter_name: str
    logger: object = None
    ds_type: str = ""
    configs: object = None


class Parallel(NamedTuple):
    """The position of a task in a multi-node step."""

    main_ip: str
    num_nodes: int
    node_index: int
    control_task_id: str


class MetaflowExceptionWrapper(Exception):
    """The exception that ended a task, as text."""

    #: text of the exception.
    exception: str
    #: `module.Class` of the exception.
    type: str
    #: formatted traceback; None without one.
    stacktrace: str | None

    def __init__(self, exc: BaseException | None = None) -> None:
        if exc is not None:
            self.exception = str(exc)
            self.type = f"{type(exc).__module__}.{type(exc).__name__}"
            self.stacktrace = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (None,), self.__dict__

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__dict__.update(state or {})

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if getattr(self, "stacktrace", None):
            return str(self.stacktrace)
        kind, text = getattr(self, "type", ""), getattr(self, "exception", "")
        return f"[no stacktrace]\n{kind}: {text}"


class IncludedFile:
    """The file of an `IncludeFile` parameter; the content is in the datastore."""

    def __init__(self, descriptor: dict[str, Any]) -> None:
        self._descriptor = descriptor
        self._cached_size: int | None = None

    @property
    def descriptor(self) -> dict[str, Any]:
        """Metaflow's record of where and how the file is stored."""
        return self._descriptor

    @property
    def type(self) -> str:
        """Kind of the descriptor: `uploader-v1`, `uploader-v2` or `external`."""
        return str(self._descriptor.get("type", ""))

    @property
    def url(self) -> str:
        """Location of the content: `s3://…`, `local://…`."""
        return str(self._descriptor.get("url", ""))

    @property
    def is_text(self) -> bool:
        """Whether the content is text."""
        return bool(self._descriptor.get("is_text", False))

    @property
    def encoding(self) -> str | None:
        """Encoding of a text; None for bytes or the default."""
        encoding = self._descriptor.get("encoding")
        return None if encoding is None else str(encoding)

    @property
    def size(self) -> int | None:
        """Size of the original file in bytes; None where only the store knows it."""
        if self._cached_size is None and self._descriptor.get("sub-type") == "uploaded":
            return self._descriptor.get("size")
        return self._cached_size

    def __repr__(self) -> str:
        return f"IncludedFile({self.url!r})"


# Mapping first, as in Metaflow: its views and `get` then go through `__getitem__`.
class ConfigValue(Mapping[Any, Any], dict[Any, Any]):  # type: ignore[metaclass,misc] # ABCMeta over type; both define `get`
    """A configuration that cannot be changed; `config.a.b` is `config["a"]["b"]`.

    >>> ConfigValue({"model": {"depth": 3}}).model.depth
    3
    """

    _data: dict[Any, Any]

    # No `super().__init__`: the dict below only serves `isinstance` and `json.dumps`.
    def __init__(self, data: Mapping[Any, Any]) -> None:
        memo: dict[int, Any] = {}
        self._data = {key: _wrapped(value, memo) for key, value in data.items()}
        dict.update(self, self._data)

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None) -> ConfigValue:
        """Return a configuration that has `value` under every key."""
        return cls(dict.fromkeys(iterable, value))

    def to_dict(self) -> dict[Any, Any]:
        """Return an equal dict, nested configurations included."""
        plain: dict[Any, Any] = _unwrapped(self._data)
        return plain

    def copy(self) -> ConfigValue:
        """Return a shallow copy."""
        return self.__copy__()

    def __copy__(self) -> ConfigValue:
        made = type(self).__new__(type(self))
        made.__dict__["_data"] = copy.copy(self._data)
        dict.update(made, made._data)  # noqa: SLF001
        return made

    def _immutable(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("ConfigValue is immutable")

    clear = update = setdefault = pop = popitem = _immutable
    __setitem__ = __delitem__ = __delattr__ = _immutable

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_data":
            self._immutable()
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        # Unpickling looks up `_data` before `__init__` made it.
        if name != "_data" and name in self._data:
            return self._data[name]
        raise AttributeError(name)

    def __getitem__(self, key: Any) -> Any:
        return self._data[key]

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data)

    def keys(self) -> KeysView[Any]:
        """Return the names of the settings."""
        return self._data.keys()

    def values(self) -> ValuesView[Any]:
        """Return the settings."""
        return ValuesView(self)

    def items(self) -> ItemsView[Any, Any]:
        """Return the names with their settings."""
        return ItemsView(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ConfigValue):
            return self._data == other._data
        return isinstance(other, dict) and self._data == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment] # as a dict's

    def __repr__(self) -> str:
        return repr(self._data)

    def __dir__(self) -> Iterable[str]:
        return [*dir(type(self)), *(k for k in self._data if _IDENTIFIER.match(str(k)))]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.to_dict(),)


def _wrapped(value: Any, memo: dict[int, Any]) -> Any:
    # Each dict is copied once: a hostile pickle may refer to one twice, thirty levels deep.
    made = memo.get(id(value))
    if made is not None or isinstance(value, ConfigValue):
        return value if made is None else made
    if isinstance(value, Mapping):
        made = ConfigValue.__new__(ConfigValue)
        data = {key: _wrapped(item, memo) for key, item in value.items()}
        made._data = data  # noqa: SLF001 - made without its constructor
        dict.update(made, data)
    # Exact types: a namedtuple cannot be made from a list, and passes unchanged.
    elif type(value) in {list, tuple, set}:
        made = type(value)([_wrapped(item, memo) for item in value])
    else:
        return value
    memo[id(value)] = made
    return made


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unwrapped(item) for key, item in value.items()}
    if type(value) in {list, tuple, set}:
        return type(value)([_unwrapped(item) for item in value])
    return value


class ParallelUBF:
    """Input of a multi-node step."""

    def __init__(self, num_parallel: int) -> None:
        self.num_parallel = num_parallel

    def __getitem__(self, item: int | None) -> int:
        """Return the index of a node; the control task, None, is node 0."""
        return item or 0


class InternalTestUnboundedForeachInput:
    """Input of Metaflow's test of unbounded foreaches."""

    NAME = "InternalTestUnboundedForeachInput"

    def __init__(self, iterable: Any) -> None:
        self.iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def __getitem__(self, key: int | None) -> Any:
        return self if key is None else self.iterable[key]

    def __len__(self) -> int:
        return len(self.iterable)

    def __str__(self) -> str:
        return str(self.iterable)

    def __repr__(self) -> str:
        return f"{self.NAME}({self.iterable})"


class JSONTypeClass:
    """Type of a JSON parameter."""

    name = "JSON"

    def __repr__(self) -> str:
        return "JSON"


class S3Object:
    """An object in S3 that a flow used; its local copy rarely outlives the task."""

    _size: int | None = None
    _url: str | None = None
    _path: str | None = None
    _key: str | None = None
    _prefix: str | None = None
    _content_type: str | None = None
    _last_modified: int | None = None
    _metadata: dict[str, str] | None = None
    _range_info: RangeInfo | None = None
    _encryption: str | None = None

    prefix = property(lambda self: self._prefix, doc="Prefix that was asked for.")
    key = property(lambda self: self._key, doc="Location, or its part after the prefix.")
    url = property(lambda self: self._url, doc="Location in S3.")
    path = property(lambda self: self._path, doc="The task's local copy, None without one.")
    size = property(lambda self: self._size, doc="Bytes, None when the object was not there.")
    metadata = property(lambda self: self._metadata, doc="The user's metadata.")
    content_type = property(lambda self: self._content_type, doc="Content type.")
    encryption = property(lambda self: self._encryption, doc="Server-side encryption.")
    range_info = property(lambda self: self._range_info, doc="Which part was downloaded.")
    last_modified = property(lambda self: self._last_modified, doc="Unix time in seconds.")
    exists = property(lambda self: self._size is not None, doc="Whether the object was there.")
    downloaded = property(lambda self: bool(self._path), doc="Whether the task had a local copy.")

    @property
    def has_info(self) -> bool:
        """Whether more than the size is known."""
        known = (self._content_type, self._metadata, self._range_info, self._encryption)
        return any(fact is not None for fact in known)

    @property
    def blob(self) -> None:
        """None if the task had no local copy.

        Raises:
            FileNotFoundError: the task had one. The copy was deleted with the task, and a path in
                a stored value is never opened here.
        """
        if self._path:
            raise FileNotFoundError(
                f"{self._path} was a copy on the machine of the task; read {self._url} instead"
            )

    text = blob

    def __repr__(self) -> str:
        if self._path:
            return f"<S3Object {self._url} ({self._size} bytes, local)>"
        if self._size:
            return f"<S3Object {self._url} ({self._size} bytes, in S3)>"
        return f"<S3Object {self._url} (object does not exist)>"


class MetadataProvider:
    """Class of a metadata provider in pickles of old clients; it is never used."""


#: Metaflow's exceptions by name, and mfc's equivalents.
_ERRORS: dict[str, type[errors.MetaflowException]] = {
    **dict.fromkeys(
        (
            "MetaflowException", "ParameterFieldFailed", "ParameterFieldTypeMismatch",
            "ExternalCommandFailed", "InvalidDecoratorAttribute", "CommandException",
            "UnhandledInMergeArtifactsException", "MissingInMergeArtifactsException",
        ),
        errors.MetaflowException,
    ),
    "MetaflowNotFound": errors.MetaflowNotFound,
    "MetaflowNamespaceMismatch": errors.MetaflowNamespaceMismatch,
    "MetaflowInvalidPathspec": errors.MetaflowInvalidPathspec,
    "MetaflowInternalError": errors.MetaflowInternalError,
    "MetaflowTaggingError": errors.MetaflowTaggingError,
    "MetaflowUnknownUser": errors.MetaflowUnknownUser,
    "MetaflowDataMissing": errors.MetaflowDataMissing,
}  # fmt: skip
#: Exceptions that are not made from their text, and the number of their other arguments.
_OTHER_ARGUMENTS = {
    "MetaflowNamespaceMismatch": 1,
    "MetaflowUnknownUser": 0,
    "MetaflowDataMissing": 3,
}
#: The module of Metaflow's exceptions.
EXCEPTIONS = "metaflow.exception"


def _error(parts: Parts) -> errors.MetaflowException:
    """Make an exception of Metaflow from its text."""
    name = parts.name.name
    state = attributes(parts.state)
    if any(type(value) not in {str, int, list, NoneType} for value in state.values()):
        raise Refused(f"{parts.name} with something else than texts")
    text = str(state.get("message", ""))
    needed = _OTHER_ARGUMENTS.get(name)
    made = _ERRORS[name](*([text] if needed is None else [""] * needed))
    made.message = text
    for field in ("line_no", "source_file", "artifact_names"):
        if field in state:
            setattr(made, field, state[field])
    return made


_S3 = ("metaflow.plugins.datatools.s3.s3", "metaflow.datatools.s3")
#: Stored (module, name) → mfc's class. `metaflow.datatools` came before `metaflow.plugins`.
STANDINS: dict[tuple[str, str], Any] = {
    ("__main__", "ForeachFrame"): ForeachFrame,
    ("metaflow.task", "ForeachFrame"): ForeachFrame,
    ("metaflow.tuple_util", "ForeachFrame"): ForeachFrame,
    ("metaflow.exception", "MetaflowExceptionWrapper"): MetaflowExceptionWrapper,
    ("metaflow.includefile", "IncludedFile"): IncludedFile,
    ("metaflow.user_configs.config_parameters", "ConfigValue"): ConfigValue,
    ("metaflow.flowspec", "ParallelUBF"): ParallelUBF,
    (
        "metaflow.plugins.test_unbounded_foreach_decorator",
        "InternalTestUnboundedForeachInput",
    ): InternalTestUnboundedForeachInput,
    ("metaflow.parameters", "JSONTypeClass"): JSONTypeClass,
    ("metaflow.parameters", "ParameterContext"): ParameterContext,
    ("metaflow.metaflow_current", "Parallel"): Parallel,
    ("metaflow.current", "Parallel"): Parallel,
    ("metaflow.events", "MetaflowEvent"): MetaflowEvent,
    **{
        (f"metaflow.{place}.{kind.lower()}", f"{kind}MetadataProvider"): MetadataProvider
        for place in ("metadata", "plugins.metadata", "plugins.metadata_providers")
        for kind in ("Local", "Service")
    },
    **{(module, cls.__name__): cls for module in _S3 for cls in (S3Object, RangeInfo)},
}


#: Classes that can be in a value, by name: pickles of mfc find them in `mfc`.
PUBLIC: dict[str, Any] = {
    kind.__name__: kind
    for kind in STANDINS.values()
    if kind not in {MetaflowEvent, MetadataProvider}  # public elsewhere; never in a value
}
for _public in PUBLIC.values():
    _public.__module__ = "mfc"


def _made(parts: Parts) -> Any:
    """Make a stand-in: a namedtuple from its fields, other classes without arguments."""
    cls = _CLASSES[parts.name.name]
    if issubclass(cls, tuple):
        return cls(*parts.args)
    if cls is ConfigValue:
        (content,) = parts.args
        if type(content) is not dict:
            raise Refused("a configuration made from something else than a dict")
        return cls(content)
    if parts.args not in {(), (None,)}:
        raise Refused(f"{parts.name} made from something")
    return cls.__new__(cls)


def _filled(made: Any, parts: Parts) -> None:
    state = attributes(parts.state)
    if parts.items or parts.pairs or (state and isinstance(made, (tuple, dict))):
        raise Refused(f"{parts.name} with items or a state")
    for name in state:
        if callable(getattr(type(made), name, None)):
            raise Refused(f"{parts.name} with {name} as an attribute")
    if state:
        vars(made).update(state)


_CLASSES: dict[str, Any] = {name: cls for (_, name), cls in STANDINS.items()}
BUILDERS = {
    f"{module.partition('.')[0]}.{name}": Builder(_made, _filled, holds=True)
    for module, name in STANDINS
}
BUILDERS |= {f"metaflow.{name}": Builder(_error) for name in _ERRORS}
MENTIONED: dict[str, Any] = {f"metaflow.{name}": cls for name, cls in _ERRORS.items()}
