"""The base of the kit's classes: clauses, known gaps, and failures that name them."""

from __future__ import annotations

import functools
import linecache
import math
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import attrs
import pytest

from mfc.model import PendingRecord, Record
from mfc_testing import report
from mfc_testing._pytest import QUICK

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")
#: Most characters of an answer that a failure shows.
_SHOWN = 800


class ClauseBroken(AssertionError):
    """A clause of the contract does not hold.

    Args:
        given: the call, and its arguments.
        expected: the result that the contract requires.
        got: the actual result.
        advice: how to fix it, where that is known.
    """

    def __init__(self, given: str, expected: object, got: object, advice: str = "") -> None:
        self.given, self.expected, self.got, self.advice = given, expected, got, advice
        #: The clause, its text and its page; set by the test that finds it broken.
        self.clause = self.says = self.page = ""
        super().__init__(given, expected, got, advice)

    def __str__(self) -> str:
        lines = [
            f"clause {self.clause}: {self.says}",
            f"  given:    {_shown(self.given)}",
            f"  expected: {_shown(self.expected)}",
            f"  got:      {_shown(self.got)}",
        ]
        lines += [f"  advice:   {self.advice}"] if self.advice else []
        return "\n".join([*lines, f"  page:     {self.page}"] if self.page else lines)


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else _listed(value)
    except Exception as error:  # noqa: BLE001 - a repr may run any code
        text = f"something of class {type(value).__qualname__}, which cannot be shown: {error}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(text)} characters)"


def _listed(value: object) -> str:
    if isinstance(value, (list, tuple)) and value:
        return "[" + ", ".join(str(item) for item in value) + "]"
    if isinstance(value, (set, frozenset)) and value:
        return "{" + ", ".join(sorted(map(str, value))) + "}"
    return repr(value)


def equal(given: str, expected: object, got: object, advice: str = "") -> None:
    """Do nothing if an answer equals the expected one.

    Raises:
        ClauseBroken: the answer differs.
    """
    __tracebackhide__ = True
    if not same(expected, got):
        raise ClauseBroken(given, expected, got, advice)


def same(expected: object, got: object) -> bool:
    """Compare two values in every part and in the type of every part.

    A lazy record counts as the record that it loads. NaN equals itself.

    >>> same([1, {"a": float("nan")}], [1, {"a": float("nan")}]), same([1], [True])
    (True, False)
    """
    expected, got = plain(expected), plain(got)
    if type(expected) is not type(got):
        return False
    for kinds, alike in _ALIKE.items():
        if isinstance(expected, kinds):
            return alike(expected, got)
    kind: Any = type(expected)
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind) if field.eq]
        return all(same(getattr(expected, name), getattr(got, name)) for name in names)
    try:
        return bool(expected == got)
    except Exception:  # noqa: BLE001 - arrays: their authors define how they are compared
        return False


def plain(value: _T) -> _T | Record:
    """Return a lazy record as the record that it loads; anything else as it is."""
    return value.found() if isinstance(value, PendingRecord) else value


def _same_items(expected: Any, got: Any) -> bool:
    return len(expected) == len(got) and all(map(same, expected, got))


def _same_pairs(expected: Any, got: Any) -> bool:
    values = all(key in got and same(value, got[key]) for key, value in expected.items())
    return values and len(expected) == len(got) and _same_kinds(expected, got)


def _same_members(expected: Any, got: Any) -> bool:
    return expected == got and _same_kinds(expected, got)


def _same_kinds(expected: Any, got: Any) -> bool:
    """Tell whether equal members have the same type: 1 equals True."""
    return sorted(map(_kind, expected)) == sorted(map(_kind, got))


def _kind(member: object) -> str:
    # Sets show their members in any order.
    is_scalar = isinstance(member, (int, float, complex, str, bytes))
    return f"{type(member).__name__} {member!r}" if is_scalar else type(member).__name__


def _same_float(expected: float, got: float) -> bool:
    if math.isnan(expected):
        return math.isnan(got)
    return expected == got and math.copysign(1, expected) == math.copysign(1, got)


_ALIKE: dict[tuple[type, ...], Callable[[Any, Any], bool]] = {
    (list, tuple): _same_items,
    (dict,): _same_pairs,
    (set, frozenset): _same_members,
    (float,): _same_float,
}


def holds(fact: object, given: str, expected: object, got: object, advice: str = "") -> None:
    """Do nothing if `fact` is true.

    Raises:
        ClauseBroken: `fact` is false.
    """
    __tracebackhide__ = True
    if not fact:
        raise ClauseBroken(given, expected, got, advice)


def ask(given: str, question: Callable[[], _T]) -> _T:
    """Return the answer to a query that must not fail.

    Raises:
        ClauseBroken: the query raised.
    """
    __tracebackhide__ = True
    try:
        return question()
    except ClauseBroken:
        raise
    except Exception as error:
        raise ClauseBroken(given, "an answer", raised(error)) from error


