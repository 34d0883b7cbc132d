"""Right filesystems, over an object store and over a folder, and ones with one fault each."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import os
import tempfile
import threading
import time
import unicodedata
import urllib.parse
from pathlib import Path


class ObjectStore:
    """A server of objects: keys, ranges as HTTP has them, listings by prefix in pages."""

    def __init__(self):
        self.objects, self.lock = {}, threading.Lock()

    def put(self, key, content):
        with self.lock:
            self.objects[key] = content, time.time()

    def get(self, key, first=None, last=None):
        """Return status and body; first and last are inclusive, as in a header Range."""
        with self.lock:
            if key not in self.objects:
                return 404, b"<Error><Code>NoSuchKey</Code></Error>"
            body = self.objects[key][0]
        if first is None:
            return 200, body
        if first >= len(body):
            return 416, b"<Error><Code>InvalidRange</Code></Error>"
        return 206, body[first:] if last is None else body[first : last + 1]

    def head(self, key):
        with self.lock:
            return None if key not in self.objects else len(self.objects[key][0])

    def list(self, prefix):
        with self.lock:
            return sorted(key for key in self.objects if key.startswith(prefix))[:1000]


class Bucket:
    """A right filesystem over an object store."""

    def __init__(self, store, shared):
        self.store, self.shared = store, shared

    def key(self, path):
        return path

    def cat_file(self, path, start=None, end=None):
        key = self.key(path)
        if start is None and end is None:
            status, body = self.store.get(key)
        else:
            if end is not None and end <= (start or 0):
                self.size(path)
                return b""
            status, body = self.store.get(key, start or 0, None if end is None else end - 1)
        return self.answered(path, status, body)

    def answered(self, path, status, body):
        if status == 404:
            raise self.missing(path)
        return b"" if status == 416 else body

    def missing(self, path):
        if self.store.list(f"{path}/"):
            return IsADirectoryError(path)
        return FileNotFoundError(path)

    def size(self, path):
        size = self.store.head(self.key(path))
        if size is None:
            raise FileNotFoundError(path)
        return size

    def open(self, path, mode="rb"):
        return io.BytesIO(self.cat_file(path))


class Buckets:
    """A store for the kit."""

    def __init__(self, kind, store, shared, number):
        self.kind, self.store, self.shared = kind, store, shared
        self.ds_type, self.root = "kit", f"kit://bucket/{number}"

    def filesystem(self):
        return self.kind(self.store, self.shared)

    def put(self, path, content):
        self.store.put(f"{self.root.removeprefix('kit://')}/{path}", content)


class Folder:
    """A right filesystem over files."""

    local_file = True

    def __init__(self, store, shared):
        self.store, self.shared = store, shared

    def cat_file(self, path, start=None, end=None):
        with open(path, "rb") as file:
            file.seek(start or 0)
            return file.read() if end is None else file.read(max(end - (start or 0), 0))

    def size(self, path):
        return os.stat(path).st_size

    def open(self, path, mode="rb"):
        return open(path, mode)


class Folders:
    def __init__(self, kind, directory, shared, number):
        self.kind, self.shared, self.directory = kind, shared, directory
        self.ds_type, self.root = "kit", f"{directory}/{number}"
        Path(self.root).mkdir()

    def filesystem(self):
        return self.kind(self.directory, self.shared)

    def put(self, path, content):
        file = Path(self.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written atomically: a reader gets the old file or the new one.
        beside = file.parent / f".{file.name[:20]}.new"
        beside.write_bytes(content)
        beside.replace(file)


# Over an object store


class EndIsInclusive(Bucket):
    def cat_file(self, path, start=None, end=None):
        if end is None:
            return super().cat_file(path, start, end)
        return self.answered(path, *self.store.get(path, start or 0, end))


class EndAloneIsIgnored(Bucket):
    """A range needs a beginning."""

    def cat_file(self, path, start=None, end=None):
        return super().cat_file(path, start, None if start is None else end)


class BeyondTheEndFails(Bucket):
    def answered(self, path, status, body):
        if status == 416:
            raise OSError(f"{path}: range not satisfiable")
        return super().answered(path, status, body)


class BeyondTheEndIsItsError(Bucket):
    """The body of the answer, whatever its status."""

    def answered(self, path, status, body):
        return body if status == 416 else super().answered(path, status, body)


class MissingIsEmpty(Bucket):
    def answered(self, path, status, body):
        return (
            b"" if status == 404 and self.store.list(path) else super().answered(path, status, body)
        )


class MissingRangeIsEmpty(Bucket):
    def cat_file(self, path, start=None, end=None):
        if start is not None and self.store.head(path) is None:
            return b""
        return super().cat_file(path, start, end)


class FirstOfThatBeginning(Bucket):
    """Looks a key up by a listing, and takes the first."""

    def size(self, path):
        found = self.store.list(path)
        if not found:
            raise FileNotFoundError(path)
        return self.store.head(found[0])


class OpenByBeginning(Bucket):
    def open(self, path, mode="rb"):
        found = self.store.list(path)
        return super().open(found[0] if found else path, mode)


class SizeOfPrefixIsZero(Bucket):
    def size(self, path):
        try:
            return super().size(path)
        except FileNotFoundError:
            if self.store.list(path):
                return 0
            raise


class SizeInCharacters(Bucket):
    def size(self, path):
        super().size(path)
        return len(self.cat_file(path).decode("utf-8", "surrogateescape"))


class Unpacks(Bucket):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path)
        if found[:2] == b"\x1f\x8b":
            with contextlib.suppress(OSError, EOFError):
                found = gzip.decompress(found)
        return found[start:end]


class Text(Bucket):
    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path, start, end)
        return found.decode("utf-8-sig", "surrogateescape").encode("utf-8", "surrogateescape")


class LastLineEndGoes(Bucket):
    def open(self, path, mode="rb"):
        return io.BytesIO(super().cat_file(path).rstrip(b"\n"))


class RangesKept(Bucket):
    def cat_file(self, path, start=None, end=None):
        if start is None and end is None:
            return super().cat_file(path)
        key = (path, start, end)
        if key not in self.shared:
            self.shared[key] = super().cat_file(path, start, end)
        return self.shared[key]


class WholeFilesKeptBySize(Bucket):
    """Files are cached as long as their size is the same."""

    def cat_file(self, path, start=None, end=None):
        size = self.size(path) if self.store.head(path) is not None else None
        if size is None:
            return super().cat_file(path, start, end)
        kept = self.shared.get(path)
        if kept is None or len(kept) != size:
            kept = self.shared[path] = super().cat_file(path)
        return kept[start:end]


class SizesKept(Bucket):
    def size(self, path):
        if path not in self.shared:
            self.shared[path] = super().size(path)
        return self.shared[path]


class ListingsKept(Bucket):
    """A directory is listed once."""

    def size(self, path):
        above = path.rpartition("/")[0]
        known = self.shared.setdefault(above, self.store.list(f"{above}/"))
        if known and path not in known:
            raise FileNotFoundError(path)
        return super().size(path)


class OpenFilesKept(Bucket):
    def open(self, path, mode="rb"):
        if path not in self.shared:
            self.shared[path] = super().cat_file(path)
        return io.BytesIO(self.shared[path])


class KeptByName(Bucket):
    def cat_file(self, path, start=None, end=None):
        name = path.rpartition("/")[2]
        if start is not None or len(name) < 20:
            return super().cat_file(path, start, end)
        return self.shared.setdefault(name, super().cat_file(path))


class KeysQuoted(Bucket):
    def key(self, path):
        return urllib.parse.quote(path, safe="/ ")


class KeysUnquoted(Bucket):
    def key(self, path):
        return urllib.parse.unquote(path)


class KeysNormal(Bucket):
    def key(self, path):
        return unicodedata.normalize("NFC", path)


class KeysStripped(Bucket):
    def key(self, path):
        return path.strip()


class KeysOfAnyCase(Bucket):
    def key(self, path):
        alike = [key for key in self.store.list("") if key.lower() == path.lower()]
        return path if path in alike or not alike else alike[0]


class NotFoundIsKeyError(Bucket):
    def open(self, path, mode="rb"):
        try:
            return super().open(path, mode)
        except FileNotFoundError:
            raise KeyError(path) from None


class FirstMegabytes(Bucket):
    """A reply is read in one go, up to a limit."""

    def open(self, path, mode="rb"):
        return io.BytesIO(super().cat_file(path)[: 5 << 20])


class ChunksOverlap(Bucket):
    """Reads large files in chunks whose ends are inclusive."""

    CHUNK = 1 << 16

    def cat_file(self, path, start=None, end=None):
        if start is not None or end is not None:
            return super().cat_file(path, start, end)
        size, parts = self.size_or_missing(path), []
        for at in range(0, size, self.CHUNK):
            parts.append(
                super().cat_file(path, at, min(at + self.CHUNK, size - 1) if at else self.CHUNK)
            )
        return b"".join(parts)

    def size_or_missing(self, path):
        size = self.store.head(path)
        if size is None:
            raise self.missing(path)
        return size


class LastChunkWhole(Bucket):
    """A file whose size is a multiple of the chunk's loses its last one."""

    CHUNK = 1 << 16

    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path, start, end)
        if start is None and end is None and found and len(found) % self.CHUNK == 0:
            return found[: -self.CHUNK]
        return found


