"""Filesystems with one fault each, and the right one that they are made of."""

from __future__ import annotations

import fnmatch
import gzip
import io
import os
import time
from typing import ClassVar


class Right:
    """Files in a dictionary."""

    def __init__(self, files, shared):
        self.files, self.shared = files, shared
        self.process = os.getpid()

    def find(self, path):
        if path in self.files:
            return self.files[path]
        if any(name.startswith(f"{path}/") for name in self.files):
            raise IsADirectoryError(path)
        raise FileNotFoundError(path)

    def cat_file(self, path, start=None, end=None):
        return self.find(path)[start:end]

    def size(self, path):
        return len(self.find(path))

    def open(self, path, mode="rb"):
        return io.BytesIO(self.find(path))


class Place:
    ds_type = "kit"

    def __init__(self, kind, files, shared):
        self.kind, self.files, self.shared = kind, files, shared
        shared["places"] = shared.get("places", 0) + 1
        self.root = f"kit://bucket/{shared['places']}"

    def filesystem(self):
        return self.kind(self.files, self.shared)

    def put(self, path, content):
        self.files[f"{self.root.removeprefix('kit://')}/{path}"] = content


class NothingForMissing(Right):
    def find(self, path):
        try:
            return super().find(path)
        except FileNotFoundError:
            return b""


class KeyErrorForMissing(Right):
    def size(self, path):
        return len(self.files[path])


class OpensLazily(Right):
    def open(self, path, mode="rb"):
        return io.BytesIO(self.files.get(path, b""))


class EndInclusive(Right):
    def cat_file(self, path, start=None, end=None):
        return super().cat_file(path, start, None if end is None else end + 1)


class StartIgnored(Right):
    def cat_file(self, path, start=None, end=None):
        return super().cat_file(path, None, end)


class RangeMustBeGiven(Right):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path)
        return found if start is None and end is None else found[start : end + 0]


class RefusesRangesOfNothing(Right):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path)
        if start is not None and start >= len(found):
            raise OSError("InvalidRange")
        return found[start:end]


class OnePosition(Right):
    """Ranges are read from one open file, which every thread moves."""

    def __init__(self, files, shared):
        super().__init__(files, shared)
        self.at = 0

    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path)
        if not start:
            return found[start:end]
        self.at = start
        time.sleep(0.0005)
        return found[self.at : end if end is None else self.at + end - start]


class ClaimsToBeLocal(Right):
    local_file = True


class LineEndsTranslated(Right):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path, start, end)
        return found if start is not None or end is not None else found.replace(b"\x1a\x00", b"")


class Unpacks(Right):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path, start, end)
        try:
            return gzip.decompress(found)
        except (OSError, EOFError):
            return found


class SizeIsText(Right):
    def size(self, path):
        return str(super().size(path))


class CutAtFourMegabytes(Right):
    def cat_file(self, path, start=None, end=None):
        return super().cat_file(path, start, end)[: 4 << 20]


class KnowsWhatIsMissing(Right):
    def __init__(self, files, shared):
        super().__init__(files, shared)
        self.missing = set()

    def find(self, path):
        if path in self.missing:
            raise FileNotFoundError(path)
        try:
            return super().find(path)
        except FileNotFoundError:
            self.missing.add(path)
            raise


class KeepsSizes(Right):
    def __init__(self, files, shared):
        super().__init__(files, shared)
        self.sizes = {}

    def size(self, path):
        return self.sizes.setdefault(path, super().size(path))


class Globs(Right):
    def find(self, path):
        found = fnmatch.filter(self.files, path)
        return self.files[found[0]] if found else super().find(path)


class Quotes(Right):
    def find(self, path):
        return super().find(path.partition("?")[0])


class AnyCase(Right):
    def find(self, path):
        same = [name for name in self.files if name.lower() == path.lower()]
        return super().find(path if path in self.files or not same else same[0])


class EmptyDirectories(Right):
    def find(self, path):
        try:
            return super().find(path)
        except IsADirectoryError:
            return b""


class LibraryFails(Right):
    def find(self, path):
        if len(path) > 2000:
            raise ValueError("KeyTooLong")
        return super().find(path)


class SharedByStores(Right):
    def find(self, path):
        found = super().find(path)
        return self.shared.setdefault(path.rpartition("/")[2], found) if "same" in path else found


class OneBuffer(Right):
    def cat_file(self, path, start=None, end=None):
        self.buffer = self.find(path)
        time.sleep(0.01)  # long enough for another thread, on any machine
        return self.buffer[start:end]


class OneOpenFile(Right):
    def __init__(self, files, shared):
        super().__init__(files, shared)
        self.opened = {}

    def open(self, path, mode="rb"):
        found = self.opened.get(path)
        if found is None or found.closed:
            found = self.opened[path] = super().open(path, mode)
        found.seek(0)
        return found


class DiesInChildren(Right):
    def size(self, path):
        if os.getpid() != self.process:
            raise OSError("connection of another process")
        return super().size(path)


class LeavesFilesOpen(Right):
    kept: ClassVar[list] = []

    def size(self, path):
        self.kept.append(open(os.devnull))
        return super().size(path)


BROKEN = [
    (NothingForMissing, {"file-missing", "file-fresh", "file-case", "file-errors"}),
    (KeyErrorForMissing, {"file-missing", "file-fresh", "sample-logs"}),
    (OpensLazily, {"file-missing", "file-errors"}),
    (EndInclusive, {"file-range"}),
    (StartIgnored, {"file-range"}),
    (RangeMustBeGiven, {"file-range"}),
    (RefusesRangesOfNothing, {"file-range-beyond", "sample-logs"}),
    (OnePosition, {"file-side-by-side"}),
    (ClaimsToBeLocal, {"file-local"}),
    (LineEndsTranslated, {"file-content"}),
    (Unpacks, {"file-content"}),
    (SizeIsText, {"file-size", "sample-logs"}),
    (CutAtFourMegabytes, {"file-large"}),
    (KnowsWhatIsMissing, {"file-fresh"}),
    (KeepsSizes, {"file-fresh"}),
    (Globs, {"file-missing", "file-names"}),
    (Quotes, {"file-names"}),
    (AnyCase, {"file-case"}),
    (EmptyDirectories, {"file-errors"}),
    (LibraryFails, {"file-errors"}),
    (SharedByStores, {"file-stores"}),
    (OneBuffer, {"file-threads", "file-side-by-side"}),
    (OneOpenFile, {"file-open-twice"}),
    (DiesInChildren, {"file-fork"}),
    (LeavesFilesOpen, {"nothing-left-open"}),
]
