"""Discovery: what is installed, broken, in conflict or switched off, and what is said of it.

Every test installs distributions into a directory and runs a process beside it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mfc import Client
from mfc.errors import BadSetting, BrokenPlugin, PluginError
from mfc.hookspecs import hookimpl

if TYPE_CHECKING:
    from pathlib import Path

FILES = """
class Files:
    def __init__(self, name):
        self.name = name
@hookimpl
def mfc_filesystem(ds_type):
    return Files(__name__) if ds_type in {types} else None
"""
#: Asks for datastore type `files`, and gives the name of the module that answered.
WHO = "show(said(lambda: Client().filesystem('files').name))"


def files(*types: str) -> str:
    return FILES.replace("{types}", repr(types))


# Loaded when needed, by name first


def test_importing_lists_nothing(site: Any) -> None:
    site.plugin("files", files("files"))
    assert (
        site.run("show([m for m in ('importlib.metadata', 'mfc_files') if m in sys.modules])") == []
    )


def test_who_asks_for_one_kind_imports_no_other_plugin(site: Any) -> None:
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


def test_without_a_plugin_of_that_name_all_are_asked(site: Any) -> None:
    site.plugin("other", files("files"))
    assert site.run(WHO) == "mfc_other"


def test_what_is_installed_is_listed_once_per_process(site: Any) -> None:
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


def test_a_damaged_installation_hurts_nobody(site: Any) -> None:
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
def test_a_broken_plugin_is_listed_and_raised_to_who_needs_it_alone(site: Any, case: str) -> None:
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


def test_an_entry_point_that_is_none_is_a_broken_plugin(site: Any) -> None:
    site.install("mfc-files", {"files": "no module!"})
    error, text, _ = site.run(WHO)
    assert error == "BrokenPlugin"
    assert "'no module!' is no module or module:object" in text


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


def test_a_hook_that_raises_hurts_nobody_who_wants_anothers_kind(site: Any) -> None:
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


def test_an_error_of_ours_passes_through_unchanged(site: Any) -> None:
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
    error = site.run("show(said(lambda: Client()._plugins.safe_classes()))")
    assert error[0] == "BrokenPlugin"
    assert error[2] == "KeyError"


def test_a_hook_that_yields_nothing_is_not_concerned(site: Any) -> None:
    site.plugin("lazy", "@hookimpl\ndef mfc_trigger(metadata):\n    yield from ()")
    assert site.run("show(Client()._plugins.events({}))") is None


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


def test_strict_minds_hooks_that_nobody_publishes(site: Any) -> None:
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
    return hooks.ask("mfc_greeting", name="Ada") if ds_type == "greetings" else None
"""


def test_a_typing_error_in_a_hooks_name_is_listed_with_what_was_meant(site: Any) -> None:
    site.plugin("files", f"{files('files')}@hookimpl\ndef mfc_triger(metadata): ...")
    assert site.run(WHO) == "mfc_files"
    listed = site.run("show(infos(Client())['mfc-files 1.0 (mfc_files)'].error)")
    assert listed == "implements mfc_triger, which nobody publishes; is mfc_trigger meant?"


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


def test_a_hook_of_a_plugin_that_is_not_there_may_be_optional(site: Any) -> None:
    site.plugin(
        "files", f"{files('files')}@hookimpl(optionalhook=True)\ndef mfc_greeting(name): ..."
    )
    assert site.run("show([p.name for p in Client().plugins() if p.error])") == []


@pytest.mark.parametrize("kind", ["early", "zlate"])
def test_who_implements_a_plugins_hook_with_wrong_arguments_is_the_broken_one(
    site: Any, kind: str
) -> None:
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


def test_a_hook_that_nobody_publishes_cannot_be_asked(site: Any) -> None:
    site.plugin("publisher", PUBLISHER)
    unknown, wrong = site.run(
        """
        ask = Client()._plugins.ask
        show([said(lambda: ask("mfc_nonsense"))[:2], said(lambda: ask("mfc_greeting", nam="x"))[:2]])
        """
    )
    assert unknown == ["PluginError", "No plugin publishes hook mfc_nonsense"]
    assert wrong == [
        "PluginError",
        "Hook mfc_greeting is asked with (nam), published with (name)",
    ]


