"""The calls of Metaflow's command line that are recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """One call of a flow's command line."""

    #: how the run is named in answers; several calls may be of one run
    label: str
    #: name of the file in `flows/`
    flow: str
    #: options and arguments; `{label}` stands for the pathspec of an earlier run, `{label.id}` for its id
    arguments: tuple[str, ...] = ("run",)
    environment: dict[str, str] = field(default_factory=dict)
    #: whether Metaflow is meant to say that the flow failed
    fails: bool = False
    root: str = "main"
    #: the run's id, where the command line says it instead of Metaflow
    run_id: str = ""


FAILS = {"FLOW_FAILS": "end"}
BOB = {"USERNAME": "bob"}
TOKEN = {"METAFLOW_PRODUCTION_TOKEN": "token"}
PACKAGE = {"METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": "1"}


def triggered(label: str, events: object) -> Command:
    """Return a run of the single-step flow that says it was started by `events`."""
    return Command(label, "single", ("run", "--events", json.dumps(events)))


def event(name: str, timestamp: object, **fields: object) -> dict[str, object]:
    """Return one entry of the metadata `execution-triggers`, as the Argo integration writes it."""
    return {"timestamp": timestamp, "id": f"id of {name}", "name": name, "type": "event", **fields}


def by_run(label: str, timestamp: object, end: str = "only") -> dict[str, object]:
    """Return the entry for a run of the single-step flow as the event."""
    return event(f"metaflow.SingleFlow.{end}", timestamp, type="run", id=f"<<{label}>>/only/1")


def orchestrated(verb: str, *arguments: str, fails: bool = False) -> Command:
    """Return one call of those that an orchestrator makes, which chooses all ids itself."""
    given = (*verb.split(), "--run-id", ARGO, *arguments)
    environment = {"FLOW_FAILS": "middle"} if fails else {}
    return Command("argo", "resumable", given, environment, fails=fails, run_id=ARGO)


ARGO = "argo-resumable-x7k2p"
ORCHESTRATED = (
    orchestrated("init", "--task-id", "0-params", "--tag", "one"),
    orchestrated("step start", "--task-id", "t-6b86b273", "--input-paths", f"{ARGO}/_parameters/0-params"),
    orchestrated("step middle", "--task-id", "t-d4735e3a", "--input-paths", f"{ARGO}/start/t-6b86b273", fails=True),
    orchestrated("step middle", "--task-id", "t-d4735e3a", "--input-paths", f"{ARGO}/start/t-6b86b273", "--retry-count", "1"),
    orchestrated("step end", "--task-id", "t-4e074085", "--input-paths", f"{ARGO}/middle/t-d4735e3a"),
)  # fmt: skip
TRIGGERED = (
    triggered("no_events", []),
    triggered("one_event", [event("my_event", 1700000000)]),
    triggered("two_events", [event("my_event", 1700000000), event("later", 1700000100)]),
    triggered(
        "odd_stamps", [event("my_event", 1700000000.5), event("without", None), event("zero", 0)]
    ),
    triggered("by_run", [by_run("plain", 1700000000), by_run("plain", 1700000000, "end")]),
    triggered(
        "by_both",
        [by_run("plain", 1700000000), event("my_event", 1700000001), by_run("bob", 1700000002)],
    ),
    triggered(
        "by_gone_run",
        [event("metaflow.Gone.end", 5, type="run", id="Gone/1/end/1"), by_run("plain", 4)],
    ),
    triggered("unknown_key", [event("my_event", 1700000000, payload={"a": 1})]),
    triggered("missing_key", [{"timestamp": 1700000000, "id": "i", "type": "event"}]),
    triggered("mixed_stamps", [event("my_event", 1700000000), event("text", "2024-01-01")]),
)
#: commands of one chain run in their order, chains side by side
CHAINS: dict[str, tuple[Command, ...]] = {
    "shapes": (
        Command("values", "values", ("run", "--tag", "one", "--tag", "two words"), PACKAGE),
        Command("logs", "logs"),
        Command("parallel", "parallel"),
        Command("unbounded", "unbounded"),
    ),
    "nested": (
        Command("nested_failed", "nested", ("run", "--max-workers", "4"), FAILS, fails=True),
        Command("nested_resumed", "nested", ("resume", "--origin-run-id", "{nested_failed.id}")),
    ),
    "switches": (
        Command("switch", "switches"),
        Command("switch_failed", "switches", ("run",), FAILS, fails=True),
        Command("switch_resumed", "switches", ("resume", "--origin-run-id", "{switch_failed.id}")),
    ),
    "endpoints": (
        Command("endpoints", "endpoints"),
        Command("endpoints_failed", "endpoints", ("run",), FAILS, fails=True),
        Command("endpoints_resumed", "endpoints", ("resume", "--origin-run-id", "{endpoints_failed.id}")),
    ),
    "single": (
        Command("plain", "single"),
        Command("bob", "single", ("run", "--tag", "one"), BOB),
        Command("token", "single", ("run", "--label", "production"), TOKEN),
        *TRIGGERED,
    ),
    "failures": (
        Command("failures", "failures", fails=True),
        Command("failed", "resumable", ("run", "--value", "8"), {"FLOW_FAILS": "middle"}, fails=True),
        Command("resumed", "resumable", ("resume", "--origin-run-id", "{failed.id}", "--tag", "again"), FAILS, fails=True),
        Command("resumed_twice", "resumable", ("resume", "--origin-run-id", "{resumed.id}")),
        Command("resumed_from_start", "resumable", ("resume", "--origin-run-id", "{resumed_twice.id}", "start"), BOB),
        Command("never_failed", "resumable"),
        Command("spun_start", "resumable", ("spin", "{never_failed}/start", "--persist")),
        Command("spun_middle", "resumable", ("spin", "{never_failed}/middle", "--persist")),
    ),
    "project": (
        Command("project", "project"),
        Command("project_branch", "project", ("--branch", "tried", "run")),
        Command("project_production", "project", ("--production", "run"), TOKEN),
    ),
    "orchestrated": ORCHESTRATED,
    "other roots": (
        Command("oldest", "single", ("run", "--tag", "one"), root="tagged"),
        Command("newer", "single", ("run",), BOB, root="tagged"),
        Command("aged", "resumable", ("run",), PACKAGE, root="aged"),
        Command("aged_logs", "logs", ("run",), root="aged"),
        Command("aged_package", "single", ("run",), PACKAGE, root="aged"),
    ),
}  # fmt: skip


def without_spin(*names: str) -> list[tuple[Command, ...]]:
    """Return chains less what is not written where the rest is: `spin` keeps its results in a directory."""
    chains = (CHAINS[name] for name in names)
    return [tuple(c for c in chain if "spin" not in c.arguments) for chain in chains]


#: what a service records on SQLite, and what it goes on with after its rows were moved to PostgreSQL
ON_SQLITE = (CHAINS["nested"][:1], *without_spin("shapes", "single", "endpoints"))
ON_POSTGRESQL = (
    CHAINS["nested"][1:],
    *without_spin("failures", "switches", "project", "orchestrated"),
)
