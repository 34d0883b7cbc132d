"""Entry points are those that importlib.metadata finds, found without it where that can be."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from mfc._plugins import _installed

FOUND = """
import sys
from mfc._plugins._installed import entries
found = [[e.name, e.value, e.distribution, e.version] for e in entries("mfc")]
quick = "importlib.metadata" not in sys.modules
"""
#: The same in a process that has imported importlib.metadata before.
ASKED = f"import importlib.metadata\n{FOUND}"


def entries(site: Any, code: str) -> tuple[list[list[str]], bool]:
    found, quick = site.run(f"{code}\nshow([found, quick])")
    return sorted(found), quick


def test_all_groups_of_this_environment_equal_those_of_the_library() -> None:
    groups = metadata.entry_points().groups
    assert len(groups) > 3
    for group in groups:
        quick = [e for place in _installed._distributions() for e in _installed._read(place, group)]
        assert sorted(quick, key=str) == sorted(_installed._asked(group), key=str)


def facts(site: Any, distribution: str, name: str, content: bytes) -> None:
    (site.packages / f"{distribution}-1.0.dist-info" / name).write_bytes(content)


def older_beside_newer(site: Any) -> None:
    site.install("mfc-one", {"one": "mfc_one"}, "0.9")


def twice_on_the_path(site: Any) -> None:
    """The first of two distributions counts, whichever spelling its name has."""
    other = site.needed / "Mfc.One-7.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Name: Mfc.One\nVersion: 7\n")
    (other / "entry_points.txt").write_text("[mfc]\nother = mfc_other\n")


def comments_and_spaces(site: Any) -> None:
    text = (
        b"# first\r\n[mfc]\r\n\r\n  a=b\r\n# no\r\nc  =  d.e : f [extra]\r\n[mfc.more]\r\nx = y\r\n"
    )
    facts(site, "mfc_one", "entry_points.txt", text)


def folded_metadata(site: Any) -> None:
    text = b"Metadata-Version: 2.1\nName: Mfc_ONE\nSummary: Name: x\nVersion: 3\n\nVersion: 4\n"
    facts(site, "mfc_one", "METADATA", text)


def an_egg(site: Any) -> None:
    folder = site.packages / "mfc_egg.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Name: mfc-egg\nVersion: 2\n")
    (folder / "entry_points.txt").write_text("[mfc]\negg = mfc_egg\n")
    (site.packages / "mfc_file.egg-info").write_text("Name: mfc-file\nVersion: 2\n")


def no_metadata(site: Any) -> None:
    (site.packages / "mfc_one-1.0.dist-info" / "METADATA").unlink()


CASES = [
    older_beside_newer,
    twice_on_the_path,
    comments_and_spaces,
    folded_metadata,
    an_egg,
    no_metadata,
]


@pytest.mark.parametrize("case", CASES)
def test_entry_points_equal_those_of_the_library(site: Any, case: Any) -> None:
    site.install("mfc-one", {"one": "mfc_one", "two": "mfc_one:two"})
    case(site)
    quick, was_quick = entries(site, FOUND)
    asked, was_asked = entries(site, ASKED)
    assert quick == asked
    assert len(quick) > 1
    assert (was_quick, was_asked) == (True, False)


UNUSUAL = {
    "zip": "import sys, zipfile; zipfile.ZipFile('x.zip', 'w').close(); sys.path.append('x.zip')",
    "egg": "import os, sys; os.mkdir('x.egg'); sys.path.append('x.egg')",
    "finder": "import sys; sys.meta_path.append(type('F', (), {'find_distributions': lambda *_: [], "
    "'find_spec': lambda *_: None})())",
    "path": "import pathlib, sys; sys.path[1:1] = [pathlib.Path('.')]",
    "damaged": "import sys; open(sys.path[1] + '/mfc_one-1.0.dist-info/entry_points.txt', 'ab').write(b'[x\\xff]')",
}


@pytest.mark.parametrize("case", sorted(UNUSUAL))
def test_unusual_finders_are_left_to_the_library(site: Any, case: str) -> None:
    site.install("mfc-one", {"one": "mfc_one"})
    found, quick = entries(site, f"{UNUSUAL[case]}\n{FOUND}")
    assert not quick
    assert [name for name, *_ in found] == (
        ["local", "spin"] if case == "damaged" else ["local", "one", "spin"]
    )


@pytest.mark.parametrize(
    ("value", "expected"), [("os", "os"), ("os:path.sep", "/"), ("os : path.sep [x]", "/")]
)
def test_an_entry_is_loaded(value: str, expected: str) -> None:
    loaded = _installed.Entry("x", value).load()
    assert getattr(loaded, "__name__", loaded) == expected


@pytest.mark.parametrize("value", ["", "a b", "no:object:here"])
def test_an_invalid_entry_point_is_reported(value: str) -> None:
    entry = _installed.Entry("x", value)
    assert entry.module is None
    with pytest.raises(ImportError, match="is not a module"):
        entry.load()
