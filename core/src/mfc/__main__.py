"""`python -m mfc plugins`: the installed plugins, and their problems."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence

from mfc._plugins._discovery import PluginInfo, values
from mfc._session._reader import Reader
from mfc.errors import MetaflowException, visible
from mfc.hookspecs import Support

_WIDTH, _INDENT = 100, 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0 means success; 1 a problem found by `--check`, or unreadable rules about plugins; 2 an
    invalid command line.

    Args:
        arguments: the command line without the program's name; by default that of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m mfc", description=__doc__)
    commands = parser.add_subparsers(required=True)
    plugins = commands.add_parser("plugins", help="list plugins")
    plugins.add_argument("--json", action="store_true", help="one JSON document")
    plugins.add_argument("--check", action="store_true", help="exit with 1 if one has a problem")
    plugins.add_argument("--trace", action="store_true", help="show every hook that is called")
    chosen = parser.parse_args(arguments)
    settings = {"MFC_STRICT_PLUGINS": False}  # a listing shows broken plugins, also in strict mode
    try:
        client = Reader(config=settings | ({"MFC_TRACE_PLUGINS": True} if chosen.trace else {}))
        if chosen.check:
            client.plugins.probe()
        found, idle = client.plugins.infos(), client.plugins.registry.selection.idle()
    except MetaflowException as problem:
        _say(str(problem))
        return 1
    if chosen.trace:
        _ask(client)
    print(_json(found) if chosen.json else _text(found))  # noqa: T201 - this is a command
    for name in idle:
        _say(f"No installed plugin is named {name!r}, which a rule about plugins names")
    foreign = _foreign() if chosen.check else None
    if foreign:
        _say(foreign)
    wrong = idle or foreign or any(plugin.error for plugin in found)
    return 1 if chosen.check and wrong else 0


def _foreign() -> str | None:
    """Return a warning about another project's distribution with the same import name."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and only this needs it

    try:
        installed = version("mfc")
    except PackageNotFoundError:
        return None
    return (
        f"Distribution mfc {installed} is installed. It is another project, for mass flow "
        "controllers, with the same import name, and overwrites files of mfc-core: pip uninstall "
        "mfc, then pip install --force-reinstall mfc-core"
    )


def _ask(client: Reader) -> None:
    """Load everything that a client needs, so that the trace has calls to show."""
    datastore = client.config.text("DEFAULT_DATASTORE") or "local"
    _try(lambda: client.use(None))
    _try(lambda: client.policy)
    _try(lambda: client.filesystem(datastore))


def _try(question: Callable[[], object]) -> None:
    try:
        question()
    except MetaflowException as problem:
        _say(str(problem))


def _say(problem: str) -> None:
    print(visible(problem), file=sys.stderr)  # noqa: T201 - this is a command


def _json(found: list[PluginInfo]) -> str:
    return json.dumps([values(plugin) for plugin in found], indent=2)


def _text(found: list[PluginInfo]) -> str:
    broken = sum(plugin.error is not None for plugin in found)
    summary = f"{len(found)} plugins, {broken or 'none'} with a problem"
    return "\n".join([*("\n".join(_block(plugin)) + "\n" for plugin in found), summary])


def _block(plugin: PluginInfo) -> Iterator[str]:
    """Yield the lines on a plugin, at most 100 characters each, except for a long path."""
    state = "off" if plugin.off else "broken" if plugin.error else "ok"
    title = f"{plugin.distribution} {plugin.version}".strip() or plugin.name
    yield from _line(", ".join(plugin.kinds) or "(every kind)", f"{title}: {state}")
    if plugin.error:
        yield from _line("  problem", plugin.error)
    if plugin.hooks:
        yield from _line("  hooks", ", ".join(plugin.hooks))
    if plugin.capabilities is not None:
        supports = values(plugin)["capabilities"]
        for support in Support:
            parts = [name for name, value in supports.items() if value == support.value]
            if parts:
                yield from _line(f"  {support.name.lower()}", ", ".join(parts))
    if plugin.file:
        yield f"{'  file':{_INDENT}}{visible(plugin.file)}"
    if plugin.load_ms:
        yield from _line("  loaded in", f"{plugin.load_ms:.1f} ms")


def _line(label: str, text: str) -> list[str]:
    head = f"{visible(label):{_INDENT - 2}}  "
    return textwrap.wrap(
        visible(text), _WIDTH, initial_indent=head, subsequent_indent=" " * _INDENT
    )


def _run() -> int:
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reading process has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(_run())
