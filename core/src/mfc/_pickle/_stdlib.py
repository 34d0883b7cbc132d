"""Builders for the standard library's values."""

from __future__ import annotations

import builtins
import collections
import datetime as dt
import re
import sys
from types import SimpleNamespace
from typing import Any

from mfc._pickle._builders import Builder, Make, entering
from mfc._pickle._scan import Chunk, Refused
from mfc._pickle._tree import Name
from mfc.values import Parts

#: Full name → builder.
BUILDERS: dict[str, Builder] = {}
builds = entering(BUILDERS)
#: Names that are values, not calls: full name → object.
_TYPES = (
    bool,
    bytearray,
    bytes,
    complex,
    dict,
    float,
    frozenset,
    int,
    list,
    object,
    set,
    str,
    tuple,
)
MENTIONED: dict[str, Any] = {f"builtins.{kind.__name__}": kind for kind in _TYPES}
MENTIONED |= {"builtins.Ellipsis": ..., "builtins.NotImplemented": NotImplemented}
MENTIONED |= {
    "collections.OrderedDict": collections.OrderedDict,
    "collections.Counter": collections.Counter,
}

#: Base class of exception groups; SyntaxError before Python 3.11, which lacks them.
_GROUP: type = getattr(builtins, "BaseExceptionGroup", SyntaxError)
#: Maximum digits of a number in text; the same limit as Python's own.
_DIGITS = 4300
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_RATIO = re.compile(r"[+-]?\d+(/\d+)?")


def data(content: Any) -> memoryview:
    """Return bytes, in whichever form they were pickled.

    Raises:
        Refused: the content is not bytes.
    """
    if type(content) is Chunk:
        return content.view
    if type(content) is str:
        return memoryview(content.encode("latin1"))
    if type(content) is bytes or type(content) is bytearray:
        return memoryview(content)
    raise Refused(f"bytes made from a {type(content).__name__}")


def listed(content: Any) -> Any:
    """Return a list or tuple of the pickle, for iteration.

    Other iterables may yield more elements than are in memory.

    Raises:
        Refused: the content is neither.
    """
    if type(content) is not list and type(content) is not tuple:
        raise Refused(f"a {type(content).__name__} in place of a list")
    return content


def of_types(parts: Parts, *signatures: tuple[type, ...]) -> tuple[Any, ...]:
    """Return the arguments, if their types match one of the signatures.

    Raises:
        Refused: they match none.
    """
    found = tuple(map(type, parts.args))
    if found not in signatures or parts.kwargs or parts.stated:
        raise Refused(
            f"{parts.name} with {', '.join(kind.__name__ for kind in found) or 'nothing'}"
        )
    return parts.args


def attributes(state: Any) -> dict[str, Any]:
    """Return a state as attributes.

    Raises:
        Refused: the state has another form, or a dunder name, which Python itself reads.
    """
    named: dict[str, Any] = {}
    for part in state if type(state) is tuple else (state,):
        if part is not None and type(part) is not dict:
            raise Refused("a state that is not a dict")
        named |= part or {}
    for name in named:
        if type(name) is not str or (name.startswith("__") and name.endswith("__")):
            raise Refused(f"a state with {name!r}")
    return named


# Builtins


def _collection(kind: type) -> Make:
    def made(parts: Parts) -> Any:
        (content,) = parts.args or ((),)
        if type(content) not in {list, tuple, set, frozenset, dict, str}:
            raise Refused(f"a {kind.__name__} made from a {type(content).__name__}")
        return kind(content)

    return made


def _extended(made: Any, parts: Parts) -> None:
    if state := attributes(parts.state):
        vars(made).update(state)
    if parts.items:
        made.extend(parts.items)
    for key, value in parts.pairs:
        made[key] = value


for _kind in (list, tuple):
    builds(f"builtins.{_kind.__name__}", holds=True)(_collection(_kind))