# Several


@pytest.fixture
def rivals(site: Any) -> Any:
    site.install("mfc-files", {"files": "files_one"})
    site.install("files-too", {"files": "files_two"}, version="3.0")
    site.module("files_one", files("files"))
    site.module("files_two", files("files"))
    return site


def test_two_distributions_of_one_name_are_both_named_with_how_to_pin_one(rivals: Any) -> None:
    rivals.plugin("other", files("other"))
    error, text, _ = rivals.run(WHO)
    assert error == "PluginConflict"
    assert "files-too 3.0, mfc-files 1.0" in text
    assert "MFC_PLUGINS='files=files-too' or Client(plugins=['files=files-too'])" in text
    assert rivals.run("show(Client().filesystem('other').name)") == "mfc_other"
    listed = rivals.run("show({p.name: p.error for p in Client().plugins() if p.error})")
    assert sorted(listed) == ["files-too 3.0 (files_two)", "mfc-files 1.0 (files_one)"]


@pytest.mark.parametrize("pinned", ["mfc-files", "MFC_Files"])
def test_one_is_pinned_by_the_environment(rivals: Any, pinned: str) -> None:
    assert rivals.run(WHO, MFC_PLUGINS=f"files={pinned}") == "files_one"


def test_one_is_pinned_by_a_file(rivals: Any) -> None:
    (rivals.work / ".metaflow").mkdir()
    (rivals.work / ".metaflow" / "config.json").write_text('{"MFC_PLUGINS": "files=files-too"}')
    assert rivals.run(WHO) == "files_two"


def test_one_is_pinned_by_the_client_whose_rules_count_before_settings(rivals: Any) -> None:
    who = WHO.replace("Client()", "Client(plugins=['files=files-too'])")
    assert rivals.run(who) == "files_two"
    assert rivals.run(who, MFC_PLUGINS="files=mfc-files") == "files_two"


def test_one_is_left_when_the_other_is_switched_off(rivals: Any) -> None:
    assert rivals.run(WHO, MFC_PLUGINS="-files-too") == "files_one"


def test_the_one_that_is_not_pinned_is_listed_as_off(rivals: Any) -> None:
    listed = rivals.run(
        "show({p.distribution: p.off for p in Client().plugins() if p.kinds == ('files',)})",
        MFC_PLUGINS="files=files-too",
    )
    assert listed == {"files-too": False, "mfc-files": True}


def test_a_pin_to_what_is_not_installed_says_what_is_and_hurts_only_that_kind(rivals: Any) -> None:
    rivals.plugin("other", files("other"))
    shown = rivals.run(
        "client = Client()\nshow([said(lambda: client.filesystem('files')),"
        " client.filesystem('other').name, said(lambda: client.use('nobody@x'))[0]])",
        MFC_PLUGINS="files=files-three",
    )
    assert shown[0][0] == "BadSetting"
    assert (
        "'files=files-three' in the environment; expected one of files-too 3.0, mfc-files"
        in (shown[0][1])
    )
    assert shown[1:] == ["mfc_other", "UnservedAddress"]


def test_two_answers_for_one_datastore_type_are_both_named_with_how_to_choose(site: Any) -> None:
    site.plugin("one", files("files"))
    site.plugin("two", files("files"))
    error, text, _ = site.run(WHO)
    assert error == "PluginConflict"
    assert "mfc-one 1.0 (mfc_one), mfc-two 1.0 (mfc_two)" in text
    assert "MFC_PLUGINS='-mfc-one' or Client(plugins=['-mfc-one'])" in text
    assert site.run(WHO, MFC_PLUGINS="-mfc-one") == "mfc_two"


