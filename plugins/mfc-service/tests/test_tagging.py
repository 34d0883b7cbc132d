"""Changing tags: no update is lost, whichever writers compete and whichever answer is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.servers.front import Asked, Front, Reply, front, passed
from tests.servers.metadata import Hub
from tests.servers.recorded import replied
from tests.servers.recordings import exchanges

from mfc import Client
from mfc.errors import MetaflowNotFound, MetaflowTaggingError
from mfc.hookspecs import MetadataProvider
from mfc.model import Record
from mfc.tags import TagEdit
from mfc_testing import History

from .backend import Service
from .reading import path, provider

RUN = path("F/1")


@pytest.fixture
def service(services: Hub) -> Service:
    made = Service(*services.new())
    run = Record(RUN, 2, "ada", frozenset(["old"]), frozenset(["user:ada"]))
    made.put(History([Record(path("F"), 1), run]))
    return made


def tags(service: Service) -> frozenset[str]:
    found = provider(service.url).get(RUN)
    assert found is not None
    return found.tags


class TestAtOnce:
    def test_concurrent_changes_are_all_kept(self, service: Service) -> None:
        together = threading.Barrier(8)

        def write(number: int) -> None:
            run = Client(f"service@{service.url}", namespace=None).run("F/1")
            together.wait(30)
            for turn in range(4):
                run.add_tags([f"w{number}-{turn}", f"gone{number}-{turn}"])
                run.remove_tag(f"gone{number}-{turn}")
            run.replace_tag(f"w{number}-0", f"last-{number}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
        kept = {f"w{number}-{turn}" for number in range(8) for turn in (1, 2, 3)}
        assert tags(service) == kept | {f"last-{number}" for number in range(8)} | {"old"}

    def test_concurrent_functions_of_the_tags_add_up(self, service: Service) -> None:
        def write(number: int) -> None:
            source = provider(service.url)
            for turn in range(4):
                source.retag(RUN, lambda user, _, new=f"{number}-{turn}": user | {new})

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
        assert len(tags(service)) == 33


class Losing:
    """A proxy that forwards everything, but treats the first changes of tags in its own way."""

    def __init__(self, url: str, *ways: Callable[[Asked], Reply | None]) -> None:
        self._url, self._ways = url, list(ways)

    def __call__(self, asked: Asked) -> Reply | None:
        if asked.method == "PATCH" and self._ways:
            return self._ways.pop(0)(asked)
        return passed(asked, self._url)


def changes(server: Front) -> list[Any]:
    return [json.loads(asked.body) for asked in server.asked if asked.method == "PATCH"]


class TestLostAnswers:
    """The tags tell whether a change happened; it is never guessed."""

    ADD = TagEdit.of(["old"], ["new"])

    def test_a_lost_answer_to_a_change_that_was_made(self, service: Service) -> None:
        def made(asked: Asked) -> None:
            passed(asked, service.url)

        with front(Losing(service.url, made)) as server:
            assert provider(server.url).retag(RUN, self.ADD) == {"new"}
            assert len(changes(server)) == 1
        assert tags(service) == {"new"}

    def test_a_lost_answer_to_a_change_that_was_not_made(self, service: Service) -> None:
        with front(Losing(service.url, lambda _: None, lambda _: None)) as server:
            assert provider(server.url).retag(RUN, self.ADD) == {"new"}
            assert len(changes(server)) == 3
        assert tags(service) == {"new"}

    def test_a_timeout_of_a_gateway(self, service: Service) -> None:
        def made(asked: Asked) -> Reply:
            passed(asked, service.url)
            return Reply(b"<html>Gateway Timeout</html>", 504)

        with front(Losing(service.url, made)) as server:
            assert provider(server.url).retag(RUN, self.ADD) == {"new"}
            assert len(changes(server)) == 1

    def test_a_function_is_not_applied_to_its_own_result(self, service: Service) -> None:
        def made(asked: Asked) -> None:
            passed(asked, service.url)

        def longer(user: frozenset[str], _: frozenset[str]) -> frozenset[str]:
            return frozenset(f"{tag}+" for tag in user)

        with front(Losing(service.url, made)) as server:
            assert provider(server.url).retag(RUN, longer) == {"old+"}
        assert tags(service) == {"old+"}


class TestConflicts:
    SAID = Reply("Conflicting concurrent tag mutation, please retry", 409)

    def test_a_function_sees_the_tags_as_they_are_by_then(self, service: Service) -> None:
        def meanwhile(_: Asked) -> Reply:
            provider(service.url).retag(RUN, TagEdit.of(None, ["theirs"]))
            return self.SAID

        seen: list[frozenset[str]] = []

        def change(user: frozenset[str], _: frozenset[str]) -> frozenset[str]:
            seen.append(user)
            return user | {f"after-{len(user)}"}

        with front(Losing(service.url, meanwhile)) as server:
            assert provider(server.url).retag(RUN, change) == {"old", "theirs", "after-2"}
        assert seen == [{"old"}, {"old", "theirs"}]

    def test_a_conflict_is_retried_until_it_succeeds(self, service: Service) -> None:
        with front(Losing(service.url, *[lambda _: self.SAID] * 3)) as server:
            assert "new" in provider(server.url).retag(RUN, TagEdit.of(None, ["new"]))
            assert len(changes(server)) == 4

    def test_conflicts_end_at_the_deadline(self, service: Service) -> None:
        with front(Losing(service.url, *[lambda _: self.SAID] * 99)) as server:
            source = provider(server.url, {"MFC_SERVICE_TIMEOUT": 0.3})
            with pytest.raises(
                MetaflowTaggingError, match="not changed.*other writers changed them"
            ):
                source.retag(RUN, TagEdit.of(None, ["new"]))
            assert len(changes(server)) > 1
        assert tags(service) == {"old"}


class TestRefusals:
    def test_a_system_tag_stays(self, service: Service) -> None:
        with pytest.raises(MetaflowTaggingError, match="system tag.*user:ada"):
            provider(service.url).retag(RUN, TagEdit.of(["user:ada", "old"], ["new"]))
        assert tags(service) == {"old"}

    @pytest.mark.parametrize("run", ["F/2", "F/nope", "G/1", "F/99999999999999999999", "F/²"])
    def test_a_missing_run_is_not_found(self, service: Service, run: str) -> None:
        called: list[object] = []
        for change in (TagEdit.of(None, ["x"]), lambda *args: called.append(args)):
            with pytest.raises(MetaflowNotFound, match=f"Run.'{run}'. does not exist"):
                provider(service.url).retag(path(run), change)
        assert not called

    def test_a_refusal_of_the_function_sends_no_change(self, service: Service) -> None:
        def refuse(*_: object) -> frozenset[str]:
            raise MetaflowTaggingError("no")

        with front(service.url) as server:
            with pytest.raises(MetaflowTaggingError, match="^no$"):
                provider(server.url).retag(RUN, refuse)
            assert not changes(server)

    @pytest.mark.parametrize(
        "answer", [Reply([]), Reply({"tags": 7}), Reply({"tags": [[]]}), Reply({}), Reply(b"<html>"), Reply(b"", 500), Reply("no", 403), Reply("no", 400)],
    )  # fmt: skip
    def test_an_odd_answer_is_a_failure(self, answer: Reply) -> None:
        with front(lambda _: answer) as server, pytest.raises(MetaflowTaggingError, match="F/1"):
            provider(server.url).retag(RUN, TagEdit.of(None, ["x"]))


def test_one_request_is_enough_without_other_writers(service: Service) -> None:
    with front(service.url) as server:
        assert provider(server.url).retag(RUN, TagEdit.of(["old"], ["b", "a", "user:ada"])) == {
            "a",
            "b",
        }
        assert [asked.method for asked in server.asked] == ["PATCH"]
        assert changes(server) == [
            {"tags_to_add": ["a", "b", "user:ada"], "tags_to_remove": ["old"]}
        ]


def test_nothing_is_sent_if_a_function_changes_nothing(service: Service) -> None:
    with front(service.url) as server:
        assert provider(server.url).retag(RUN, lambda user, _: user) == {"old"}
        assert not changes(server)


class TestRecorded:
    """Recorded answers of the real service to changes."""

    @pytest.fixture
    def answering(self) -> Iterator[Callable[[Any], MetadataProvider]]:
        answers: list[Reply] = []
        with front(lambda _: answers[-1]) as server:

            def asked(exchange: Any) -> MetadataProvider:
                answers.append(replied(exchange))
                return provider(server.url, {"MFC_SERVICE_TIMEOUT": 0.2})

            yield asked

    def test_every_recorded_answer_is_understood(
        self, answering: Callable[[Any], MetadataProvider]
    ) -> None:
        expected = {
            200: None,
            404: MetaflowNotFound,
            409: MetaflowTaggingError,
            422: MetaflowTaggingError,
        }
        statuses = set()
        for exchange in exchanges("09"):
            status = exchange["status"]
            if exchange["method"] != "PATCH" or status not in expected or "text" in exchange:
                continue
            statuses.add(status)
            change, wanted = TagEdit.of(["a"], ["b"]), expected[status]
            if wanted is None:
                got = answering(exchange).retag(path("BranchFlow/2"), change)
                assert got == set(exchange["body"]["tags"])
            else:
                with pytest.raises(wanted):
                    answering(exchange).retag(path("BranchFlow/2"), change)
        assert statuses == set(expected)
