"""The directory of the cache, private to the user."""

from __future__ import annotations

import contextlib
import os
import stat

from mfc._cache._total import note_nothing

#: The reason why the cache is off for a user without a home directory.
NO_HOME = "the user has no home: set HOME"


def usual_root() -> str:
    """Return the platform's directory for caches of the user.

    Raises:
        OSError: the user has no home.
    """
    from platformdirs import user_cache_dir  # only remote reads need it

    try:
        return at_home(user_cache_dir("mfc", appauthor=False))
    except RuntimeError:
        raise OSError(NO_HOME) from None


def at_home(path: str) -> str:
    """Return a path with a leading `~` replaced by the home directory.

    Raises:
        OSError: the user has no home.
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise OSError(NO_HOME)
    return found


def private(root: str) -> str:
    """Return the cache's private directory below `root`, made if needed.

    Raises:
        OSError: it cannot be made, or it is not private; the text has the reason.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    directory = os.path.join(os.path.realpath(root), "mfc-blobs-1")
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
        note_nothing(directory)
    own = getattr(os, "geteuid", lambda: None)()
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{directory} is not a directory")
    if own is not None:
        if status.st_uid != own:
            raise OSError(f"{directory} belongs to another user")
        above = directory
        while above != (above := os.path.dirname(above)):
            _refuse_others(above, own)
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.chmod(directory, 0o700)
    os.close(os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600))
    return directory


def _refuse_others(directory: str, own: int) -> None:
    """Check that only the user and root can replace entries of `directory`.

    Raises:
        OSError: other users can.
    """
    status = os.lstat(directory)
    if status.st_uid not in (0, own):
        raise OSError(f"{directory} belongs to another user")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise OSError(f"everybody may exchange what is in {directory}")