def test_two_answers_for_one_address_are_both_named(site: Any) -> None:
    source = (
        "@hookimpl\ndef mfc_metadata_provider(address):\n    return 1 if address == 'x@y' else None"
    )
    site.plugin("one", source)
    site.plugin("two", source)
    error, text, _ = site.run("show(said(lambda: Client('x@y')))")
    assert error == "PluginConflict"
    assert "'x@y'" in text
    assert "mfc-one 1.0 (mfc_one), mfc-two 1.0 (mfc_two)" in text


def test_one_distribution_in_two_places_is_no_conflict(site: Any, tmp_path: Path) -> None:
    site.plugin("files", files("files"))
    second = tmp_path / "second"
    second.mkdir()
    (second / "mfc_files-1.0.dist-info").symlink_to(site.packages / "mfc_files-1.0.dist-info")
    assert site.run(f"sys.path.append({str(second)!r})\n{WHO}") == "mfc_files"


def test_two_kinds_of_one_module_are_one_plugin(site: Any) -> None:
    site.install("mfc-files", {"files": "mfc_files", "more": "mfc_files"})
    site.module("mfc_files", files("files", "more"))
    shown = site.run(
        """
        client = Client()
        names = [client.filesystem(kind).name for kind in ("files", "more")]
        show([names, [p.kinds for p in client.plugins() if p.distribution == "mfc-files"]])
        """
    )
    assert shown == [["mfc_files", "mfc_files"], [["files", "more"]]]


def test_two_kinds_of_one_broken_module_are_one_broken_plugin(site: Any) -> None:
    site.install("mfc-files", {"files": "mfc_files", "more": "mfc_files"})
    site.module("mfc_files", "import not_installed_anywhere")
    listed = site.run("show([[p.kinds, bool(p.error)] for p in Client().plugins() if p.error])")
    assert listed == [[["files", "more"], True]]


def test_one_module_of_two_distributions_is_one_plugin_of_the_first(site: Any) -> None:
    site.plugin("files", files("files", "more"))
    site.install("mfc-bundle", {"more": "mfc_files"})
    shown = site.run(
        """
        client = Client()
        names = [client.filesystem(kind).name for kind in ("files", "more")]
        show([names, [[p.distribution, p.kinds] for p in client.plugins() if "files" in p.kinds]])
        """
    )
    assert shown == [["mfc_files", "mfc_files"], [["mfc-files", ["files", "more"]]]]


# Switched off, restricted, registered


@pytest.mark.parametrize("rule", ["-files", "-mfc-files", "other", " other , "])
def test_a_plugin_that_is_off_is_not_imported_and_says_so(site: Any, rule: str) -> None:
    site.plugin("files", files("files"))
    site.plugin("other", files("other"))
    shown = site.run(
        """
        client = Client()
        error = said(lambda: client.filesystem("files"))
        show([error, "mfc_files" in sys.modules, infos(client)["mfc-files 1.0 (mfc_files)"].off])
        """,
        MFC_PLUGINS=rule,
    )
    assert shown[0][0] == "PluginNotFound"
    assert "switched off in the environment: files" in shown[0][1]
    assert shown[1:] == [False, True]


def test_one_kind_of_a_plugin_can_be_off(site: Any) -> None:
    site.install("mfc-files", {"files": "mfc_files", "more": "mfc_files"})
    site.module("mfc_files", files("files", "more"))
    shown = site.run(
        """
        client = Client(plugins=["-files"])
        show([said(lambda: client.filesystem("files"))[0], client.filesystem("more").name])
        """
    )
    assert shown == ["PluginNotFound", "mfc_files"]


@pytest.mark.parametrize("rule", ["-", "=x", "s3=", "-s3=x", " - "])
def test_a_rule_that_is_none_names_itself_and_its_source(rule: str) -> None:
    with pytest.raises(BadSetting, match=r"MFC_PLUGINS is .* in Client\(plugins=…\)") as caught:
        Client(plugins=[rule])
    assert caught.value.value == rule


def test_the_setting_must_be_text() -> None:
    with pytest.raises(BadSetting, match="^MFC_PLUGINS is "):
        Client(config={"MFC_PLUGINS": ["-teams"]})


