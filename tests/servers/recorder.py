"""A recording server for any host: a proxy that answers itself, over TLS with its own authority."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Seconds that a token is good for.
LIFE = 3600
#: Content of every object.
CONTENT = b"it"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    scheme: str
    #: Host, with a port that is not the default.
    host: str
    #: Path and query.
    target: str
    headers: Mapping[str, str]
    body: str = ""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return {name: found[0] for name, found in parse_qs(self.target.partition("?")[2]).items()}


@dataclass(frozen=True)
class Said:
    """An answer."""

    body: bytes | str | dict[str, Any] = CONTENT
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


class Recorder:
    """The running server.

    Attributes:
        url: of the proxy.
        authority: file with the certificate to trust.
        seen: requests since it was last emptied.
        answer: decides before the usual answers; None leaves it to those.
    """

    def __init__(self, folder: Path) -> None:
        self.url, self.authority, self._folder = "", folder / "authority.pem", folder
        self.seen: list[Seen] = []
        self.answer: Callable[[Seen], Said | None] = lambda seen: None
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.authority.write_bytes(self._sign("recorder", is_authority=True))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def _sign(self, host: str, *, is_authority: bool = False) -> bytes:
        now = dt.datetime.now(dt.timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(host))
            .issuer_name(_name("recorder"))
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def context(self, host: str) -> ssl.SSLContext:
        """Return the TLS context of a server of that name."""
        with self._lock:
            if host not in self._contexts:
                file = self._folder / f"{hashlib.sha1(host.encode()).hexdigest()}.pem"
                key = self._key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                file.write_bytes(self._sign(host) + key)
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                made.load_cert_chain(file)
                self._contexts[host] = made
            return self._contexts[host]

    def said(self, seen: Seen) -> Said:
        """Return the answer to a request: of a token server, or an object."""
        self.seen.append(seen)
        found = self.answer(seen)
        if found is not None:
            return found
        return next(filter(None, (usual(seen) for usual in (amazon, google, azure))), Said())

    @property
    def objects(self) -> list[Seen]:
        """The requests for objects."""
        return [seen for seen in self.seen if "an-object" in seen.target]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _soon() -> str:
    soon = dt.datetime.fromtimestamp(time.time() + LIFE, dt.timezone.utc)
    return soon.strftime("%Y-%m-%dT%H:%M:%SZ")


def _keys(name: str) -> dict[str, str]:
    mark = hashlib.sha1(name.encode()).hexdigest()[:8].upper()
    return {"id": f"ASIA{mark}", "secret": f"secret-of-ASIA{mark}", "token": f"token-{mark}"}


def amazon(seen: Seen) -> Said | None:
    """Answer for Amazon's token services and metadata servers; keys contain the request's identity."""
    if seen.host.startswith("sts.") or ".sts." in seen.host or "sts" in seen.host.split(".")[0]:
        asked = parse_qs(seen.body)
        action = asked["Action"][0]
        signer = seen.headers.get("authorization", "").partition("Credential=")[2].split("/")[0]
        keys = _keys(f"{action}{asked['RoleArn'][0]}{signer}{seen.host}")
        credentials = (
            f"<Credentials><AccessKeyId>{keys['id']}</AccessKeyId><SecretAccessKey>{keys['secret']}"
            f"</SecretAccessKey><SessionToken>{keys['token']}</SessionToken>"
            f"<Expiration>{_soon()}</Expiration></Credentials>"
        )
        name = "https://sts.amazonaws.com/doc/2011-06-15/"
        return Said(
            f'<{action}Response xmlns="{name}"><{action}Result>{credentials}</{action}Result>'
            f"</{action}Response>",
            headers={"Content-Type": "text/xml"},
        )
    keys = _keys(f"{seen.host}{seen.path}{seen.headers.get('authorization', '')}")
    role = {
        "AccessKeyId": keys["id"],
        "SecretAccessKey": keys["secret"],
        "Token": keys["token"],
        "Expiration": _soon(),
        "Code": "Success",
    }
    folder = "/latest/meta-data/iam/security-credentials/"
    if seen.path == "/latest/api/token":
        return Said("metadata-token")
    if seen.path == folder:
        return Said("a-role")
    if seen.path == f"{folder}a-role" or seen.path.startswith("/container"):
        return Said(role)
    if seen.path == "/federation/credentials":
        sso = {"accessKeyId": keys["id"], "secretAccessKey": keys["secret"]}
        sso["sessionToken"] = keys["token"]
        return Said({"roleCredentials": {**sso, "expiration": int((time.time() + LIFE) * 1000)}})
    return None


def google(seen: Seen) -> Said | None:
    """Answer for Google's token services; tokens contain the request's identity."""
    if seen.method == "POST" and seen.path.endswith(("token", ":generateAccessToken")):
        if "login.microsoftonline" in seen.host or "/oauth2/" in seen.path:
            return None
        asked = {name: found[0] for name, found in parse_qs(seen.body).items()}
        who = asked.get("refresh_token") or asked.get("subject_token") or asked.get("grant_type")
        token = f"token-{hashlib.sha1(f'{seen.host}{seen.path}{who}'.encode()).hexdigest()[:8]}"
        if seen.path.endswith("generateAccessToken"):
            return Said({"accessToken": token, "expireTime": _soon()})
        answer = {"access_token": token, "token_type": "Bearer"}
        answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        return Said({**answer, "expires_in": LIFE})
    if "/computeMetadata/" not in seen.path and seen.headers.get("metadata-flavor") != "Google":
        return None
    token = {"access_token": f"token-of-{seen.path.split('/')[-2:][0]}", "expires_in": LIFE}
    account = {"email": "machine@project.iam.gserviceaccount.com", "scopes": []}
    known: dict[str, Any] = {"token": token, "universe-domain": "googleapis.com"}
    usual: Any = account if "recursive" in seen.target else "project"
    answer = known.get(seen.path.rpartition("/")[2].replace("_", "-"), usual)
    return Said(answer, headers={"Metadata-Flavor": "Google"})


def azure(seen: Seen) -> Said | None:
    """Answer for Azure's token services; tokens contain the request's identity."""
    if "/.well-known/openid-configuration" in seen.path or "/discovery/instance" in seen.path:
        base = f"{seen.scheme}://{seen.host}/{seen.path.split('/')[1]}"
        tokens = {"token_endpoint": f"{base}/oauth2/v2.0/token", "issuer": f"{base}/v2.0"}
        tokens["authorization_endpoint"] = f"{base}/oauth2/v2.0/authorize"
        metadata = [
            {"preferred_network": seen.host, "preferred_cache": seen.host, "aliases": [seen.host]}
        ]
        return Said(
            {
                **tokens,
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "metadata": metadata,
            }
        )
    asked = {name: found[0] for name, found in parse_qs(seen.body).items()}
    if seen.path.endswith("/oauth2/v2.0/token"):
        secret = asked.get("client_secret") or asked.get("client_assertion", "")
        who = f"{seen.host}{seen.path}{asked.get('client_id')}{secret[:20] if secret.startswith('ey') else secret}"
        return Said(_token(who))
    if "msi" in seen.path or "/metadata/identity" in seen.path:
        names = ("client_id", "clientid", "object_id", "msi_res_id", "mi_res_id", "resource")
        who = "".join(str(seen.query.get(name) or asked.get(name)) for name in names)
        return Said(_token(f"{seen.host}{seen.path}{who}"))
    return None


def _token(who: str) -> dict[str, Any]:
    mark = hashlib.sha1(who.encode()).hexdigest()[:8]
    expiry = {"expires_in": str(LIFE), "expires_on": str(int(time.time()) + LIFE)}
    return {"access_token": f"token-{mark}", "token_type": "Bearer", **expiry}


@contextlib.contextmanager
def recorder(folder: Path) -> Iterator[Recorder]:
    """Run a recording server until the end of the block."""
    made = Recorder(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        _tunnel = ""

        def do_CONNECT(self) -> None:
            self.send_response_only(200)
            self.end_headers()
            host, _, port = self.path.rpartition(":")
            self._tunnel = host if port == "443" else self.path
            self.connection = made.context(host).wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", -1)
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            parts = urlsplit(self.path)
            host = self._tunnel or parts.netloc or self.headers.get("Host", "")
            target = parts._replace(scheme="", netloc="").geturl() if parts.netloc else self.path
            headers = {name.lower(): value for name, value in self.headers.items()}
            scheme = "https" if self._tunnel else "http"
            said = made.said(Seen(self.command, scheme, host, target, headers, body))
            content, status = said.content, said.status
            wanted = self.headers.get("Range") or self.headers.get("x-ms-range")
            given = {"Content-Type": "application/json", "ETag": '"tag"', **said.headers}
            given.setdefault("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            if wanted and status == 200 and content == CONTENT:
                status = 206
                given["Content-Range"] = f"bytes 0-{len(content) - 1}/{len(content)}"
            self.send_response_only(status)
            for name, value in {**given, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - as above

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_: Any) -> None:
            """Write nothing to the terminal."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore clients that close connections, which is usual."""

    server = Server(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
