"""The sessions of the workflows, for a machine at home: `nox --list`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["fast"]
nox.options.default_venv_backend = "venv"
ROOT = Path(__file__).parent
DISTRIBUTIONS = ["core", *(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/mfc-*/src"))]


def install(session: nox.Session, *groups: str) -> None:
    """Install all distributions, editable, and groups of tools."""
    session.install("--upgrade", "pip>=25.1")
    editable = [word for place in DISTRIBUTIONS for word in ("--editable", place)]
    chosen = [word for group in groups for word in ("--group", group)]
    session.install("--constraint", "constraints.txt", *editable, *chosen)


@nox.session(python=["3.10", "3.11", "3.12", "3.13", "3.14"])
def fast(session: nox.Session) -> None:
    """Run the tests without servers and without Metaflow."""
    install(session, "test")
    session.run(
        "python", "-m", "pytest", "-m", "not slow and not nightly", "--kit-quick", *session.posargs
    )


@nox.session(python=["3.11"])
def everything(session: nox.Session) -> None:
    """Run all tests beside real Metaflow, as `make test` does."""
    session.run("make", "test", external=True)


@nox.session(python=["3.12"])
def check(session: nox.Session) -> None:
    """Check style, types, layers and documents."""
    session.run("make", "check", external=True)


@nox.session(python=["3.12"])
def dist(session: nox.Session) -> None:
    """Build every distribution and import each alone."""
    session.install("build", "hatchling")
    session.run("python", "tests/dist.py")
