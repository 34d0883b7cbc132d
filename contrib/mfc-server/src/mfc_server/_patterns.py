r"""Patterns of clients for SQLite, as RE2 expressions: matching takes linear time.

A client writes a regular expression as the service's PostgreSQL understands it (an "advanced
regular expression"), or a LIKE pattern. Each becomes an expression of RE2 that finds the same
texts; a pattern without an equivalent in RE2 is refused.

Source:
    PostgreSQL 15, chapter 9.7, and its answers to the patterns in the tests.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import re2

from mfc_server._limits import MAX_PATTERN

#: Most bytes of one compiled expression.
MEMORY = 2 * 1024 * 1024
#: The largest repetition count of PostgreSQL.
MAX_COUNT = 255
#: Character classes, in ranges and by themselves. RE2's own cover only ASCII.
_CLASSES = {
    "alnum": r"\pL\pN",
    "alpha": r"\pL",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": r"0-9",
    "lower": r"\p{Ll}",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": r"\p{Lu}",
    "word": r"\pL\pN_",
    "xdigit": r"0-9A-Fa-f",
}
_SHORT = {"d": _CLASSES["digit"], "s": _CLASSES["space"], "w": _CLASSES["word"]}
_SIGNS = {
    "a": r"\x07", "b": r"\x08", "B": r"\\", "e": r"\x1b", "f": r"\x0c",
    "n": r"\x0a", "r": r"\x0d", "t": r"\x09", "v": r"\x0b", "0": r"\x00",
}  # fmt: skip
#: Positions that a pattern can match.
_PLACES = {"A": r"\A", "Z": r"\z"}
#: Parts that a quantifier cannot follow.
_NOT_REPEATED = ("(?:", "|", "^", "$", *_PLACES.values())
_ONE_CLASS = re.compile(r"\[:(\w+):\]")
_CODE = re.compile(r"u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]+)")
_COUNT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_OPTIONS = re.compile(r"\(\?([a-z]+)\)")


class CannotMatch(ValueError):
    """The pattern is invalid, or has no equivalent in RE2; the message says which."""


def search(pattern: str, text: str) -> bool:
    r"""Tell whether a regular expression of PostgreSQL is found anywhere in `text`.

    Raises:
        CannotMatch: the pattern is invalid, or exceeds RE2.

    >>> search("^work:[[:digit:]]+$", "work:17"), search("a.b", "a\nb"), search("a$", "a\n")
    (True, True, False)
    """
    return compiled(pattern).search(text) is not None


def like(text: Any, pattern: str, fold: int) -> bool | None:
    r"""Tell whether `text` is LIKE `pattern`, as PostgreSQL defines it.

    Args:
        text: a column's value; NULL gives NULL.
        pattern: `%` for any characters, `_` for one, a backslash before any for itself.
        fold: 1 for ILIKE: case does not matter, in any script.

    >>> like("production:Ada", "%:ada", 1), like("ab", "a_b", 0), like("a%", r"a\%", 0)
    (True, False, True)
    """
    if text is None:
        return None
    return _compiled_like(pattern, fold).fullmatch(str(text)) is not None


@functools.lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """Return the RE2 expression for a regular expression of PostgreSQL.

    Raises:
        CannotMatch: see `search`.
    """
    if len(pattern) > MAX_PATTERN:
        raise CannotMatch(f"it has more than {MAX_PATTERN} characters")
    return _compile(*_Translation(pattern).result())


@functools.lru_cache(maxsize=256)
def _compiled_like(pattern: str, fold: int) -> Any:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    signs = {"%": ".*", "_": "."}
    found = "".join(signs.get(part) or _itself(part[-1]) for part in parts)
    return _compile(found, {"case_sensitive": not fold})


def _compile(expression: str, flags: dict[str, bool]) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.dot_nl = True
    options.max_mem = MEMORY
    for name, value in flags.items():
        setattr(options, name, value)
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise CannotMatch(str(reason)) from error


def _itself(text: str) -> str:
    return str(re2.escape(text))


def _outside(letter: str) -> str:
    r"""Return the meaning of an escape outside of brackets."""
    if letter in ("D", "S", "W"):
        return f"[^{_SHORT[letter.lower()]}]"
    if letter in _PLACES:
        return _PLACES[letter]
    if letter in "yYmM":
        raise CannotMatch(f"\\{letter} (where a word begins or ends) is not possible on SQLite")
    if letter.isdigit():
        raise CannotMatch("a reference back is not possible on SQLite")
    raise CannotMatch("invalid escape \\ sequence")


class _Translation:
    """The translation of one regular expression from PostgreSQL to RE2."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0
        self._flags = {"case_sensitive": True, "dot_nl": True}
        self._lines, self._expanded = False, False
        self._parts: list[str] = []

    def result(self) -> tuple[str, dict[str, bool]]:
        """Return the expression, and its options in RE2."""
        if self._pattern.startswith("***="):
            return _itself(self._pattern[4:]), {}
        if self._pattern.startswith("***:"):
            self._at = 4
        elif self._pattern.startswith("***"):
            raise CannotMatch("*** begins nothing but ***= and ***:")
        self._read_options()
        while self._at < len(self._pattern):
            part = self._next()
            if part:
                self._parts.append(part)
        text = "".join(self._parts)
        return f"(?m:{text})" if self._lines else text, self._flags

    def _read_options(self) -> None:
        found = _OPTIONS.match(self._pattern, self._at)
        if found is None:
            return
        self._at = found.end()
        for letter in found[1]:
            if letter in "ic":
                self._flags["case_sensitive"] = letter == "c"
            elif letter in "mnpw":
                # n and m: both; p: only the dot; w: only the anchors.
                self._flags["dot_nl"] = letter == "w"
                self._lines = letter != "p"
            elif letter == "s":
                self._flags["dot_nl"], self._lines = True, False
            elif letter in "tx":
                self._expanded = letter == "x"
            else:
                raise CannotMatch(f"the option {letter} is not understood here")

    def _next(self) -> str:
        sign, rest = self._pattern[self._at], self._pattern[self._at :]
        if self._expanded and (sign.isspace() or sign == "#"):
            self._at += 1 if sign != "#" else len(rest.partition("\n")[0])
            return ""
        if sign in "\\[":
            return self._escape(inside=False) if sign == "\\" else self._set()
        if sign in "(*+?{":
            return self._open(rest) if sign == "(" else self._repeat(rest)
        self._at += 1
        if sign == "." and not self._flags["dot_nl"]:
            return r"[^\n]"
        return sign if sign in ".^$|)" else _itself(sign)

    def _open(self, rest: str) -> str:
        if not rest.startswith("(?"):
            self._at += 1
            return "(?:"
        if rest.startswith("(?#"):
            end = rest.find(")")
            if end < 0:
                raise CannotMatch("parentheses () not balanced")
            self._at += end + 1
            return ""
        if rest.startswith("(?:"):
            self._at += 3
            return "(?:"
        if rest.startswith(("(?=", "(?!", "(?<=", "(?<!")):
            raise CannotMatch("looking ahead or behind is not possible on SQLite")
        raise CannotMatch("quantifier operand invalid")

    def _repeat(self, rest: str) -> str:
        sign = rest[0]
        if sign == "{":
            found = _COUNT.match(rest)
            if found is None:
                # PostgreSQL takes a brace literally unless a digit follows.
                if rest[1:2].isdigit():
                    raise CannotMatch("invalid repetition count(s)")
                self._at += 1
                return r"\{"
            if max(int(found[1]), int(found[3] or 0)) > MAX_COUNT:
                raise CannotMatch(f"invalid repetition count(s): more than {MAX_COUNT}")
            sign = found[0]
        self._at += len(sign)
        if not self._parts or self._parts[-1] in _NOT_REPEATED:
            raise CannotMatch("quantifier operand invalid")
        following = self._pattern[self._at : self._at + 1]
        if following == "?":
            self._at += 1  # which of several ends is preferred changes no answer
            following = self._pattern[self._at : self._at + 1]
        if following in ("*", "+", "?") or _COUNT.match(self._pattern, self._at):
            raise CannotMatch("quantifier operand invalid")
        return sign

    def _escape(self, *, inside: bool) -> str:
        letter = self._pattern[self._at + 1 : self._at + 2]
        if not letter:
            raise CannotMatch("invalid escape \\ sequence")
        code = _CODE.match(self._pattern, self._at + 1)
        if code:
            self._at = code.end()
            number = int(code[1] or code[2] or code[3], 16)
            if not 0 < number <= 0x10FFFF or 0xD800 <= number < 0xE000:  # noqa: PLR2004
                raise CannotMatch("invalid escape \\ sequence")
            return rf"\x{{{number:x}}}"
        self._at += 2
        if not letter.isalnum():
            return _itself(letter)
        if letter in _SHORT:
            return _SHORT[letter] if inside else f"[{_SHORT[letter]}]"
        if letter in _SIGNS:
            return _SIGNS[letter]
        if inside:
            raise CannotMatch("invalid escape \\ sequence")
        return _outside(letter)

    def _set(self) -> str:
        if self._pattern.startswith(("[[:<:]]", "[[:>:]]"), self._at):
            raise CannotMatch("[[:<:]] (where a word begins or ends) is not possible on SQLite")
        self._at += 1
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        found = ["[^" if negated else "["]
        first = True
        while True:
            sign = self._pattern[self._at : self._at + 1]
            if not sign:
                raise CannotMatch("brackets [] not balanced")
            if sign == "]" and not first:
                self._at += 1
                break
            found.append(self._member(sign))
            first = False
        if negated and not self._flags["dot_nl"]:
            found.append(r"\n")
        return "".join([*found, "]"])

    def _member(self, sign: str) -> str:
        if sign == "\\":
            return self._escape(inside=True)
        known = _ONE_CLASS.match(self._pattern, self._at)
        if known:
            if known[1] not in _CLASSES:
                raise CannotMatch("invalid character class")
            self._at = known.end()
            return _CLASSES[known[1]]
        if self._pattern.startswith(("[.", "[=", "[:"), self._at):
            raise CannotMatch("collating elements are not possible on SQLite")
        self._at += 1
        # A dash between two members is a range, and means the same in RE2.
        return "-" if sign == "-" and self._between() else _itself(sign)

    def _between(self) -> bool:
        before, after = self._pattern[self._at - 2], self._pattern[self._at : self._at + 1]
        return before not in ("[", "^") and after != "]"
