"""`python -m mfc plugins`: which plugins there are, and what is wrong with them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from mfc._discovery import PluginInfo, values
from mfc._objects import Client
from mfc.errors import MetaflowException


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Args:
        arguments: without the program's name; by default those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m mfc", description=__doc__)
    commands = parser.add_subparsers(required=True)
    plugins = commands.add_parser("plugins", help="list plugins")
    plugins.add_argument("--json", action="store_true", help="one JSON document")
    plugins.add_argument("--check", action="store_true", help="exit with 1 if one has a problem")
    plugins.add_argument("--trace", action="store_true", help="show every hook that is called")
    chosen = parser.parse_args(arguments)
    try:
        client = Client(namespace=None, config={"MFC_TRACE_PLUGINS": chosen.trace})
        found = client.plugins()
        if chosen.trace:
            client.use(None)  # a question to trace: who serves the metadata of the settings?
    except MetaflowException as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    print(_json(found) if chosen.json else _table(found))  # noqa: T201
    return 1 if chosen.check and any(plugin.error for plugin in found) else 0


def _json(found: list[PluginInfo]) -> str:
    return json.dumps([values(plugin) for plugin in found], indent=2)


def _table(found: list[PluginInfo]) -> str:
    rows = [("kinds", "distribution", "hooks", "load", "state")]
    rows += [
        (
            ", ".join(plugin.kinds) or "-",
            f"{plugin.distribution} {plugin.version}".strip() or "built in or registered",
            ", ".join(hook.removeprefix("mfc_") for hook in plugin.hooks) or "-",
            f"{plugin.load_ms:.1f} ms" if plugin.kinds and plugin.file else "-",
            "off" if plugin.off else "broken" if plugin.error else "ok",
        )
        for plugin in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    problems = [f"  {plugin.error}" for plugin in found if plugin.error]
    return "\n".join([*lines, *(["", "problems:", *problems] if problems else [])])


if __name__ == "__main__":
    sys.exit(main())
