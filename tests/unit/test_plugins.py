"""Discovery: when plugins are loaded, broken plugins, and hooks that plugins publish.

Every test installs distributions into a directory and runs a process beside it.
"""

from __future__ import annotations

from typing import Any

import pytest

from .written_plugins import WHO, files

# Loaded when needed, by name first


def test_importing_lists_nothing(site: Any) -> None:
    site.plugin("files", files("files"))
    assert (
        site.run("show([m for m in ('importlib.metadata', 'mfc_files') if m in sys.modules])") == []
    )


def test_asking_for_one_kind_imports_only_its_plugin(site: Any) -> None:
    site.plugin("files", files("files"))
    site.plugin("other", files("other"))
    loaded = site.run(
        """
        client = Client()
        before = "mfc_files" in sys.modules
        client.filesystem("files")
        show([before, "mfc_files" in sys.modules, "mfc_other" in sys.modules])
        """
    )
    assert loaded == [False, True, False]


def test_an_unknown_kind_imports_all_plugins(site: Any) -> None:
    site.plugin("other", files("files"))
    assert site.run(WHO) == "mfc_other"


def test_installed_plugins_are_listed_once_per_process(site: Any) -> None:
    site.plugin("files", files("files"))
    listed = site.run(
        """
        from importlib import metadata
        times, listing = [], metadata.entry_points
        metadata.entry_points = lambda **wanted: times.append(1) or listing(**wanted)
        for _ in range(3):
            client = Client()
            client.filesystem("files")
            said(lambda: client.use("nobody@x"))
            client.plugins()
        show(len(times))
        """
    )
    assert listed == 1


def test_a_damaged_installation_is_ignored(site: Any) -> None:
    site.plugin("files", files("files"))
    site.plugin("nameless", files("nameless"))
    (site.packages / "mfc_nameless-1.0.dist-info" / "METADATA").unlink()
    site.install("broken-entries", {})
    damaged = site.packages / "broken_entries-1.0.dist-info" / "entry_points.txt"
    damaged.write_bytes(b"[mfc]\nno equals sign\n\xff\xfe")
    assert site.run(WHO) == "mfc_files"
    assert site.run("show(Client().filesystem('nameless').name)") == "mfc_nameless"


# Broken

