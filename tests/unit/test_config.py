from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfc.config import Config
from mfc.errors import BadSetting


def config(directory: Path, home: Path | None = None, **environment: str) -> Config:
    return Config(
        environment={"METAFLOW_HOME": str(home or directory / "none"), **environment},
        directory=str(directory),
    )


def test_the_first_source_that_has_a_setting_wins(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    (project / ".metaflow").mkdir(parents=True)
    (project / "deep").mkdir()
    home.mkdir()
    (home / "config.json").write_text(
        '{"METAFLOW_USER": "home", "METAFLOW_A": "home", "METAFLOW_B": "home"}'
    )
    (project / ".metaflow/config.json").write_text(
        '{"METAFLOW_USER": "project", "METAFLOW_A": "project"}'
    )
    made = config(project / "deep", home, METAFLOW_USER="environment")
    assert (made.text("USER"), made.text("A"), made.text("B")) == ("environment", "project", "home")
    assert made.text("C") is None
    assert Config({"USER": "given"}, made.environment, made.directory).text("USER") == "given"
    assert (
        Config({"METAFLOW_USER": "given"}, made.environment, made.directory).text("USER") == "given"
    )


def test_an_empty_variable_counts_as_set(tmp_path: Path) -> None:
    assert config(tmp_path, METAFLOW_USER="").text("USER", "default") == ""


def test_a_missing_profile_fails_only_when_settings_are_read(tmp_path: Path) -> None:
    made = config(tmp_path, METAFLOW_PROFILE="gone", METAFLOW_USER="ada")
    assert made.text("USER") == "ada"
    with pytest.raises(
        BadSetting, match=r"config_gone.json cannot be read: METAFLOW_PROFILE names it"
    ):
        made.text("SERVICE_URL")


def test_a_profile_chooses_its_file(tmp_path: Path) -> None:
    (tmp_path / "config_prod.json").write_text('{"METAFLOW_USER": "prod"}')
    assert config(tmp_path / "cwd", tmp_path, METAFLOW_PROFILE="prod").text("USER") == "prod"


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_file_without_a_json_object_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(BadSetting, match="config.json"):
        config(tmp_path, tmp_path).text("USER")


def test_types_are_checked_on_reading(tmp_path: Path) -> None:
    made = config(
        tmp_path, METAFLOW_N="many", METAFLOW_H="{", METAFLOW_J='{"a": 1}', METAFLOW_F="False"
    )
    with pytest.raises(
        BadSetting, match="METAFLOW_N is 'many' in the environment; expected a number"
    ):
        made.number("N", 1)
    with pytest.raises(BadSetting, match="a JSON object"):
        made.mapping("H")
    assert made.mapping("J") == {"a": 1}
    assert made.number("M", 7) == 7
    assert (made.flag("F", default=True), made.flag("G", default=True), made.flag("N")) == (
        False,
        True,
        True,
    )


def test_settings_of_mfc_are_named_as_spelled(tmp_path: Path) -> None:
    made = config(tmp_path, MFC_N="many", MFC_H="{")
    with pytest.raises(BadSetting, match="^MFC_N is 'many'"):
        made.number("MFC_N", 1)
    with pytest.raises(BadSetting, match="^MFC_H is"):
        made.mapping("MFC_H")


def test_values_in_files_may_have_their_type_already(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"METAFLOW_N": 5, "METAFLOW_J": {"a": 1}, "METAFLOW_L": [1]})
    )
    made = config(tmp_path, tmp_path)
    assert (made.number("N", 0), made.mapping("J"), made.text("N")) == (5, {"a": 1}, "5")
    with pytest.raises(BadSetting, match="expected text"):
        made.text("L")


def test_the_search_goes_upwards_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/.metaflow").mkdir()
    (tmp_path / "a/b/.metaflow").write_text("a file, not a directory")
    assert config(tmp_path / "a/b/c").above(".metaflow") == str(tmp_path / "a/.metaflow")
    assert config(tmp_path).above(".no-such-directory-anywhere") is None
