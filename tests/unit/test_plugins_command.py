"""`python -m mfc plugins`: its text, its JSON, its exit statuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

FILES = "@hookimpl\ndef mfc_filesystem(ds_type):\n    return Anything() if ds_type == 'files' else None\n"
FULL = (
    "from mfc.hookspecs import Capabilities, Support\n"
    f"MFC_CAPABILITIES = Capabilities(tags=Support.FULL, user=Support.PARTIAL)\n{FILES}"
)


@pytest.fixture
def full(site: Any) -> Any:
    site.plugin("files", FULL, version="2.3")
    site.plugin("broken", "import not_installed_anywhere")
    site.plugin("teams", FILES)
    return site


def test_the_text_has_every_fact_and_fits_the_screen(full: Any) -> None:
    done = full.command("-m", "mfc", "plugins", MFC_PLUGINS="-teams")
    assert done.returncode == 0, done.stderr
    blocks = {block.split()[0]: block for block in done.stdout.split("\n\n")}
    path = full.packages / "mfc_files.py"
    for fact in (
        "files           mfc-files 2.3: ok\n",
        "  hooks         mfc_filesystem\n",
        "  full          tags, order, attempts\n",
        "  partial       user\n",
        "  unsupported   since, until, status, names, metadata, limit, bulk, remote, retag\n",
        f"  file          {path}\n",
        "  loaded in     ",
    ):
        assert fact in blocks["files"] + "\n"
    assert blocks["broken"].startswith(
        "broken          mfc-broken 1.0: broken\n  problem       does not"
    )
    assert blocks["teams"] == "teams           mfc-teams 1.0: off"
    assert "mfc._plugins.defaults.pickles: ok" in done.stdout
    assert "plugins, 1 with a problem" in done.stdout
    assert [
        line for line in done.stdout.splitlines() if len(line) > 100 and "  file " not in line
    ] == []


def test_the_json_has_every_fact(full: Any) -> None:
    done = full.command("-m", "mfc", "plugins", "--json")
    found = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    plugin = found["mfc-files 2.3 (mfc_files)"]
    assert plugin.pop("load_ms") > 0
    assert plugin.pop("capabilities")["tags"] == "full"
    assert plugin == {
        "name": "mfc-files 2.3 (mfc_files)",
        "kinds": ["files"],
        "distribution": "mfc-files",
        "version": "2.3",
        "file": str(full.packages / "mfc_files.py"),
        "hooks": ["mfc_filesystem"],
        "off": False,
        "error": None,
    }
    assert "ModuleNotFoundError" in found["mfc-broken 1.0 (mfc_broken)"]["error"]
    assert {frozenset(each) for each in json.loads(done.stdout)} == {
        frozenset([*plugin, "load_ms", "capabilities"])
    }


@pytest.mark.parametrize(
    ("problem", "source"),
    [
        ("does not load", "import not_installed_anywhere"),
        ("is mfc_trigger meant?", f"{FILES}@hookimpl\ndef mfc_triger(metadata): ..."),
        ("contract 2", f"MFC_CONTRACT = 2\n{FILES}"),
    ],
)
def test_check_fails_on_any_problem(site: Any, problem: str, source: str) -> None:
    assert site.command("-m", "mfc", "plugins", "--check").returncode == 0
    site.plugin("files", source)
    done = site.command("-m", "mfc", "plugins", "--check")
    assert done.returncode == 1
    assert problem in done.stdout
    assert site.command("-m", "mfc", "plugins").returncode == 0
    assert site.command("-m", "mfc", "plugins", "--check", MFC_PLUGINS="-files").returncode == 0


def test_check_fails_on_a_conflict_until_one_is_pinned(site: Any) -> None:
    site.plugin("files", FILES)
    site.install("files-too", {"files": "mfc_files"})
    done = site.command("-m", "mfc", "plugins", "--check")
    assert done.returncode == 1
    assert "files-too 1.0" in done.stdout
    pinned = site.command("-m", "mfc", "plugins", "--check", MFC_PLUGINS="files=mfc-files")
    assert pinned.returncode == 0


def test_check_fails_on_a_rule_that_fits_no_plugin(site: Any) -> None:
    done = site.command("-m", "mfc", "plugins", "--check", MFC_PLUGINS="-teems")
    assert done.returncode == 1
    assert "No installed plugin is named 'teems'" in done.stderr


def test_a_listing_is_given_however_strict_the_settings_are(full: Any) -> None:
    done = full.command("-m", "mfc", "plugins", MFC_STRICT_PLUGINS="1")
    assert done.returncode == 0
    assert "mfc-broken 1.0: broken" in done.stdout


def test_unreadable_rules_give_a_message(site: Any) -> None:
    done = site.command("-m", "mfc", "plugins", MFC_PLUGINS="=x")
    assert done.returncode == 1
    assert done.stderr.startswith("MFC_PLUGINS is '=x' in the environment; expected names")
    assert done.stderr.count("\n") == 1


def test_an_unknown_option_is_a_usage_error(site: Any) -> None:
    assert site.command("-m", "mfc", "plugins", "--nonsense").returncode == 2
    assert site.command("-m", "mfc").returncode == 2


@pytest.mark.parametrize(("options", "trace"), [(["--trace"], ""), ([], "1"), (["--trace"], "0")])
def test_a_trace_goes_beside_the_listing(site: Any, options: list[str], trace: str) -> None:
    (site.work / ".metaflow").mkdir()
    settings = {"MFC_TRACE_PLUGINS": trace} if trace else {}
    done = site.command("-m", "mfc", "plugins", "--json", "--trace", *options, **settings)
    assert done.returncode == 0
    assert json.loads(done.stdout)
    traced = [line.split("(")[0] for line in done.stderr.splitlines()]
    assert traced == [
        "mfc: mfc_metadata_provider",
        "mfc: mfc_namespace_policy",
        "mfc: mfc_filesystem",
    ]


def test_a_trace_of_settings_that_lead_nowhere_still_lists(site: Any) -> None:
    done = site.command("-m", "mfc", "plugins", "--trace", METAFLOW_DEFAULT_METADATA="service")
    assert done.returncode == 0
    assert "No plugin serves metadata provider 'service'; pip install mfc-service" in done.stderr
    assert "mfc-local" in done.stdout