BROKEN = {
    "does not import": (
        "import json\n1 / 0",
        "does not load: ZeroDivisionError",
        "ZeroDivisionError",
    ),
    "dependency missing": (
        "import not_installed_anywhere",
        "ModuleNotFoundError: No module named 'not_installed_anywhere'",
        "ModuleNotFoundError",
    ),
    "ends the process": ("raise SystemExit(3)", "does not load: SystemExit: 3", "SystemExit"),
    "newer contract": (
        f"MFC_CONTRACT = 2{files('files')}",
        "is written for contract 2, this mfc-core has contract 1; upgrade mfc-core",
        None,
    ),
    "older contract": (
        f"MFC_CONTRACT = 0{files('files')}",
        "is written for contract 0, this mfc-core has contract 1; upgrade the plugin",
        None,
    ),
    "contract is no number": (
        f"MFC_CONTRACT = '1'{files('files')}",
        "MFC_CONTRACT is '1', expected a number",
        None,
    ),
    "capabilities are none": (
        f"MFC_CAPABILITIES = {{'tags'}}{files('files')}",
        "MFC_CAPABILITIES is {'tags'}, expected mfc.hookspecs.Capabilities",
        None,
    ),
    "wrong arguments": (
        "@hookimpl\ndef mfc_filesystem(ds_type, bucket): ...",
        "its hooks are wrong: ",
        "PluginValidationError",
    ),
    "no hooks": ("x = 1", "implements no hook; are its functions marked @hookimpl?", None),
    "not marked": (
        "def mfc_filesystem(ds_type): ...",
        "its function mfc_filesystem is not marked @hookimpl",
        None,
    ),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef mfc_filesystem(ds_type):\n    return (yield)",
        "its hook mfc_filesystem is a wrapper",
        None,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_listed_and_raised_only_where_needed(site: Any, case: str) -> None:
    source, reason, cause = BROKEN[case]
    site.plugin("files", source, version="2.3")
    site.plugin("other", files("other", "third"))
    shown = site.run(
        """
        client = Client()
        show({
            "needed": [said(lambda: client.filesystem("files")) for _ in range(2)],
            "other": [client.filesystem(kind).name for kind in ("other", "third")],
            "local": client.filesystem("local") is not None,
            "unserved": said(lambda: client.use("nobody@x")),
            "listed": infos(client)["mfc-files 2.3 (mfc_files)"].error,
        })
        """
    )
    for error, text, caused in shown["needed"]:
        assert (error, caused) == ("BrokenPlugin", cause)
        assert text.startswith("Plugin mfc-files 2.3 (mfc_files): ")
        assert reason in text
    assert shown["other"] == ["mfc_other", "mfc_other"]
    assert shown["local"]
    assert shown["unserved"][0] == "UnservedAddress"
    assert reason in shown["unserved"][1]
    assert reason in shown["listed"]


def test_an_invalid_entry_point_is_a_broken_plugin(site: Any) -> None:
    site.install("mfc-files", {"files": "no module!"})
    error, text, _ = site.run(WHO)
    assert error == "BrokenPlugin"
    assert "'no module!' is not a module or module:object" in text


def test_a_hook_that_raises_names_distribution_version_and_cause(site: Any) -> None:
    site.plugin(
        "files", "@hookimpl\ndef mfc_filesystem(ds_type):\n    raise KeyError('boom')", "2.3"
    )
    assert site.run(WHO) == [
        "BrokenPlugin",
        "Plugin mfc-files 2.3 (mfc_files): hook mfc_filesystem failed: KeyError: 'boom'",
        "KeyError",
    ]


def test_a_hook_that_raises_does_not_fall_back_to_a_default(site: Any) -> None:
    site.plugin("memory", "@hookimpl\ndef mfc_filesystem(ds_type):\n    raise KeyError('boom')")
    error, *_ = site.run("show(said(lambda: Client().filesystem('memory').name))")
    assert error == "BrokenPlugin"


def test_a_hook_that_raises_is_ignored_for_other_kinds(site: Any) -> None:
    site.plugin("bad", "@hookimpl\ndef mfc_filesystem(ds_type):\n    raise KeyError('boom')")
    site.plugin("good", files("files"))
    shown = site.run(
        """
        client = Client()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            who = client.filesystem("files").name
        show([who, [str(c.message) for c in caught], infos(client)["mfc-bad 1.0 (mfc_bad)"].error,
              said(lambda: client.filesystem("unknown"))[0],
              said(lambda: Client(config={"MFC_STRICT_PLUGINS": 1}).filesystem("files"))[0]])
        """
    )
    failed = "hook mfc_filesystem failed: KeyError: 'boom'"
    warned = f"Plugin mfc-bad 1.0 (mfc_bad): {failed}; another plugin answered"
    assert shown == ["mfc_good", [warned], failed, "BrokenPlugin", "BrokenPlugin"]


def test_an_error_of_mfc_passes_through_unchanged(site: Any) -> None:
    site.plugin(
        "files",
        "from mfc.errors import BadAddress\n@hookimpl\ndef mfc_metadata_provider(address):\n"
        "    if address.startswith('files'):\n        raise BadAddress('it leads nowhere')",
    )
    error = site.run("show(said(lambda: Client('files@x')))")
    assert error == ["BadAddress", "it leads nowhere", None]


def test_an_exception_while_a_hook_yields_does_not_leak(site: Any) -> None:
    site.plugin(
        "lazy", "@hookimpl\ndef mfc_safe_classes():\n    yield 'a.B'\n    raise KeyError('boom')"
    )
    error = site.run("show(said(lambda: Client()._reader.plugins.safe_classes()))")
    assert error[0] == "BrokenPlugin"
    assert error[2] == "KeyError"


def test_builders_of_plugins_make_values_and_are_fetched_once(site: Any) -> None:
    site.plugin(
        "money",
        "asked = []\n@hookimpl\ndef mfc_value_builders():\n    asked.append(1)\n"
        "    return {'shop.Money': lambda parts: ('money', parts.args, parts.state['cents'])}",
    )
    found = site.run(
        "from mfc.trust import Trust\n"
        "from mfc._pickle import loads\n"
        "client = Client(trust='safe')\n"
        "trusts = [client._reader._extended(client.trust) for _ in range(3)]\n"
        "import mfc_money\n"
        "blob = b'cshop\\nMoney\\n(I1\\ntR}Vcents\\nI5\\nsb.'\n"
        "show([loads(blob, trusts[2]), len(mfc_money.asked), trusts[0].builders is trusts[2].builders])"
    )
    assert found == [["money", [1], 5], 1, True]


def test_two_builders_of_one_class_are_a_conflict(site: Any) -> None:
    for name in ("one", "two"):
        site.plugin(name, "@hookimpl\ndef mfc_value_builders():\n    return {'shop.Money': str}")
    error = site.run("show(said(lambda: Client()._reader.plugins.value_builders()))")
    assert error[0] == "PluginConflict"


def test_a_hook_that_yields_nothing_is_skipped(site: Any) -> None:
    site.plugin("lazy", "@hookimpl\ndef mfc_trigger(metadata):\n    yield from ()")
    assert site.run("show(Client()._reader.plugins.events({}))") is None


def test_a_default_policy_instead_of_a_broken_plugin_is_a_warning(site: Any) -> None:
    site.plugin("teams", "import not_installed_anywhere")
    warned = site.run(
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Client().policy
        show([str(c.message) for c in caught])
        """
    )
    assert len(warned) == 1
    assert "Namespaces are decided without" in warned[0]
    assert "mfc-teams 1.0" in warned[0]


def test_strict_raises_at_once(site: Any) -> None:
    site.plugin("files", "import not_installed_anywhere")
    error, text, _ = site.run("show(said(Client))", MFC_STRICT_PLUGINS="1")
    assert error == "BrokenPlugin"
    assert "mfc-files 1.0" in text
    assert site.run("Client(); show(1)", MFC_STRICT_PLUGINS="0") == 1
    assert site.run("Client(); show(1)", MFC_STRICT_PLUGINS="1", MFC_PLUGINS="-files") == 1


def test_strict_raises_for_unknown_hooks(site: Any) -> None:
    site.plugin("files", f"{files('files')}@hookimpl\ndef mfc_triger(metadata): ...")
    error, text, _ = site.run("show(said(Client))", MFC_STRICT_PLUGINS="1")
    assert error == "BrokenPlugin"
    assert "mfc_triger" in text


# Hooks of plugins

PUBLISHER = """
class Hooks:
    @hookspec
    def mfc_greeting(self, name): ...
MFC_HOOKSPECS = Hooks
@hookimpl
def mfc_filesystem(ds_type, hooks):
    return Anything(hooks.ask("mfc_greeting", name="Ada")) if ds_type == "greetings" else None
"""


def test_a_misspelt_hook_is_listed_with_the_intended_name(site: Any) -> None:
    site.plugin("files", f"{files('files')}@hookimpl\ndef mfc_triger(metadata): ...")
    assert site.run(WHO) == "mfc_files"
    listed = site.run("show(infos(Client())['mfc-files 1.0 (mfc_files)'].error)")
    assert listed == "implements mfc_triger, which no plugin publishes; is mfc_trigger meant?"


@pytest.mark.parametrize("kind", ["after", "zzz"])
def test_plugins_publish_hooks_that_others_implement(site: Any, kind: str) -> None:
    site.plugin("publisher", PUBLISHER)
    site.plugin(kind, "@hookimpl\ndef mfc_greeting(name):\n    return f'Hello {name}'")
    site.plugin("silent", "@hookimpl\ndef mfc_greeting():\n    return None")
    shown = site.run(
        """
        client = Client()
        show([client.filesystem("greetings"), [p.name for p in client.plugins() if p.error]])
        """
    )
    assert shown == [["Hello Ada"], []]


def test_a_hook_of_a_missing_plugin_may_be_optional(site: Any) -> None:
    site.plugin(
        "files", f"{files('files')}@hookimpl(optionalhook=True)\ndef mfc_greeting(name): ..."
    )
    assert site.run("show([p.name for p in Client().plugins() if p.error])") == []


@pytest.mark.parametrize("kind", ["early", "zlate"])
def test_an_implementation_with_wrong_arguments_is_broken(site: Any, kind: str) -> None:
    site.plugin("publisher", PUBLISHER)
    site.plugin(kind, "@hookimpl\ndef mfc_greeting(nickname): ...")
    shown = site.run(
        """
        client = Client()
        show([client.filesystem("greetings"), {p.name: p.error for p in client.plugins() if p.error}])
        """
    )
    assert shown[0] == []
    assert list(shown[1]) == [f"mfc-{kind} 1.0 (mfc_{kind})"]
    assert "nickname" in shown[1][f"mfc-{kind} 1.0 (mfc_{kind})"]


def test_one_hook_is_published_by_one_plugin(site: Any) -> None:
    site.plugin("publisher", PUBLISHER)
    site.plugin("second", PUBLISHER.replace("greetings", "others"))
    errors = site.run("show({p.name: p.error for p in Client().plugins() if p.error})")
    reason = "publishes hook mfc_greeting, which another plugin publishes too"
    assert errors == {"mfc-second 1.0 (mfc_second)": reason}


def test_an_unpublished_hook_cannot_be_called(site: Any) -> None:
    site.plugin("publisher", PUBLISHER)
    unknown, wrong = site.run(
        """
        ask = Client()._reader.plugins.ask
        show([said(lambda: ask("mfc_nonsense"))[:2], said(lambda: ask("mfc_greeting", nam="x"))[:2]])
        """
    )
    assert unknown == ["PluginError", "No plugin publishes hook mfc_nonsense"]
    assert wrong == [
        "PluginError",
        "Hook mfc_greeting is asked with (nam), published with (name)",
    ]
