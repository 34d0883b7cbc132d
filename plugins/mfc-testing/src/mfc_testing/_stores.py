"""The base of a filesystem's clauses: stores, files in them, and reads of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from mfc.hookspecs import Filesystem
from mfc_testing._contract import ask, equal, refused


class Store(Protocol):
    """One place with files, empty at first; the author of a filesystem gives it to the kit."""

    #: The datastore's type, as `mfc_filesystem` receives it.
    ds_type: str
    #: The datastore's root as records spell it, `s3://bucket/prefix` or `/data`.
    root: str

    def filesystem(self) -> Filesystem:
        """Return a filesystem on this place, as the plugin's hook makes it."""

    def put(self, path: str, content: bytes) -> None:
        """Write a file at a path below the root, without using the filesystem under test."""


NewStore = Callable[[], Store]


def whole(files: Filesystem, path: str, content: bytes) -> None:
    """Check that every method returns a file unchanged.

    Raises:
        ClauseBroken: a method differs.
    """
    __tracebackhide__ = True
    size, name = len(content), path[-60:]
    equal(f"cat_file(…{name!r}), of {size} bytes", content, cat(files, path))
    given = f"size(…{name!r})"
    equal(given, size, ask(given, partial(files.size, path)))
    given = f"open(…{name!r}), of {size} bytes"
    with ask(given, partial(files.open, path)) as file:
        equal(f"{given}: read()", content, file.read())
        equal(f"{given}: seek(0, 2)", size, file.seek(0, 2))
        equal(f"{given}: seek(0) and read(7)", content[:7], (file.seek(0), file.read(7))[1])
        equal(f"{given}: tell(), then", min(7, size), file.tell())
    middle = size // 2
    for start, end in ((0, middle), (middle, None), (middle, size), (max(size - 3, 0), size + 9)):
        given = f"cat_file(…{name!r}, {start}, {end}), of {size} bytes"
        if end is None or start < end:
            equal(given, content[start:end], ask(given, partial(files.cat_file, path, start, end)))


def questions(files: Filesystem, path: str) -> dict[str, Callable[[], object]]:
    """Return a read with each method, by its name in failures."""

    def read() -> bytes:
        with files.open(path) as file:
            return file.read()

    return {
        f"cat_file({path[:80]!r})": lambda: files.cat_file(path),
        f"cat_file({path[:80]!r}, 0, 5)": lambda: files.cat_file(path, 0, 5),
        f"size({path[:80]!r})": lambda: files.size(path),
        f"open({path[:80]!r}), and read": read,
    }


def bare_root(store: Store) -> str:
    """Return a store's root without its protocol, which is how paths begin."""
    return store.root.removeprefix(f"{store.ds_type}://").rstrip("/")


def full_path(store: Store, path: str) -> str:
    """Return the path that a client passes to a filesystem."""
    return f"{bare_root(store)}/{path}"


GZ = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x00\x00\x83\x16\xdc\x8c\x01\x00\x00\x00"


#: Bytes that resemble other formats.
LOOKING = (
    "größe 日本 🚲".encode(), "größe".encode("utf-16"), b"\xef\xbb\xbfbom", b"a\r\nb\r\n",
    b"a\nb\n\n", b"\n", b"  blank  ", b"\0\0end\0", GZ, GZ * 2, GZ + b"more",
    b"PK\x03\x04" + b"\0" * 30,
    b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"aGVsbG8=", b'{"a": 1}', b"<html></html>", b"\xff\xfe\xfd",
    b"a%20b+c", b"\x1a", b"\x04", b"--boundary", b"5\r\nhello\r\n0\r\n\r\n", b"None", b"0",
)  # fmt: skip


def put(store: Store, path: str, content: bytes) -> str:
    ask(f"put({path!r}), of the store", lambda: store.put(path, content))
    return full_path(store, path)


def cat(files: Filesystem, path: str) -> bytes:
    return ask(f"cat_file({path!r})", lambda: files.cat_file(path))


def missing(given: str, question: Callable[[], object]) -> None:
    refused(given, FileNotFoundError, question)
