"""Changes of a run's tags: by name, the tags before and what is done; and the walk through all of them."""

from __future__ import annotations

import json
import pathlib
import urllib.request
from collections.abc import Callable
from typing import TypeAlias

from .canonical import Value
from .objects import Ask, kind

Change: TypeAlias = Callable[[Value], Value]

FEW = ["one", "two", "three"]
LONG = "x" * 500
#: the most tags that a client allows for a run
FULL = [f"tag {number}" for number in range(50)]
#: more than a client allows for a run, as from old versions of Metaflow
OVERFULL = [f"tag {number}" for number in range(60)]

ONE_TAG: dict[str, Change] = {
    "add_tag(new)": lambda run: run.add_tag("new"),
    "add_tag(present)": lambda run: run.add_tag("one"),
    "add_tag(list)": lambda run: run.add_tag(["new", "newer"]),
    "add_tag(set)": lambda run: run.add_tag({"new", "newer"}),
    "add_tag(tuple)": lambda run: run.add_tag(("new", "newer")),
    "add_tag(keys)": lambda run: run.add_tag({"new": 1, "newer": 2}.keys()),
    "add_tag(empty set)": lambda run: run.add_tag(set()),
    "add_tag(5)": lambda run: run.add_tag(5),
    "add_tag(bytes)": lambda run: run.add_tag(b"new"),
    "add_tag(broken bytes)": lambda run: run.add_tag(b"\xff"),
    "add_tag('')": lambda run: run.add_tag(""),
    "add_tag(None)": lambda run: run.add_tag(None),
    "add_tag(500 characters)": lambda run: run.add_tag(LONG),
    "add_tag(500 characters of two bytes)": lambda run: run.add_tag("é" * 500),
    "add_tag(501 characters)": lambda run: run.add_tag(LONG + "x"),
    "add_tag(surrogate)": lambda run: run.add_tag("\ud800"),
    "add_tag(odd characters)": lambda run: run.add_tag("naïve ☃ \n'\"/"),
    "add_tag(system)": lambda run: run.add_tag("user:alice"),
    "remove_tag(present)": lambda run: run.remove_tag("one"),
    "remove_tag(absent)": lambda run: run.remove_tag("absent"),
    "remove_tag(system)": lambda run: run.remove_tag("user:alice"),
    "remove_tag(list)": lambda run: run.remove_tag(["one", "two"]),
    "remove_tag('')": lambda run: run.remove_tag(""),
    "replace_tag(present, new)": lambda run: run.replace_tag("one", "new"),
    "replace_tag(absent, new)": lambda run: run.replace_tag("absent", "new"),
    "replace_tag(same)": lambda run: run.replace_tag("one", "one"),
    "remove_tag(set)": lambda run: run.remove_tag({"one", "two"}),
    "replace_tag(set, str)": lambda run: run.replace_tag({"one", "two"}, "new"),
    "replace_tag(list, list)": lambda run: run.replace_tag(["one", "two"], ["new", "newer"]),
}
MANY_TAGS: dict[str, Change] = {
    "add_tags(list)": lambda run: run.add_tags(["new", "newer", "one"]),
    "add_tags(tuple)": lambda run: run.add_tags(("new", "newer")),
    "add_tags(set)": lambda run: run.add_tags({"new"}),
    "add_tags(frozenset)": lambda run: run.add_tags(frozenset(("new", "newer"))),
    "add_tags(values)": lambda run: run.add_tags({1: "new", 2: "newer"}.values()),
    "add_tags(range)": lambda run: run.add_tags(range(2)),
    "add_tags(tags of the run)": lambda run: run.add_tags(run.user_tags),
    "add_tags(dict)": lambda run: run.add_tags({"new": 1}),
    "add_tags(generator)": lambda run: run.add_tags(name for name in ("new",)),
    "add_tags(iterator)": lambda run: run.add_tags(iter(["new"])),
    "add_tags(str)": lambda run: run.add_tags("new"),
    "add_tags(bytes)": lambda run: run.add_tags(b"new"),
    "add_tags(None)": lambda run: run.add_tags(None),
    "add_tags(5)": lambda run: run.add_tags(5),
    "add_tags([])": lambda run: run.add_tags([]),
    "add_tags([5])": lambda run: run.add_tags([5]),
    "add_tags([None])": lambda run: run.add_tags([None]),
    "add_tags([[]])": lambda run: run.add_tags([[]]),
    "add_tags(good and empty)": lambda run: run.add_tags(["good", ""]),
    "add_tags(system and new)": lambda run: run.add_tags(["user:alice", "new"]),
    "add_tags(60)": lambda run: run.add_tags(OVERFULL),
    "add_tags(47, so that there are 50)": lambda run: run.add_tags(FULL[:47]),
    "remove_tags(list)": lambda run: run.remove_tags(["one", "absent"]),
    "remove_tags(all)": lambda run: run.remove_tags(list(run.user_tags)),
    "remove_tags(generator)": lambda run: run.remove_tags(name for name in ("one",)),
    "remove_tags(str)": lambda run: run.remove_tags("one"),
    "remove_tags([])": lambda run: run.remove_tags([]),
    "remove_tags(None)": lambda run: run.remove_tags(None),
    "remove_tags(system and own)": lambda run: run.remove_tags(["user:alice", "one"]),
    "replace_tags(list, list)": lambda run: run.replace_tags(["one", "two"], ["new"]),
    "replace_tags(system, new)": lambda run: run.replace_tags(["user:alice"], ["new"]),
    "replace_tags(list, same list)": lambda run: run.replace_tags(["one"], ["one"]),
    "replace_tags([], [])": lambda run: run.replace_tags([], []),
    "replace_tags(str, str)": lambda run: run.replace_tags("one", "new"),
    "replace_tags(generators)": lambda run: run.replace_tags(
        (n for n in ("one",)), (n for n in ("new",))
    ),
}
TAG_CHANGES: dict[str, tuple[list[str], Change]] = {
    **{name: (FEW, change) for name, change in (ONE_TAG | MANY_TAGS).items()},
    "add to none": ([], lambda run: run.add_tag("new")),
    "add the 51st": (FULL, lambda run: run.add_tag("one too many")),
    "add one of 50 again": (FULL, lambda run: run.add_tag("tag 1")),
    "replace one of 50": (FULL, lambda run: run.replace_tag("tag 1", "in its place")),
    "remove 5 of 60": (OVERFULL, lambda run: run.remove_tags(FULL[:5])),
    "replace one of 60": (OVERFULL, lambda run: run.replace_tag("tag 1", "in its place")),
    "add to 60": (OVERFULL, lambda run: run.add_tag("one too many")),
}


