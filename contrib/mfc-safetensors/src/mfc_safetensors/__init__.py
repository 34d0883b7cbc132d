"""Artifacts that a serializer of Metaflow wrote as safetensors: dictionaries of numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mfc.hookspecs import hookimpl

if TYPE_CHECKING:
    from mfc_safetensors._decoder import TensorsDecoder

#: Version of the plugin contract that this plugin implements.
MFC_CONTRACT = 1
#: The encoding that the writing serializer names, in `SerializationMetadata.encoding`.
ENCODING = "safetensors"


@hookimpl
def mfc_artifact_decoder(encoding: str, info: Mapping[str, Any]) -> TensorsDecoder | None:
    """Return the decoder for `safetensors`; the writer may note the names' order.

    The format itself loses the order.
    """
    if encoding != ENCODING:
        return None
    from mfc_safetensors._decoder import TensorsDecoder  # only clients that read tensors need it

    return TensorsDecoder.of_note(info.get("serializer_info"))
