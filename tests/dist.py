"""Build the wheel and the source distribution of everything, and import each wheel alone.

    python tests/dist.py [--version]

Everything goes into `dist/`. Each wheel is built from its source distribution, and installed into an environment of its
own with the wheels that it needs.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"


def distributions() -> list[Path]:
    """Return the folders of all distributions, the core first."""
    return [ROOT / "core", *sorted(path.parent for path in ROOT.glob("*/mfc-*/src"))]


def version() -> str:
    """Return the one version of all distributions."""
    tree = ast.parse((ROOT / "core/src/mfc/__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise SystemExit("core/src/mfc/__init__.py assigns no __version__")


def run(*command: str | Path) -> str:
    """Return a command's output; end with it if the command fails."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"},
    )
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def alone(wheel: Path, package: str) -> None:
    """Import a package in an environment with its wheel and the wheels that it needs."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = (sys.executable, "-m", "pip", "--python", python)
        constraints = ("--constraint", ROOT / "constraints.txt")
        run(*pip, "install", "--quiet", "--find-links", DIST, *constraints, wheel)
        run(*pip, "check")
        told = run(
            python, "-I", "-W", "error", "-c", f"import {package}; print({package}.__name__)"
        )
        assert told.strip() == package


def main() -> None:
    """Build everything, then import each wheel alone."""
    shutil.rmtree(DIST, ignore_errors=True)
    for place in distributions():
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, place)
    for place in distributions():
        package = next(
            path for path in (place / "src").iterdir() if (path / "__init__.py").exists()
        )
        name = place.name.replace("-", "_") if place.name != "core" else "mfc_core"
        (wheel,) = DIST.glob(f"{name}-*.whl")
        alone(wheel, package.name)
        print(f"{wheel.name}: {wheel.stat().st_size // 1000} kB, imports alone", flush=True)


if __name__ == "__main__":
    if "--version" in sys.argv[1:]:
        print(version())
    else:
        main()
