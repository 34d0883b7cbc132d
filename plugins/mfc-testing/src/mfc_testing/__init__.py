"""For tests: a provider in memory, and the contract kit for authors of plugins.

Importing this needs neither pytest nor Hypothesis; they are loaded
with the first name that needs them.

| name | what for |
|---|---|
| `MemoryProvider` | a metadata provider over lists of records, for tests of anything |
| `History`, `Backend` | the records that the kit writes, and where it writes them |
| `Store` | the same for filesystems |
| `ProviderTests`, `FilesystemTests`, … | the contract as tests: subclass, give fixtures, run |
| `mfc_testing.strategies` | Hypothesis strategies for names, records, queries, histories |
| `mfc_testing.stateful` | random histories on a provider and on `MemoryProvider`, compared |
| `mfc_testing.sample` | results recorded by Metaflow, with the answers Metaflow gave |
| `mfc_testing.report` | the pytest plugin that prints the table, clause by clause |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfc_testing.history import Backend, History, fields
from mfc_testing.memory import IN_MEMORY, MemoryBackend, MemoryProvider

if TYPE_CHECKING:
    from mfc_testing.decoder import ArtifactDecoderTests
    from mfc_testing.filesystem import FilesystemTests, Store
    from mfc_testing.policy import NamespacePolicyTests
    from mfc_testing.provider import ProviderTests
    from mfc_testing.trigger import TriggerDecoderTests

__all__ = [
    "IN_MEMORY",
    "ArtifactDecoderTests",
    "Backend",
    "FilesystemTests",
    "History",
    "MemoryBackend",
    "MemoryProvider",
    "NamespacePolicyTests",
    "ProviderTests",
    "Store",
    "TriggerDecoderTests",
    "fields",
]

#: Modules of the names that need pytest or Hypothesis.
_OF_THE_KIT = {
    "ArtifactDecoderTests": "decoder",
    "FilesystemTests": "filesystem",
    "NamespacePolicyTests": "policy",
    "ProviderTests": "provider",
    "Store": "filesystem",
    "TriggerDecoderTests": "trigger",
}


def __getattr__(name: str) -> Any:
    """Load a part of the kit, and with it pytest or Hypothesis, on first use."""
    if name not in _OF_THE_KIT:
        raise AttributeError(f"module 'mfc_testing' has no attribute {name!r}")
    import importlib  # only the kit needs it

    return getattr(importlib.import_module(f"mfc_testing.{_OF_THE_KIT[name]}"), name)
