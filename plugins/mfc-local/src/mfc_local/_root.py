"""The directory that an address names."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from mfc.config import Config
from mfc.errors import BadAddress
from mfc_local._paths import is_directory

#: The directory with the results, by kind of provider.
DIRECTORIES = {"local": ".metaflow", "spin": ".metaflow_spin"}
#: Addresses of other plugins, unless a directory has that name: `kind@…`, a URL, a word. One letter
#: and a colon is a drive of Windows.
_OTHER_KIND = re.compile(r"[A-Za-z][\w.-]*@|\w{2,}:|\w+$")


class Place(NamedTuple):
    """A directory of results."""

    #: `local` or `spin`.
    kind: str
    #: As `get_metadata()` shows it.
    address: str
    #: The directory that contains the flows; None where it is missing.
    root: str | None


def place_of(address: str, config: Config) -> Place | None:
    """Return the place that `address` names; None if the address belongs to another plugin.

    Args:
        address: `local`, `local@DIR`, `spin`, `spin@DIR`, or DIR, which holds `.metaflow` or is it.
        config: has the default.

    Raises:
        BadAddress: DIR does not hold results.

    Source:
        Metaflow 2.19, `LocalMetadataProvider.compute_info` and `default_info`.
    """
    kind, mark, directory = address.partition("@")
    if kind not in DIRECTORIES:
        kind, directory = "local", address
        if not address or (_OTHER_KIND.match(address) and not os.path.isdir(address)):
            return None
    elif not mark or not directory:
        return _default(kind, config)
    home = os.path.expanduser(directory)
    if not os.path.isabs(home):
        home = os.path.abspath(home)  # the address has to mean the same in other processes
    home = home.rstrip(os.sep) or home
    try:
        root = os.path.realpath(os.path.join(home, DIRECTORIES[kind]))
        if not is_directory(root) and os.path.basename(home) == DIRECTORIES[kind]:
            home, root = os.path.dirname(home), os.path.realpath(home)  # the directory itself
    except ValueError as cause:  # a NUL, or a name that no file system can spell
        raise BadAddress(f"{directory!r} cannot be a directory") from cause
    if not is_directory(root):
        raise BadAddress(f"Could not find directory {DIRECTORIES[kind]} in directory {home}")
    return Place(kind, f"{kind}@{home}", root)


def configured_root(kind: str, config: Config) -> str | None:
    """Return the directory of results that a setting names, None without such a setting."""
    configured = config.text(f"DATASTORE_SYSROOT_{kind.upper()}")
    return None if configured is None else os.path.join(configured, DIRECTORIES[kind])


def _default(kind: str, config: Config) -> Place:
    name = DIRECTORIES[kind]
    root = configured_root(kind, config) or config.above(name)
    if root is None:
        return Place(kind, f"{kind}@<No {name} directory found in current working tree>", None)
    return Place(kind, f"{kind}@{os.path.dirname(root)}", root)
