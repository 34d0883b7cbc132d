"""What all classes of the kit share: clauses, known gaps, and failures that name them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from mfc.testing import report

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")
#: So much of an answer is shown.
_SHOWN = 800


class ClauseBroken(AssertionError):
    """A clause of the contract does not hold.

    Args:
        given: what was asked, and of what.
        expected: what the contract says to that.
        got: what came instead.
        advice: what to do, where that can be told.
    """

    def __init__(self, given: str, expected: object, got: object, advice: str = "") -> None:
        self.given, self.expected, self.got, self.advice = given, expected, got, advice
        #: The clause, and what it says; set by the test that finds it broken.
        self.clause = self.says = ""
        super().__init__(given, expected, got, advice)

    def __str__(self) -> str:
        lines = [
            f"clause {self.clause}: {self.says}",
            f"  given:    {_shown(self.given)}",
            f"  expected: {_shown(self.expected)}",
            f"  got:      {_shown(self.got)}",
        ]
        return "\n".join([*lines, f"  advice:   {self.advice}"] if self.advice else lines)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else _listed(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(text)} characters)"


def _listed(value: object) -> str:
    if isinstance(value, (list, tuple)) and value:
        return "[" + ", ".join(str(item) for item in value) + "]"
    if isinstance(value, (set, frozenset)) and value:
        return "{" + ", ".join(sorted(map(str, value))) + "}"
    return repr(value)


def equal(given: str, expected: object, got: object, advice: str = "") -> None:
    """Do nothing if an answer is the expected one.

    Raises:
        ClauseBroken: it is another one.
    """
    __tracebackhide__ = True
    if type(got) is not type(expected) or got != expected:
        raise ClauseBroken(given, expected, got, advice)


def holds(fact: object, given: str, expected: object, got: object, advice: str = "") -> None:
    """Do nothing if `fact` is true.

    Raises:
        ClauseBroken: it is not.
    """
    __tracebackhide__ = True
    if not fact:
        raise ClauseBroken(given, expected, got, advice)


def ask(given: str, question: Callable[[], _T]) -> _T:
    """Return the answer to a question that must not fail.

    Raises:
        ClauseBroken: it raised.
    """
    __tracebackhide__ = True
    try:
        return question()
    except ClauseBroken:
        raise
    except Exception as error:
        raise ClauseBroken(given, "an answer", _raised(error)) from error


def refused(given: str, errors: type[Exception], question: Callable[[], object]) -> Exception:
    """Return the error of a question that must fail with one of `errors`.

    Raises:
        ClauseBroken: it answered, or raised another one.
    """
    __tracebackhide__ = True
    try:
        answer = question()
    except errors as error:
        return error
    except Exception as error:
        raise ClauseBroken(given, f"{errors.__name__} raised", _raised(error)) from error
    raise ClauseBroken(given, f"{errors.__name__} raised", answer)


def _raised(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__} raised: {error}"


def clause(name: str) -> Callable[[_F], _F]:
    """Make a test method a clause of the contract; its docstring says what holds.

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
                raise
            except Exception as error:
                failed = ClauseBroken("as in the traceback", "no exception", _raised(error))
                failed.clause, failed.says = name, says
                raise failed from error

        checked.clause = name  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return mark


class ContractTests:
    """A part of the contract as tests.

    A subclass gives fixtures and nothing else. Its `known_gaps` say which clauses are known not
    to hold, and why: such a test is expected to fail, is in the report as declared, and fails
    when the clause holds after all.

    Raises:
        TypeError: a subclass overrides a clause, or declares a gap that is none.
    """

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
                    f"{cls.__name__}.known_gaps names {gap!r}, which is no clause; "
                    f"these are: {', '.join(sorted(by_clause))}"
                )
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.known_gaps[{gap!r}] gives no reason")
            setattr(cls, by_clause[gap], _expected_to_fail(getattr(cls, by_clause[gap]), reason))

    @pytest.fixture(autouse=True)
    def _in_report(self, request: pytest.FixtureRequest) -> None:
        """Have the outcome of this test in the table at the end."""
        report.register(request.config)
        if found := getattr(request.function, "clause", None):
            request.node.user_properties.append((report.CLAUSE, (kind_of(type(self)), found)))


def _expected_to_fail(test: Callable[..., Any], reason: str) -> Callable[..., Any]:
    @functools.wraps(test)
    def gap(*args: Any, **kwargs: Any) -> None:
        test(*args, **kwargs)

    gap.__dict__["pytestmark"] = [pytest.mark.xfail(strict=True, reason=reason).mark]
    return gap


def kind_of(tests: type) -> str:
    """Return which class of the kit `tests` is, or is made from."""
    kit = [parent for parent in tests.__mro__ if parent.__module__.startswith("mfc.testing.")]
    return kit[0].__name__ if kit else tests.__name__


def clauses(tests: type[ContractTests]) -> dict[str, Callable[..., None]]:
    """Return the tests of a class of the kit by the ids of their clauses."""
    found: list[Any] = [getattr(tests, name, None) for name in dir(tests)]
    return {test.clause: test for test in found if hasattr(test, "clause")}
