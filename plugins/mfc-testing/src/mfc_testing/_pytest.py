"""pytest's option `--kit-quick`, loaded by pytest where mfc-testing is installed."""

from __future__ import annotations

from typing import Any

#: The option's name in pytest's configuration.
QUICK = "mfc_kit_quick"


def pytest_addoption(parser: Any) -> None:
    """Add `--kit-quick`."""
    parser.getgroup("mfc").addoption(
        "--kit-quick",
        action="store_true",
        dest=QUICK,
        help="ask the kit of mfc with few random histories: for while you write a plugin",
    )
