"""The rows of the table: the query to both clients, and the fewest requests that it needs from the service.

Each statement runs in a fresh process with an empty cache; making the object named in it is part of
the row. Minima are for the newest service, listings paged by 500, so that no request freezes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.service.data import (
    FIRST_POST,
    FIRST_RUN,
    FIRST_WORK,
    LATEST_SUCCESSFUL,
    RUNS,
    WIDE_RUN,
    WITHOUT_END,
)

NEWEST = FIRST_RUN + RUNS - 1
WIDE = f"WideFlow/{WIDE_RUN}"
WORK = f"Step('{WIDE}/work')"
IDS = "[item.id for item in result]"
#: Sorted ids of a step's tasks, because Metaflow keeps the arbitrary order of the service.
SORTED_IDS = "sorted(item.id for item in result)"


@dataclass(frozen=True)
class Operation:
    """One row.

    Attributes:
        title: its text in the table.
        statement: an expression in the names of a client module.
        minimum: requests; `exists` more where a constructor must prove that its object exists,
            `loop` more where a loop over a listing asks its first objects alone, or ahead of where
            it is left. A run without a step `end` takes one more, for its end step may have another
            name.
        answer: an expression of `result` whose value must be the same from both clients.
        walls: the most that mfc may take of Metaflow's time, by added latency in milliseconds.
        kilobytes: the most that may come down.
    """

    title: str
    statement: str
    minimum: int
    exists: int = 0
    loop: int = 0
    answer: str = "result"
    namespace: str | None = None
    walls: tuple[tuple[int, float], ...] = ()
    kilobytes: float | None = None

    @property
    def allowed(self) -> int:
        """The most requests that mfc may send."""
        return self.minimum + self.exists + self.loop


#: The newest run did not complete. Checking whether its end step has the usual name takes a
#: request: otherwise the run could be successful without being `completed`.
NOT_COMPLETED = 1
MANY = "Flow('ManyRunsFlow')"
RUN = f"Run('ManyRunsFlow/{LATEST_SUCCESSFUL}')"
FAILED = f"Run('ManyRunsFlow/{NEWEST}')"
TASK = f"Task('{WIDE}/work/{FIRST_WORK + 24}')"
ALICE = "user:alice"
EACH = ((0, 1 / 20), (30, 1 / 200))

OPERATIONS: tuple[Operation, ...] = (
    Operation("list(Metaflow())", "list(Metaflow())", 1, answer=SORTED_IDS),
    Operation(
        "list(Metaflow()), user:alice", "list(Metaflow())", 22, answer=SORTED_IDS, namespace=ALICE
    ),
    Operation("list(flow), 3,000 runs", f"list({MANY})", 6, exists=1, answer=IDS),
    Operation("list(flow), user:alice", f"list({MANY})", 4, exists=1, answer=IDS, namespace=ALICE),
    Operation(
        "flow.latest_run", f"{MANY}.latest_run", 1, exists=1, answer="result.id", kilobytes=10
    ),
    Operation(
        "flow.latest_run, user:alice",
        f"{MANY}.latest_run",
        1,
        exists=1,
        answer="result.id",
        namespace=ALICE,
        kilobytes=10,
    ),
    Operation(
        "flow.latest_successful_run",
        f"{MANY}.latest_successful_run",
        2 + NOT_COMPLETED,
        exists=1,
        answer="result.id",
        kilobytes=10,
    ),
    Operation(
        "flow.latest_successful_run, user:alice",
        f"{MANY}.latest_successful_run",
        2 + NOT_COMPLETED,
        exists=1,
        answer="result.id",
        namespace=ALICE,
        kilobytes=10,
    ),
    Operation("list(flow.runs('golden')), 30", f"list({MANY}.runs('golden'))", 1, 1, answer=IDS),
    Operation("Run(…)", RUN, 1, answer="result.pathspec"),
    Operation("run.successful", f"{RUN}.successful", 1, exists=1),
    Operation("run.successful, no end step", f"{FAILED}.successful", 2, exists=1),
    Operation("run.finished_at", f"{RUN}.finished_at", 1, exists=1, answer="str(result)"),
    Operation("list(run)", f"list({RUN})", 1, exists=1, answer=IDS),
    Operation(
        "run.trigger",
        "Run('ForeachFlow/argo-foreachflow-x7k2p').trigger",
        2,
        exists=1,
        answer="[event.name for event in result.events]",
    ),
    Operation("run.code, none", f"{RUN}.code", 1, exists=1, answer="result is None"),
    Operation(
        "[r.successful for r in 50 runs]",
        f"[run.successful for run in itertools.islice({MANY}, 50)]",
        51 + WITHOUT_END,
        exists=1,
        loop=7,
    ),
    Operation("list(step), 2,000 tasks", f"list({WORK})", 4, exists=1, answer=SORTED_IDS),
    Operation(
        "[t.successful for t in step]",
        f"[task.successful for task in {WORK}]",
        5,
        exists=1,
        loop=2,
        walls=EACH,
    ),
    # Metaflow has no status; whether a task has finished comes nearest.
    Operation(
        "[t.status for t in step]",
        f"[getattr(task, 'status', None) or task.finished for task in {WORK}]",
        4 + 2,
        exists=1,
        answer="len(result)",
        walls=EACH,
        kilobytes=700,
    ),
    Operation(
        "[t.metadata_dict for t in step]",
        f"[task.metadata_dict for task in {WORK}]",
        4 + 161,
        exists=1,
        loop=2,
        answer="sorted(sorted(found) for found in result)",
    ),
    Operation(
        "[t['sq'].data for t in step]",
        f"[task['sq'].data for task in {WORK}]",
        4 + 65,
        exists=1,
        loop=2,
        answer="sorted(result)",
    ),
    Operation("step.finished_at", f"{WORK}.finished_at", 65, exists=1, answer="str(result)"),
    Operation("task['sq'].data", f"{TASK}['sq'].data", 1, exists=1),
    Operation("task.data.sq", f"{TASK}.data.sq", 1, exists=1),
    Operation("task.artifacts", f"{TASK}.artifacts", 1, exists=1, answer=SORTED_IDS),
    Operation(
        "task.metadata_dict", f"{TASK}.metadata_dict", 1, exists=1, answer="sorted(result.items())"
    ),
    Operation("task.stdout, 200 KB", "Task('LogFlow/12/start/73').stdout", 1, exists=1),
    Operation("task.index", f"{TASK}.index", 1, exists=1),
    Operation("run.data.total", f"Run('{WIDE}').data.total", 1, exists=1),
    Operation("run.origin_pathspec", "Run('FailFlow/8').origin_pathspec", 1, exists=1),
    Operation(
        "task.origin_pathspec, cloned", "Run('FailFlow/8')['start'].task.origin_pathspec", 2, 2
    ),
    Operation(
        "task.metadata_dict, cloned",
        "Run('FailFlow/8')['start'].task.metadata_dict",
        3,
        exists=2,
        answer="sorted(result.items())",
    ),
    Operation(
        "list(task.parent_tasks), 1",
        f"list(Task('{WIDE}/post/{FIRST_POST + 100}').parent_tasks)",
        3,
        exists=1,
        answer=SORTED_IDS,
    ),
    Operation(
        "list(join.parent_tasks), 2,000",
        f"list(Step('{WIDE}/join').task.parent_tasks)",
        6,
        exists=2,
        answer=SORTED_IDS,
    ),
    Operation(
        "list(start.child_tasks), 2,000",
        f"list(Step('{WIDE}/start').task.child_tasks)",
        6,
        exists=2,
        answer=SORTED_IDS,
    ),
    Operation(
        "list(step.parent_steps)", f"list(Step('{WIDE}/join').parent_steps)", 2, 1, answer=IDS
    ),
    Operation(
        "run.add_tag", "Run('ManyRunsFlow/10047').add_tag('seen')", 1, exists=1, answer="None"
    ),
)
