"""Calling the hooks of one plugin, as a client does."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pluggy
import pytest

from mfc import hookspecs


class Hooks:
    """The hooks of one plugin, a module or an object, and no others."""

    def __init__(self, plugin: object) -> None:
        self.plugin = plugin
        self._manager = pluggy.PluginManager("mfc")
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(plugin)

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return the plugin's answer to a hook; None if it has none or does not implement it."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        known = {**arguments, "hooks": self}
        for implementation in implementations:
            names = implementation.argnames
            answer = implementation.function(*[known[name] for name in names])
            if inspect.iscoroutine(answer) or inspect.isasyncgen(answer):
                if inspect.iscoroutine(answer):
                    answer.close()  # else it warns that nothing has awaited it
                raise TypeError(
                    f"{hook} is async; hooks answer at once: write `def`, not `async def`"
                )
            return answer
        return None

    def ask(self, hook: str, **arguments: Any) -> list[Any]:  # noqa: ARG002 - nobody else is there
        """Return what other plugins answer: here there are none."""
        return []


def hooks_of(plugin: object) -> Hooks:
    """Return the hooks of a module by its name, or of an object; skip if there is none."""
    if plugin is None:
        pytest.skip("the class names no `module`")
    return Hooks(importlib.import_module(plugin) if isinstance(plugin, str) else plugin)
