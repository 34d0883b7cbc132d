"""What is asked in one process of a client: objects, attempts, logs, bad input, tags, pickles, settings.

Every scenario is a function of the client module, the root of the results, and `ask`. A root is what `metadata()`
takes: the folder with the `.metaflow`, or the URL of a service.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import TypeAlias

from .canonical import Value
from .objects import (
    ALIKE,
    INTERNAL,
    LINEAGE,
    LOGS,
    OF_RUN,
    OF_STEP,
    OF_TASK,
    Ask,
    again,
    ask_artifact,
    ask_children,
    ask_code,
    ask_logs,
    ask_metaflow,
    ask_properties,
    ask_run,
    ask_shared,
    children,
    kind,
    some,
    tasks,
)
from .tag_changes import tags

Scenario: TypeAlias = Callable[[Value, str, Ask], None]

ATTEMPTS = (0, 5, 1)
SAMPLE = "ResumableFlow"
#: The flows of old releases. The second keeps objects of its release's client, and is left out:
#: newer clients read them in their own ways.
BRANCHES, KEEPER = "BranchesFlow", "KeeperFlow"
#: steps of the first flow of which one task is asked for everything
TELLING = ("start", "second", "left", "end")


def objects(namespace: str | None) -> Scenario:
    """Return the walk through all objects of one namespace."""

    def walk(client: Value, root: str, ask: Ask) -> None:
        client.namespace(None)
        client.metadata(root)
        known = [flow.id for flow in client.Metaflow()]
        runs = [run.pathspec for flow in client.Metaflow() for run in flow]
        client.namespace(namespace)
        ask_metaflow(ask, client)
        for flow in sorted(known):
            ask(f"Flow({flow!r})", lambda flow=flow: client.Flow(flow))
        for run in sorted(runs):
            flow, _, run_id = run.partition("/")
            ask(f"Run({run!r})", lambda run=run: client.Run(run))
            ask(f"Step('{run}/_parameters')", lambda run=run: client.Step(f"{run}/_parameters"))
            ask(
                f"Flow({flow!r})[{run_id!r}]",
                lambda flow=flow, run_id=run_id: client.Flow(flow)[run_id],
            )

    return walk


def attempts(client: Value, root: str, ask: Ask) -> None:
    """Ask every task and artifact for single attempts, of which many do not exist."""
    client.namespace(None)
    client.metadata(root)
    names = (
        "metadata",
        "metadata_dict",
        "data",
        "artifacts",
        "successful",
        "finished",
        "exception",
        "finished_at",
    )
    for task, attempt in itertools.product(_tasks(client, ask), some(ask, ATTEMPTS)):
        key = f"Task({task.pathspec!r}, attempt={attempt})"
        this = client.Task(task.pathspec, attempt=attempt)
        ask(f"{key}.str", lambda this=this: str(this))
        ask_properties(
            ask,
            key,
            this,
            (*names, "index", "current_attempt", "created_at", "tags", "parent", "origin_pathspec"),
        )
        if attempt == 1:
            ask_properties(ask, key, this, (*LINEAGE, "code", "environment_info"))
        ask(f"{key}.list", lambda this=this: list(this))
        for artifact in children(this):
            ask_properties(ask, f"{key}/{artifact.id}", artifact, ("sha", "size", "created_at"))
        artifacts = ("_success", "_exception", "attempt", "no such artifact", "name")
        for name in some(ask, artifacts):
            path = f"{task.pathspec}/{name}"
            ask(f"{key}[{name!r}]", lambda this=this, name=name: this[name])
            ask(
                f"DataArtifact({path!r}, attempt={attempt})",
                lambda path=path, n=attempt: client.DataArtifact(path, attempt=n),
            )
        path = f"{task.pathspec}/name"
        for name in ("data", "parent", "pathspec", "size"):
            ask(
                f"DataArtifact({path!r}, attempt={attempt}).{name}",
                lambda path=path, n=attempt, name=name: getattr(
                    client.DataArtifact(path, attempt=n), name
                ),
            )


def released(client: Value, root: str, ask: Ask) -> None:
    """Ask for what an old release recorded: all objects, and of some tasks values, logs and attempts."""
    client.namespace(None)
    client.metadata(root)
    ask("flows", lambda: sorted(flow.id for flow in client.Metaflow()))
    for run in (*client.Flow(BRANCHES), *client.Flow(KEEPER)):
        ask_shared(ask, run.pathspec, run)
        ask_properties(ask, run.pathspec, run, OF_RUN)
    for run in client.Flow(BRANCHES):
        for step in (*run, run["_parameters"]):
            ask_properties(ask, step.pathspec, step, ("origin_pathspec", *OF_STEP))
            for number, task in enumerate(step):
                names = ("created_at", "tags", "origin_pathspec", *OF_TASK, *LINEAGE)
                ask_properties(ask, task.pathspec, task, names)
                if step.id in TELLING and number == 0:
                    _ask_released(client, ask, task)


def _ask_released(client: Value, ask: Ask, task: Value) -> None:
    artifacts = ask_children(ask, task.pathspec, task)
    artifacts += [task[name] for name in INTERNAL if name in task]
    for artifact in sorted(artifacts, key=lambda artifact: artifact.id):
        ask_artifact(ask, artifact, everything=False)
    ask_logs(ask, f"log of {task.pathspec}", task)
    for attempt in (0, 1):
        this = client.Task(task.pathspec, attempt=attempt)
        key = f"Task({task.pathspec!r}, attempt={attempt})"
        names = ("metadata", "successful", "finished", "finished_at", "index", *LINEAGE)
        ask_properties(ask, key, this, names)
        ask(f"{key}.list", lambda this=this: list(this))


def _tasks(client: Value, ask: Ask) -> list[Value]:
    """Return the tasks to be asked one by one: all, or where questions are costly one of each step."""
    found = tasks(client)
    if not ask.costly:
        return found
    steps = itertools.groupby(found, key=lambda task: task.path_components[:3])
    return [next(of_step) for step, of_step in steps if step[0] not in ALIKE]


def logs(client: Value, root: str, ask: Ask) -> None:
    """Ask every task for its logs, of its last attempt and of single ones."""
    client.namespace(None)
    client.metadata(root)
    for task in _tasks(client, ask):
        ask_logs(ask, task.pathspec, task)
        for attempt in ATTEMPTS:
            key = f"Task({task.pathspec!r}, attempt={attempt})"
            ask_properties(ask, key, client.Task(task.pathspec, attempt=attempt), LOGS)


def spin(client: Value, root: str, ask: Ask) -> None:
    """Ask for everything that `spin` left."""
    client.namespace(None)
    ask("inspect_spin", lambda: client.inspect_spin(root))
    ask("get_metadata", client.get_metadata)
    for flow in client.Metaflow():
        for run in ask_children(ask, flow.id, flow):
            ask_run(ask, run)
            for step in run:
                for task in step:
                    ask_logs(ask, task.pathspec, task)


BAD_PATHS: dict[str, tuple[Value, ...]] = {
    "Flow": (
        "", None, "Missing", "F/1", "/", "SingleFlow/", ".", "..", "SingleFlow ", "singleflow", "data", "Single*", 5,
        b"SingleFlow",
    ),
    "Run": (
        "", None, "F", "F/1", "F/1/x", "SingleFlow/", "SingleFlow/.", "./SingleFlow", "SingleFlow/data",
        "/SingleFlow", "SingleFlow/*", 5,
    ),
    "Step": (
        "", None, "F", "F/1", "{run}", "{run}/", "{run}/none", "{run}/only/1", "{run}/_meta", "{run}/../only",
        "{run}/o*",
    ),
    "Task": (
        "", None, "{run}/only", "{run}/only/9", "{run}/only/.", "{task}/x", "{run}/none/1",
        "{run}/../only/1", "{run}/only/_meta",
    ),
    "DataArtifact": (
        "", None, "{task}", "{task}/none", "{task}/answer/x", "{run}/only/9/answer",
        "{task}/ans*", "{task}/",
    ),
}  # fmt: skip
BAD_ATTEMPTS: tuple[Value, ...] = (-1, 6, 100, "1", "x", "", 1.5, True, None, [], "0x1")


def bad_input(client: Value, root: str, ask: Ask) -> None:
    """Ask for what does not exist, and for what cannot."""
    client.namespace(None)
    client.metadata(root)
    run = client.Flow("SingleFlow").latest_run
    names = {"run": run.pathspec, "task": run["only"].task.pathspec}
    for level, paths in BAD_PATHS.items():
        make = getattr(client, level)
        ask(f"{level}()", make)
        for path in paths:
            filled = path.format(**names) if isinstance(path, str) else path
            ask(f"{level}({path!r})", lambda make=make, filled=filled: make(filled))
    good = {
        "Flow": "SingleFlow",
        "Run": run.pathspec,
        "Step": f"{run.pathspec}/only",
        "Task": names["task"],
    }
    good["DataArtifact"] = f"{names['task']}/answer"
    for (level, path), attempt in itertools.product(good.items(), BAD_ATTEMPTS):
        make = getattr(client, level)
        ask(
            f"{level}(good, attempt={attempt!r})",
            lambda make=make, path=path, n=attempt: make(path, attempt=n),
        )
    _bad_children(client, ask, run)


def _bad_children(client: Value, ask: Ask, run: Value) -> None:
    task = run["only"].task
    parents = {
        "Metaflow()": client.Metaflow(),
        "flow": run.parent,
        "run": run,
        "step": run["only"],
        "task": task,
    }
    keys = ("none", "", "*", "..", ".", "_meta", "a/b", 5, None, "answer/x", "br[ack]et")
    for (name, parent), key in itertools.product(parents.items(), keys):
        ask(f"{name}[{key!r}]", lambda parent=parent, key=key: parent[key])
        ask(f"{key!r} in {name}", lambda parent=parent, key=key: key in parent)
    for name in ("answer", "none", "_success"):
        ask(f"artifact[{name!r}]", lambda name=name: task["answer"][name])
        ask(f"task.data.{name}", lambda name=name: getattr(task.data, name))
        ask(f"task.artifacts.{name}", lambda name=name: getattr(task.artifacts, name))
    for name in ("no_such_property", "artifact"):
        for parent_name, parent in parents.items():
            ask(f"{parent_name}.{name}", lambda parent=parent, name=name: getattr(parent, name))
    ask("run.steps(5)", lambda: run.steps(5))
    ask("flow.runs(None)", lambda: run.parent.runs(None))
    ask("loglines of no stream", lambda: task.loglines("no stream"))
    ask("list(artifact)", lambda: list(task["answer"]))
    ask("len(run)", lambda: len(run))
    ask("bool(run)", lambda: bool(run))


def namespaces(client: Value, root: str, ask: Ask) -> None:
    """Ask objects made in one namespace after another one was chosen."""
    client.namespace(None)
    client.metadata(root)
    bob = next(client.Flow("SingleFlow").runs("user:bob")).pathspec
    alice = next(client.Flow("SingleFlow").runs("user:alice")).pathspec
    task = client.Run(bob)["only"].task.pathspec
    for made, chosen in itertools.product(("user:alice", "user:bob", "", None, "one"), repeat=2):
        key = f"made in {made!r}, asked in {chosen!r}"
        things: dict[str, Value] = {}
        client.namespace(made)
        for level, path in (("Flow", "SingleFlow"), ("Run", alice), ("Run", bob), ("Task", task)):
            try:
                things[f"{level}({path})"] = getattr(client, level)(path)
            except Exception as error:  # the answer
                ask(f"{key}: {level}({path})", lambda error=error: again(error))
        ask(f"{key}: namespace()", lambda chosen=chosen: client.namespace(chosen))
        for name, thing in things.items():
            ask(f"{key}: {name}.is_in_namespace()", thing.is_in_namespace)
            ask(f"{key}: {name}.list", lambda thing=thing: list(thing))
            ask(f"{key}: {name}.parent", lambda thing=thing: thing.parent)
            ask(f"{key}: list of {name}.parent", lambda thing=thing: list(thing.parent or ()))
            if name == "Flow(SingleFlow)":
                ask(f"{key}: {name}[bob]", lambda thing=thing: thing[bob.split("/")[1]])
                ask(f"{key}: bob in {name}", lambda thing=thing: bob.split("/")[1] in thing)
                ask(f"{key}: {name}.latest_run", lambda thing=thing: thing.latest_run)


def switching(client: Value, root: str, ask: Ask) -> None:
    """Choose another namespace while an iteration goes on, and for what was made before."""
    client.namespace(None)
    client.metadata(root)
    bob = next(client.Flow("SingleFlow").runs("user:bob")).pathspec
    for made, chosen in itertools.permutations(("user:alice", "user:bob", None, "user:nobody"), 2):
        _ask_switching(client, ask, bob, made, chosen)


def _ask_switching(client: Value, ask: Ask, bob: str, made: str | None, chosen: str | None) -> None:
    key = f"from {made!r} to {chosen!r}"
    client.namespace(made)
    top, flow = client.Metaflow(), client.Flow("SingleFlow", _namespace_check=False)
    run = client.Run(bob, _namespace_check=False)
    begun = {
        "runs": iter(flow),
        "tagged runs": flow.runs("runtime:dev"),
        "steps": iter(run),
        "tasks": run["only"].tasks("user:bob"),
    }
    for name, iteration in begun.items():
        ask(f"{key}: first of {name}", lambda iteration=iteration: next(iteration, None))
    client.namespace(chosen)
    ask(f"{key}: Metaflow().flows", lambda: sorted(map(str, top.flows)))
    ask(f"{key}: Metaflow()['SingleFlow']", lambda: top["SingleFlow"])
    ask(f"{key}: pickled Metaflow()", lambda: sorted(map(str, pickle.loads(pickle.dumps(top)))))
    for name, iteration in begun.items():
        ask(f"{key}: more {name}", lambda iteration=iteration: list(iteration))
    for name, thing in (("Flow()", flow), ("Run()", run), ("Step()", run["only"])):
        ask(f"{key}: copy of {name}", lambda thing=thing: copy.copy(thing))
        ask(f"{key}: parent of {name}", lambda thing=thing: thing.parent)
        ask(f"{key}: {name}.is_in_namespace()", thing.is_in_namespace)
        ask(f"{key}: children of {name}", lambda thing=thing: list(thing))


def pickles(client: Value, root: str, ask: Ask) -> None:
    """Pickle every kind of object and read it back; read what older Metaflow pickled."""
    for namespace in (None, "user:alice"):
        client.namespace(namespace)
        client.metadata(root)
        flow = client.Flow(SAMPLE)
        task = flow.latest_run["start"].task
        attempt = client.Task(task.pathspec, attempt=0)
        for thing in (
            flow,
            flow.latest_run,
            flow.latest_run["start"],
            task,
            task["value"],
            attempt,
            attempt["value"],
        ):
            _ask_pickle(client, ask, f"namespace {namespace!r}: {thing}", thing, namespace)
    client.namespace(None)
    path, address = client.Flow(SAMPLE).latest_run.pathspec, f"{kind(root)}@{root}"
    states = {
        "2.12.27": {"version": "2.12.27", "data": [path, None, address, "user:alice", True]},
        "2.12.4": {"version": "2.12.4", "data": [path, None, "user:alice", True]},
        "2.8.4": {"version": "2.8.4", "data": [path, None, False]},
        "no version": {"_pathspec": path, "_attempt": None, "_namespace_check": False},
        "only a pathspec": {"_pathspec": path},
        "foreign": {
            "version": "2.12.27",
            "data": [path, None, address, "user:nobody", True],
        },
        "future": {"version": "99.0", "data": []},
        "too short": {"version": "2.12.27", "data": [path]},
        "gone": {"version": "2.12.27", "data": [f"{SAMPLE}/1", None, f"local@{root}", None, False]},
    }
    for name, state in states.items():
        ask(f"state {name}", lambda state=state: _from_state(client.Run, state))


def _ask_pickle(client: Value, ask: Ask, key: str, thing: Value, namespace: str | None) -> None:
    content = pickle.dumps(thing)
    ask(f"{key}.state", thing.__getstate__)
    for inside in (namespace, "user:nobody"):
        client.namespace(inside)
        ask(f"{key} in {inside!r}", lambda: pickle.loads(content))
        ask(f"{key} in {inside!r}.created_at", lambda: pickle.loads(content).created_at)
        ask(f"{key} in {inside!r}.list", lambda: list(pickle.loads(content)))
        ask(f"{key} in {inside!r}.parent", lambda: pickle.loads(content).parent)
        ask(f"{key} in {inside!r}.is_in_namespace", lambda: pickle.loads(content).is_in_namespace())
    client.namespace(namespace)


def _from_state(of: Value, state: Value) -> Value:
    thing = of.__new__(of)
    thing.__setstate__(state)
    return thing


def two_roots(client: Value, root: str, ask: Ask) -> None:
    """Ask objects of one root after the process went to another one."""
    other = root[: -len("main")] + "tagged"
    client.namespace(None)
    client.metadata(root)
    run = client.Flow("SingleFlow").latest_run
    things = {"Flow": run.parent, "Run": run, "Step": run["only"], "Task": run["only"].task}
    contents = {name: pickle.dumps(thing) for name, thing in things.items()}
    top = client.Metaflow()
    ask("metadata", lambda: client.metadata(other))
    for name, thing in things.items():
        ask(f"{name}.list", lambda thing=thing: list(thing))
        ask(f"{name}.parent", lambda thing=thing: thing.parent)
        ask(f"{name}.state", thing.__getstate__)
    ask("Metaflow().list", lambda: sorted(str(flow) for flow in top))
    for name, content in contents.items():
        client.metadata(other)
        ask(f"unpickled {name}", lambda content=content: pickle.loads(content))
        ask(f"get_metadata after unpickling {name}", client.get_metadata)
        ask(
            f"flows after unpickling {name}",
            lambda: sorted(str(flow) for flow in client.Metaflow()),
        )


MISSING = "/no such folder"
#: where nothing listens
SILENT = "http://127.0.0.1:1/prefix"


def _addresses(root: str) -> tuple[str, ...]:
    """Return what to give to `metadata()`: right, wrong, and half of it."""
    if kind(root) == "service":
        right = (root, f"service@{root}", f"{root}/", "service@", "service")
        return (*right, SILENT, "service@nonsense", "service", f"local@{MISSING}", "")
    right = (root, f"local@{root}", f"{root}/.metaflow")
    return (*right, MISSING, f"local@{MISSING}", "local@", "nonsense@x", "")


def settings(client: Value, root: str, ask: Ask) -> None:
    """Ask what the module's functions answer, in whatever folder and environment this process has."""
    ask("get_metadata at first", client.get_metadata)
    ask("get_namespace at first", client.get_namespace)
    ask("default_namespace", client.default_namespace)
    ask("flows in the default namespace", lambda: sorted(str(flow) for flow in client.Metaflow()))
    for namespace in ("user:bob", "", None, "production:token"):
        ask(f"namespace({namespace!r})", lambda namespace=namespace: client.namespace(namespace))
        ask(f"get_namespace after {namespace!r}", client.get_namespace)
        ask(f"flows in {namespace!r}", lambda: sorted(str(flow) for flow in client.Metaflow()))
    client.namespace(None)
    ask("default_metadata", client.default_metadata)
    ask("flows at the default", lambda: sorted(str(flow) for flow in client.Metaflow()))
    addresses = _addresses(root)
    for address in addresses:
        ask(f"metadata({address!r})", lambda address=address: client.metadata(address))
        ask(f"get_metadata after {address!r}", client.get_metadata)
    ask("metadata(None)", lambda: client.metadata(None))
    ask("metadata(5)", lambda: client.metadata(5))
    for address in (f"spin@{MISSING}", "spin", "local"):
        ask(f"metadata({address!r})", lambda address=address: client.metadata(address))
        ask(f"get_metadata after {address!r}", client.get_metadata)
    ask("inspect_spin(missing)", lambda: client.inspect_spin(MISSING))
    ask("get_metadata after inspect_spin(missing)", client.get_metadata)
    client.metadata(root)
    ask("flows at the root", lambda: sorted(str(flow) for flow in client.Metaflow()))
    ask("namespace after default_namespace", client.default_namespace)


