"""The rows of the speed table: the query, its form for each client, its floor, and its target.

`setup` runs before the clock, `statement` inside it. `Flow(...)` is inside: in a namespace its construction is a part
of what the row costs Metaflow. `Step(...)` and `Task(...)` are made before the clock, the rows start from one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.generate import FIRST_RUN_US, TASKS

RUN = f"WideForeach/{FIRST_RUN_US}"
BODY = f"step = Step('{RUN}/body')"
IDS = "[item.id for item in result]"
RUN_IDS = "[record['run_number'] for record in result]"


@dataclass(frozen=True)
class Target:
    """The target of mfc; limits that are None do not apply.

    Attributes:
        text: as in the table of the plan.
        at_most: milliseconds (megabytes for the installed size).
        floors: multiple of the floor.
        row: no more than this other row, but for noise.
    """

    text: str
    at_most: float | None = None
    floors: float | None = None
    row: str | None = None


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    Attributes:
        name: short, for `--rows`.
        statement: an expression in the names of a client module, `ROOT` being the `.metaflow` directory.
        answer: an expression of `result` whose value must be the same from every client.
        floor: an expression in `floors`; `floor_answer` gives its answer in the same form.
        namespace: of the client.
    """

    name: str
    title: str
    target: Target
    statement: str
    answer: str
    floor: str
    floor_answer: str
    setup: str = ""
    namespace: str | None = None


OPERATIONS = (
    Operation(
        "runs",
        "list(Flow) 10,000 runs",
        Target("≤ 1.6 floors", floors=1.6),
        "list(Flow('ManyRuns'))",
        IDS,
        "floors.children(f'{ROOT}/ManyRuns')",
        RUN_IDS,
    ),
    Operation(
        "first_run",
        "next(iter(Flow)) 10,000 runs",
        Target("≤ 10 ms", at_most=10),
        "next(iter(Flow('ManyRuns')))",
        "result.id",
        "floors.latest_run(f'{ROOT}/ManyRuns')",
        "result['run_number']",
    ),
    Operation(
        "namespace",
        "list(Flow) in user:alice",
        Target("no more than without", row="runs"),
        "list(Flow('ManyRuns'))",
        IDS,
        "floors.runs_in_namespace(f'{ROOT}/ManyRuns', 'user:alice')",
        RUN_IDS,
        namespace="user:alice",
    ),
    Operation(
        "latest_run",
        "latest_run of 10,000",
        Target("≤ 10 ms", at_most=10),
        "Flow('ManyRuns').latest_run",
        "result.id",
        "floors.latest_run(f'{ROOT}/ManyRuns')",
        "result['run_number']",
    ),
    Operation(
        "latest_successful",
        "latest_successful_run, 50 failed",
        Target("≤ 10 ms", at_most=10),
        "Flow('ManyRuns').latest_successful_run",
        "result.id",
        "floors.latest_successful_run(f'{ROOT}/ManyRuns')",
        "result['run_number']",
    ),
    Operation(
        "tasks",
        "list(step) 5,000 tasks",
        Target("≤ 1.6 floors", floors=1.6),
        "list(step)",
        IDS,
        f"floors.children(f'{{ROOT}}/{RUN}/body')",
        "[record['task_id'] for record in result]",
        setup=BODY,
    ),
    Operation(
        "successful",
        "[t.successful for t in step]",
        Target("≤ 200 ms", at_most=200),
        "[task.successful for task in step]",
        "result",
        f"floors.successes(f'{{ROOT}}/{RUN}/body')",
        "result",
        setup=BODY,
    ),
    Operation(
        "values",
        "[t.data.x for t in step]",
        Target("≤ 450 ms", at_most=450),
        "[task.data.x for task in step]",
        "result",
        f"floors.artifact_values(f'{{ROOT}}/{RUN}/body', f'{{ROOT}}/WideForeach/data', 'x')",
        "result",
        setup=BODY,
    ),
    Operation(
        "big_artifact",
        "50 MB artifact",
        Target("≤ 1.25 floors", floors=1.25),
        "task.data.blob",
        "{name: len(part) for name, part in sorted(result.items())}",
        f"floors.task_artifact(f'{{ROOT}}/BigArtifact/{FIRST_RUN_US}/start/1', f'{{ROOT}}/BigArtifact/data', 'blob')",
        "{name: len(part) for name, part in sorted(result.items())}",
        setup=f"task = Task('BigArtifact/{FIRST_RUN_US}/start/1')",
    ),
    Operation(
        "stdout",
        "stdout, 10 MB",
        Target("≤ 150 ms", at_most=150),
        "task.stdout",
        "result",
        f"floors.log_text(f'{{ROOT}}/LongLog/{FIRST_RUN_US}/start/1', 'stdout')",
        "result",
        setup=f"task = Task('LongLog/{FIRST_RUN_US}/start/1')",
    ),
    Operation(
        "parents",
        "list(join.parent_tasks) 5,000",
        Target("≤ 100 ms", at_most=100),
        "list(join.parent_tasks)",
        "sorted(item.id for item in result)",
        f"floors.parent_tasks(f'{{ROOT}}/{RUN}', f'{{ROOT}}/WideForeach/data', 'join', '{TASKS + 2}')",
        "sorted(record['task_id'] for record in result)",
        setup=f"join = Task('{RUN}/join/{TASKS + 2}')",
    ),
)