class AsyncMethods(Bucket):
    async def size(self, path):
        await asyncio.sleep(0)
        return super().size(path)


class Buffered(Bucket):
    """Returns the `bytearray` of its buffer."""

    def cat_file(self, path, start=None, end=None):
        return bytearray(super().cat_file(path, start, end))


class OneReader(Bucket):
    """One position for all threads."""

    def cat_file(self, path, start=None, end=None):
        self.path, self.start, self.end = path, start, end
        time.sleep(0)
        time.sleep(0.0001)
        return super().cat_file(self.path, self.start, self.end)


class OneOpenFile(Bucket):
    def open(self, path, mode="rb"):
        kept = self.shared.get(path)
        if kept is None or kept.closed or kept.getvalue() != super().cat_file(path):
            kept = self.shared[path] = io.BytesIO(super().cat_file(path))
        return kept


# Over a folder


class LeavesOpen(Folder):
    kept: list = []

    def size(self, path):
        file = open(path, "rb")
        self.kept.append(file)
        return file.seek(0, 2)


class LeavesOpenOnErrors(Folder):
    """Opens its log first, and closes it only after success."""

    kept: list = []

    def cat_file(self, path, start=None, end=None):
        log = open(os.devnull, "rb")
        self.kept.append(log)
        found = super().cat_file(path, start, end)
        log.close()
        self.kept.remove(log)
        return found


