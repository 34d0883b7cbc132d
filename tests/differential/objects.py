"""Every property and method of every object that a client can reach."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .canonical import Value

T = TypeVar("T")


class Ask(Protocol):
    """Notes under a key what a question, called without arguments, answers."""

    #: whether each question costs a request, so that only some of many equal ones are asked
    costly: bool

    def __call__(self, key: str, question: Callable[..., Value]) -> None:
        """Ask, and note the answer."""


SHARED = (
    "id", "tags", "user_tags", "system_tags", "created_at", "parent", "pathspec", "path_components", "origin_pathspec",
)  # fmt: skip
OF_FLOW = ("latest_run", "latest_successful_run")
OF_RUN = ("data", "successful", "finished", "finished_at", "code", "trigger", "end_task")
OF_STEP = ("task", "control_task", "finished_at", "environment_info", "parent_steps", "child_steps")
OF_TASK = (
    "metadata", "metadata_dict", "data", "artifacts", "successful", "finished", "exception", "finished_at", "runtime_name",
    "index", "current_attempt", "code", "environment_info",
)  # fmt: skip
LINEAGE = ("parent_tasks", "child_tasks", "parent_task_pathspecs", "child_task_pathspecs")
OF_ARTIFACT = ("data", "sha", "size", "finished_at")
LOGS = ("stdout", "stderr", "stdout_size", "stderr_size")
#: artifacts that iteration omits
INTERNAL = (
    "_transition", "_task_ok", "_success", "_exception", "_graph_info", "_foreach_stack", "_foreach_var",
    "_foreach_num_splits", "_foreach_values", "_iteration_stack", "_current_step", "_configs_processed",
    "_unbounded_foreach", "_parallel_ubf_iter", "_control_mapper_tasks", "_control_task_is_mapper_zero",
    "_catch_exception",
)  # fmt: skip
#: number of them to ask where questions are costly
ALWAYS = 2
#: the flow whose runs are all of different kinds
UNALIKE = "ResumableFlow"
#: flows whose runs differ in their triggers, and not below
ALIKE = ("SingleFlow", "ProjectFlow")
#: of every so many artifacts of a task, one is asked for all that it shares with other objects
SHARED_EVERY = 7


def some(ask: Ask, things: Sequence[T]) -> list[T]:
    """Return the first and the last of `things` where questions are costly, else all."""
    return [*things[:1], *things[1:][-1:]] if ask.costly else list(things)


def kind(root: str) -> str:
    """Return the kind of provider that a root is read by."""
    return "service" if "://" in root else "local"


def again(error: Exception) -> None:
    """Raise what was raised before."""
    raise error


def ask_properties(ask: Ask, key: str, thing: Value, names: tuple[str, ...]) -> None:
    """Ask for each property in `names` of `thing`."""
    for name in names:
        ask(f"{key}.{name}", lambda name=name: getattr(thing, name))


def ask_shared(ask: Ask, key: str, thing: Value) -> None:
    """Ask for all that every object has."""
    ask(f"{key}.str", lambda: str(thing))
    ask(f"{key}.repr", lambda: repr(thing))
    ask(f"{key}.is_in_namespace()", thing.is_in_namespace)
    ask_properties(ask, key, thing, SHARED)


def ask_children(ask: Ask, key: str, thing: Value) -> list[Value]:
    """Ask for the children of `thing` in their order, and return them."""
    ask(f"{key}.list", lambda: list(thing))
    ask(f"{key}.completions", thing._ipython_key_completions_)
    ask(f"{key}['no such child']", lambda: thing["no such child"])
    ask(f"{key}.contains('no such child')", lambda: "no such child" in thing)
    found = children(thing)
    for child in some(ask, found):
        ask(f"{key}[{child.id!r}]", lambda child=child: thing[child.id])
        ask(f"{key}.contains({child.id!r})", lambda child=child: child.id in thing)
    return found


def children(thing: Value) -> list[Value]:
    """Return the children of `thing`, none where a client cannot list them; that it cannot is an answer elsewhere."""
    try:
        return list(thing)
    except Exception:  # any of them
        return []


def ask_metaflow(ask: Ask, client: Value) -> None:
    """Ask for everything, from the top."""
    top = client.Metaflow()
    ask("Metaflow().str", lambda: str(top))
    ask("Metaflow().flows", lambda: sorted(str(flow) for flow in top.flows))
    ask("Metaflow().flows.type", lambda: isinstance(top.flows, list))
    ask("Metaflow().completions", lambda: sorted(top._ipython_key_completions_()))
    for flow in sorted(top, key=lambda flow: flow.id):
        ask(f"Metaflow()[{flow.id!r}]", lambda flow=flow: top[flow.id])
        ask_flow(ask, flow)


def ask_flow(ask: Ask, flow: Value) -> None:
    """Ask for everything below one flow."""
    key = flow.id
    ask_shared(ask, key, flow)
    ask_properties(ask, key, flow, OF_FLOW)
    for tags in (
        (),
        ("one",),
        ("one", "two words"),
        ("user:bob",),
        ("no such tag",),
        ("runtime:dev", "one"),
    ):
        ask(f"{key}.runs{tags}", lambda tags=tags: flow.runs(*tags))
    runs = ask_children(ask, key, flow)
    whole = runs if key == UNALIKE else some(ask, runs)
    for run in runs:
        ask_run(ask, run, whole=run in whole)


def ask_run(ask: Ask, run: Value, *, whole: bool = True) -> None:
    """Ask for one run and, if `whole`, for everything below it, `_parameters` included."""
    key = run.pathspec
    ask_shared(ask, key, run)
    ask_properties(ask, key, run, OF_RUN)
    ask_data(ask, f"{key}.data", run)
    ask_trigger(ask, key, run)
    for tags in ((), ("one",), ("no such tag",)):
        ask(f"{key}.steps{tags}", lambda tags=tags: run.steps(*tags))
    steps = ask_children(ask, key, run)
    ask(f"{key}['_parameters']", lambda: run["_parameters"])
    if "_parameters" in run:
        steps.append(run["_parameters"])
    for step in steps if whole else ():
        ask_step(ask, step)


def ask_step(ask: Ask, step: Value) -> None:
    """Ask for everything below one step."""
    key = step.pathspec
    ask_shared(ask, key, step)
    ask_properties(ask, key, step, OF_STEP)
    for method in ("tasks", "control_tasks"):
        for tags in ((), ("one",), ("no such tag",)):
            ask(
                f"{key}.{method}{tags}",
                lambda method=method, tags=tags: getattr(step, method)(*tags),
            )
    for number, task in enumerate(some(ask, ask_children(ask, key, step))):
        ask_task(ask, task, whole=number == 0 or not ask.costly)


def ask_task(ask: Ask, task: Value, *, whole: bool = True) -> None:
    """Ask for everything of one task but its logs and, if `whole`, for every artifact."""
    key = task.pathspec
    ask_shared(ask, key, task)
    ask_properties(ask, key, task, OF_TASK + LINEAGE)
    if not whole:
        return
    ask_data(ask, f"{key}.data", task)
    ask_code(ask, f"{key}.code", task)
    for name in ("count", "index", "name"):
        ask(f"{key}.artifacts[{name}]", lambda name=name: getattr(task.artifacts, name))
    artifacts = ask_children(ask, key, task)
    for name in INTERNAL[:ALWAYS] if ask.costly else INTERNAL:
        ask(f"{key}.contains({name!r})", lambda name=name: name in task)
        if name in task:
            artifacts.append(task[name])
    ordered = sorted(artifacts, key=lambda artifact: artifact.id)
    for number, artifact in enumerate(ordered[:: 2 if ask.costly else 1]):
        ask_artifact(ask, artifact, everything=number % SHARED_EVERY == 0)


def ask_artifact(ask: Ask, artifact: Value, *, everything: bool) -> None:
    """Ask for one artifact; `everything` adds what it shares with other objects, which is slow."""
    key = artifact.pathspec
    ask_properties(ask, key, artifact, (*OF_ARTIFACT, "created_at", "path_components"))
    ask(f"{key}.str", lambda: str(artifact))
    if everything:
        ask_properties(
            ask,
            key,
            artifact,
            ("id", "tags", "user_tags", "system_tags", "parent", "origin_pathspec"),
        )
        ask(f"{key}.is_in_namespace()", artifact.is_in_namespace)
        ask(f"{key}.list", lambda: list(artifact))


def ask_data(ask: Ask, key: str, owner: Value) -> None:
    """Ask the container of values; the values themselves are asked for as artifacts."""
    try:
        data = owner.data
    except Exception:  # already noted as a property
        return
    if data is None:
        return
    ask(f"{key}.names", lambda: sorted(name for name in dir(data) if not name.startswith("_")))
    ask(f"{key}.contains('name')", lambda: "name" in data)
    ask(f"{key}.contains('_success')", lambda: "_success" in data)
    ask(f"{key}.name", lambda: data.name)
    ask(f"{key}.absent", lambda: data.absent)
    ask(f"{key}._artifacts", lambda: data._artifacts)
    ask(f"{key}._success", lambda: data._success)
    ask(f"{key}.repr", lambda: repr(data))


def ask_trigger(ask: Ask, key: str, run: Value) -> None:
    """Ask for what started a run, and for what would be said if this run started another."""
    try:
        trigger = run.trigger
    except Exception:  # already noted as a property
        return
    if trigger is None:
        return
    key = f"{key}.trigger"
    ask_properties(ask, key, trigger, ("event", "events", "run", "runs"))
    ask(f"{key}.list", lambda: list(trigger))
    names = ["my_event", "no such event", "SingleFlow"] + [
        event.name for event in trigger if event.name
    ]
    for name in dict.fromkeys(names):
        ask(f"{key}[{name!r}]", lambda name=name: trigger[name])
        ask(f"{key}.contains({name!r})", lambda name=name: name in trigger)
    made = type(trigger).from_runs([run])
    ask_properties(ask, f"{key}.from_runs", made, ("event", "events", "run", "runs"))
    ask(f"{key}.from_runs[flow]", lambda: made[run.parent.id])


def ask_code(ask: Ask, key: str, owner: Value) -> None:
    """Ask for everything of a code package."""
    try:
        code = owner.code
    except Exception as error:  # the answer, where `.code` was not asked for before
        ask(f"{key} itself", lambda error=error: again(error))
        return
    if code is None:
        return
    ask_properties(ask, key, code, ("path", "info", "flowspec", "script_name"))
    ask(f"{key}.str", lambda: str(code))
    ask(f"{key}.tarball", lambda: sorted(code.tarball.getnames()))
    ask(f"{key}.extract()", lambda: _contents(code.extract))


def _contents(extract: Callable[[], Value]) -> list[list[str]]:
    """Return the path and the content of every file that `extract` writes."""
    with extract() as folder:
        top = pathlib.Path(folder)
        files = sorted(path for path in top.rglob("*") if path.is_file())
        return [[os.fspath(path.relative_to(top)), path.read_bytes().hex()[:200]] for path in files]


def ask_logs(ask: Ask, key: str, task: Value) -> None:
    """Ask for the logs of one task in every form."""
    ask_properties(ask, key, task, LOGS)
    for stream in ("stdout", "stderr"):
        ask(f"{key}.loglines({stream})", lambda stream=stream: task.loglines(stream))
        ask(
            f"{key}.loglines({stream}, bytes)",
            lambda stream=stream: task.loglines(stream, as_unicode=False),
        )
        ask(
            f"{key}.loglines({stream}, meta_dict)",
            lambda stream=stream: task.loglines(stream, meta_dict=task.metadata_dict),
        )
        ask(
            f"{key}.loglines({stream}, empty meta_dict)",
            lambda stream=stream: task.loglines(stream, meta_dict={}),
        )


def tasks(client: Value) -> list[Value]:
    """Return every task that the client reaches, `_parameters` included, in the order of their pathspecs."""
    found = []
    for flow in client.Metaflow():
        for run in flow:
            steps = list(run) + ([run["_parameters"]] if "_parameters" in run else [])
            found += [task for step in steps for task in step]
    return sorted(found, key=lambda task: task.pathspec)
