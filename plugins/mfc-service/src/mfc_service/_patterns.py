r"""Regular expressions of Python in PostgreSQL's syntax, where both mean the same.

Source:
    PostgreSQL 15, "ARE" regular expressions: `.` matches a line break there, `\d` and its like
    depend on the locale.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<escaped>\\[^A-Za-z0-9\s]) |       # a sign for itself
    (?P<any>\.) |
    (?P<set>\[\^?[A-Za-z0-9_,:;/ -]+\]) | # no escapes, no classes
    (?P<sign>\(\?:|\)|\||[*+?]\??) |
    (?P<literal>[^\\.\[\](){}*+?|^$\n\0])
    """,
    re.VERBOSE,
)


def matching(pattern: str) -> str | None:
    r"""Return the expression that finds texts which `pattern` matches wholly, None if unsure.

    >>> matching("work:1|work:x*"), matching(r"\d+")
    ('^(?:work:1|work:x*)$', None)
    """
    translated = _translated(pattern)
    return None if translated is None else f"^(?:{translated})$"


def _translated(pattern: str) -> str | None:
    parts, position = [], 0
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None:
            return None
        # A non-greedy quantifier matches the same texts in Python; in PostgreSQL the first one
        # decides for all.
        text = found[0].rstrip("?") if found["sign"] in ("*?", "+?", "??") else found[0]
        parts.append(r"[^\n]" if found["any"] else text or "?")
        position = found.end()
    return "".join(parts)