def registered(name: str) -> Any:
    @hookimpl
    def mfc_filesystem(ds_type: str) -> Any:
        return SimpleNamespace(name=name) if ds_type == "files" else None

    return SimpleNamespace(mfc_filesystem=mfc_filesystem)


def test_an_object_is_a_plugin_without_installation() -> None:
    client = Client(plugins=[registered("mine")])
    assert client.filesystem("files").name == "mine"  # type: ignore[attr-defined]
    assert [(p.hooks, p.kinds) for p in client.plugins() if p.name == "SimpleNamespace"] == [
        (("mfc_filesystem",), ())
    ]


def test_the_same_object_twice_is_one_plugin_and_two_of_one_name_are_two() -> None:
    one, two = registered("one"), registered("two")
    names = [p.name for p in Client(plugins=[one, one, two]).plugins()]
    assert [name for name in names if name.startswith("SimpleNamespace")] == [
        "SimpleNamespace",
        "SimpleNamespace #2",
    ]


def test_an_installed_module_may_be_registered_too(site: Any) -> None:
    site.plugin("files", files("files"))
    shown = site.run(
        """
        import mfc_files
        client = Client(plugins=[mfc_files])
        show([client.filesystem("files").name, [p.kinds for p in client.plugins() if p.name == "mfc_files"]])
        """
    )
    assert shown == ["mfc_files", [["files"]]]


def test_an_object_that_is_no_plugin_is_refused_at_once() -> None:
    with pytest.raises(BrokenPlugin, match="implements no hook") as caught:
        Client(plugins=[object()])
    assert isinstance(caught.value, PluginError)
    assert caught.value.plugin == "object"


# What is said


def test_the_facts_of_a_plugin(site: Any) -> None:
    site.plugin(
        "files",
        "import time\nfrom mfc.hookspecs import Capabilities, Support\n"
        f"MFC_CAPABILITIES = Capabilities(tags=Support.FULL)\ntime.sleep(0.02)\n{files('files')}",
        version="2.3",
    )
    shown = site.run(
        """
        info = next(p for p in mfc.plugins() if "files" in p.kinds)
        show([info.name, info.kinds, info.distribution, info.version, info.file, info.hooks,
              info.capabilities.full("tags"), 20 <= info.load_ms < 20_000, info.off, info.error])
        """
    )
    assert shown == [
        "mfc-files 2.3 (mfc_files)",
        ["files"],
        "mfc-files",
        "2.3",
        str(site.packages / "mfc_files.py"),
        ["mfc_filesystem"],
        True,
        True,
        False,
        None,
    ]


def test_a_plugin_that_is_an_object_has_a_file_too(site: Any) -> None:
    site.install("mfc-files", {"files": "mfc_files:plugin"})
    site.module(
        "mfc_files",
        "class Plugin:\n    @hookimpl\n    def mfc_filesystem(self, ds_type):\n"
        "        return self if ds_type == 'files' else None\n    name = 'object'\nplugin = Plugin()",
    )
    shown = site.run(
        "client = Client()\nshow([client.filesystem('files').name,"
        " infos(client)['mfc-files 1.0 (mfc_files:plugin)'].file])"
    )
    assert shown == ["object", str(site.packages / "mfc_files.py")]


@pytest.mark.parametrize(
    ("address", "package"), [("service", "mfc-service"), ("https://x", "mfc-service")]
)
def test_an_unserved_address_says_what_to_install_and_what_is(
    site: Any, address: str, package: str
) -> None:
    site.plugin("files", files("files"))
    error, text, _ = site.run(f"show(said(lambda: Client({address!r})))")
    assert error == "UnservedAddress"
    assert text == (
        f"No plugin serves metadata provider {address!r}; pip install {package}; "
        "installed plugins: files, local, spin"
    )


def test_an_unserved_kind_that_nobody_knows_says_what_is_installed(site: Any) -> None:
    _, text, _ = site.run("show(said(lambda: Client().filesystem('nonsense')))")
    assert text == "No plugin serves datastore type 'nonsense'; installed plugins: local, spin"