def refused(given: str, errors: type[Exception], question: Callable[[], object]) -> Exception:
    """Return the error of a query that must fail with one of `errors`.

    Raises:
        ClauseBroken: the query answered, or raised another error.
    """
    __tracebackhide__ = True
    try:
        answer = question()
    except errors as error:
        return error
    except ClauseBroken:
        raise
    except Exception as error:
        raise ClauseBroken(given, f"{errors.__name__} raised", raised(error)) from error
    raise ClauseBroken(given, f"{errors.__name__} raised", answer)


def raised(error: BaseException) -> str:
    """Return an exception as failures show it: class, text, location, cause."""
    kind = type(error)
    where = _innermost(error.__traceback__)
    at = f", at {where.filename}:{where.lineno} in {where.name}" if where else ""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    why = f"; because of {type(cause).__qualname__}: {cause}" if cause else ""
    return f"{kind.__module__}.{kind.__qualname__} raised: {str(error) or '(no text)'}{at}{why}"


def _innermost(trace: TracebackType | None) -> traceback.FrameSummary | None:
    found = traceback.extract_tb(trace)
    return found[-1] if found else None


def _asked_at(trace: TracebackType | None) -> str:
    """Return the query during which an exception was raised: the line in the clause."""
    frames = [f for f in traceback.extract_tb(trace) if f.filename != __file__]
    if not frames:
        return "a question of this clause"
    first = frames[0]
    line = linecache.getline(first.filename, first.lineno or 0).strip()
    return f"{line} (line {first.lineno} of {first.filename})"


def clause(name: str) -> Callable[[_F], _F]:
    """Make a test method a clause of the contract; its docstring is the clause's text.

    Args:
        name: its id, which failures, known gaps and the report use.
    """

    def mark(test: _F) -> _F:
        says = " ".join((test.__doc__ or "").split("\n\n")[0].split())

        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            try:
                test(*args, **kwargs)
            except ClauseBroken as broken:
                broken.clause, broken.says = broken.clause or name, broken.says or says
                broken.page = broken.page or page_of(args)
                raise
            except Exception as error:
                given = _asked_at(error.__traceback__)
                failed = ClauseBroken(given, "an answer", raised(error))
                failed.clause, failed.says, failed.page = name, says, page_of(args)
                raise failed from error

        checked.clause = name  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return mark


def page_of(tests: tuple[Any, ...]) -> str:
    """Return the page that explains the clauses of a class of the kit."""
    kit = kind_of(type(tests[0])) if tests else "the kit"
    return f"docs/kit.md, {kit}; docs/contract.md"


class ContractTests:
    """A part of the contract as tests.

    A subclass gives fixtures and nothing else. Its `known_gaps` say which clauses are known not
    to hold, and why: such a test is expected to fail, is in the report as declared, and fails
    when the clause holds after all.

    Raises:
        TypeError: a subclass overrides a clause, or declares a gap for an unknown clause.
    """

    #: Whether the option `--kit-quick` was given.
    _quick = False
    #: Reasons by id of the clause.
    known_gaps: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited: dict[str, str] = {}
        for parent in reversed(cls.__mro__[1:]):
            inherited |= {
                name: value.clause
                for name, value in vars(parent).items()
                if hasattr(value, "clause")
            }
        for name in inherited.keys() & vars(cls).keys():
            raise TypeError(
                f"{cls.__name__} overrides {name}, clause {inherited[name]} of the contract. "
                "A contract test may not be overridden; if your plugin cannot fulfil it, declare "
                f"known_gaps = {{{inherited[name]!r}: 'why'}}"
            )
        by_clause = {found: name for name, found in inherited.items()}
        for gap, reason in vars(cls).get("known_gaps", {}).items():
            if gap not in by_clause:
                raise TypeError(
                    f"{cls.__name__}.known_gaps names {gap!r}, which is not a clause; "
                    f"these are: {', '.join(sorted(by_clause))}"
                )
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.known_gaps[{gap!r}] gives no reason")
            setattr(cls, by_clause[gap], _expected_to_fail(getattr(cls, by_clause[gap]), reason))

    @pytest.fixture(autouse=True)
    def _in_report(self, request: pytest.FixtureRequest) -> None:
        """Record the outcome of this test for the table at the end; apply `--kit-quick`."""
        report.register(request.config)
        self._quick = bool(request.config.getoption(QUICK, default=False))
        if found := getattr(request.function, "clause", None):
            request.node.user_properties.append((report.CLAUSE, (kind_of(type(self)), found)))


def _expected_to_fail(test: Callable[..., Any], reason: str) -> Callable[..., Any]:
    @functools.wraps(test)
    def gap(*args: Any, **kwargs: Any) -> None:
        test(*args, **kwargs)

    gap.__dict__["pytestmark"] = [pytest.mark.xfail(strict=True, reason=reason).mark]
    return gap


def kind_of(tests: type) -> str:
    """Return the class of the kit that `tests` is or derives from."""
    kit = [parent for parent in tests.__mro__ if parent.__module__.startswith("mfc_testing.")]
    return kit[0].__name__ if kit else tests.__name__


def clauses(tests: type[ContractTests]) -> dict[str, Callable[..., None]]:
    """Return the tests of a class of the kit by the ids of their clauses."""
    found: list[Any] = [getattr(tests, name, None) for name in dir(tests)]
    return {test.clause: test for test in found if hasattr(test, "clause")}
