"""The contract of filesystems, as tests."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import pytest

from mfc.config import Config
from mfc_testing import _faults, _isolation, _state, _stores, sample
from mfc_testing._contract import ContractTests, ask, clause, equal, holds, refused
from mfc_testing._example import AWKWARD
from mfc_testing._hooks import hooks_of
from mfc_testing._stores import NewStore, Store, bare_root, full_path

_BYTES = bytes(range(256)) * 3 + b"\r\n\n\r\x1a\x00"
_LARGE = 6_000_000


__all__ = ["FilesystemTests", "Store", "bare_root", "full_path"]


class FilesystemTests(ContractTests):
    """Contract of filesystems. Give `new_store`, and perhaps `module`.

    ::

        class TestS3(FilesystemTests):
            module = "mfc_s3"

            @pytest.fixture
            def new_store(self, bucket):
                return lambda: Bucket(bucket)

    `new_store` is a function that makes an empty `Store` each time it is called.
    """

    #: Name of the plugin's module.
    module: ClassVar[str | None] = None
    #: Modules of its own that importing the plugin's module may load.
    modules_on_import: ClassVar[int] = 5

    @pytest.fixture
    def new_store(self) -> NewStore:
        """Return a function that makes an empty store each time."""
        raise NotImplementedError("give the fixture `new_store`: a function that makes a Store")

    @clause("file-content")
    def test_content_is_as_written(self, new_store: NewStore) -> None:
        """`cat_file` gives all bytes of a file, as `bytes`, whatever they are."""
        store = new_store()
        for name, content in (
            ("all", _BYTES),
            ("empty", b""),
            ("a/b/c/deep", b"x"),
            ("gz", _stores.GZ),
        ):
            path, files = _stores.put(store, name, content), store.filesystem()
            equal(f"cat_file({path!r})", content, _stores.cat(files, path))

    @clause("file-large")
    def test_large_files_are_complete(self, new_store: NewStore) -> None:
        """A file of any size comes whole."""
        store = new_store()
        content = bytes(range(251)) * (_LARGE // 251)
        path, files = _stores.put(store, "large", content), store.filesystem()
        got = _stores.cat(files, path)
        holds(
            got == content, f"cat_file of {len(content)} bytes", "all of them", f"{len(got)} bytes"
        )
        with files.open(path) as file:
            got = file.read()
        holds(got == content, f"open of {len(content)} bytes", "all of them", f"{len(got)} bytes")

    @clause("file-range")
    def test_a_range_of_a_file(self, new_store: NewStore) -> None:
        """`cat_file(path, start, end)` gives the bytes [start, end), None for either side open."""
        store = new_store()
        path, files = _stores.put(store, "range", _BYTES), store.filesystem()
        ends = (None, 0, 1, 10, 255, len(_BYTES) - 1, len(_BYTES), len(_BYTES) + 50)
        for start in (None, 0, 1, 100, len(_BYTES) - 1):
            for end in ends:
                if (start, end) != (None, None) and (end is None or (start or 0) < end):
                    given = f"cat_file of {len(_BYTES)} bytes, {start}, {end}"
                    got = ask(given, partial(files.cat_file, path, start, end))
                    equal(given, _BYTES[start:end], got)

    @clause("file-range-beyond")
    def test_a_range_beyond_the_end(self, new_store: NewStore) -> None:
        """A range that ends or begins beyond the end gives what there is of it, perhaps nothing."""
        store = new_store()
        for name, content in (("all", _BYTES), ("empty", b"")):
            path, files = _stores.put(store, name, content), store.filesystem()
            size = len(content)
            ranges = [
                (0, size + 1),
                (0, 4 << 20),
                (None, 4 << 20),
                (0, None),
                (None, None),
                (None, 1),
            ]
            ranges += [(size, None), (size, size + 1), (size + 5, None), (size + 5, size + 10)]
            for start, end in ranges:
                given = f"cat_file of {size} bytes, {start}, {end}"
                equal(
                    given, content[start:end], ask(given, partial(files.cat_file, path, start, end))
                )

    @clause("file-borders")
    def test_sizes_at_the_borders_of_chunks(self, new_store: NewStore) -> None:
        """Files a byte shorter or longer than a chunk come whole, from every method."""
        store = new_store()
        numbers = random.Random(5)  # noqa: S311 - the same bytes each time
        for power in (0, 9, 12, 13, 16, 17, 20, 22):
            for size in dict.fromkeys(((1 << power) - 1, 1 << power, (1 << power) + 1, 3 << power)):
                content = numbers.randbytes(size)
                path, files = _stores.put(store, f"borders/{size}", content), store.filesystem()
                _stores.whole(files, path, content)

    @clause("file-bytes")
    def test_bytes_are_no_text(self, new_store: NewStore) -> None:
        """Bytes come back unchanged: not decoded, unpacked or stripped, whatever they resemble."""
        store = new_store()
        for number, content in enumerate(_stores.LOOKING):
            path, files = _stores.put(store, f"looking/{number}", content), store.filesystem()
            _stores.whole(files, path, content)

    @clause("file-siblings")
    def test_names_that_begin_alike_stay_apart(self, new_store: NewStore) -> None:
        """Files and folders whose names begin alike are distinguished, by every method."""
        store = new_store()
        names = (
            "Kit/7/a",
            "Kit/7/ab",
            "Kit/7/a.b",
            "Kit/70/a",
            "Kit/7a",
            "Kit2/7/a",
            "Kit/8/a/b",
            "Kit/7/0123456789abcdef0123456789abcdef",
            "Kit/8/0123456789abcdef0123456789abcdef",
        )
        for number, name in enumerate(names):
            _stores.put(store, name, bytes([65 + number]) * (number + 3))
        files = store.filesystem()
        for number, name in enumerate(names):
            _stores.whole(files, full_path(store, name), bytes([65 + number]) * (number + 3))
        nothing = (
            "Kit/7/aa",
            "Kit/7/a.",
            "Kit/7/",
            "Ki",
            "Kit/70/ab",
            "Kit/7/a ",
            " Kit/7/a",
            "Kit/7/A",
        )
        for name in (*nothing, "Kit/7/%61", "Kit/7/a/b", "Kit/7/a\\b", "Kit/7/a?", "Kit/7/[a]"):
            path = full_path(store, name)
            for given, question in _stores.questions(files, path).items():
                folder = name[-1] == "/" or name == "Kit/7/a/b"
                if folder and given.startswith("size"):
                    continue  # some systems have sizes of folders
                error = refused(given, OSError, question)
                if not folder:
                    holds(isinstance(error, FileNotFoundError), given, "FileNotFoundError", error)

    @clause("file-replaced")
    def test_what_is_replaced_is_read_anew(self, new_store: NewStore) -> None:
        """After a file was replaced, by one of any size, every method reads the new one."""
        store = new_store()
        path, files = full_path(store, "replaced"), store.filesystem()
        long = b"a longer one" * 50
        for content in (b"abcdefgh", b"ABCDEFGH", b"abc", b"", long, b"12345678", _stores.GZ):
            store.put("replaced", content)
            for whose in (files, store.filesystem()):
                _stores.whole(whose, path, content)

    @clause("file-size")
    def test_the_size(self, new_store: NewStore) -> None:
        """`size` gives the number of bytes, as an int."""
        store = new_store()
        for name, content in (("all", _BYTES), ("empty", b""), ("gz", _stores.GZ)):
            path, files = _stores.put(store, name, content), store.filesystem()
            equal(f"size({path!r})", len(content), ask("size", partial(files.size, path)))

    @clause("file-open")
    def test_an_open_file(self, new_store: NewStore) -> None:
        """`open` gives a file to read bytes from, in parts, from anywhere, and to close."""
        store = new_store()
        path, files = _stores.put(store, "open", _BYTES), store.filesystem()
        for mode in ((), ("rb",)):
            with files.open(path, *mode) as file:
                equal("read(5)", _BYTES[:5], file.read(5))
                equal("read(), then", _BYTES[5:], file.read())
                equal("read(), at the end", b"", file.read())
                file.seek(100)
                equal("read(7) after seek(100)", _BYTES[100:107], file.read(7))

    @clause("file-open-twice")
    def test_two_open_files(self, new_store: NewStore) -> None:
        """A file opened twice is two open files, each with a place of its own."""
        store = new_store()
        path, files = _stores.put(store, "open", _BYTES), store.filesystem()
        with files.open(path) as one, files.open(path) as two:
            equal("read(5) of the first", _BYTES[:5], one.read(5))
            equal("read(9) of the second", _BYTES[:9], two.read(9))
            equal("read(5) of the first, then", _BYTES[5:10], one.read(5))

    @clause("file-missing")
    def test_a_missing_file(self, new_store: NewStore) -> None:
        """A missing file, in a directory or not, raises FileNotFoundError: at every method."""
        store = new_store()
        _stores.put(store, "there/file", b"x")
        files = store.filesystem()
        for name in ("absent", "there/absent", "absent/absent", "the", "*"):
            path = full_path(store, name)
            for method in ("cat_file", "size", "open"):
                _stores.missing(f"{method}({path!r})", partial(getattr(files, method), path))

    @clause("file-fresh")
    def test_what_is_new_is_seen(self, new_store: NewStore) -> None:
        """A new file is found once it is written; a replaced one has its new bytes."""
        store = new_store()
        path, files = full_path(store, "later/file"), store.filesystem()
        _stores.missing(f"cat_file({path!r})", lambda: files.cat_file(path))
        _stores.missing(f"size({path!r})", lambda: files.size(path))
        store.put("later/file", b"first")
        equal(f"cat_file({path!r}), just written", b"first", _stores.cat(files, path))
        equal(f"size({path!r}), just written", "5", str(ask("size", lambda: files.size(path))))
        store.put("later/file", b"the second")
        equal(f"cat_file({path!r}), replaced", b"the second", _stores.cat(files, path))
        equal(f"size({path!r}), replaced", "10", str(ask("size", lambda: files.size(path))))

    @clause("file-names")
    def test_awkward_names_are_names(self, new_store: NewStore) -> None:
        """Names are taken literally: spaces, other scripts, signs with a meaning elsewhere."""
        store = new_store()
        for number, name in enumerate(AWKWARD):
            store.put(f"Kit/{name}/{name}", str(number).encode())
        files = store.filesystem()
        for number, name in enumerate(AWKWARD):
            path = full_path(store, f"Kit/{name}/{name}")
            equal(f"cat_file({path!r})", str(number).encode(), _stores.cat(files, path))

    @clause("file-case")
    def test_names_differ_by_case(self, new_store: NewStore) -> None:
        """`x` and `X` are two names."""
        store = new_store()
        _stores.put(store, "Kit/file", b"x")
        files, path = store.filesystem(), full_path(store, "Kit/FILE")
        _stores.missing(f"cat_file({path!r})", lambda: files.cat_file(path))

    @clause("file-errors")
    def test_other_failures_are_os_errors(self, new_store: NewStore) -> None:
        """Other failures to read, such as of a directory, raise an OSError."""
        store = new_store()
        _stores.put(store, "folder/file", b"x")
        files = store.filesystem()
        for name in ("folder", "folder/file/below", "x" * 3000):
            path = full_path(store, name)
            for method in ("cat_file", "open"):
                call = getattr(files, method)
                refused(f"{method}({path[:80]!r})", OSError, partial(call, path))

    @clause("file-stores")
    def test_two_stores_share_nothing(self, new_store: NewStore) -> None:
        """Files at one root do not appear at another."""
        one, two = new_store(), new_store()
        first, second = _stores.put(one, "same", b"one"), _stores.put(two, "same", b"two, longer")
        for files in (one.filesystem(), one.filesystem()):
            equal("cat_file, of the first root", b"one", _stores.cat(files, first))
        equal("cat_file, of the second root", b"two, longer", _stores.cat(two.filesystem(), second))

    @clause("file-threads")
    def test_threads_get_the_same(self, new_store: NewStore) -> None:
        """One filesystem answers several threads at once as it answers one."""
        store = new_store()
        names = [_stores.put(store, str(number), bytes([number]) * 5_000) for number in range(8)]
        files = store.filesystem()
        _isolation.in_threads("cat_file", lambda: [files.cat_file(name) for name in names])

    @clause("file-side-by-side")
    def test_many_reads_side_by_side(self, new_store: NewStore) -> None:
        """Thirty-two reads at once, of files and of ranges of one file, give each its bytes."""
        store = new_store()
        content = bytes(range(251)) * 1_000
        large, step = _stores.put(store, "large", content), len(content) // 16
        small = [_stores.put(store, str(number), bytes([number]) * 500) for number in range(16)]
        files = store.filesystem()
        ranges = [(large, at * step, (at + 1) * step) for at in range(16)]
        _isolation.side_by_side(files.cat_file, [(path, 0, 1 << 20) for path in small] + ranges)

    @clause("file-local")
    def test_local_files_are_local(self, new_store: NewStore) -> None:
        """`local_file` is True only where paths are files of this machine."""
        store = new_store()
        path, files = _stores.put(store, "file", b"x"), store.filesystem()
        local = getattr(files, "local_file", False)
        advice = "leave it out: what is elsewhere is read by threads, and cached"
        given = f"local_file is {local!r}, of {path!r}"
        holds(not local or os.path.isfile(path), given, "a file of this machine", "none", advice)

    @clause("file-fork")
    def test_a_forked_child_gets_the_same(self, new_store: NewStore) -> None:
        """A filesystem made and used before a fork answers in the child and in the parent."""
        _isolation.needs_fork()
        store = new_store()
        path, files = _stores.put(store, "forked", _BYTES), store.filesystem()
        _isolation.in_fork("cat_file, size", lambda: (files.cat_file(path), files.size(path)))

    @clause("nothing-left-open")
    def test_nothing_is_left_open(self, new_store: NewStore) -> None:
        """Each call closes what it opens; closing an open file does the same."""
        store = new_store()
        path, files = _stores.put(store, "file", _BYTES), store.filesystem()

        def use() -> None:
            for _ in range(3):
                files.cat_file(path)
                files.cat_file(path, 5, 9)
                files.size(path)
                with files.open(path) as file:
                    file.read(10)

        use()
        _isolation.leaves_nothing_open("cat_file, size, open", use)

    @clause("failures-file")
    def test_failures_are_told(self, new_store: NewStore) -> None:
        """Where the system fails at any call: an OSError, not FileNotFoundError; or the bytes."""
        store = new_store()
        path, files = _stores.put(store, "file", bytes(range(251)) * 1_000), store.filesystem()

        def read(size: int) -> bytes:
            with files.open(path) as file:
                return file.read(size) + file.read()

        questions: dict[str, Callable[[], object]] = {
            "cat_file(…)": lambda: files.cat_file(path),
            "cat_file(…, 5, 200000)": lambda: files.cat_file(path, 5, 200_000),
            "size(…)": lambda: files.size(path),
            "open(…) and read": lambda: read(70_000),
        }
        for given, question in questions.items():
            _faults.at_every_call(given, question, (OSError,), never=FileNotFoundError)

    @clause("process-unchanged")
    def test_the_process_stays_as_it_is(self, new_store: NewStore) -> None:
        """Reading and failing leave no temporary file, nothing open, no setting changed."""
        store = new_store()
        path, files = _stores.put(store, "folder/file", _BYTES), store.filesystem()
        absent = [full_path(store, name) for name in ("absent", "folder", "folder/file/below")]

        def use() -> None:
            for question in _stores.questions(files, path).values():
                question()
                for number in (1, 2, 3):
                    with _faults.failing(number):
                        _faults.outcome(question)
            for at in absent:
                for question in _stores.questions(files, at).values():
                    _faults.outcome(question)

        use()
        with _state.leaves_the_process("reading, and failing"):
            use()
        _isolation.leaves_nothing_open("reading what is not there, and failing", use)

    @clause("type-others")
    def test_other_types_are_left_to_others(self, new_store: NewStore) -> None:
        """The hook returns None for other types, including similarly named ones."""
        kind = new_store().ds_type
        others = [
            f"{kind}2",
            f"my{kind}",
            f"{kind}-x",
            f"{kind}x",
            kind.swapcase(),
            kind[:-1],
            f" {kind}",
        ]
        hooks = hooks_of(self.module)
        for other in (*others, "nobodys", f"nobodys-{kind}", ""):
            given = f"mfc_filesystem({other!r})"
            arguments = {"ds_type": other, "config": Config(), "meter": _NoMeter()}
            answer = ask(given, partial(hooks.first, "mfc_filesystem", **arguments))
            equal(given, None, answer)

    @clause("sample-values")
    def test_values_of_the_sample(self, new_store: NewStore) -> None:
        """Through this filesystem the client gives the values that Metaflow gave for the sample."""
        self._sample(new_store, "data")

    @clause("sample-logs")
    def test_logs_of_the_sample(self, new_store: NewStore) -> None:
        """Through this filesystem the client gives the logs that Metaflow gave for the sample."""
        self._sample(new_store, "log")

    @clause("sample-objects")
    def test_objects_of_the_sample(self, new_store: NewStore) -> None:
        """With artifacts behind this filesystem, runs, steps and tasks answer as in Metaflow."""
        self._sample(new_store, "object")

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)

    def _sample(self, new_store: NewStore, kind: str) -> None:
        """Upload the sample, run all its queries of one kind, compare with Metaflow's answers."""
        __tracebackhide__ = True
        store = new_store()
        for name, content in sample.datastore().items():
            store.put(name, content)
        client = sample.client(bare_root(store), store.filesystem())
        expected = sample.answers(kind)
        got = ask(f"the sample's questions about each {kind}", lambda: sample.asked(client, kind))
        wrong = [key for key in expected if got.get(key) != expected[key]]
        for key in wrong[:1]:
            given = f"{key}, the first of {len(wrong)} that differ, of {len(expected)}"
            holds(not wrong, given, expected[key], got.get(key))


class _NoMeter:
    def add(self, *, reads: int = 0, size: int = 0, cache_hits: int = 0) -> None:
        """Count nothing."""
