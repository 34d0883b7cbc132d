"""Entry points of installed distributions, without the 25 ms of `importlib.metadata`.

That module imports half of the standard library, email and zip files among it: a fifth of the time
that a new process needs to read its first value. It is used where it is imported already, and where
something may be installed in another form than a directory with metadata.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any, NamedTuple

_VALUE = re.compile(r"(?P<module>[\w.]+)\s*(:\s*(?P<attr>[\w.]+)\s*)?(\[.*\]\s*)?$")
_METADATA = (".dist-info", ".egg-info")


class Entry(NamedTuple):
    """An entry point and its distribution; the texts are empty where metadata is damaged."""

    name: str
    #: `module` or `module:object`, as written.
    value: str
    distribution: str = ""
    version: str = ""

    @property
    def module(self) -> str | None:
        """The module; None if the value has another form."""
        match = _VALUE.match(self.value)
        return None if match is None else match["module"]

    def load(self) -> Any:
        """Return the module or the object; raises any exception of the import."""
        match = _VALUE.match(self.value)
        if match is None:
            raise ImportError(f"its entry point {self.value!r} is not a module or module:object")
        found: Any = import_module(match["module"])
        for name in filter(None, (match["attr"] or "").split(".")):
            found = getattr(found, name)
        return found


def entries(group: str) -> list[Entry]:
    """Return the entry points of a group, of the first copy of each distribution on the path."""
    if "importlib.metadata" not in sys.modules:
        with contextlib.suppress(_Unusual, UnicodeDecodeError):
            return [entry for directory in _distributions() for entry in _read(directory, group)]
    return list(_asked(group))


class _Unusual(Exception):
    """The fast search may miss an installed distribution."""


def _distributions() -> Iterator[str]:
    """Yield the metadata directories of installed distributions.

    Raises:
        _Unusual: the search may miss some.

    Source:
        importlib.metadata of Python 3.10 to 3.14.
    """
    finders = (finder for finder in sys.meta_path if finder is not PathFinder)
    if any(hasattr(finder, "find_distributions") for finder in finders):
        raise _Unusual
    seen = set()
    for place in sys.path:
        if not isinstance(place, str):
            raise _Unusual  # such as a Path, which imports ignore
        try:
            names = os.listdir(place or ".")
        except NotADirectoryError:
            raise _Unusual from None  # a zip file, perhaps
        except OSError:
            continue
        if place.lower().endswith(".egg"):
            raise _Unusual
        for name in names:
            if name.lower().endswith(_METADATA):
                project = re.sub("[-_.]+", "-", name.rpartition(".")[0].partition("-")[0]).lower()
                if project not in seen:
                    seen.add(project)
                    yield os.path.join(place or ".", name)


def _read(directory: str, group: str) -> Iterator[Entry]:
    """Yield a distribution's entry points of a group."""
    content = _content(directory, "entry_points.txt")
    if group.encode() not in content:
        return
    facts: dict[str, str] | None = None
    section = ""
    for line in map(str.strip, content.decode().splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif section == group and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            facts = _facts(directory) if facts is None else facts
            yield Entry(
                name.strip(), value.strip(), facts.get("name", ""), facts.get("version", "")
            )


def _facts(directory: str) -> dict[str, str]:
    """Return the fields of a distribution's metadata by lower-case name."""
    content = _content(directory, "METADATA") or _content(directory, "PKG-INFO")
    head = content.decode(errors="replace").replace("\r\n", "\n").partition("\n\n")[0]
    fields = (line.partition(":") for line in reversed(head.splitlines()) if ":" in line)
    return {name.lower(): value.strip() for name, _, value in fields}


def _content(directory: str, name: str) -> bytes:
    try:
        with open(os.path.join(directory, name), "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""


def _asked(group: str) -> Iterator[Entry]:
    """Yield the entry points of a group, found by importlib.metadata."""
    from importlib import metadata  # 25 ms

    try:
        found = list(metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001 - one distribution is damaged: read them one by one
        found = []
        for distribution in metadata.distributions():
            with contextlib.suppress(Exception):  # a damaged distribution serves no plugin
                found += distribution.entry_points.select(group=group)
    for entry in found:
        try:
            facts: Any = entry.dist.metadata if entry.dist else {}  # parsed anew at each access
            name, version = facts["Name"], facts["Version"]
        except Exception:  # noqa: BLE001 - a damaged installation must not affect the others
            name = version = None
        yield Entry(entry.name, entry.value, name or "", version or "")
