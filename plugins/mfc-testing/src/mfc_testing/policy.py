"""The contract of namespace policies, as tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import attrs
import pytest

from mfc.errors import MetaflowException, MetaflowUnknownUser
from mfc.hookspecs import NamespacePolicy
from mfc.model import ArtifactRecord, PendingRecord, Record
from mfc_testing import _isolation, _state
from mfc_testing._contract import ContractTests, ask, clause, equal, holds

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
    """Contract of namespace policies. Give `policy`, `visible` and `hidden`.

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

    and, if some tags may not be changed, `locked`: the runs whose tags are fixed, with the
    namespace.
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

        Or it raises MetaflowUnknownUser if the user is unknown.
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
        """`sees` is True for records in a namespace."""
        for namespace, record in visible:
            equal(_asked(namespace, record), expected=True, got=_sees(policy, namespace, record))

    @clause("policy-hides")
    def test_who_is_not_is_not(self, policy: NamespacePolicy, hidden: Sequence[Case]) -> None:
        """`sees` is False for records outside a namespace."""
        for namespace, record in hidden:
            equal(_asked(namespace, record), expected=False, got=_sees(policy, namespace, record))

    @clause("policy-below")
    def test_what_is_below_is_seen_as_its_run(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """Steps, tasks and artifacts, which carry their run's tags, are seen if the run is."""
        for namespace, record in (*visible, *hidden):
            expected = _sees(policy, namespace, record)
            for below in _below(record):
                equal(_asked(namespace, below), expected, _sees(policy, namespace, below))

    @clause("policy-alike")
    def test_what_resembles_it_is_not_in_it(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """A namespace is not another that begins or is spelt alike; nor is a tag or a user."""
        known = {namespace for namespace, _ in visible}
        for namespace, record in visible:
            if _outcome(policy, "kit-nobodys-namespace", record) is not True:
                for other in _alike(namespace):
                    if other not in known and other not in record.tags | record.system_tags:
                        found = _outcome(policy, other, record)
                        holds(found is not True, _asked(other, record), "False, or an error", found)
            bare = attrs.evolve(record, user=None)
            bare = attrs.evolve(bare, tags=frozenset(), system_tags=frozenset())
            if _outcome(policy, namespace, bare) is True:
                continue  # its key is not the name
            for change in _CHANGES:
                near = _retagged(record, change)
                tags = near.tags | near.system_tags
                if tags & (record.tags | record.system_tags):
                    continue
                given = f"sees({namespace!r}, a run of {near.user!r} with tags {sorted(tags)})"
                found = _outcome(policy, namespace, near)
                holds(found is not True, given, "False", found)

    @clause("policy-moment")
    def test_tags_count_as_they_are(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """An answer goes by the record that is given, not by one of that path seen before."""
        for namespace, record in visible:
            expected = _sees(policy, namespace, _moved(record, "kit-1"))
            for other in (other for name, other in hidden if name == namespace):
                if other.path.parent == record.path.parent:
                    before = _sees(policy, namespace, _moved(other, "kit-2"))
                    given = f"{_asked(namespace, record)}, its tags having changed"
                    equal(given, expected, _sees(policy, namespace, _moved(record, "kit-2")))
                    equal(given, before, _sees(policy, namespace, _moved(other, "kit-2")))
            again = _moved(record, "kit-1")
            bare = attrs.evolve(again, tags=frozenset(), system_tags=frozenset(), user=None)
            elsewhere = _outcome(policy, namespace, _moved(bare, "kit-3"))
            given = f"{_asked(namespace, bare)}, without tags"
            equal(given, elsewhere, _outcome(policy, namespace, bare))

    @clause("policy-pending")
    def test_records_may_be_found_later(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """A `PendingRecord`, whose fields are loaded on first use, is a record."""
        for namespace, record in (*visible, *hidden):
            pending = PendingRecord(record.path, partial(_itself, record))
            given = f"{_asked(namespace, record)}, pending"
            equal(given, _sees(policy, namespace, record), _sees(policy, namespace, pending))
            reason = policy.may_retag(namespace, record)
            equal(f"may_retag, {given}", reason, policy.may_retag(namespace, pending))

    @clause("policy-exact")
    def test_required_tags_exclude_who_lacks_one(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """Records without a required tag are not seen: providers omit them, despite `sees`."""
        for namespace, record in visible:
            for tag in policy.required(namespace):
                less = attrs.evolve(
                    record, tags=record.tags - {tag}, system_tags=record.system_tags - {tag}
                )
                given = f"sees({namespace!r}, {record.path} without tag {tag!r}, which is required)"
                found = _outcome(policy, namespace, less)
                holds(found is not True, given, "False", found)

    @clause("process-unchanged")
    def test_the_process_stays_as_it_is(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """Answers leave nothing open, no temporary file, and no setting of the process changed."""

        def use() -> None:
            for namespace, record in (*visible, *hidden):
                _sees(policy, namespace, record)
                policy.required(namespace)
                policy.may_retag(namespace, record)

        use()
        with _state.leaves_the_process("questions to a policy"):
            use()
        _isolation.leaves_nothing_open("questions to a policy", use)

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
        self,
        policy: NamespacePolicy,
        visible: Sequence[Case],
        hidden: Sequence[Case],
        locked: Sequence[Case],
    ) -> None:
        """`may_retag` gives None where tags may be changed, else a sentence with the reason."""
        for namespace, record in locked:
            given = f"may_retag({namespace!r}, {record.path})"
            reason = policy.may_retag(namespace, record)
            fine = type(reason) is str and " " in reason.strip()
            holds(fine, given, "a sentence that says why not", repr(reason))
        for namespace, record in visible:
            if (namespace, record) not in locked:
                given = f"may_retag({namespace!r}, {record.path})"
                equal(given, None, policy.may_retag(namespace, record))
        for namespace, record in (*visible, *hidden):
            for where in (None, namespace):
                given = f"may_retag({where!r}, {record.path})"
                reason = ask(given, partial(policy.may_retag, where, record))
                fine = reason is None or (type(reason) is str and " " in reason.strip())
                holds(fine, given, "None or a sentence", repr(reason))
                equal(f"{given}, again", reason, policy.may_retag(where, record))

    @clause("policy-again")
    def test_answers_do_not_depend_on_what_was_asked(
        self, policy: NamespacePolicy, visible: Sequence[Case], hidden: Sequence[Case]
    ) -> None:
        """The same call has the same answer, in whatever order calls come."""
        cases = (*visible, *hidden)
        first = [_sees(policy, *case) for case in cases]
        backwards = [_sees(policy, *case) for case in reversed(cases)]
        equal("sees, asked in reverse order", first, backwards[::-1])

    @clause("policy-odd")
    def test_odd_namespaces_are_no_failure(
        self, policy: NamespacePolicy, visible: Sequence[Case]
    ) -> None:
        """For an unknown namespace the policy answers, or raises an error of `mfc.errors`."""
        for namespace in _ODD:
            for _, record in visible:
                none = frozenset[str]()
                bare = attrs.evolve(record, user=None, tags=none, system_tags=none, created=0)
                for bare in (record, attrs.evolve(record, user=None), bare):  # noqa: B020
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


def _moved(record: Record, name: str) -> Record:
    """Return the same record for another run of the flow."""
    return attrs.evolve(record, path=record.path.parent.child(name))


def _outcome(policy: NamespacePolicy, namespace: str, record: Record) -> object:
    """Return the answer, or the class of mfc's error."""

    def question() -> object:
        try:
            return policy.sees(namespace, record)
        except MetaflowException as error:
            return type(error)

    return ask(_asked(namespace, record), question)


def _sees(policy: NamespacePolicy, namespace: str, record: Record) -> bool:
    return ask(_asked(namespace, record), lambda: policy.sees(namespace, record))


def _below(record: Record) -> list[Record]:
    """Return objects below a run: of other users and times, with the run's tags."""
    found: list[Record] = []
    for user in dict.fromkeys((record.user, None, "kit-somebody")):
        step = attrs.evolve(record, path=record.path.child("start"), user=user)
        task = attrs.evolve(step, path=step.path.child("1"), created=record.created + 5)
        tags = task.tags, task.system_tags
        artifact = ArtifactRecord(task.path.child("x"), task.created, task.user, *tags)
        found += [step, task, artifact]
    return found


def _retagged(record: Record, change: Callable[[str], str]) -> Record:
    """Return a record with all tags and the user changed."""
    tags, system = (frozenset(map(change, t)) for t in (record.tags, record.system_tags))
    user = None if record.user is None else change(record.user)
    return attrs.evolve(record, tags=tags, system_tags=system, user=user)


def _itself(record: Record) -> Record:
    return record


#: Changes that turn a name into a similar one.
_CHANGES: tuple[Callable[[str], str], ...] = (
    lambda name: f"{name}x",
    lambda name: f"x{name}",
    lambda name: name[:-1],
    lambda name: name[1:],
    lambda name: f"{name} ",
    lambda name: f" {name}",
    str.swapcase,
)


def _alike(name: str) -> list[str]:
    """Return similar names."""
    return [other for change in _CHANGES if (other := change(name)) != name]


def _mfc_only(given: str, policy: NamespacePolicy, namespace: str, record: Record) -> None:
    def answer() -> None:
        try:
            policy.required(namespace)
            policy.sees(namespace, record)
            policy.may_retag(namespace, record)
        except MetaflowException:
            return

    ask(given, answer)
