"""Settings, read from the places where Metaflow reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from mfc.errors import BadSetting, BadSettingsFile

#: Metaflow's directory, which holds results and optionally a `config.json`.
DIRECTORY = ".metaflow"
_USER_VARIABLES = ("SUDO_USER", "USERNAME", "USER")


def _full(name: str) -> str:
    return name if name.startswith("MFC_") else f"METAFLOW_{name}"


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the directory was removed, so the search stops at the root
        return os.path.abspath(os.sep)


@attrs.frozen
class Config:
    """Settings as they were when the client was made; files are read on first use.

    A setting `X` is looked up as `METAFLOW_X`, and the first hit wins: the client's arguments,
    the environment (empty counts as set), `config.json` in the nearest `.metaflow` directory
    above the working directory, `$METAFLOW_HOME/config.json` (`config_<P>.json` when
    `METAFLOW_PROFILE=P`). Settings are read on use, so a bad value of an unused setting is
    harmless.

    Source:
        Metaflow 2.19, `metaflow_config_funcs`.
    """

    #: Settings of this client alone, by full name or without `METAFLOW_`; they may be secret.
    overrides: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    #: The process's environment; a copy of its Metaflow part, user names and home.
    environment: Mapping[str, str] = attrs.field(factory=lambda: dict(os.environ), repr=False)
    #: The working directory.
    directory: str = attrs.field(factory=_working_directory)
    _files: dict[str, dict[str, Any]] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def find(self, name: str) -> tuple[Any, str] | None:
        """Return the value of setting `name` and where it was found, or None.

        Args:
            name: name without `METAFLOW_`; or one of mfc's own, `MFC_…`.

        Raises:
            BadSettingsFile: a required file (a profile's) is missing, or a file is not JSON.
        """
        full = _full(name)
        for key in (full, name):
            if key in self.overrides:
                return self.overrides[key], "Client(config=…)"
        if full in self.environment:
            return self.environment[full], "the environment"
        for path, required in (self._project_file(), self._home_file()):
            settings = self._read(path, required=required)
            if full in settings:
                return settings[full], path
        return None

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a setting as text; numbers from a file become their digits.

        Raises:
            BadSetting: the value is a list or a mapping.
        """
        found = self.find(name)
        if found is None or found[0] is None:
            return default
        value, source = found
        try:
            if isinstance(value, (str, int, float, os.PathLike)):
                return str(value)
        except Exception as cause:  # the value's own code
            raise BadSetting(_full(name), value, source, "text") from cause
        raise BadSetting(_full(name), value, source, "text")

    def number(self, name: str, default: float) -> float:
        """Return a setting as a number.

        Raises:
            BadSetting: the value is not a number.
        """
        found = self.find(name)
        if found is None:
            return default
        try:
            return float(found[0])
        except (TypeError, ValueError, OverflowError):
            raise BadSetting(_full(name), *found, "a number") from None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a setting as a bool: `0`, `false` and empty text are false, all else is true."""
        found = self.find(name)
        return default if found is None else str(found[0]).lower() not in ("0", "false", "")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a setting as a mapping, from JSON text or as it stands in a file.

        Raises:
            BadSetting: the value is not a mapping.
        """
        import json  # only needed for settings in JSON, so not at start-up

        found = self.find(name)
        if found is None:
            return {}
        value, source = found
        try:
            decoded = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            # The error hides the value: such settings hold keys and tokens.
            raise BadSetting(_full(name), "…", source, "a JSON object")
        return decoded

    def user(self) -> str | None:
        """Return the name of the user, or None if it is unknown; `root` does not count.

        Source:
            Metaflow 2.19, `util.get_username`: METAFLOW_USER, then the system's variables.
        """
        names = [self.text("USER"), *map(self.environment.get, _USER_VARIABLES)]
        return next((name for name in names if name and name != "root"), None)

    def above(self, name: str) -> str | None:
        """Return the nearest directory `name` in the working directory or above it, or None.

        Source:
            Metaflow 2.19: only the first candidate has its symbolic links resolved.
        """
        current = self.directory
        candidate = os.path.realpath(os.path.join(current, name))
        while not os.path.isdir(candidate):
            above = os.path.dirname(current)
            if above == current:
                return None
            current, candidate = above, os.path.join(above, name)
        return candidate

    def _project_file(self) -> tuple[str, bool]:
        found = self.above(DIRECTORY)
        return (os.path.join(found, "config.json") if found else ""), False

    def _home_file(self) -> tuple[str, bool]:
        home = self.environment.get("METAFLOW_HOME", "~/.metaflowconfig")
        profile = self.environment.get("METAFLOW_PROFILE")
        name = f"config_{profile}.json" if profile else "config.json"
        path = os.path.expanduser(os.path.join(home, name))
        if path.startswith("~"):  # no home directory
            path = ""
        return path, bool(profile and path)

    def _read(self, path: str, *, required: bool) -> dict[str, Any]:
        if path not in self._files:
            self._files[path] = _settings_in(path, required=required) if path else {}
        return self._files[path]


def _settings_in(path: str, *, required: bool) -> dict[str, Any]:
    import json  # only needed where a configuration file exists, so not at start-up

    try:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise BadSettingsFile(path, "METAFLOW_PROFILE names it, and it is missing") from None
        return {}
    except (OSError, ValueError) as cause:
        raise BadSettingsFile(path, f"not JSON, or no permission ({cause})") from cause
    if not isinstance(settings, dict):
        raise BadSettingsFile(path, "not a JSON object")
    return settings
