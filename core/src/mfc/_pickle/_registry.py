"""The builder of each name, by trust."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from mfc._pickle._builders import Builder
from mfc._pickle._tree import Name

#: Package of a name → the module with its builders; all others are the standard library's.
_MODULES = {
    "metaflow": "_standins", "__main__": "_standins", "numpy": "_numpy", "pandas": "_pandas",
    "pyarrow": "_arrow",
}  # fmt: skip
#: Packages whose values trust `plain` builds.
PLAIN = frozenset({"builtins", "_codecs", "collections", "metaflow", "__main__"})


@lru_cache(maxsize=512)
def builder(module: str, name: str) -> Builder | None:
    """Return the builder for a name, or None.

    Names are looked up by package: libraries move them between their modules.
    """
    package = module.partition(".")[0]
    found: Builder | None = _builders(package).BUILDERS.get(f"{package}.{name}")
    return found


def mentioned(name: Name) -> Any:
    """Return the object for a name that is itself a value, or None."""
    package = name.module.partition(".")[0]
    module = _builders(package)
    if hasattr(module, "mention"):
        return module.mention(name.name)
    return module.MENTIONED.get(f"{package}.{name.name}")


def _builders(package: str) -> ModuleType:
    # Loaded late: most values need one or two of them.
    return import_module(f"mfc._pickle.{_MODULES.get(package, '_stdlib')}")