@builds("builtins.set", "builtins.frozenset", holds=True)
def _set(parts: Parts) -> Any:
    # The elements of a list are hashed here, so they are checked like keys.
    (content,) = parts.args or ((),)
    kind = set if parts.name.name == "set" else frozenset
    return kind(parts.hashed(content))


@builds("builtins.bytes", "_codecs.encode")
def _bytes(parts: Parts) -> bytes:
    if len(parts.args) > 1 and parts.args[1] not in {"latin1", "latin-1"}:
        raise Refused("text that is encoded otherwise than as Latin-1")
    octets = data(parts.args[0] if parts.args else b"")
    parts.spend(len(octets))
    return bytes(octets)


@builds("builtins.bytearray")
def _bytearray(parts: Parts) -> bytearray:
    if parts.args[1:] not in {(), ("latin1",), ("latin-1",)}:
        raise Refused("text that is encoded otherwise than as Latin-1")
    content = parts.args[0] if parts.args else b""
    parts.spend(len(data(content)) if type(content) is Chunk else 0)
    return bytearray(content if type(content) is list else data(content))


@builds("builtins.complex")
def _complex(parts: Parts) -> complex:
    return complex(*of_types(parts, (float, float)))


@builds("builtins.range")
def _range(parts: Parts) -> range:
    return range(*of_types(parts, (int, int, int), (int, int), (int,)))


@builds("builtins.slice", holds=True)
def _slice(parts: Parts) -> slice:
    return slice(*parts.args)


@builds("builtins.object")
def _object(parts: Parts) -> object:
    of_types(parts, ())
    return object()


@builds("builtins.type")
def _type(parts: Parts) -> type:
    (value,) = parts.args
    found = MENTIONED.get(str(value)) if type(value) is Name else value
    if found is not None and found is not ... and found is not NotImplemented:
        raise Refused("the type of something else than None")
    return type(found)


def _explained(made: BaseException, parts: Parts) -> None:
    """Set the attributes of an exception, which may be, or hold, the exception itself."""
    if parts.items or parts.pairs:
        raise Refused(f"{parts.name} with items")
    state = dict(parts.state or {})
    notes = state.pop("__notes__", None)
    for name, value in attributes(state).items():
        if hasattr(type(made), name) and name not in {"name", "path", "obj", "name_from"}:
            raise Refused(f"{parts.name} with {name}")
        setattr(made, name, value)
    if type(notes) is list and all(type(note) is str for note in notes):
        made.__dict__["__notes__"] = notes


@builds(
    *(
        f"builtins.{n}"
        for n, v in vars(builtins).items()
        if isinstance(v, type) and issubclass(v, BaseException)
    ),
    holds=True,
    fill=_explained,
)
def _exception(parts: Parts) -> BaseException:
    kind: type[BaseException] = vars(builtins)[parts.name.name]
    if issubclass(kind, UnicodeError) and len(parts.args) > 3:  # noqa: PLR2004 - text, start, end and reason
        text, start, end = parts.args[-4:-1]
        if not 0 <= start <= end <= len(text):
            raise Refused("an error at a place that its text does not have")
    if issubclass(kind, (SyntaxError, _GROUP)) and len(parts.args) > 1:
        listed(parts.args[1])
    return kind(*parts.args)


# Containers


@builds("collections.OrderedDict", holds=True, fill=_extended)
def _ordered(parts: Parts) -> Any:
    return collections.OrderedDict(*_pairs(parts))


@builds("collections.Counter", holds=True, fill=_extended)
def _counter(parts: Parts) -> Any:
    made: collections.Counter[Any] = collections.Counter()
    dict.update(made, *_pairs(parts))
    return made


def _pairs(parts: Parts) -> tuple[Any, ...]:
    """Return no argument, a dict, or the pairs that old protocols wrote as lists."""
    content = parts.args[0] if parts.args else {}
    if type(content) is list and all(type(pair) in {list, tuple} for pair in content):
        parts.hashed(pair[0] for pair in content)
        content = dict(content)
    if type(content) is not dict or len(parts.args) > 1:
        raise Refused(f"{parts.name} made from something else than a dict")
    return (content,)


