"""`contrib/mfc-example`, copied, renamed and installed alone, is a plugin."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tokenize
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "contrib" / "mfc-example"
#: Renames that its README requires, with plausible new names.
RENAMED = {
    "mfc_example": "mfc_ledger",
    "mfc-example": "mfc-ledger",
    "ExampleProvider": "LedgerProvider",
    "example": "ledger",
}


def lines_of_code(source: str) -> int:
    """Count lines of code, without docstrings and comments."""
    passed = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in passed:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def renamed(text: str) -> str:
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def copy(tmp_path):
    """Return a copy of the folder, every name in it changed."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--", str(EXAMPLE)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    target = tmp_path / renamed(EXAMPLE.name)
    for name in filter(None, tracked.split("\0")):
        path = target / renamed(str((ROOT / name).relative_to(EXAMPLE)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    return target


@pytest.fixture
def python(tmp_path):
    """Return the interpreter of an empty environment."""
    venv.create(tmp_path / "env", with_pip=True, symlinks=os.name != "nt")
    return str(tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python")


def run(*command: str, cwd: Path) -> str:
    foreign = ("PYTHON", "METAFLOW", "MFC_", "PYTEST", "COV_")
    environment = {n: value for n, value in os.environ.items() if not n.startswith(foreign)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_is_at_most_a_hundred_lines_with_its_tests():
    sources = [*EXAMPLE.glob("src/**/*.py"), *EXAMPLE.glob("tests/*.py")]
    assert sum(lines_of_code(source.read_text()) for source in sources) <= 100


def test_copied_and_renamed_it_passes_its_own_tests(copy, python):
    # Built here, with the build backend, so that the environment stays empty.
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(
        *build,
        "--wheel-dir",
        "wheels",
        str(ROOT / "core"),
        str(ROOT / "plugins/mfc-testing"),
        str(copy),
        cwd=copy.parent,
    )
    wheels = [str(wheel) for wheel in copy.parent.glob("wheels/*.whl")]
    shutil.rmtree(copy / "src")  # so that the installed package is tested
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    needed = [*wheels, "pytest", "hypothesis"]
    run(*install, "--constraint", str(ROOT / "constraints.txt"), *needed, cwd=copy.parent)
    listed = json.loads(run(python, "-m", "mfc", "plugins", "--json", "--check", cwd=copy.parent))
    assert {"mfc-ledger"} == {plugin["distribution"] for plugin in listed} - {""}
    test = [python, "-m", "pytest", "-q", "-W", "error", "--import-mode=importlib"]
    assert " passed" in run(*test, str(copy / "tests"), cwd=copy)
