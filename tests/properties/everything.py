"""Read every attribute of every object that a client reaches, and let only errors of mfc pass."""

from __future__ import annotations

import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

from mfc import Client, DataArtifact, Flow, MfcWarning, Run, Step, Task
from mfc._objects import Metaflow, MetaflowArtifacts, MetaflowCode, MetaflowData, Trigger
from mfc.errors import MetaflowException

#: More answers than any listing of this small tree has; beyond, it is endless.
MANY = 2_000
#: Methods that the walk leaves out: they need arguments of their own, or change the store.
CHANGES = {
    name
    for verb in ("add", "remove", "replace")
    for name in (f"{verb}_tag", f"{verb}_tags")
}  # fmt: skip
#: Destination of downloads.
_DOWNLOADS = TemporaryDirectory()
#: Methods by name, each with the arguments to try.
CALLS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "is_in_namespace": [((), {})],
    "runs": [((), {}), (("a",), {}), ((), {"status": "failed"}), ((), {"since": "2020-01-01"})],
    "failed_runs": [((), {}), ((), {"limit": 1})],
    "failures": [((), {}), ((), {"limit": 1})],
    "timeline": [((), {})],
    "steps": [((), {}), (("a",), {})],
    "tasks": [((), {}), (("a",), {})],
    "control_tasks": [((), {})],
    "artifacts": [((), {}), (("x", "_success"), {})],
    "open": [((), {})],
    "download": [((os.path.join(_DOWNLOADS.name, "file"),), {})],
    "loglines": [(("stdout",), {}), (("stderr", False), {}), (("stdout", True, {}), {})],
    "extract": [((), {})],
    "from_runs": [],
}
KINDS = (Metaflow, Flow, Run, Step, Task, DataArtifact, MetaflowData, MetaflowArtifacts)
DEEP = (*KINDS, MetaflowCode, Trigger)
#: Artifacts that iteration omits.
INTERNAL = ("_success", "_task_ok", "_exception", "_graph_info", "_foreach_stack", "_transition")


class Walk:
    """One walk through everything; `said` has every error of mfc, by the query."""

    def __init__(self) -> None:
        self.said: dict[str, MetaflowException] = {}
        self._seen: set[str] = set()

    def ask(self, question: str, answer: Callable[[], Any]) -> Any:
        """Return the answer, None if it is an error of mfc; any other error is a failure."""
        try:
            found = answer()
            if isinstance(found, io.IOBase):
                with found:
                    found = found.read()
            elif isinstance(found, Iterator):
                found = list(itertools.islice(found, MANY + 1))
                assert len(found) <= MANY, f"{question} has no end"
        except MetaflowException as error:
            self.said[question] = error
            return None
        return found

    def through(self, thing: Any, name: str) -> None:
        """Read every attribute of `thing`, and of the answers."""
        if isinstance(thing, (list, tuple)) and not isinstance(thing, DEEP):
            for number, item in enumerate(thing):
                self.through(item, f"{name}[{number}]")
            return
        if not isinstance(thing, DEEP):
            return
        known = self.ask(f"repr({name})", lambda: repr(thing)) or name
        if known in self._seen:
            return
        self._seen.add(known)
        for attribute in sorted(vars_of(type(thing))):
            if attribute in CHANGES:
                continue
            question = f"{name}.{attribute}"
            if isinstance(vars_of(type(thing))[attribute], property):
                self._note(question, lambda attribute=attribute: getattr(thing, attribute))
                continue
            for positional, named in CALLS[attribute]:
                method = getattr(thing, attribute)
                self._note(question, lambda m=method, p=positional, n=named: m(*p, **n))
        self._protocols(thing, name)

    def _note(self, question: str, answer: Callable[[], Any]) -> None:
        found = self.ask(question, answer)
        if isinstance(found, TemporaryDirectory):
            found.cleanup()
        if isinstance(found, io.IOBase):
            found.close()
        self.through(found, question)

    def _protocols(self, thing: Any, name: str) -> None:
        for shown in (repr, str):
            self.ask(f"{shown.__name__}({name})", lambda shown=shown: shown(thing))
        for special in ("_repr_html_", "_ipython_key_completions_", "__dir__"):
            if hasattr(type(thing), special):
                self.ask(f"{name}.{special}()", getattr(thing, special))
        if isinstance(thing, (Metaflow, Flow, Run, Step, Task, DataArtifact)):
            self.ask(f"hash({name})", lambda: hash(thing) if thing != name else 0)
        if hasattr(type(thing), "__iter__"):
            self._children(thing, name)
        if isinstance(thing, MetaflowData):
            for artifact in self.ask(f"dir({name})", lambda: dir(thing)) or ():
                if not artifact.startswith("_"):
                    self.ask(
                        f"{name}.{artifact}", lambda artifact=artifact: getattr(thing, artifact)
                    )

    def _children(self, thing: Any, name: str) -> None:
        found = self.ask(f"list({name})", lambda: list(itertools.islice(thing, MANY))) or []
        for child in found:
            self.through(child, f"{name}/{getattr(child, 'id', child)!r}")
        if isinstance(thing, KINDS) and hasattr(type(thing), "__getitem__"):
            keys = ["_parameters", "no such", "", "..", "a/b", "\ud800", "x" * 999, 7, *INTERNAL]
            keys += [child.id for child in found]
            for key in keys:
                if isinstance(thing, MetaflowArtifacts):
                    continue
                self.ask(f"{key!r} in {name}", lambda key=key: key in thing)
                self.through(
                    self.ask(f"{name}[{key!r}]", lambda key=key: thing[key]), f"{name}/{key}"
                )


def vars_of(kind: type) -> dict[str, Any]:
    """Return the members of a class and its own bases, by public name."""
    return {
        name: value
        for base in reversed(kind.__mro__)
        if base.__module__.startswith("mfc")
        for name, value in vars(base).items()
        if not name.startswith("_")
    }


def walk(client: Client) -> Walk:
    """Return the walk through all that `client` reaches, including attempts and code packages."""
    made = Walk()
    with client, warnings.catch_warnings():
        warnings.simplefilter("ignore", MfcWarning)
        made.through(client.flows(), "Metaflow()")
        for name in sorted(made._seen):
            if name.startswith("Task(") and "/start/" in name:
                path = name.split("'")[1]
                for attempt in (0, 1):
                    task = made.ask(name, lambda p=path, a=attempt: client.task(p, attempt=a))
                    made.through(task, f"attempt {attempt} of {name}")
    return made
