"""Metaflow's own encoding of artifacts: pickles of protocol 2 or 4."""

from __future__ import annotations

from typing import Any, BinaryIO

from mfc.hookspecs import hookimpl
from mfc.model import ArtifactRecord
from mfc.trust import Trust

#: `gzip+` names the datastore's compression; decoders get the bytes uncompressed.
ENCODINGS = frozenset({"pickle-v4", "pickle-v2", "gzip+pickle-v4", "gzip+pickle-v2"})


class PickleDecoder:
    """Unpickle at the client's trust."""

    def decode(self, blob: bytes, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the pickled object, with mfc's equivalents of Metaflow's own classes."""
        from mfc._pickle import loads  # the plugin must import fast, and listings need no values

        return loads(blob, trust, subject=str(artifact.path), location=artifact.store)

    def decode_file(self, file: BinaryIO, artifact: ArtifactRecord, trust: Trust) -> object:
        """Return the pickled object; large buffers are read straight to their final place."""
        from mfc._pickle import loads  # as above

        return loads(file, trust, subject=str(artifact.path), location=artifact.store)


_DECODER = PickleDecoder()


@hookimpl(trylast=True)
def mfc_artifact_decoder(encoding: str) -> Any:
    """Return the decoder for Metaflow's four names of pickle."""
    return _DECODER if encoding in ENCODINGS else None
