"""Calling the hooks of one plugin, as a client does."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pluggy
import pytest

from mfc import hookspecs


class Hooks:
    """The hooks of one plugin, a module or an object."""

    def __init__(self, plugin: object) -> None:
        self.plugin = plugin
        self._manager = pluggy.PluginManager("mfc")
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(plugin)

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return the plugin's answer to a hook; None without an answer or an implementation."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        known = {**arguments, "hooks": self}
        for implementation in implementations:
            names = implementation.argnames
            answer = implementation.function(*[known[name] for name in names])
            if inspect.iscoroutine(answer) or inspect.isasyncgen(answer):
                if inspect.iscoroutine(answer):
                    answer.close()  # else Python warns that it was never awaited
                raise TypeError(
                    f"{hook} is async; hooks answer at once: write `def`, not `async def`"
                )
            return answer
        return None

    def ask(self, hook: str, **arguments: Any) -> list[Any]:  # noqa: ARG002 - this plugin is alone
        """Return other plugins' answers: none, as this plugin is alone."""
        return []


def hooks_of(plugin: object) -> Hooks:
    """Return the hooks of a module, by its name, or of an object; skip without either."""
    if plugin is None:
        pytest.skip("the class names no `module`")
    return Hooks(importlib.import_module(plugin) if isinstance(plugin, str) else plugin)
