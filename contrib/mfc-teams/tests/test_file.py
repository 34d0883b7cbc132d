"""Mistakes in the file are reported with the line, the key and the expected value."""

from __future__ import annotations

import pytest

from mfc import Client
from mfc.errors import BadSetting, BadSettingsFile
from mfc_testing import MemoryProvider

GOOD = '[teams.a]\nmembers = ["ada"]\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: teams is {}; expected a table [teams.NAME] for each team"),
        ("teams = 5", "line 1: teams is 5; expected a table [teams.NAME] for each team"),
        (
            "\n\nteams.a = 5",
            "line 3: teams.a is 5; expected a table with members, maintainers, sees",
        ),
        (
            "# ours\n[teams.a]\n",
            "line 2: teams.a.members is missing; expected a list of user names",
        ),
        (
            "[teams.a]\nmembers = 'ada'\n",
            "line 2: teams.a.members is 'ada'; expected a list of user names",
        ),
        (
            "[teams.a]\n\nmembers = [\n  'ada',\n  5,\n]\n",
            "line 3: teams.a.members is 5; expected a list of user names, each a text",
        ),
        (
            "[teams.a]\nmembers = []\n",
            "line 2: teams.a.members is []; expected a list of user names",
        ),
        (
            "[teams.a]\nmembers = ['']\n",
            "line 2: teams.a.members is ''; expected a list of user names, each a text",
        ),
        (
            GOOD + "maintainer = ['ada']\n",
            "line 3: teams.a.maintainer is not a key; expected members, maintainers, sees",
        ),
        (
            GOOD + "maintainers = 5\n",
            "line 3: teams.a.maintainers is 5; expected a list of user names",
        ),
        (GOOD + "sees = 'b'\n", "line 3: teams.a.sees is 'b'; expected a list of teams"),
        (GOOD + "sees = ['a', 'b']\n", "line 3: teams.a.sees is 'b'; expected '*' or one of a"),
        ("admin = []\n" + GOOD, "line 1: admin is not a key; expected default, admins, teams"),
        ("admins = 'ada'\n" + GOOD, "line 1: admins is 'ada'; expected a list of user names"),
        (
            "default = 'mine'\n" + GOOD,
            "line 1: default is 'mine'; expected one of user, team, everyb",
        ),
        ("default = ['user']\n" + GOOD, "line 1: default is ['user']; expected one of user"),
        ('[teams."a b"]\nmembers = 1', "line 2: teams.a b.members is 1; expected a list"),
        (GOOD + "sees = [", "not TOML: "),
        (GOOD + GOOD, "line 3"),
        ("x = " + "[" * 10_000, "not TOML: "),
    ],
)
def test_mistakes_are_reported(client, text, sentence):
    with pytest.raises(BadSettingsFile) as caught:
        client("ada", text=text).flow("F")
    assert sentence in str(caught.value)
    assert "teams.toml" in str(caught.value)


def test_a_missing_file_is_reported(client, tmp_path):
    ada = client("ada")
    (tmp_path / "teams.toml").unlink()
    with pytest.raises(BadSettingsFile, match="MFC_TEAMS_FILE names it, and it is missing"):
        ada.flow("F")


def test_an_undecodable_file_is_reported(client, tmp_path):
    ada = client("ada")
    (tmp_path / "teams.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettingsFile, match="not UTF-8"):
        ada.flow("F")


def test_a_directory_is_reported(client, tmp_path):
    ada = client("ada")
    (tmp_path / "teams.toml").unlink()
    (tmp_path / "teams.toml").mkdir()
    with pytest.raises(BadSettingsFile, match="directory|denied"):
        ada.flow("F")


def test_an_invalid_file_name_is_reported():
    with pytest.raises(BadSetting, match=r"^MFC_TEAMS_FILE is \['x'\] in Client.*expected text"):
        Client(MemoryProvider(), config={"MFC_TEAMS_FILE": ["x"]}).flows().flows  # noqa: B018


def test_names_in_any_script_and_a_byte_order_mark_are_read(client):
    text = "\ufeff[teams.'größe']\r\nmembers = ['ада', 'ada']\r\n"
    assert client("ada", "team:größe", text).flow("F").latest_run.id == "6"