@builds("collections.defaultdict", holds=True, fill=_extended)
def _defaultdict(parts: Parts) -> Any:
    factory = parts.args[0] if parts.args else None
    if factory is not None and (type(factory) is not Name or str(factory) not in MENTIONED):
        raise Refused("a default that is made by something else than a builtin class")
    return collections.defaultdict(factory and MENTIONED[str(factory)])


@builds("collections.deque", holds=True, fill=_extended)
def _deque(parts: Parts) -> Any:
    said: list[Any] = [(), None]
    said[: len(parts.args)] = parts.args
    content, length = said
    if type(content) not in {list, tuple}:
        raise Refused("a queue made from something else than a list")
    return collections.deque(content, length)


def _state_kept(made: Any, parts: Parts) -> None:
    vars(made).update(attributes(parts.state))


def _user(made: Any, parts: Parts) -> None:
    state = attributes(parts.state)
    data_kind = {"UserDict": dict, "UserList": list, "UserString": str, "ChainMap": list}[
        type(made).__name__
    ]
    name = "maps" if data_kind is list and "maps" in state else "data"
    content = state.get(name)
    if type(content) is not data_kind or (
        name == "maps" and not all(type(m) is dict for m in content)
    ):
        raise Refused(f"{parts.name} of something else than a {data_kind.__name__}")
    vars(made).update({key: value for key, value in state.items() if not hasattr(type(made), key)})


@builds(
    *(f"collections.{n}" for n in ("UserDict", "UserList", "UserString", "ChainMap")),
    fill=_user,
)
def _user_made(parts: Parts) -> Any:
    kind = getattr(collections, parts.name.name)
    return kind("") if kind is collections.UserString else kind()


@builds(
    "types.SimpleNamespace",
    holds=True,
    fill=_state_kept,
)
def _namespace(_: Parts) -> SimpleNamespace:
    return SimpleNamespace()


# Time


@builds("datetime.date")
def _date(parts: Parts) -> dt.date:
    high, low, month, day = _octets(parts, 4)
    return dt.date(high * 256 + low, month, day)


@builds("datetime.time")
def _time(parts: Parts) -> dt.time:
    hour, minute, second, *micro = _octets(parts, 6)
    return dt.time(hour & 0x7F, minute, second, _number(micro), _zone_of(parts), fold=hour >> 7)


@builds("datetime.datetime")
def _datetime(parts: Parts) -> dt.datetime:
    high, low, month, *clock = _octets(parts, 10)
    day, hour, minute, second, *micro = clock
    date = high * 256 + low, month & 0x7F, day
    return dt.datetime(  # noqa: DTZ001 - as it was written
        *date, hour, minute, second, _number(micro), _zone_of(parts), fold=month >> 7
    )


def _octets(parts: Parts, size: int) -> bytes:
    octets = bytes(data(parts.args[0]))
    if len(octets) != size:
        raise Refused(f"{parts.name} of {len(octets)} bytes")
    return octets


def _number(octets: list[int]) -> int:
    return int.from_bytes(bytes(octets), "big")


def _zone_of(parts: Parts) -> dt.tzinfo | None:
    zone = parts.args[1] if len(parts.args) > 1 else None
    if zone is not None and not isinstance(zone, dt.tzinfo):
        raise Refused("a time in something else than a time zone")
    return zone


@builds("datetime.timedelta")
def _timedelta(parts: Parts) -> dt.timedelta:
    return dt.timedelta(*of_types(parts, (int, int, int)))


@builds("datetime.timezone")
def _timezone(parts: Parts) -> dt.timezone:
    return dt.timezone(*of_types(parts, (dt.timedelta,), (dt.timedelta, str)))


