"""`docs/writing-a-plugin.md`, followed to the letter: an empty folder, a shell, an own environment.

The environment is a real one, made by the commands of the page. Only the source of `mfc-core` is
arranged: a wheel of this checkout, and versions as in `constraints.txt`.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "writing-a-plugin.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
#: Output in the page may be abbreviated, as in doctests.
SAME = doctest.OutputChecker().check_output
#: Output of a command that is meant to fail.
FAILS = re.compile(r"[1-9]\d* FAILED|ClauseBroken")
DONE = "the command has ended"


def changed(text: str, diff: str) -> str:
    """Return a text with a diff without line numbers applied; its place must be plain."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
    after = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, f"{text.count(before)} places for\n{before}"
    return text.replace(before, after)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block with the output shown."""
    for part in block.split("$ ")[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


class Shell:
    """One shell, so that effects of a command last for the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.running = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self, command: str) -> tuple[str, int]:
        """Return a command's output, and its exit status."""
        self.running.stdin.write(
            f"{{ {command}\n}} </dev/null; ended=$?; echo; echo '{DONE}' $ended\n"
        )
        self.running.stdin.flush()
        printed = []
        for line in self.running.stdout:
            if line.startswith(DONE):
                text = "".join(printed).removesuffix("\n")
                return text, int(line.removeprefix(DONE))
            printed.append(line)
        raise AssertionError(f"the shell died of {command}")

    def end(self) -> None:
        self.running.stdin.close()
        self.running.stdout.close()
        self.running.wait()


@pytest.fixture
def shell(tmp_path):
    """Return a shell in an empty folder, where pip finds the mfc-core of this checkout."""
    wheels, folder, own = (tmp_path / name for name in ("wheels", "mfc-journal", "tmp"))
    folder.mkdir()
    own.mkdir()
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    parts = (ROOT / "core", ROOT / "plugins/mfc-testing")
    subprocess.run([*build, "--wheel-dir", wheels, *parts], check=True)
    foreign = ("PYTHON", "METAFLOW", "MFC_", "PYTEST", "COV_", "VIRTUAL_ENV")
    clean = {n: value for n, value in os.environ.items() if not n.startswith(foreign)}
    made = Shell(
        folder,
        {
            **clean,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": f"{clean.get('PIP_FIND_LINKS', '')} {wheels}".strip(),
            "TMPDIR": str(own),  # the temporary files of that pytest, which deletes older ones
            "COLUMNS": "80",
            "TZ": "UTC",
        },
    )
    yield folder, made
    made.end()


@pytest.mark.skipif(os.name == "nt", reason="the page is written for a POSIX shell")
def test_following_the_page_makes_the_kit_pass(shell):
    folder, terminal = shell
    for language, name, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        file = folder / name
        if language == "console":
            for command, shown in commands(content):
                printed, status = terminal.run(command)
                # Without shown output, the exit status is enough: pip may print warnings.
                fits = not shown or SAME(shown, printed, doctest.ELLIPSIS)
                assert fits, f"$ {command}\n{printed}\n\nThe page shows\n{shown}"
                assert bool(status) == bool(FAILS.search(shown)), f"$ {command}\n{printed}"
        elif language == "diff":
            file.write_text(changed(file.read_text(encoding="utf-8"), content), encoding="utf-8")
        else:
            assert name, f"a {language} block without a name"
            assert not file.exists(), f"{name} stands there twice"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
