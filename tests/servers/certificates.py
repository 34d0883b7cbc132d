"""Certificates of the tests' own, made with openssl: an authority and its signed certificates."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A folder with `ca.pem`, and `NAME.pem` and `NAME.key` of each signed name."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def sign(self, name: str, subject: str = "IP:127.0.0.1") -> None:
        """Make a key and a certificate for it."""
        request, extension = self.path(f"{name}.csr"), self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={subject}\n")
        _openssl("req", "-newkey", *_KIND, "-nodes", "-keyout", self.path(f"{name}.key"),
                 "-out", request, "-subj", f"/CN={name}")  # fmt: skip
        _openssl("x509", "-req", "-in", request, "-CA", self.path("ca.pem"), "-CAkey",
                 self.path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", str(extension),
                 "-out", self.path(f"{name}.pem"))  # fmt: skip

    def context(self, name: str, *, asks: bool = False) -> ssl.SSLContext:
        """Return a server's TLS context; with `asks`, it requires a certificate of this authority."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        if asks:
            made.load_verify_locations(self.path("ca.pem"))
            made.verify_mode = ssl.CERT_REQUIRED
        return made


_KIND = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def authority(folder: Path) -> Authority:
    """Make an authority in an empty folder."""
    made = Authority(folder)
    _openssl("req", "-x509", "-newkey", *_KIND, "-nodes", "-keyout", made.path("ca.key"), "-out",
             made.path("ca.pem"), "-days", "2", "-subj", "/CN=authority of the tests",
             "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
