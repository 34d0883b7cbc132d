"""Needs of the clouds' clients besides a store: tokens, and a certificate."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

#: Seconds that a token is good for.
LIFE = 3600


@dataclass
class Tokens:
    """A server that gives tokens to any client, in the forms of Google, Azure and Amazon."""

    url: str = ""
    #: Method and path of each request.
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> Any:
        """Return the answer for a path, None for other paths."""
        expires = int(time.time()) + LIFE
        google = {"access_token": "token", "expires_in": LIFE, "token_type": "Bearer"}
        soon = dt.datetime.fromtimestamp(expires, dt.timezone.utc)
        amazon = {
            "AccessKeyId": "ASIAROLE",
            "SecretAccessKey": "secret",
            "Token": "session",
            "Expiration": soon.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": "2024-01-01T00:00:00Z",
        }
        role = "/latest/meta-data/iam/security-credentials/"
        return {
            "/token": google,
            "/computeMetadata/v1/instance/service-accounts/default/token": google,
            "/msi": {
                "access_token": _unsigned(expires),
                "expires_on": str(expires),
                "expires_in": str(LIFE),
                "resource": "https://storage.azure.com",
                "token_type": "Bearer",
            },
            "/latest/api/token": "token of the metadata server",
            role: "a-role",
            f"{role}a-role": amazon,
            "/container": amazon,
        }.get(path.partition("?")[0])


def _unsigned(expires: int) -> str:
    """Return a token of Azure's form; azurite checks its content, not its signature."""
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "nbf": expires - 2 * LIFE,
        "iat": expires - 2 * LIFE,
        "exp": expires,
        "sub": "tests",
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join((*encoded, "c2lnbmF0dXJl"))


@contextlib.contextmanager
def tokens() -> Iterator[Tokens]:
    """Run a server of tokens until the end of the block."""
    made = Tokens()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(f"{self.command} {self.path}")
            found = made.answer(self.path)
            text = found if isinstance(found, str) else json.dumps(found)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Write nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def private_key() -> rsa.RSAPrivateKey:
    """Return a new key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return a key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate(folder: Path, *, is_authority: bool = False) -> tuple[Path, Path]:
    """Write a self-signed certificate of 127.0.0.1, and its key; return their files."""
    key, now = private_key(), dt.datetime.now(dt.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(pem(key))
    return files


def service_account(folder: Path, url: str) -> Path:
    """Write the file of a service account of Google whose tokens come from `url`."""
    file = folder / "service-account.json"
    account = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": pem(private_key()).decode(),
        "client_email": "tests@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{url}/token",
    }
    file.write_text(json.dumps(account))
    return file
