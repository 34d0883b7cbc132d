"""The contract of namespace policies, as tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import attrs
import pytest

from mfc.errors import MetaflowException, MetaflowUnknownUser
from mfc.hookspecs import NamespacePolicy
from mfc.model import ArtifactRecord, Record
from mfc.testing import _isolation
from mfc.testing._contract import ContractTests, ask, clause, equal, holds

#: A namespace, and the record of a run.
Case = tuple[str, Record]
_ODD = (
    "",
    " ",
    "user:",
    "nobody",
    "größe",
    "\ud800",
    "a" * 3000,
    "*",
    "' OR 1=1 --",
    "production:",
)


class NamespacePolicyTests(ContractTests):
    """What every namespace policy promises. Give `policy`, `visible` and `hidden`.

    ::

        class TestTeams(NamespacePolicyTests):
            module = "mfc_teams"

            @pytest.fixture
            def policy(self):
                return Teams({"shop": ["ada", "bob"]})

            @pytest.fixture
            def visible(self):
                return [("team:shop", run_of_ada)]

            @pytest.fixture
            def hidden(self):
                return [("team:shop", run_of_eve)]

    and, if not everybody may change all tags, `locked`: what may not be changed in which namespace.
    """

    #: Name of the plugin's module.
    module: ClassVar[str | None] = None
    #: Modules of its own that importing the plugin's module may load.
    modules_on_import: ClassVar[int] = 5

    @pytest.fixture
    def policy(self) -> NamespacePolicy:
        """Return the policy."""
        raise NotImplementedError("give the fixture `policy`")

    @pytest.fixture
    def visible(self) -> Sequence[Case]:
        """Return namespaces and records of runs that are in them."""
        raise NotImplementedError("give the fixture `visible`")

    @pytest.fixture
    def hidden(self) -> Sequence[Case]:
        """Return namespaces and records of runs that are not in them."""
        raise NotImplementedError("give the fixture `hidden`")

    @pytest.fixture
    def locked(self) -> Sequence[Case]:
        """Return namespaces and records of runs whose tags may not be changed there."""
        return ()

    @clause("policy-default")
    def test_default_is_text(self, policy: NamespacePolicy) -> None:
        """`default` gives the namespace at start, text and the same each time.

        Or it raises MetaflowUnknownUser: nothing tells who the user is.
        """
        try:
            found = policy.default()
        except MetaflowUnknownUser:
            return
        holds(type(found) is str and found, "default()", "text", repr(found))
        equal("default(), again", found, policy.default())

    @clause("policy-sees")
    def test_who_is_in_a_namespace_is_seen(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """`sees` is True for what is in a namespace."""
        for namespace, record in visible:
            equal(_asked(namespace, record), expected=True, got=_sees(policy, namespace, record))

    @clause("policy-hides")
    def test_who_is_not_is_not(self, policy: NamespacePolicy, hidden: Sequence[Case]) -> None:
        """`sees` is False for what is not in a namespace."""
        for namespace, record in hidden:
            equal(_asked(namespace, record), expected=False, got=_sees(policy, namespace, record))

    @clause("policy-below")
    def test_what_is_below_is_seen_as_its_run(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """Steps, tasks and artifacts, which carry their run's tags, are seen if the run is."""
        for namespace, record in (*visible, *hidden):
            expected = bool(_sees(policy, namespace, record))
            for below in _below(record):
                got = bool(_sees(policy, namespace, below))
                equal(_asked(namespace, below), expected, got)

    @clause("policy-required")
    def test_required_tags_are_those_of_all_in_it(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """`required` gives tags that every run in the namespace has, as a frozen set of text."""
        for namespace, record in visible:
            given = f"required({namespace!r})"
            tags = ask(given, partial(policy.required, namespace))
            holds(type(tags) is frozenset, given, "a frozenset", repr(tags))
            holds(all(type(tag) is str for tag in tags), given, "text in it", repr(tags))
            missing = tags - record.tags - record.system_tags
            expected = f"tags that {record.path} has, for it is seen there"
            holds(not missing, given, expected, f"{sorted(missing)} besides")

    @clause("policy-retag")
    def test_who_may_change_tags(
        self, policy: NamespacePolicy, visible: Sequence[Case], locked: Sequence[Case]
    ) -> None:
        """`may_retag` gives None where tags may be changed, else a sentence that says why not."""
        for namespace, record in locked:
            given = f"may_retag({namespace!r}, {record.path})"
            reason = policy.may_retag(namespace, record)
            fine = type(reason) is str and " " in reason.strip()
            holds(fine, given, "a sentence that says why not", repr(reason))
        for namespace, record in visible:
            if (namespace, record) not in locked:
                given = f"may_retag({namespace!r}, {record.path})"
                equal(given, None, policy.may_retag(namespace, record))
        for _, record in visible[:1]:
            reason = policy.may_retag(None, record)
            fine = reason is None or (type(reason) is str and bool(reason.strip()))
            holds(fine, f"may_retag(None, {record.path})", "None or a sentence", repr(reason))

    @clause("policy-again")
    def test_answers_do_not_depend_on_what_was_asked(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """The same question has the same answer, in whatever order questions come."""
        cases = (*visible, *hidden)
        first = [_sees(policy, *case) for case in cases]
        backwards = [_sees(policy, *case) for case in reversed(cases)]
        equal("sees, asked in reverse order", first, backwards[::-1])

    @clause("policy-odd")
    def test_odd_namespaces_are_no_failure(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """Of a namespace that nobody knows there is an answer, or an error of `mfc.errors`."""
        for namespace in _ODD:
            for _, record in visible:
                for bare in (record, attrs.evolve(record, user=None)):
                    _mfc_only(f"sees({namespace[:40]!r}, …)", policy, namespace, bare)

    @clause("policy-threads")
    def test_threads_get_the_same(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """One policy answers several threads at once as it answers one."""
        cases = (*visible, *hidden)
        _isolation.in_threads("sees", lambda: [_sees(policy, *case) for case in cases])

    @clause("policy-fork")
    def test_a_forked_child_gets_the_same(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """A policy made before a fork answers in the child, and still in the parent."""
        _isolation.needs_fork()
        cases = (*visible, *hidden)
        _isolation.in_fork("sees", lambda: [_sees(policy, *case) for case in cases])

    @clause("module-light")
    def test_the_module_imports_fast(self) -> None:
        """Importing the plugin's module loads nothing heavy, and few modules of its own."""
        _isolation.imports_lightly(self.module, self.modules_on_import)


def _asked(namespace: str, record: Record) -> str:
    return f"sees({namespace!r}, {record.path})"


def _sees(policy: NamespacePolicy, namespace: str, record: Record) -> bool:
    return ask(_asked(namespace, record), lambda: policy.sees(namespace, record))


def _below(record: Record) -> list[Record]:
    step = attrs.evolve(record, path=record.path.child("start"))
    task = attrs.evolve(record, path=step.path.child("1"))
    artifact = ArtifactRecord(
        task.path.child("x"), task.created, task.user, task.tags, task.system_tags
    )
    return [step, task, artifact]


def _mfc_only(given: str, policy: NamespacePolicy, namespace: str, record: Record) -> None:
    def answer() -> None:
        try:
            policy.required(namespace)
            policy.sees(namespace, record)
            policy.may_retag(namespace, record)
        except MetaflowException:
            return

    ask(given, answer)
