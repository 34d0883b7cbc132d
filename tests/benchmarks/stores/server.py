"""nginx as an object store: a directory's files, readable without credentials, as fast as possible.

Reading from S3 is GET, HEAD and Range; nginx has those, and neither checks signatures nor costs
what an emulator does, so that the clients are measured.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.layout import BLOB_ATTRIBUTES

#: Debian's folder for it, which is only on root's path.
_USUAL = "/usr/sbin"
_PATIENCE = 30
_CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {scratch}/pid;
error_log {scratch}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    default_type application/octet-stream;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {served};
        add_header x-amz-meta-metaflow-user-attributes '{attributes}';
    }}
}}
"""


class NoServer(Exception):
    """nginx is missing or does not start; the message has the remedy."""


@contextlib.contextmanager
def object_server(served: Path) -> Iterator[str]:
    """Serve a directory until the end of the block; give the URL.

    Raises:
        NoServer: nginx is missing, or it ended.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_USUAL}")
    if program is None:
        raise NoServer("nginx is not installed: apt-get install nginx-light, or give --endpoint")
    with socket.socket() as listener, tempfile.TemporaryDirectory() as scratch:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        port = listener.getsockname()[1]
        settings = {"scratch": scratch, "port": port, "served": served, "user": _user()}
        configuration = Path(scratch) / "nginx.conf"
        attributes = json.dumps(BLOB_ATTRIBUTES)
        configuration.write_text(_CONFIGURATION.format(attributes=attributes, **settings))
        process = subprocess.Popen(
            [program, "-e", f"{scratch}/start.log", "-p", scratch, "-c", configuration],
            # nginx takes over the sockets of its predecessor, so that no other process can get the
            # port.
            env={**os.environ, "NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not _answers(url, process):
                raise NoServer(f"nginx does not serve: {_said(Path(scratch))}")
            yield url
        finally:
            process.terminate()
            process.wait()


def _user() -> str:
    """Return the line that lets nginx read root's files; only root may set the user."""
    if os.geteuid():
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};"


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/", timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.05)
    return False


def _said(scratch: Path) -> str:
    """Return the content of nginx's logs."""
    return " ".join(path.read_text().strip() for path in sorted(scratch.glob("*.log")))
