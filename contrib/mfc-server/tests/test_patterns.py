"""Patterns on SQLite match the same texts as on PostgreSQL, or are refused."""

from __future__ import annotations

import re

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfc_server._patterns import CannotMatch, like, search

#: Patterns with the texts to search.
TABLE = [
    (r"^(?:work:1)$", ["work:1", "work:10", "a\nwork:1"]),
    (r"a.b", ["a\nb", "ab", "axb"]),
    (r"a$", ["a", "a\n", "a\nb", "ba"]),
    (r"(?n)a$", ["a\nb", "ab"]),
    (r"(?n)a.b", ["a\nb", "axb"]),
    (r"(?n)[^x]", ["\n", "x", "a"]),
    (r"(?w)^b.c", ["a\nb\nc", "bxc"]),
    (r"(?p)^b.c", ["a\nbxc", "b\nc", "bxc"]),
    (r"(?i)ABC", ["xabcx", "ab"]),
    (r"(?x)a b # comment", ["ab", "a b"]),
    (r"(?x)a *", ["", "b"]),
    (r"***=a.b", ["a.b", "axb"]),
    (r"***:a.b", ["a.b", "axb"]),
    (r"\d+\s\w", ["12 a", "12a", "1\t_"]),
    (r"\D\S\W", ["ab!", "1b!", "a !"]),
    (r"[[:alpha:]][[:digit:]_-]+", ["a1", "a_", "a-", "1a"]),
    (r"[^[:space:]]", [" ", "a", "\n"]),
    (r"[]a]", ["]", "a", "b"]),
    (r"[^]a]", ["]", "a", "b"]),
    (r"[a\]]b", ["]b", "ab", "bb"]),
    (r"[a-c-]", ["-", "b", "d"]),
    (r"[\d]", ["1", "d", "\\"]),
    (r"\Aab\Z", ["ab", "ab\n", "xab"]),
    (r"\Ba", ["\\a", "ba"]),
    (r"\u0061\x62\t", ["ab\t", "ab"]),
    (r"a{2,3}$", ["a", "aa", "aaaa"]),
    (r"a{,3}", ["a{,3}", "a"]),
    (r"a{x", ["a{x", "a"]),
    (r"(a|)b", ["b", "ab", "c"]),
    (r"()", ["", "a"]),
    (r"a(?#comment)b", ["ab", "acb"]),
    (r"(a*)*b", ["aab", "b", "aa"]),
    (r"a*?b+?c??", ["ab", "b", "c"]),
    (r"\.\*\[\]", [".*[]", "x"]),
    (r"ä+[é-ü]", ["ääö", "ä", "a"]),
    # Invalid in both.
    (r"*a", ["a"]),
    (r"a**", ["a"]),
    (r"a+{2}", ["aa"]),
    (r"^*", ["a"]),
    (r"$+", ["a"]),
    (r"(a", ["a"]),
    (r"a)", ["a"]),
    (r"[a", ["a"]),
    (r"[b-a]", ["a"]),
    (r"[[:nothing:]]", ["a"]),
    (r"a{256}", ["a"]),
    (r"a{3,2}", ["a"]),
    (r"a{2", ["a"]),
    ("a\\", ["a"]),
    (r"\q", ["q"]),
    (r"(?z)a", ["a"]),
    (r"***a", ["a"]),
    (r"(|*)", ["a"]),
]
#: Patterns that PostgreSQL accepts and a linear engine cannot express.
REFUSED = [
    r"(a)\1",
    r"a(?=b)",
    r"a(?!b)",
    r"(?<=a)b",
    r"\ya",
    r"\ma\M",
    r"[[:<:]]a",
    r"[[.a.]]",
    r"(?:a{200}){200}",
]


@pytest.fixture(scope="module")
def cursor(postgres: object):
    with psycopg.connect(postgres.new(), autocommit=True) as connection:
        # Letters are those of any script, as in a database with a usual locale.
        like = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
        connection.execute(f"CREATE DATABASE any_script {like}")
    with psycopg.connect(postgres.url("any_script"), autocommit=True) as connection:
        yield connection.cursor()


def there(cursor: psycopg.Cursor, pattern: str, text: str) -> bool | None:
    """Return PostgreSQL's answer: found, not found, or None for an invalid pattern."""
    try:
        return cursor.execute("SELECT %s ~ %s", (text, pattern)).fetchone()[0]
    except psycopg.errors.DataError:
        return None


def here(pattern: str, text: str) -> bool | None:
    try:
        return search(pattern, text)
    except CannotMatch:
        return None


@pytest.mark.parametrize(("pattern", "texts"), TABLE, ids=[row[0] for row in TABLE])
def test_a_pattern_matches_as_on_postgresql(cursor, pattern: str, texts: list[str]) -> None:
    for text in texts:
        assert here(pattern, text) == there(cursor, pattern, text), text


@pytest.mark.parametrize("pattern", REFUSED)
def test_patterns_beyond_a_linear_engine_are_refused(pattern: str) -> None:
    with pytest.raises(CannotMatch):
        search(pattern, "aa")


_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "1",
        ".",
        "^",
        "$",
        r"\d",
        r"\w",
        r"\s",
        r"\D",
        "[ab]",
        "[^a]",
        "[[:digit:]b]",
        "-",
        r"\.",
        "é",
        "{",
        "}",
        "]",
    ]
)
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])).map(
            "".join
        ),
        inner.map("({})".format),
        inner.map("(?:{})".format),
    ),
    max_leaves=8,
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pattern=_PATTERNS, text=st.text("ab1 .-\né{}]", max_size=6))
@example(pattern="a{", text="a{")
@example(pattern="a|", text="")
def test_any_pattern_matches_as_on_postgresql(cursor, pattern: str, text: str) -> None:
    assert here(pattern, text) == there(cursor, pattern, text)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pattern=st.text(r"ab%_\.", max_size=6),
    text=st.text("abAB%_\\.\néÉ", max_size=6),
    fold=st.booleans(),
)
def test_like_matches_as_on_postgresql(cursor, pattern: str, text: str, fold: bool) -> None:
    if re.search(r"(?<!\\)(\\\\)*\\$", pattern):
        return  # PostgreSQL refuses an escape of nothing; so does the server, before this function
    operator = "ILIKE" if fold else "LIKE"
    said = cursor.execute(f"SELECT %s {operator} %s", (text, pattern)).fetchone()[0]
    assert like(text, pattern, int(fold)) == said


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a|aa|aaa)+b", "a" * 200_000),
        (r"(a*)*(b*)*c", "ab" * 100_000),
        (r"(?:a|b)*a(?:a|b){200}c", "ab" * 100_000),
        (r"(.*)(.*)(.*)(.*)(.*)x", "a" * 200_000),
    ],
)
def test_a_catastrophic_pattern_is_answered(pattern: str, text: str) -> None:
    assert not search(pattern, text)
