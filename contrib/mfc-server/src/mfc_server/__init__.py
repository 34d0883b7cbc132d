"""A Metaflow metadata service in one install: the real one's protocol, on SQLite or PostgreSQL.

The command is `mfc-server`; `mfc_server.testing` runs it for tests.
"""

from __future__ import annotations
