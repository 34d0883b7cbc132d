"""Ranges of objects, compared with slices of bytes."""

from __future__ import annotations

import pytest

from .conftest import Place

ENDS = (None, 0, 1, 5, 50_000, 102_399, 102_400, 200_000)


@pytest.mark.parametrize("start", [None, 0, 1, 5, 102_399, 102_400, 150_000])
def test_a_range_is_a_slice(place: Place, start: int | None) -> None:
    files = place.files()
    for end in ENDS:
        assert files.cat_file(place.path, start, end) == place.content[start:end], (start, end)


def test_an_empty_object_has_empty_ranges(place: Place) -> None:
    place.bucket.put("empty", b"")
    path = place.path.replace("/file", "/empty")
    for start, end in ((None, None), (0, 10), (0, 1 << 22), (5, 10), (5, None)):
        assert place.files().cat_file(path, start, end) == b""
    with place.files().open(path) as file:
        assert file.read() == b""


def test_a_missing_object_has_no_ranges(place: Place) -> None:
    for start, end in ((0, 10), (5, None)):
        with pytest.raises(FileNotFoundError):
            place.files().cat_file(f"{place.path}-absent", start, end)


def test_an_open_file_is_read_in_parts(place: Place) -> None:
    with place.files().open(place.path) as file:
        assert file.seek(-100, 2) == len(place.content) - 100
        assert file.read() == place.content[-100:]
        assert file.seek(7) == 7
        assert file.read(5) == place.content[7:12]


@pytest.mark.parametrize("name", ["", "/", "bucket", "bucket/", "bucket/folder/"])
def test_a_path_without_an_object_is_refused(place: Place, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="names no object"):
        place.files().cat_file(name)


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a/\ttab", "\ud800"])
def test_a_key_that_obstore_rejects_is_reported(place: Place, name: str) -> None:
    with pytest.raises(OSError, match="obstore takes no keys with empty parts"):
        place.files().cat_file(f"{place.bucket.name}/{name}")