def zone(name: Any) -> dt.tzinfo:
    """Return a time zone by name; names that look like paths are refused."""
    from zoneinfo import ZoneInfo  # few values have one

    if type(name) is not str or not _ZONE.fullmatch(name):
        raise Refused("a time zone whose name is a path")
    return ZoneInfo(name)


@builds("zoneinfo.ZoneInfo._unpickle")
def _zoneinfo(parts: Parts) -> dt.tzinfo:
    return zone(parts.args[0])


@builds("pytz._UTC", "dateutil.tzutc")
def _utc(parts: Parts) -> Any:
    if parts.name.module == "pytz":
        return _pytz("UTC")
    from dateutil.tz import tzutc  # as above

    return tzutc()


@builds("pytz._p")
def _zone_of_pytz(parts: Parts) -> Any:
    name, *rest = parts.args
    made = _pytz(name)
    # One offset of the zone: seconds from UTC, seconds of daylight saving, abbreviation.
    if [type(part) for part in rest] == [int, int, str]:
        offset, saving, mark = rest
        key = dt.timedelta(seconds=offset), dt.timedelta(seconds=saving), mark
        return getattr(made, "_tzinfos", {}).get(key, made)
    return made


def _pytz(name: Any) -> Any:
    found = zone(name)
    try:
        import pytz  # as above, and often not installed
    except ImportError:
        return found
    return pytz.timezone(name)


@builds("pytz._FixedOffset", "pytz.FixedOffset")
def _fixed(parts: Parts) -> dt.tzinfo:
    return dt.timezone(dt.timedelta(minutes=of_types(parts, (int,))[0]))


@builds("dateutil.relativedelta")
def _relativedelta(parts: Parts) -> Any:
    from dateutil.relativedelta import relativedelta, weekday  # as above

    state = attributes(parts.state)
    state.pop("_has_time", None)
    state["leapdays"] = state.pop("leapdays", 0)
    if any(type(value) not in {int, float, type(None), weekday} for value in state.values()):
        raise Refused("a distance in time of something else than numbers")
    return relativedelta(**state)


# Numbers, places


@builds("decimal.Decimal")
def _decimal(parts: Parts) -> Any:
    from decimal import Decimal  # as above

    return Decimal(_short(*of_types(parts, (str,))))


def _short(text: str) -> str:
    if len(text) > _DIGITS:
        raise Refused(f"a number of more than {_DIGITS} digits in text")
    return text


@builds("fractions.Fraction")
def _fraction(parts: Parts) -> Any:
    from fractions import Fraction  # as above

    args = of_types(parts, (str,), (int, int))
    if type(args[0]) is str and not _RATIO.fullmatch(_short(args[0])):
        raise Refused("a fraction of something else than digits")
    return Fraction(*args)


@builds("uuid.UUID")
def _uuid(parts: Parts) -> Any:
    from uuid import UUID  # as above

    return UUID(int=attributes(parts.state)["int"])


@builds("uuid.SafeUUID")
def _safe_uuid(parts: Parts) -> Any:
    from uuid import SafeUUID  # as above

    return SafeUUID(*of_types(parts, (int,), (type(None),)))


@builds(
    *(
        f"pathlib.{n}"
        for n in (
            "PurePath",
            "PurePosixPath",
            "PureWindowsPath",
            "Path",
            "PosixPath",
            "WindowsPath",
        )
    )
)
def _path(parts: Parts) -> Any:
    import pathlib  # as above

    name = parts.name.name
    if name == ("PosixPath" if sys.platform == "win32" else "WindowsPath"):
        name = f"Pure{name}"  # a path of the other system cannot be made here
    return getattr(pathlib, name)(*of_types(parts, (str,) * len(parts.args)))


@builds(
    *(f"ipaddress.IPv{n}{kind}" for n in (4, 6) for kind in ("Address", "Network", "Interface"))
)
def _address(parts: Parts) -> Any:
    import ipaddress  # as above

    return getattr(ipaddress, parts.name.name)(*of_types(parts, (int,), (str,)))
