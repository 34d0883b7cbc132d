"""Loading the object of a pickle, at the client's trust."""

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

#: First protocol with frames, which C reads in pieces, not opcode by opcode.
_FRAMED = 4
_READ_AHEAD = 1 << 17
#: Size below which making a buffer costs more than it saves, in bytes.
_SMALL = 256
#: Size from which copies of frames cost more than calls into Python, in bytes.
_LARGE = 1 << 18
#: Packages whose objects may fail to load in another version, although their names exist.
_VERSIONED = {"numpy", "pandas"}


class _Absent(Exception):
    """A name cannot be imported or has moved: the value must be built."""


class FullUnpickler(pickle.Unpickler):
    """Python's unpickler, with mfc's equivalents of Metaflow's classes."""

    #: whether the pickle names a package in `_VERSIONED`.
    versioned = False
    #: whether to load objects that another version of pandas wrote.
    tolerant = False

    def find_class(self, module: str, name: str) -> Any:
        """Return mfc's equivalent, or the real object.

        Raises:
            _Absent: neither exists.
        """
        standin = STANDINS.get((module, name))
        if standin is not None:
            return standin
        if module == EXCEPTIONS:
            raise _Absent  # its arguments differ from those of mfc's own
        self.versioned = self.versioned or module.partition(".")[0] in _VERSIONED
        # numpy 2 warns when its core is imported by the old name.
        if module.startswith("numpy.core."):
            module = _moved(module)
        try:
            found = super().find_class(module, name)
        # An import may raise any exception, and a script may even call sys.exit().
        except (Exception, SystemExit) as error:
            raise _Absent from error
        # pandas 3 moved its classes, and may restore the state of older objects only in part.
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
    """Return the object in a pickle.

    Args:
        blob: a pickle of any protocol; or a file with one, from which large parts are read straight
            to their final place. The file stands at its start, and must not change meanwhile.
        trust: the objects that may be built.
        subject: description of the value, for errors: an artifact's pathspec.
        location: where it came from, for errors.
        part: number of an object in the value, to return that instead.

    Raises:
        UntrustedValue: `trust` does not allow the content of the pickle.
        UndecodableArtifact: the bytes are not a pickle, or building the object failed.
    """
    trust.require_any(subject, location)
    try:
        if trust.level == "full":
            return _full(blob, trust, part)
        return _Loader(_whole(blob), trust).value(part)
    # Code in a pickle may raise any exception, even SystemExit; it must not end the program.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, Refused) and trust.level != "full":
            raise UntrustedValue(subject, location, _refusal(error)) from error
        said = f"it asks for {error}" if isinstance(error, Refused) else _said(error)
        reason = f"its pickle cannot be loaded: {said}; .raw gives its bytes"
        raise UndecodableArtifact(subject, location, reason) from error


def _full(blob: bytes | BinaryIO, trust: Trust, part: int | None) -> object:
    """Load with Python's unpickler; build instead if a name is missing or a version differs."""
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
                raise failed from None  # the first error, from C
            raise
        last = FullUnpickler(BytesIO(_whole(blob)))
        last.tolerant = True
        try:
            return cast("object", last.load())
        except _Absent:
            pass  # the error of building says more
        raise


class _Loader:
    """A value that is built, not executed, except at full trust where a builder is missing."""

    def __init__(self, blob: bytes, trust: Trust) -> None:
        self._blob, self._trust = blob, trust
        self._full = trust.level == "full"
        self._found: dict[Name, Builder] = {}
        self._classes: dict[Name, type[Placeholder]] = {}

    def value(self, part: int | None = None) -> object:
        """Return the value, or an object in it."""
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
        """Return a builder that follows the pickle: imports, calls, sets the state."""
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
        ImportError: the module cannot be imported.
        AttributeError: the module lacks the member.
    """
    return attrgetter(name)(import_module(_moved(module)))


def _moved(module: str) -> str:
    """Return the current name of a module of numpy's core: numpy 2 renamed it, and warns."""
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
    """Apply a state and items, as `pickle` does."""
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
    """A file over bytes that returns views: copies of frames would fragment the heap."""

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
    # C reads every opcode of an older protocol singly, unless the file can peek.
    return cast("BinaryIO", BufferedReader(cast("Any", BytesIO(blob)), _READ_AHEAD))


def _refusal(refused: Refused) -> str:
    full = "Client(trust='full') if you trust its author"
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
    # The text of a foreign exception also comes from foreign code.
    except Exception:  # noqa: BLE001
        return type(error).__name__


Placeholder._loads = staticmethod(loads)  # noqa: SLF001 - see there