class CopiesStay(Folder):
    """Opens a copy, which is never deleted."""

    def open(self, path, mode="rb"):
        handle, name = tempfile.mkstemp()
        os.close(handle)
        Path(name).write_bytes(super().cat_file(path))
        return open(name, "rb")


class FailedReadIsTheEnd(Folder):
    def cat_file(self, path, start=None, end=None):
        parts = []
        with open(path, "rb", buffering=0) as file:
            file.seek(start or 0)
            left = None if end is None else max(end - (start or 0), 0)
            while left is None or left > 0:
                try:
                    part = file.read(1 << 16 if left is None else min(left, 1 << 16))
                except OSError:
                    if not parts:
                        raise
                    break
                if not part:
                    break
                parts.append(part)
                left = None if left is None else left - len(part)
        return b"".join(parts)


class FailureIsMissing(Folder):
    def cat_file(self, path, start=None, end=None):
        try:
            return super().cat_file(path, start, end)
        except IsADirectoryError:
            raise
        except OSError as cause:
            raise FileNotFoundError(path) from cause


class ShortReads(Folder):
    """`read` of an unbuffered file may give fewer bytes than requested."""

    def cat_file(self, path, start=None, end=None):
        found = super().cat_file(path, start, end)
        return found[: 1 << 20] if start is None and end is None else found[: 1 << 22]


class ExpandsHome(Folder):
    def cat_file(self, path, start=None, end=None):
        return super().cat_file(os.path.expandvars(path), start, end)


class TextMode(Folder):
    def open(self, path, mode="rb"):
        if b"\0" in super().cat_file(path, 0, 100):
            return super().open(path)
        return io.BytesIO(
            "".join(open(path, encoding="utf-8", errors="surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        )


FAULTY = [
    kind
    for kind in list(globals().values())
    if isinstance(kind, type)
    and issubclass(kind, (Bucket, Folder))
    and kind not in (Bucket, Folder)
]