def test_a_trace_shows_every_call_with_its_answer_and_no_settings(site: Any) -> None:
    site.plugin("files", files("files"))
    site.plugin("bad", "@hookimpl\ndef mfc_filesystem(ds_type):\n    raise KeyError('boom')")
    code = (
        "import warnings; warnings.simplefilter('ignore'); from mfc import Client\n"
        "client = Client(config={'METAFLOW_SERVICE_AUTH_KEY': 'sesame'})\n"
        "client.filesystem('files')\nclient.policy\n"
        "try:\n    client.filesystem('more')\nexcept Exception: pass"
    )
    lines = site.command("-c", code, MFC_TRACE_PLUGINS="1").stderr.splitlines()
    assert lines[0].startswith("mfc: mfc_filesystem(ds_type='files') mfc-files 1.0 (mfc_files): <")
    assert lines[0].endswith(" ms")
    assert any("mfc-bad 1.0 (mfc_bad): BrokenPlugin" in line for line in lines)
    assert any("ds_type='more') mfc-files 1.0 (mfc_files): None, " in line for line in lines)
    assert "sesame" not in "".join(lines)
    assert site.command("-c", code).stderr == ""


# Threads and forks

SLOW = f"import time\ntime.sleep(0.1)\nwith open('loads', 'a') as log:\n    log.write('x')\n{files('files')}"


@pytest.mark.parametrize("clients", ["one", "many"])
def test_many_threads_load_a_plugin_once(site: Any, clients: str) -> None:
    site.plugin("files", SLOW)
    site.plugin("broken", "import not_installed_anywhere")
    site.plugin("other", files("other"))
    shown = site.run(
        f"""
        from concurrent.futures import ThreadPoolExecutor
        from importlib import metadata
        import threading, time
        times, listing = [], metadata.entry_points
        metadata.entry_points = lambda **wanted: (times.append(1), time.sleep(0.1), listing(**wanted))[2]
        shared, start = Client(), threading.Barrier(16)
        def work(number):
            start.wait()
            client = shared if {clients!r} == "one" else Client()
            first = client.filesystem(("files", "other")[number % 2]).name
            errors = [said(lambda: client.use(a))[0] for a in ("broken@x", "nobody@x")]
            names = [p.name for p in client.plugins() if p.kinds]
            return [first, errors, names]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(work, range(16)))
        show([answers, len(times)])
        """
    )
    answers, listed = shown
    assert listed == 1
    assert (site.work / "loads").read_text() == "x"
    assert {first for first, _, _ in answers} == {"mfc_files", "mfc_other"}
    for _, errors, names in answers:
        assert errors == ["BrokenPlugin", "UnservedAddress"]
        assert names == answers[0][2]


def test_a_filesystem_is_asked_for_once_per_client(site: Any) -> None:
    site.plugin(
        "files",
        "import time\n@hookimpl\ndef mfc_filesystem(ds_type):\n    time.sleep(0.1)\n"
        "    return object() if ds_type == 'files' else None",
    )
    shown = site.run(
        """
        from concurrent.futures import ThreadPoolExecutor
        client = Client()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: client.filesystem("files"), range(8)))
        show(len(set(map(id, found))))
        """
    )
    assert shown == 1


def test_a_child_forked_while_a_hook_is_asked_can_go_on(site: Any) -> None:
    site.plugin(
        "slow",
        "import threading, time\nentered = threading.Event()\n@hookimpl\n"
        "def mfc_filesystem(ds_type):\n    if ds_type == 'slow':\n        entered.set()\n"
        "        time.sleep(0.5)\n        return 1",
    )
    site.plugin("other", files("other"))
    shown = site.run(
        """
        import os, signal, threading, mfc_slow
        client = Client()
        asking = threading.Thread(target=client.filesystem, args=("slow",))
        asking.start()
        mfc_slow.entered.wait()
        held = not client._lock.acquire(blocking=False)
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a deadlock ends here
            ok = client.filesystem("other").name == "mfc_other" and bool(client.plugins())
            os._exit(0 if ok else 1)
        asking.join()
        show([held, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])])
        """
    )
    assert shown == [True, 0]
