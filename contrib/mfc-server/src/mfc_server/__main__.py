"""The command `mfc-server`: run the service, or fill its database."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from mfc_server import __version__
from mfc_server._database import Database, DatabaseUnusable

#: The setting that names the database, and the one that holds the key.
DB_VARIABLE, KEY_VARIABLE = "MFC_SERVER_DB", "MFC_SERVER_API_KEY"
USUAL_DB, USUAL_PORT = "sqlite:///metaflow.db", 8080
#: Seconds in which answers that are under way may end when the server is stopped.
GRACE = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
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
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mfc-server",
        description="A Metaflow metadata service. Metaflow uses it with METAFLOW_SERVICE_URL="
        "http://127.0.0.1:8080 and METAFLOW_DEFAULT_METADATA=service.",
    )
    parser.add_argument("--version", action="version", version=f"mfc-server {__version__}")
    _database_option(parser, os.environ.get(DB_VARIABLE, USUAL_DB))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=USUAL_PORT, help="port; 0: a free one (%(default)s)"
    )
    parser.add_argument("--prefix", default="", help="path in front of all, such as /metaflow")
    parser.add_argument(
        "--api-key-file",
        help=f"file with the key that requests bring in x-api-key; or set {KEY_VARIABLE}",
    )
    commands = parser.add_subparsers(dest="command", metavar="import | copy")
    load = commands.add_parser(
        "import", help="load the metadata of a .metaflow directory, or of any address mfc reads"
    )
    load.add_argument("source", help="directory, or an address such as service@http://…")
    # Before or after the command's name; without, it is what the part before said.
    _database_option(load, argparse.SUPPRESS)
    move = commands.add_parser("copy", help="copy everything from one database to another")
    move.add_argument("--from", dest="source", required=True, help="URL of the full one")
    move.add_argument("--to", dest="target", required=True, help="URL of the empty one")
    return parser


def _database_option(parser: argparse.ArgumentParser, default: str) -> None:
    where = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    text = f"{where} (${DB_VARIABLE}, else {USUAL_DB})"
    parser.add_argument("--db", default=default, help=text)


def _serve(options: argparse.Namespace) -> int:
    import uvicorn  # the other commands do without

    from mfc_server._app import application

    prefix = options.prefix.strip("/")
    database = Database(options.db)
    with contextlib.closing(database), _listening(options.host, options.port) as listening:
        app = application(database, _key(options.api_key_file), f"/{prefix}" if prefix else "")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            http="httptools",
            timeout_graceful_shutdown=GRACE,
            server_header=False,
        )
        server = uvicorn.Server(config)

        # uvicorn's own handlers come later, and hand what they got on to these when it has ended.
        def stop(*_: object) -> None:
            server.should_exit = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        # A pipe wants it now: whoever started the server waits for this line.
        print(  # noqa: T201, likewise
            f"mfc-server listening on http://{shown}:{port}{'/' + prefix if prefix else ''}",
            flush=True,
        )
        server.run([listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once only where it is told that this is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


def _key(path: str | None) -> str | None:
    key = Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get(KEY_VARIABLE)
    if path and not key:
        raise OSError(f"{path} is empty; it has to hold the key")
    return key or None


if __name__ == "__main__":
    sys.exit(main())
