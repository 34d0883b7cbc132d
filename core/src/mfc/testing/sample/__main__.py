"""Put the sample into a directory: `python -m mfc.testing.sample DIRECTORY`."""

from __future__ import annotations

import sys

from mfc.testing.sample import unpack

if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
    raise SystemExit("usage: python -m mfc.testing.sample DIRECTORY")
unpack(sys.argv[1])
