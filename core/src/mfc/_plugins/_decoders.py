"""Decoders of artifacts, found by encoding and, where needed, by the writer's note."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mfc.errors import PluginNotFound, UnknownEncoding
from mfc.model import ArtifactRecord, Pathspec

if TYPE_CHECKING:
    from mfc.hookspecs import ArtifactDecoder

#: Suffixes of encodings whose decoder does not depend on the writer's note; this saves a read.
_PICKLES = ("pickle-v2", "pickle-v4")
#: Encoding of the oldest records, which do not name one.
_OLDEST = "gzip+pickle-v2"

Note = Callable[[], Mapping[str, Any]]


class Decoders:
    """The decoders of one client, each looked up once where that is possible.

    Args:
        find: returns the decoder for an encoding and a note; raises PluginNotFound.
    """

    def __init__(self, find: Callable[[str, Mapping[str, Any]], Any]) -> None:
        self._find = find
        self._known: dict[str, ArtifactDecoder] = {}
        #: Decoders of artifacts that are about to be read.
        self._prepared: dict[tuple[Pathspec, int], ArtifactDecoder] = {}

    def need_note(self, record: ArtifactRecord) -> bool:
        """Tell whether the note on an artifact has to be read to find its decoder."""
        encoding = record.encoding or _OLDEST
        return not encoding.endswith(_PICKLES) and encoding not in self._known

    def prepare(self, record: ArtifactRecord, note: Note) -> None:
        """Find the decoder of an artifact that is about to be read; raises as `of`."""
        self._prepared[record.path, record.attempt] = self.of(record, note)

    def of(self, record: ArtifactRecord, note: Note) -> ArtifactDecoder:
        """Return the decoder of an artifact.

        Args:
            record: the artifact.
            note: reads the writer's note on it.

        Raises:
            UnknownEncoding: no plugin decodes it.
            DatastoreError: the note cannot be read.
        """
        encoding = record.encoding or _OLDEST
        found = self._known.get(encoding)
        if found is None and self._prepared:
            found = self._prepared.pop((record.path, record.attempt), None)
        if found is not None:
            return found
        info = note() if self.need_note(record) else {}
        try:
            decoder: ArtifactDecoder = self._find(encoding, info)
        except PluginNotFound as missing:
            serializer = info.get("serializer_info")
            source = serializer.get("source") if isinstance(serializer, dict) else None
            written = f", written by {source}," if source else ""
            raise UnknownEncoding(
                str(record.path),
                record.store,
                f"its encoding {encoding!r}{written} has no decoder; {missing.advice}",
            ) from missing
        if not info.get("serializer_info"):
            self._known[encoding] = decoder
        return decoder
