"""The file with the teams: read and checked; mistakes are reported with their line."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from mfc.errors import BadSettingsFile
from mfc_teams._teams import ALL, Organisation, Team

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DEFAULTS = ("user", "team", "everybody")
_OF_FILE = ("default", "admins", "teams")
_OF_TEAM = ("members", "maintainers", "sees")
_USERS = "a list of user names"


def organisation(path: str) -> Organisation:
    """Return the organisation that the file at `path` describes.

    Raises:
        BadSettingsFile: the file is missing or not TOML, or a key is invalid; the text names the
            line, the key and the expected value.
    """
    return _File(path, _content(path)).organisation()


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        raise BadSettingsFile(path, "MFC_TEAMS_FILE names it, and it is missing") from None
    except UnicodeDecodeError as cause:
        raise BadSettingsFile(path, f"not UTF-8 ({cause})") from cause
    except OSError as cause:
        raise BadSettingsFile(path, str(cause)) from cause


@attrs.frozen
class _File:
    """One file: its path, for errors, and its text, for line numbers."""

    path: str
    text: str

    def organisation(self) -> Organisation:
        try:
            content = tomllib.loads(self.text)
        except (tomllib.TOMLDecodeError, RecursionError) as cause:
            raise BadSettingsFile(self.path, f"not TOML: {cause}") from cause
        self._only((), content, _OF_FILE)
        default = content.get("default", "user")
        if default not in _DEFAULTS:
            raise self._bad(("default",), default, f"one of {', '.join(_DEFAULTS)}")
        tables = content.get("teams", {})
        if not isinstance(tables, dict) or not tables:
            raise self._bad(("teams",), tables, "a table [teams.NAME] for each team")
        teams = {name: self._team(name, table, tables) for name, table in tables.items()}
        return Organisation(teams, self._names(content, ("admins",), _USERS), default)

    def _team(self, name: str, table: Any, tables: Mapping[str, Any]) -> Team:
        at = ("teams", name)
        if not isinstance(table, dict):
            raise self._bad(at, table, f"a table with {', '.join(_OF_TEAM)}")
        self._only(at, table, _OF_TEAM)
        if not table.get("members"):
            raise self._bad((*at, "members"), table.get("members"), _USERS)
        sees = self._names(table, (*at, "sees"), "a list of teams")
        for unknown in sorted(sees - {ALL, *tables}):
            raise self._bad((*at, "sees"), unknown, f"'{ALL}' or one of {', '.join(tables)}")
        members = self._names(table, (*at, "members"), _USERS)
        return Team(name, members, self._names(table, (*at, "maintainers"), _USERS), sees)

    def _names(
        self, table: Mapping[str, Any], at: tuple[str, ...], expected: str
    ) -> frozenset[str]:
        names = table.get(at[-1], [])
        if not isinstance(names, list):
            raise self._bad(at, names, expected)
        for name in names:
            if not isinstance(name, str) or not name:
                raise self._bad(at, name, f"{expected}, each a text")
        return frozenset(names)

    def _only(self, at: tuple[str, ...], table: Mapping[str, Any], known: Collection[str]) -> None:
        for key in table:
            if key not in known:
                raise self._error((*at, key), f"is not a key; expected {', '.join(known)}")

    def _bad(self, at: tuple[str, ...], value: object, expected: str) -> BadSettingsFile:
        shown = "is missing" if value is None else f"is {value!r}"
        return self._error(at, f"{shown}; expected {expected}")

    def _error(self, at: tuple[str, ...], what: str) -> BadSettingsFile:
        line = self._line(at)
        return BadSettingsFile(self.path, f"line {line}: {'.'.join(at)} {what}")

    def _line(self, at: tuple[str, ...]) -> int:
        """Return the line where a key begins, or the nearest existing table.

        The parser gives no positions, so the text is parsed line by line: the key begins after the
        last part that could be parsed without it. This costs time only for files with a mistake.
        """
        lines, start = self.text.split("\n"), 1
        for number in range(1, len(lines) + 1):
            try:
                content = tomllib.loads("\n".join(lines[:number]))
            except tomllib.TOMLDecodeError:
                continue
            if _holds(content, at):
                return start
            start = number + 1
        return self._line(at[:-1]) if at else 1


def _holds(content: Any, at: tuple[str, ...]) -> bool:
    for key in at:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True
