"""The command `mfc-server`: run the service, or fill its database."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from mfc_server._database import Database, DatabaseUnusable
from mfc_server._limits import USUAL_SECONDS
from mfc_server._redaction import without_password

#: The settings that name the database and the key.
DB_VARIABLE, KEY_VARIABLE = "MFC_SERVER_DB", "MFC_SERVER_API_KEY"
USUAL_DB, USUAL_PORT = "sqlite:///metaflow.db", 8080
#: Longest turn of a thread in seconds: a busy one lets the others answer.
SWITCH = 0.001
#: A path in front of others.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(given).parse_args(given)
    try:
        if options.command == "import":
            from mfc_server._transfer import import_results  # only this command needs a client

            print(import_results(options.source, options.db))  # noqa: T201, the command's answer
        elif options.command == "copy":
            from mfc_server._transfer import copy  # likewise

            print(copy(options.source, options.target))  # noqa: T201, likewise
        else:
            return _serve(options)
    except (DatabaseUnusable, OSError) as error:
        print(f"mfc-server: {error}", file=sys.stderr)  # noqa: T201, likewise
        return 1
    except KeyboardInterrupt:
        print("mfc-server: interrupted", file=sys.stderr)  # noqa: T201, likewise
        return 130
    return 0


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            # The message may repeat any argument, including a database's URL.
            for text in given:
                for spelt in (text, repr(text)):
                    message = message.replace(spelt, without_password(spelt))
            super().error(message)

    parser = Parser(
        prog="mfc-server",
        description="A Metaflow metadata service. Metaflow uses it with METAFLOW_SERVICE_URL="
        "http://127.0.0.1:8080 and METAFLOW_DEFAULT_METADATA=service.",
    )
    parser.add_argument(
        "--version", action="version", version=f"mfc-server {version('mfc-server')}"
    )
    _database_option(parser, os.environ.get(DB_VARIABLE, USUAL_DB))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=USUAL_PORT, help="port; 0: a free one (%(default)s)"
    )
    parser.add_argument(
        "--prefix", type=_prefix, default="", help="path in front of all, such as /metaflow"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which clients reach the server, if it has no key; may be repeated, * is any",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=USUAL_SECONDS,
        help="for a client to send a request, and to read the next part of an answer; for a read "
        "of the database; for the wait for a turn (%(default)g)",
    )
    parser.add_argument(
        "--api-key-file",
        help=f"file with the key that requests bring in x-api-key; or set {KEY_VARIABLE}",
    )
    commands = parser.add_subparsers(dest="command", metavar="import | copy")
    load = commands.add_parser(
        "import", help="load the metadata of a .metaflow directory, or of any address mfc reads"
    )
    load.add_argument("source", help="directory, or an address such as service@http://…")
    # These options may be given before or after the command's name; without a default, the second
    # parser keeps the first one's values.
    _database_option(load, argparse.SUPPRESS)
    move = commands.add_parser("copy", help="copy everything from one database to another")
    move.add_argument("--from", dest="source", required=True, help="URL of the full one")
    move.add_argument("--to", dest="target", required=True, help="URL of the empty one")
    return parser


def _database_option(parser: argparse.ArgumentParser, default: str) -> None:
    where = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    text = f"{where} (${DB_VARIABLE}, else {USUAL_DB})"
    parser.add_argument("--db", default=default, help=text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 2**16):
        raise argparse.ArgumentTypeError(f"a port is a number of 0 to 65535, not {text!r:.80}")
    return int(text)


def _prefix(text: str) -> str:
    prefix = f"/{text.strip('/')}" if text.strip("/") else ""
    if not _PREFIX.fullmatch(prefix) or {".", ".."} & {*prefix.split("/")}:
        raise argparse.ArgumentTypeError(
            f"a prefix is a path of letters, digits and .-_~, such as /metaflow, not {text!r:.80}"
        )
    return prefix


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 10**6:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, not {text!r:.80}")
    return seconds


def _serve(options: argparse.Namespace) -> int:
    # The other commands do not use uvicorn.
    from mfc_server._app import Terms, application
    from mfc_server._running import Ending, Server, allow_many_connections

    sys.setswitchinterval(SWITCH)
    allow_many_connections()
    key = _key(options.api_key_file)
    with (
        contextlib.closing(Database(options.db, options.seconds)) as database,
        _listening(options.host, options.port) as listening,
    ):
        ending = Ending()
        hosts = [options.host, *options.allow_host]
        terms = Terms(hosts, options.seconds, ending.is_near)
        app = application(database, key, options.prefix, terms)
        server = Server(app, options.seconds, ending)

        # uvicorn's own handlers are installed later, and pass the signals on to these when it has
        # ended.
        def stop(*_: object) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        # Flushed, because the process that started the server waits for this line.
        print(  # noqa: T201, likewise
            f"mfc-server listening on http://{shown}:{port}{options.prefix}", flush=True
        )
        server.run([listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    if not host:
        raise OSError("--host is empty; say 127.0.0.1, or 0.0.0.0 for all addresses")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once only over a socket declared as TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except (OSError, UnicodeError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise OSError(f"cannot listen on {host!r:.80}, port {port}: {why}") from error
    return listening


def _key(path: str | None) -> str | None:
    try:
        given = Path(path).read_text(encoding="utf-8") if path else os.environ.get(KEY_VARIABLE)
    except ValueError as error:
        raise OSError(f"{path} is not a text; it has to hold the key") from error
    key = (given or "").strip()
    if path and not key:
        raise OSError(f"{path} is empty; it has to hold the key")
    if not key.isascii() or not key.isprintable():
        where = path or f"${KEY_VARIABLE}"
        raise OSError(f"{where} has to hold a key of one line of printable ASCII")
    return key or None


if __name__ == "__main__":
    sys.exit(main())
