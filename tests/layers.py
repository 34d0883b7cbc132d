"""Allowed imports between packages, checked by import-linter.

The contracts are in `pyproject.toml`. import-linter needs every package by name; here the names
`mfc_*` (the packages of all other distributions) and `mfc._*` (the rooms of core) are filled in
from the folders, so that a new plugin is found without being listed.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]


def expanded() -> str:
    """Return the contracts with the names of all packages in place of patterns."""
    packages = sorted(path.parent.name for path in ROOT.glob("*/*/src/*/__init__.py"))
    rooms = sorted(f"mfc.{path.parent.name}" for path in ROOT.glob("core/src/mfc/_*/__init__.py"))

    def names(found: re.Match[str]) -> str:
        every, but = packages if found[1] == "mfc_*" else rooms, found[2]
        return ", ".join(f'"{name}"' for name in every if name != but)

    text = (ROOT / "pyproject.toml").read_text()
    contracts = text[text.index("[tool.importlinter]") :]
    return re.sub(r'"(mfc_\*|mfc\._\*)(?: but (\w+))?"', names, contracts)


if __name__ == "__main__":
    sys.path[:0] = [str(path) for path in (ROOT / "core/src", *ROOT.glob("*/*/src"))]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(expanded())
        config.flush()
        sys.exit(lint_imports(config.name, no_cache=True, no_logo=True))
