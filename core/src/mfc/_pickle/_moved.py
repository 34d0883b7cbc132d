"""Where names are that libraries moved since a value was stored."""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from typing import Any


def homes(module: str) -> tuple[str, ...]:
    """Return the modules in which to look for what `module` had, the best first.

    >>> homes("numpy.core.multiarray")
    ('numpy._core.multiarray', 'numpy.core.multiarray')
    """
    # numpy 2 renamed its core and warns about the old name; numpy 1 has the old one only.
    if module.startswith("numpy.core."):
        return module.replace(".core.", "._core.", 1), module
    if module.startswith("numpy._core."):
        return module, module.replace("._core.", ".core.", 1)
    # Python 3.13 alone stored paths under this name.
    if module == "pathlib._local":
        return ("pathlib",)
    return (module,)


def imported(module: str, name: str) -> Any:
    """Return the member `name` of `module`, wherever it is today.

    Raises:
        ImportError: there is no such module.
        AttributeError: it has no such member.
    """
    first, *others = homes(module)
    try:
        return attrgetter(name)(import_module(first))
    except (ImportError, AttributeError):
        if not others:
            raise
    return attrgetter(name)(import_module(others[0]))
