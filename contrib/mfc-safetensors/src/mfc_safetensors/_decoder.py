"""From bytes in the safetensors format to numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mfc.errors import UndecodableArtifact
from mfc.model import ArtifactRecord
from mfc.trust import Trust

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen
class TensorsDecoder:
    """Reads a dictionary of arrays. Values of this format never run code, whatever their source."""

    #: Names in the order of the written dictionary; None where the writer did not note it.
    _names: tuple[str, ...] | None = None

    @classmethod
    def of_note(cls, note: object) -> TensorsDecoder:
        """Return the decoder for a writer's `serializer_info`.

        Args:
            note: a mapping, perhaps with a list `names`. Anything else is ignored.
        """
        names = note.get("names") if isinstance(note, dict) else None
        return cls(tuple(map(str, names)) if isinstance(names, list) else None)

    def decode(
        self, blob: bytes, artifact: ArtifactRecord, trust: Trust
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, read only as `safetensors.numpy.load` gives them.

        Raises:
            UntrustedValue: `trust` loads no values at all.
            UndecodableArtifact: the bytes are not safetensors, hold a type that numpy lacks, or
                other names than the writer noted.
        """
        subject, location = str(artifact.path), artifact.store
        trust.require_any(subject, location)
        from safetensors import SafetensorError  # numpy's import time, only for values
        from safetensors.numpy import load

        try:
            arrays = load(blob)
        except SafetensorError as cause:
            raise UndecodableArtifact(subject, location, f"not safetensors: {cause}") from cause
        except KeyError as cause:
            reason = f"its type {cause} has no equivalent in numpy; .raw gives the bytes"
            raise UndecodableArtifact(subject, location, reason) from cause
        if self._names is None:
            return arrays
        if set(self._names) != set(arrays):
            reason = f"it holds {sorted(arrays)}, its writer noted {sorted(self._names)}"
            raise UndecodableArtifact(subject, location, reason)
        return {name: arrays[name] for name in self._names}
