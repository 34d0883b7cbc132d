"""From the bytes of a pickle to the object, at the trust that the client was given."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mfc._pickle._checks import NotAllowed, Refused
from mfc._pickle._moved import homes, imported
from mfc._pickle._placeholder import Placeholder, placeholder
from mfc._pickle._standins import STANDINS
from mfc.errors import UndecodableArtifact, UntrustedValue

if TYPE_CHECKING:
    from mfc._pickle._safe import SafeUnpickler
    from mfc.trust import Trust

#: First protocol whose content is framed, so that C reads it in pieces and not op by op.
_FRAMED = 4
_READ_AHEAD = 1 << 17
#: Bytes below which making a buffer costs more than it saves.
_SMALL = 256
#: Bytes from which copies of frames cost more than calls into Python.
_LARGE = 1 << 18


class FullUnpickler(pickle.Unpickler):
    """Python's unpickler; classes that are missing here become placeholders."""

    #: Gives the bytes of the whole pickle.
    whole: Callable[[], bytes]
    missing: list[type[Placeholder]] | None = None

    def find_class(self, module: str, name: str) -> Any:
        """Return our equivalent, the real thing, or a placeholder, in this order."""
        standin = STANDINS.get((module, name))
        if standin is not None:
            return standin
        try:
            if homes(module) != (module,):
                return imported(module, name)
            return super().find_class(module, name)
        # A module may fail at import with anything, and a script may even call sys.exit().
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self.missing = [*(self.missing or ()), placeholder(module, name, self.whole(), error)]
            return self.missing[-1]


def loads(
    blob: bytes | BinaryIO,
    trust: Trust,
    *,
    subject: str = "",
    location: str = "",
    extra_safe: frozenset[str] = frozenset(),
) -> object:
    """Return the object that `blob` holds.

    Args:
        blob: a pickle of any protocol; or a file with one, so that what is large in it is read
            to where it stays. The file stands at its start, and is changed by nobody.
        trust: what may be built. A safe load runs Python's own opcodes in Python, so it takes
            some ten times as long as a full one, save for the content of arrays.
        subject: what the value is, for errors: an artifact's pathspec.
        location: where it came from, for errors.
        extra_safe: full names that plugins declared safe.

    Raises:
        UntrustedValue: `trust` does not extend to what the pickle holds.
        UndecodableArtifact: the bytes are no pickle, or building the object failed.
    """
    trust.require_any(subject, location)
    unpickler: FullUnpickler | SafeUnpickler | None = None
    try:
        if trust.level == "full":
            unpickler = FullUnpickler(_reader(blob))
            unpickler.whole = partial(_whole, blob)
            return cast("object", unpickler.load())
        # Loaded late: most clients trust their store, and never need the rules.
        from mfc._pickle._safe import SafeUnpickler

        unpickler = SafeUnpickler(_whole(blob), trust.allow | extra_safe)
        return cast("object", unpickler.load())
    # Code in a pickle may raise anything, SystemExit included; it must not end the reader.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, Refused):
            raise UntrustedValue(subject, location, _refusal(error)) from error
        missing = getattr(unpickler, "missing", None) or ()
        advice = "".join(
            f"; {cls.module}.{cls.qualname} is missing: {cls.advice}" for cls in missing
        )
        reason = f"its pickle cannot be loaded: {_said(error)}{advice}; .raw gives its bytes"
        raise UndecodableArtifact(subject, location, reason) from error


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
    """Return all bytes of a pickle; of a file, without a change of where it stands."""
    if isinstance(blob, bytes):
        return blob
    at = blob.tell()
    blob.seek(0)
    content = blob.read()
    blob.seek(at)
    return content


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
    try:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    # The text of a foreign exception is foreign code too.
    except Exception:  # noqa: BLE001
        return type(error).__name__
