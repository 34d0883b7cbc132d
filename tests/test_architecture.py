"""Rules for the whole repository: names, documents, light imports, sizes."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfc
import mfc_testing
from mfc import errors, hookspecs
from mfc_testing._contract import clauses

from .differential.differences import DIFFERENCES

ROOT = Path(__file__).parents[1]
#: Folders of the distributions besides the core.
PLUGINS = [path.parent for kind in ("plugins", "contrib") for path in ROOT.glob(f"{kind}/*/src")]
SOURCES = [path for where in (ROOT / "core", *PLUGINS) for path in where.glob("src/**/*.py")]
#: Names that users of notebooks import from Metaflow.
OF_METAFLOW = [
    "Metaflow",
    "Flow",
    "Run",
    "Step",
    "Task",
    "DataArtifact",
    "MetaflowData",
    "MetaflowCode",
    "Trigger",
    "MetaflowTrigger",
    "MetaflowEvent",
    "Metadata",
    "namespace",
    "get_namespace",
    "default_namespace",
    "metadata",
    "get_metadata",
    "default_metadata",
    "inspect_spin",
    "MetaflowException",
    "MetaflowNotFound",
    "MetaflowNamespaceMismatch",
    "MetaflowInvalidPathspec",
    "MetaflowTaggingError",
    "MetaflowInternalError",
    "MetaflowUnknownUser",
]
OF_OURS = [
    "CacheInfo",
    "Client",
    "Failure",
    "MfcWarning",
    "Placeholder",
    "Stats",
    "Status",
    "Table",
    "Timeline",
    "TimelineRow",
    "Trust",
    "load",
    "plugins",
    "table",
    "unpickle",
]


def test_the_public_names_are_these() -> None:
    assert sorted(mfc.__all__) == sorted({*OF_METAFLOW, *OF_OURS})
    assert all(getattr(mfc, name) is not None for name in mfc.__all__)


def modules_after(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(shown.stdout))


def test_importing_loads_nothing_heavy() -> None:
    heavy = {
        "requests",
        "fsspec",
        "asyncio",
        "cattrs",
        "numpy",
        "pandas",
        "importlib.metadata",
        "tarfile",
        "tempfile",
        "filelock",
        "platformdirs",
        "tqdm",
        "mfc._cache",
        "mfc._facts",
    }
    loaded = modules_after("import mfc; from mfc import Flow, Run, namespace")
    assert not loaded & heavy
    assert not [name for name in loaded if name.startswith("mfc._facts")]


def test_reading_locally_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    (tmp_path / ".metaflow").mkdir()
    heavy = {"requests", "fsspec", "cattrs", "numpy", "pandas", "tarfile", "tqdm", "mfc._cache"}
    statement = (
        f"import mfc; mfc.namespace(None); mfc.metadata({str(tmp_path)!r}); list(mfc.Metaflow())"
    )
    assert not modules_after(statement) & heavy


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_module_imports_fast(plugin: Path) -> None:
    name = next(plugin.glob("src/mfc_*")).name
    loaded = modules_after(f"import mfc.hookspecs, {name}") - modules_after("import mfc.hookspecs")
    assert len(loaded) <= 3, loaded


def test_nothing_imports_metaflow() -> None:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "metaflow" for name in names), source


def test_every_error_is_in_the_tree_and_documented() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and value.__module__ == errors.__name__
    }
    drawn = set(re.findall(r"^    [│├└─ ]*(\w+)", errors.__doc__ or "", re.MULTILINE))
    assert classes - {"MfcWarning"} == drawn
    page = (ROOT / "docs/errors.md").read_text()
    assert [name for name in sorted(classes) if name not in page] == []


def test_every_difference_from_metaflow_is_documented_with_its_test() -> None:
    page = (ROOT / "docs/compatibility.md").read_text()
    reasons = {difference.reason.split(";")[0] for difference in DIFFERENCES}
    assert [reason for reason in sorted(reasons) if reason not in page] == []
    tests = "".join(path.read_text() for path in ROOT.glob("**/tests/**/test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_every_hook_and_argument_is_documented() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("mfc_")}
    assert len(hooks) == 7
    sections = (ROOT / "docs/hooks.md").read_text().split("\n## ")[1:]
    documented = {section.partition("\n")[0]: section for section in sections}
    assert [name for name in hooks if name not in documented] == []
    for name, hook in hooks.items():
        assert hook.__doc__
        rows = re.findall(r"^\| `(\w+)` \|", documented[name], re.MULTILINE)
        assert rows == list(inspect.signature(hook).parameters), name
        assert name in (ROOT / "docs/plugins.md").read_text()


@pytest.mark.parametrize("name", [name for name in mfc_testing.__all__ if name.endswith("Tests")])
def test_every_clause_of_the_kit_is_documented(name: str) -> None:
    """The page describes a class of the kit as its code does: clauses, fixtures, attributes."""
    kit = getattr(mfc_testing, name)
    sections = (ROOT / "docs/kit.md").read_text().split("\n## ")[1:]
    page = {section.partition("\n")[0]: section for section in sections}[name]
    says = {
        key: " ".join((test.__doc__ or "").split("\n\n")[0].split())
        for key, test in clauses(kit).items()
    }
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert dict(rows) == says
    members = {key: inspect.getattr_static(kit, key) for key in dir(kit) if key[0] != "_"}
    fixtures = {key for key, value in members.items() if "Fixture" in type(value).__name__}
    assert set(re.findall(r"^- `(\w+)`: ", page, re.MULTILINE)) == fixtures
    typed = {key for part in kit.__mro__ for key in vars(part).get("__annotations__", {})}
    attributes = {key: repr(members[key]) for key in typed - {"known_gaps"}}
    shown = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| [^|]+ \|$", page, re.MULTILINE)
    assert dict(shown) == attributes


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_files_and_functions_stay_small(source: Path) -> None:
    text = source.read_text()
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_no_file_names_a_host_to_install_from() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    hosts = re.compile(r"pypi\.org|pythonhosted|index-url|npmjs", re.IGNORECASE)
    texts = (
        path
        for path in listed.split("\0")
        if path.endswith((".toml", ".txt", ".md", ".py", "Makefile", "run"))
    )
    named = [
        path
        for path in texts
        if path != "tests/test_architecture.py"
        and hosts.search((ROOT / path).read_text(errors="replace"))
    ]
    assert named == []


def test_readme_and_licence_are_in_every_distribution() -> None:
    for distribution in (ROOT / "core", *PLUGINS):
        for name in ("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"):
            assert (distribution / name).read_text().strip(), distribution / name
        assert list(distribution.glob("src/*/py.typed"))
