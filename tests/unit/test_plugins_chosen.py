"""Discovery: conflicts, disabled or registered plugins, messages, threads and forks.

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
from .written_plugins import WHO, files

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
def test_a_plugin_is_pinned_by_the_environment(rivals: Any, pinned: str) -> None:
    assert rivals.run(WHO, MFC_PLUGINS=f"files={pinned}") == "files_one"


def test_a_plugin_is_pinned_by_a_file(rivals: Any) -> None:
    (rivals.work / ".metaflow").mkdir()
    (rivals.work / ".metaflow" / "config.json").write_text('{"MFC_PLUGINS": "files=files-too"}')
    assert rivals.run(WHO) == "files_two"


def test_a_clients_rules_take_precedence_over_settings(rivals: Any) -> None:
    who = WHO.replace("Client()", "Client(plugins=['files=files-too'])")
    assert rivals.run(who) == "files_two"
    assert rivals.run(who, MFC_PLUGINS="files=mfc-files") == "files_two"


def test_disabling_one_plugin_resolves_the_conflict(rivals: Any) -> None:
    assert rivals.run(WHO, MFC_PLUGINS="-files-too") == "files_one"


def test_the_unpinned_plugin_is_listed_as_off(rivals: Any) -> None:
    listed = rivals.run(
        "show({p.distribution: p.off for p in Client().plugins() if p.kinds == ('files',)})",
        MFC_PLUGINS="files=files-too",
    )
    assert listed == {"files-too": False, "mfc-files": True}


def test_a_pin_to_a_missing_distribution_fails_only_its_kind(rivals: Any) -> None:
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
def test_an_invalid_rule_is_named_with_its_source(rule: str) -> None:
    with pytest.raises(BadSetting, match=r"MFC_PLUGINS is .* in Client\(plugins=…\)") as caught:
        Client(plugins=[rule])
    assert caught.value.value == rule


def test_the_setting_must_be_text() -> None:
    with pytest.raises(BadSetting, match="^MFC_PLUGINS is "):
        Client(config={"MFC_PLUGINS": ["-teams"]})


def registered(name: str) -> Any:
    @hookimpl
    def mfc_filesystem(ds_type: str) -> Any:
        made = SimpleNamespace(name=name, cat_file=None, size=None, open=None)
        return made if ds_type == "files" else None

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


def test_an_invalid_plugin_object_is_refused_at_once() -> None:
    with pytest.raises(BrokenPlugin, match="implements no hook") as caught:
        Client(plugins=[object()])
    assert isinstance(caught.value, PluginError)
    assert caught.value.plugin == "object"


# Messages


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
        "        return self if ds_type == 'files' else None\n    name = 'object'\n    cat_file = size = open = None\nplugin = Plugin()",
    )
    shown = site.run(
        "client = Client()\nshow([client.filesystem('files').name,"
        " infos(client)['mfc-files 1.0 (mfc_files:plugin)'].file])"
    )
    assert shown == ["object", str(site.packages / "mfc_files.py")]


@pytest.mark.parametrize(
    ("address", "package"), [("service", "mfc-service"), ("https://x", "mfc-service")]
)
def test_an_unserved_address_names_the_plugin_to_install(
    site: Any, address: str, package: str
) -> None:
    site.plugin("files", files("files"))
    error, text, _ = site.run(f"show(said(lambda: Client({address!r})))")
    assert error == "UnservedAddress"
    assert text == (
        f"No plugin serves metadata provider {address!r}; pip install {package}; "
        "installed plugins: files, local, spin"
    )


def test_an_unknown_kind_names_the_installed_plugins(site: Any) -> None:
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


def test_a_filesystem_is_made_once_per_client(site: Any) -> None:
    site.plugin(
        "files",
        "import time\n@hookimpl\ndef mfc_filesystem(ds_type):\n    time.sleep(0.1)\n"
        "    return Anything() if ds_type == 'files' else None",
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


def test_a_child_forked_during_a_hook_works(site: Any) -> None:
    site.plugin(
        "slow",
        "import threading, time\nentered = threading.Event()\n@hookimpl\n"
        "def mfc_filesystem(ds_type):\n    if ds_type == 'slow':\n        entered.set()\n"
        "        time.sleep(0.5)\n        return Anything([1])",
    )
    site.plugin("other", files("other"))
    shown = site.run(
        """
        import os, signal, threading, mfc_slow
        client = Client()
        asking = threading.Thread(target=client.filesystem, args=("slow",))
        asking.start()
        mfc_slow.entered.wait()
        held = not client._reader._lock.acquire(blocking=False)
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


def test_a_values_only_plugin_is_not_suggested_for_metadata(site: Any) -> None:
    site.plugin("s3", files("s3"))
    for address in ("s3://bucket/root", "s3@bucket"):
        error, text, _ = site.run(f"show(said(lambda: Client({address!r})))")
        assert error == "UnservedAddress"
        assert "mfc-s3 1.0 serves 's3' as a place of values, not of metadata" in text
        assert "pip install" not in text


def test_a_missing_values_only_plugin_is_not_suggested_for_metadata(site: Any) -> None:
    error, text, _ = site.run("show(said(lambda: Client('azure://bucket')))")
    assert (error, "pip install" in text) == ("UnservedAddress", False)
    error, text, _ = site.run("show(said(lambda: Client().filesystem('azure')))")
    assert (error, "pip install mfc-azure; " in text) == ("PluginNotFound", True)


def test_frozen_application_is_told_what_to_bundle(site: Any) -> None:
    code = "sys.frozen = True\nshow(said(lambda: Client('service@http://h')))"
    error, text, _ = site.run(code)
    assert error == "UnservedAddress"
    assert "this application has to bundle mfc-service, its metadata and module mfc_service" in text