def code(client: Value, root: str, ask: Ask) -> None:
    """Ask for code packages, of which one is of the old format, in turns."""
    client.namespace(None)
    client.metadata(root)
    for task in _tasks(client, ask):
        ask_code(ask, task.pathspec, task)


def null_tags(client: Value, root: str, ask: Ask) -> None:
    """Ask a run whose tags are null, in namespaces that may have it or not."""
    client.metadata(root)
    run = "NullFlow/1"
    paths = {"Flow": "NullFlow", "Run": run, "Step": f"{run}/start", "Task": f"{run}/start/1"}
    for namespace, (level, path) in itertools.product((None, "user:alice"), paths.items()):
        client.namespace(namespace)
        key = f"{level} in {namespace!r}"
        make = getattr(client, level)
        ask(key, lambda make=make, path=path: make(path))
        for name in ("tags", "user_tags", "system_tags", "created_at"):
            ask(
                f"{key}.{name}",
                lambda make=make, path=path, name=name: getattr(make(path), name),
            )
        ask(f"{key}.list", lambda make=make, path=path: list(make(path)))
        ask(f"{key}: is_in_namespace", lambda make=make, path=path: make(path).is_in_namespace())


SCENARIOS: dict[str, Scenario] = {
    "objects": objects(None),
    "own": objects("user:alice"),
    "of_bob": objects("user:bob"),
    "foreign": objects("user:nobody"),
    "production": objects("production:token"),
    "attempts": attempts,
    "logs": logs,
    "spin": spin,
    "bad_input": bad_input,
    "namespaces": namespaces,
    "switching": switching,
    "pickles": pickles,
    "two_roots": two_roots,
    "released": released,
    "settings": settings,
    "tags": tags,
    "code": code,
    "null_tags": null_tags,
}
#: scenarios that change results
CHANGING = ("tags",)
