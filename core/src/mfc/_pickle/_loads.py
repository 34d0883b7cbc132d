"""From the bytes of a pickle to the object, at the trust that the client was given."""

from __future__ import annotations

import pickle
from functools import partial
from importlib import import_module
from io import BufferedReader, BytesIO
from operator import attrgetter
from typing import Any, BinaryIO, cast

from mfc._pickle._build import Build
from mfc._pickle._builders import Builder, Unbuildable
from mfc._pickle._placeholder import PACKAGES, Placeholder, placeholder, version
from mfc._pickle._registry import PLAIN, builder, mentioned
from mfc._pickle._scan import Chunk, NotAllowed, Refused, scanned
from mfc._pickle._standins import EXCEPTIONS, STANDINS
from mfc._pickle._tree import Name, Reader
from mfc.errors import UndecodableArtifact, UntrustedValue
from mfc.trust import Trust
from mfc.values import Parts

#: First protocol whose content is framed, so that C reads it in pieces and not op by op.
_FRAMED = 4
_READ_AHEAD = 1 << 17
#: Bytes below which making a buffer costs more than it saves.
_SMALL = 256
#: Bytes from which copies of frames cost more than calls into Python.
_LARGE = 1 << 18
#: Packages whose objects another version may not load, though it has their names.
_VERSIONED = {"numpy", "pandas"}


class _Absent(Exception):
    """A name cannot be imported, or is somewhere else: the value has to be built."""


class FullUnpickler(pickle.Unpickler):
    """Python's unpickler, with Metaflow's classes as their equivalents here."""

    #: whether a name is of a package whose objects another version may not load.
    versioned = False
    #: whether to load what another version of pandas wrote.
    tolerant = False

    def find_class(self, module: str, name: str) -> Any:
        """Return our equivalent or the real thing.

        Raises:
            _Absent: there is neither.
        """
        standin = STANDINS.get((module, name))
        if standin is not None:
            return standin
        if module == EXCEPTIONS:
            raise _Absent  # it takes other arguments than ours
        self.versioned = self.versioned or module.partition(".")[0] in _VERSIONED
        # numpy 2 warns where its core is imported by the old name.
        if module.startswith("numpy.core."):
            module = _moved(module)
        try:
            found = super().find_class(module, name)
        # A module may fail at import with anything, and a script may even call sys.exit().
        except (Exception, SystemExit) as error:
            raise _Absent from error
        # pandas 3 moved its classes. What it says of older objects' states may be half a class.
        if not self.tolerant and module.startswith("pandas") and isinstance(found, type):  # noqa: SIM102
            if found.__module__ != module:
                raise _Absent
        return found


def loads(
    blob: bytes | BinaryIO,
    trust: Trust,
    *,
    subject: str = "",
    location: str = "",
    part: int | None = None,
) -> object:
    """Return the object that `blob` holds.

    Args:
        blob: a pickle of any protocol; or a file with one, so that what is large in it is read
            to where it stays. The file stands at its start, and is changed by nobody.
        trust: what may be built.
        subject: what the value is, for errors: an artifact's pathspec.
        location: where it came from, for errors.
        part: number of one object in the value, to return that instead.

    Raises:
        UntrustedValue: `trust` does not extend to what the pickle holds.
        UndecodableArtifact: the bytes are no pickle, or building the object failed.
    """
    trust.require_any(subject, location)
    try:
        if trust.level == "full":
            return _full(blob, trust, part)
        return _Loader(_whole(blob), trust).value(part)
    # Code in a pickle may raise anything, SystemExit included; it must not end the reader.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, Refused) and trust.level != "full":
            raise UntrustedValue(subject, location, _refusal(error)) from error
        said = f"it asks for {error}" if isinstance(error, Refused) else _said(error)
        reason = f"its pickle cannot be loaded: {said}; .raw gives its bytes"
        raise UndecodableArtifact(subject, location, reason) from error


def _full(blob: bytes | BinaryIO, trust: Trust, part: int | None) -> object:
    """Let Python's unpickler do it; build where a name is not here, or a version differs."""
    unpickler, failed = FullUnpickler(_reader(blob)), None
    if part is None:
        try:
            return cast("object", unpickler.load())
        except _Absent:
            pass
        except Exception as error:
            if not unpickler.versioned:
                raise
            failed = error
    try:
        return _Loader(_whole(blob), trust).value(part)
    except Exception:
        if failed is not None or part is not None or not unpickler.versioned:
            if failed is not None:
                raise failed from None  # what C said comes first
            raise
        last = FullUnpickler(BytesIO(_whole(blob)))
        last.tolerant = True
        try:
            return cast("object", last.load())
        except _Absent:
            pass  # why it cannot be built says more
        raise


