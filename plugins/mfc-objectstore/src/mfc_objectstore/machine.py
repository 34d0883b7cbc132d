"""What plugins ask of the machine."""

from __future__ import annotations

from collections.abc import Mapping

#: Seconds that a metadata server on the same machine may take.
_NEAR = 1.0


def answers(url: str) -> bool:
    """Tell whether something listens at a URL near this machine, such as a metadata server."""
    import socket  # few machines are asked
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), _NEAR).close()
    except OSError:
        return False
    return True


def certificates(environment: Mapping[str, str], *names: str) -> dict[str, bytes]:
    """Return the option that trusts the certificates in the file that the first variable set names.

    Raises:
        PermissionError: it cannot be read.
    """
    name = next((name for name in names if environment.get(name)), None)
    if name is None:
        return {}
    try:
        with open(environment[name], "rb") as file:
            return {"root_certificate": file.read()}
    except OSError as cause:
        raise PermissionError(
            f"{name} names {environment[name]!r} as file with trusted certificates, "
            f"which cannot be read: {cause.strerror}"
        ) from cause
