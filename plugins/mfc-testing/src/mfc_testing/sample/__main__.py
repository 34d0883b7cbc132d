"""Put the sample into a directory: `python -m mfc_testing.sample DIRECTORY`."""

from __future__ import annotations

import sys

from mfc_testing.sample import unpack

if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
    raise SystemExit("usage: python -m mfc_testing.sample DIRECTORY")
unpack(sys.argv[1])
