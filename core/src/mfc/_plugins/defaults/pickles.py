"""Artifacts as Metaflow itself encodes them: pickles of protocol 2 or 4."""

from __future__ import annotations

from typing import Any, BinaryIO

from mfc.hookspecs import hookimpl
from mfc.model import ArtifactRecord
from mfc.trust import Trust

#: `gzip+` names the datastore's compression, which is gone when a decoder sees the bytes.
ENCODINGS = frozenset({"pickle-v4", "pickle-v2", "gzip+pickle-v4", "gzip+pickle-v2"})


class PickleDecoder:
    """Unpickle, at the trust that the client gives."""

    def decode(self, blob: bytes, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the pickled object, Metaflow's own classes as their equivalents here."""
        from mfc._pickle import loads  # the plugin must be light, and values are not always read

        return loads(blob, trust, subject=str(artifact.path), location=artifact.store)

    def decode_file(self, file: BinaryIO, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the pickled object; the large buffers in it are read to where they stay."""
        from mfc._pickle import loads  # as above

        return loads(file, trust, subject=str(artifact.path), location=artifact.store)


_DECODER = PickleDecoder()


@hookimpl(trylast=True)
def mfc_artifact_decoder(encoding: str) -> Any:
    """Answer for Metaflow's four names of pickle."""
    return _DECODER if encoding in ENCODINGS else None