def tags(client: Value, root: str, ask: Ask) -> None:
    """Change tags in every way, each time from the same tags; nobody else may need the results."""
    client.namespace(None)
    client.metadata(root)
    oldest = list(client.Flow("SingleFlow"))[-1].pathspec
    set_tags = _setter(root, oldest)
    for name, (before, change) in TAG_CHANGES.items():
        set_tags(before)
        _ask_change(client, ask, name, oldest, change)
    _ask_whether_lazy(client, ask, oldest.partition("/")[2])


def _setter(root: str, run: str) -> Callable[[list[str]], None]:
    """Return what gives a run other tags, without a client."""
    if kind(root) == "local":
        record = pathlib.Path(root, ".metaflow", run, "_meta", "_self.json")
        content = json.loads(record.read_text())
        return lambda tags: _written(record, {**content, "tags": tags})
    flow, run_id = run.split("/")
    return lambda tags: _patched(f"{root}/flows/{flow}/runs/{run_id}", tags)


def _written(record: pathlib.Path, content: Value) -> None:
    record.write_text(json.dumps(content))


def _patched(url: str, tags: list[str]) -> None:
    with urllib.request.urlopen(url) as answer:
        old = json.load(answer)["tags"]
    body = json.dumps({"tags_to_remove": old, "tags_to_add": tags}).encode()
    urllib.request.urlopen(
        urllib.request.Request(
            f"{url}/tag/mutate", body, {"Content-Type": "application/json"}, method="PATCH"
        )
    ).close()


def _ask_whether_lazy(client: Value, ask: Ask, oldest: str) -> None:
    """Begin to select by a tag before any run has it."""
    flow = client.Flow("SingleFlow")
    listings = {"iter": iter(flow), "runs": flow.runs("late"), "steps": flow[oldest].steps("late")}
    flow[oldest].add_tag("late")
    for name, listing in listings.items():
        ask(f"{name} begun before a tag came", lambda listing=listing: list(listing))
        ask(f"{name} for the second time", lambda listing=listing: list(listing))


def _ask_change(
    client: Value, ask: Ask, key: str, pathspec: str, change: Callable[[Value], Value]
) -> None:
    run = client.Run(pathspec)
    before, first = run.created_at, client.Flow("SingleFlow").latest_run.pathspec
    ask(key, lambda: change(run))
    ask(f"{key}: user_tags", lambda: run.user_tags)
    ask(f"{key}: tags", lambda: run.tags)
    again = client.Run(pathspec)
    ask(f"{key}: read back", lambda: again.user_tags)
    ask(f"{key}: system tags read back", lambda: again.system_tags)
    ask(f"{key}: tags of a task", lambda: again["only"].task.tags)
    ask(f"{key}: created_at stays", lambda: again.created_at == before)
    ask(f"{key}: latest_run stays", lambda: client.Flow("SingleFlow").latest_run.pathspec == first)
