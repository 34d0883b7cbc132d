"""Blobs of remote datastores on the local disk, by their SHA-1: private, bounded, never trusted.

`Cache` is the entry point. Small blobs are rows of a database, all others are files.
"""

from __future__ import annotations

from mfc._cache._cache import Cache
from mfc._cache._files import LARGE, PIECE, NewEntry
from mfc._cache._small import SMALL

__all__ = ["LARGE", "PIECE", "SMALL", "Cache", "NewEntry"]