class _Loader:
    """One value that is built, not executed; at full trust only where a builder is missing."""

    def __init__(self, blob: bytes, trust: Trust) -> None:
        self._blob, self._trust = blob, trust
        self._full = trust.level == "full"
        self._found: dict[Name, Builder] = {}
        self._classes: dict[Name, type[Placeholder]] = {}

    def value(self, part: int | None = None) -> object:
        """Return the value, or one of the objects in it."""
        found = scanned(self._blob, _ENDLESS if self._full else self._trust.memory)
        tree = Reader(found).load()
        build = Build(self._builder, self._mention, self._missing, found.left)
        value: object = build.value(tree)
        return value if part is None else build.made[part].built

    def _builder(self, name: Name) -> Builder:
        made = self._found.get(name)
        if made is None:
            made = self._found[name] = self._new_builder(name)
        return made

    def _new_builder(self, name: Name) -> Builder:
        full = str(name)
        extra = self._trust.builders.get(full)
        if extra is not None:
            return Builder(extra)
        if full in self._trust.allow or (self._full and (name.module, name.name) in STANDINS):
            return self._real(name)
        plain = self._trust.level == "plain"
        if not plain or name.module.partition(".")[0] in PLAIN:
            known = builder(name.module, name.name)
            if known is not None:
                return known
        if self._full:
            return self._real(name)
        raise NotAllowed(full)

    def _real(self, name: Name) -> Builder:
        """Return a builder that does what the pickle asks for: imports, calls, sets the state."""
        try:
            function = STANDINS.get((name.module, name.name)) or imported(name.module, name.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            return Builder(partial(self._gone, name, error), lambda *_: None, holds=True)
        return Builder(partial(_called, function), _restored)

    def _gone(self, name: Name, error: BaseException, _: Parts) -> Any:
        return self._missing(name, error)()

    def _mention(self, name: Name) -> Any:
        if str(name) in self._trust.allow or self._full:
            try:
                return STANDINS.get((name.module, name.name)) or imported(name.module, name.name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                return self._missing(name, error)
        found = (
            mentioned(name) if self._trust.level != "plain" or name.module == "builtins" else None
        )
        if found is None:
            raise NotAllowed(str(name))
        return found

    def _missing(self, name: Name, cause: BaseException | None) -> type[Placeholder]:
        made = self._classes.get(name)
        if made is None:
            made = placeholder(name.module, name.name, self._blob, self._trust, cause)
            self._classes[name] = made
        return made


_ENDLESS = 1 << 62


def imported(module: str, name: str) -> Any:
    """Return the member `name` of `module`.

    Raises:
        ImportError: there is no such module.
        AttributeError: it has no such member.
    """
    return attrgetter(name)(import_module(_moved(module)))


def _moved(module: str) -> str:
    """Return where a module of numpy's core is: numpy 2 renamed it, and warns."""
    if not module.startswith(("numpy.core.", "numpy._core.")):
        return module
    rest = module.partition("core.")[2]
    old = int((version("numpy") or "2").partition(".")[0]) < 2  # noqa: PLR2004
    return f"numpy.core.{rest}" if old else f"numpy._core.{rest}"


def _called(function: Any, parts: Parts) -> Any:
    args = [_live(part) for part in parts.args]
    if parts.new:
        return function.__new__(function, *args, **parts.kwargs)
    return function(*args, **parts.kwargs)


def _live(part: Any) -> Any:
    return part.copied() if type(part) is Chunk else part


def _restored(made: Any, parts: Parts) -> None:
    """Do as `pickle` does with a state and items."""
    state = _live(parts.state)
    if parts.stated:
        setter = getattr(made, "__setstate__", None)
        if setter is not None:
            setter(state)
        else:
            slots = None
            if type(state) is tuple and len(state) == 2:  # noqa: PLR2004 - (dict, slots)
                state, slots = state
            made.__dict__.update(state or {})
            for name, value in (slots or {}).items():
                setattr(made, name, value)
    if parts.items and hasattr(made, "extend"):
        made.extend(parts.items)
    else:
        for item in parts.items:
            made.append(item) if hasattr(made, "append") else made.add(item)
    for key, value in parts.pairs:
        made[key] = value


class _Views:
    """A file over bytes that hands out views: copies of frames would leave holes in the heap."""

    def __init__(self, blob: bytes) -> None:
        self._blob, self._view, self._at = blob, memoryview(blob), 0

    def read(self, size: int) -> memoryview:
        start = self._at
        self._at = start + size
        return self._view[start : self._at]

    def readinto(self, buffer: memoryview) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readline(self) -> bytes:
        end = self._blob.find(b"\n", self._at) + 1 or len(self._blob)
        return bytes(self.read(end - self._at))


def _whole(blob: bytes | BinaryIO) -> bytes:
    """Return all bytes of a pickle."""
    if isinstance(blob, bytes):
        return blob
    blob.seek(0)
    return blob.read()


def _reader(blob: bytes | BinaryIO) -> BinaryIO:
    if not isinstance(blob, bytes):
        return blob
    if len(blob) < _SMALL:
        return BytesIO(blob)
    if blob[0] == pickle.PROTO[0] and blob[1] >= _FRAMED:
        return BytesIO(blob) if len(blob) < _LARGE else cast("BinaryIO", _Views(blob))
    # C asks for every opcode of an older protocol in turn, unless it may peek.
    return cast("BinaryIO", BufferedReader(cast("Any", BytesIO(blob)), _READ_AHEAD))


def _refusal(refused: Refused) -> str:
    full = "Client(trust='full') if you trust whoever wrote it"
    if isinstance(refused, NotAllowed):
        name = str(refused)
        allow = f"Client(trust=Trust.safe(allow=[{name!r}])) if that is harmless with any content"
        return f"holds {name}, which a safe load does not know; {allow}, {full}, or .raw"
    return f"asks for {refused}, which a safe load refuses; {full}, or .raw for its bytes"


def _said(error: BaseException) -> str:
    if isinstance(error, Unbuildable):
        name, cause = error.args
        package = name.module.partition(".")[0]
        here = version(PACKAGES.get(package, package))
        with_ = f", with {package} {here} installed" if here else ""
        return f"{name} cannot be built{with_}: {_said(cause)}"
    try:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    # The text of a foreign exception is foreign code too.
    except Exception:  # noqa: BLE001
        return type(error).__name__


Placeholder._loads = staticmethod(loads)  # noqa: SLF001 - see there
