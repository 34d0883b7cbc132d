"""A tour of mfc on results of Metaflow: `python docs/demo.py [DIR]`.

DIR holds a `.metaflow` directory; without it, the tour goes through the sample that comes with
the project. Nothing is changed: tags are edited in a copy. Every line after `>>>` is run as it
is shown.
"""

from __future__ import annotations

import os
import reprlib
import shutil
import sys
import tarfile
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import mfc
from mfc import Client, MetaflowException, Run, Step, Task
from mfc.testing import sample

SAMPLE = sample.ARCHIVE
WIDTH = min(shutil.get_terminal_size().columns, 88)
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
#: Loading more than this would be no demonstration any more.
LARGE = 1_000_000
FLOWS, RUNS, STEPS, TASKS, ARTIFACTS = 3, 3, 8, 4, 10

short = reprlib.Repr()
short.maxstring = short.maxother = 72
short.maxdict = short.maxlist = short.maxtuple = short.maxset = 4


def quoted(text: str) -> str:
    """Return text as Python code, in double quotes where that is simple."""
    return f'"{text}"' if text.isprintable() and not set(text) & set('"\\{') else repr(text)


def styled(text: str, style: str) -> str:
    """Return text in a style, where the terminal shows styles."""
    return f"\x1b[{style}m{text}\x1b[0m" if COLOUR else text


def shown(value: object) -> str:
    """Return a value as one short line that no terminal takes for a command."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "-"
    try:
        text = value if isinstance(value, str) else short.repr(value)
    except Exception as error:  # noqa: BLE001 - the value's own code
        text = sentence(error)
    text = text[:1000]
    return text if text.isprintable() else repr(text)[1:-1]


def sentence(error: Exception) -> str:
    """Return what an error says, and its class."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Prompt:
    """Shows lines of Python as a terminal does, and runs them."""

    def __init__(self, **names: Any) -> None:
        self.names = {**vars(mfc), "sys": sys, **names}

        self._gap = False

    def title(self, text: str) -> None:
        """Begin a part of the tour."""
        print(f"\n{styled(text, '1')}\n{'-' * len(text)}")
        self._gap = False

    def space(self) -> None:
        """Leave a line empty before what comes next."""
        self._gap = True

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self._fill_gap()
        print(textwrap.fill(text, WIDTH))

    def code(self, text: str) -> None:
        """Print lines of Python."""
        self._fill_gap()
        for n, line in enumerate(text.splitlines()):
            print(f"{styled('...' if n else '>>>', '36')} {line}")

    def _fill_gap(self) -> None:
        if self._gap:
            print()
        self._gap = False

    def run(self, statement: str) -> None:
        """Run a statement; its names are known from then on."""
        self.code(statement)
        try:
            exec(statement, self.names)
        except Exception as error:  # noqa: BLE001 - to be shown, whatever it is
            self.answer(error)

    def show(self, expression: str) -> None:
        """Show what an expression is."""
        self.code(expression)
        self.answer(self.value(expression))

    def answer(self, value: object) -> None:
        """Print what Python answered."""
        if isinstance(value, Exception):
            print(wrapped(sentence(value), 0))
        else:
            print(cut(repr(value) if isinstance(value, (str, set)) else shown(value), WIDTH))

    def value(self, expression: str, **names: object) -> Any:
        """Return the value of an expression, or the exception that it raised."""
        try:
            return eval(expression, {**self.names, **names})
        except Exception as error:  # noqa: BLE001 - to be shown, whatever it is
            return error

    def each(self, *loops: tuple[str, str, int], cells: str) -> None:
        """Run nested loops that print.

        Args:
            loops: each a variable (or several with commas), what it runs over, and at most how
                many of these to show.
            cells: what to print, as arguments of `print`.
        """
        heads = [f"{'    ' * n}for {loop[0]} in {loop[1]}:" for n, loop in enumerate(loops)]
        body = textwrap.wrap(
            f"print({cells})",
            WIDTH - 4,
            initial_indent="    " * len(loops),
            subsequent_indent="    " * len(loops) + " " * len("print("),
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.code("\n".join([*heads, *body]))
        self._cut = False
        rows = list(self._rows(loops, cells.split(", "), {}))
        print_table(rows)
        if self._cut:
            print("… and more")
        if not rows:
            print("(nothing)")
        self._gap = True

    def _rows(self, loops: Any, cells: list[str], names: dict[str, Any]) -> Iterator[list[Any]]:
        if not loops:
            yield [self.value(cell, **names) for cell in cells]
            return
        (variables, listing, limit), *inner = loops
        items = self.value(listing, **names)
        try:
            first = list(islice(items, limit + 1)) if not isinstance(items, Exception) else [items]
        except Exception as error:  # noqa: BLE001 - to be shown, whatever it is
            first = [error]
        self._cut |= len(first) > limit
        for item in first[:limit]:
            if isinstance(item, Exception):
                yield [item]
            else:
                several = item if "," in variables else [item]
                bound = dict(zip(variables.split(", "), several, strict=True))
                yield from self._rows(inner, cells, {**names, **bound})


def print_table(rows: list[list[Any]]) -> None:
    """Print rows in columns; an error is written out in full."""
    texts = [[sentence(c) if isinstance(c, Exception) else shown(c) for c in row] for row in rows]
    columns = max((len(row) for row in rows), default=0)
    texts = [[*(cut(text, 40) for text in line[:-1]), line[-1]] for line in texts]
    widths = [max(len(row[n]) for row in texts if len(row) > n + 1) for n in range(columns - 1)]
    for row, line in zip(rows, texts, strict=True):
        start = "  ".join(text.ljust(width) for text, width in zip(line[:-1], widths, strict=False))
        start = f"{start}  " if start else ""
        if isinstance(row[-1], Exception):
            print(start + wrapped(line[-1], len(start)))
        else:
            print(start + cut(line[-1], max(WIDTH - len(start), 20)))


def wrapped(text: str, indent: int) -> str:
    """Return text in lines, of which all but the first are indented."""
    room = max(WIDTH - indent, 40)
    return f"\n{' ' * indent}".join(textwrap.wrap(text, room, max_lines=5, placeholder=" …"))


def cut(text: str, room: int) -> str:
    """Return text, shortened where there is no room for all of it."""
    return text if len(text) <= room else f"{text[: room - 1]}…"


class Found:
    """What there is to show: the newest run of a foreach, a failed one."""

    def __init__(self, client: Client) -> None:
        self.flows = list(islice(client.flows(), FLOWS))
        newest = [run for flow in self.flows for run in islice(flow, 20)]
        newest.sort(key=lambda run: run.created_at, reverse=True)
        status = {run: run.status for run in newest}
        completed = [run for run in newest if status[run] == "completed"]
        with_foreach = [run for run in completed[:20] if foreach_in(run)]
        self.run = next(iter(with_foreach or completed or newest), None)
        self.failed = next((run for run in newest if status[run] == "failed"), None)


def foreach_in(run: Run) -> Step | None:
    """Return a step of the run that has a task per element."""
    for step in run:
        task = step.task
        if task is not None and task.index is not None:
            return step
    return None


def differing(tasks: list[Task]) -> list[str]:
    """Return the names of a few small values in which tasks differ."""
    known: dict[str, set[str]] = {}
    for task in tasks:
        for artifact in task:
            if artifact.type in ("<class 'str'>", "<class 'float'>", "<class 'int'>"):
                known.setdefault(artifact.id, set()).add(artifact.sha)
    names = sorted(name for name, shas in known.items() if len(shas) > 1 and name.isidentifier())
    return [name for name in names if all(name in task for task in tasks)][:2]


def flows_and_runs(prompt: Prompt, found: Found) -> None:
    """Show what there is."""
    prompt.title("Flows and their runs, newest first")
    prompt.each(("flow", "Metaflow()", FLOWS), cells="flow.id, flow.created_at, flow.latest_run")
    for flow in found.flows:
        runs = f"Flow({quoted(flow.id)}).runs(limit={RUNS})"
        prompt.each(("run", runs, RUNS), cells="run.id, run.status, run.finished_at, run.user_tags")


def one_run(prompt: Prompt, run: Run) -> None:
    """Show a run from its steps down to its parameters."""
    prompt.title("One run: its steps, tasks and parameters")
    prompt.run(f"run = Run({quoted(run.pathspec)})")
    prompt.show("run.status.reason")
    prompt.each(
        ("step", "run", STEPS),
        ("task", "step", TASKS),
        cells="step.id, task.id, task.status, task.finished_at",
    )
    prompt.each(
        ("parameter", 'run["_parameters"].task', ARTIFACTS), cells="parameter.id, parameter.data"
    )


def values(prompt: Prompt, run: Run) -> None:
    """Show the artifacts of the last task."""
    prompt.title("What a task left: its artifacts")
    task = run.end_task or next((t for step in run for t in step), None)
    if task is None:
        return
    prompt.run(f"task = Task({quoted(task.pathspec)})")
    small = f"[a for a in task if a.size < {LARGE}]" if large_in(task) else "task"
    prompt.each(("artifact", small, ARTIFACTS), cells="artifact.id, artifact.size, artifact.data")


def large_in(task: Task) -> bool:
    """Tell whether a task has an artifact that is too large to be shown here."""
    try:
        return any(artifact.size >= LARGE for artifact in task)
    except MetaflowException:
        return False


def foreach(prompt: Prompt, step: Step) -> None:
    """Show the tasks of a foreach, and what they were joined by."""
    prompt.title("A foreach: one task per element, and the join after it")
    listing = f"run[{quoted(step.id)}]"
    cells = ["task.index", 'task.metadata_dict["foreach-stack"]']
    cells += [f"task.data.{name}" for name in differing(list(islice(step, TASKS)))]
    prompt.each(("task", listing, TASKS), cells=", ".join(cells))
    if (task := step.task) is not None and any(True for _ in task.child_tasks):
        prompt.run(f"join = next({listing}.task.child_tasks)")
        prompt.show("join.pathspec")
        prompt.each(("task", "join.parent_tasks", TASKS), cells="task.pathspec, task.index")


def failed_run(prompt: Prompt, run: Run) -> None:
    """Show what went wrong in a run, and what was tried again."""
    prompt.title("A run that failed, and why")
    flow = run.path_components[0]
    prompt.run(f'run = next(Flow({quoted(flow)}).runs(status="failed"))')
    prompt.each(
        ("step", "run", STEPS),
        ("task", "step", TASKS),
        cells="step.id, task.id, task.status.reason",
    )
    tasks = [task for step in run for task in islice(step, 100)]
    task = next((task for task in tasks if task.status == "failed"), None)
    if task is not None:
        prompt.run(f"task = Task({quoted(task.pathspec)})")
        if prompt.value("task.exception") is not None:
            prompt.show("task.exception.type")
            prompt.show("task.exception.exception")
            prompt.each(("line", "task.exception.stacktrace.splitlines()[-3:]", 3), cells="line")
    retried = next((task for task in tasks if task.current_attempt and task.successful), None)
    if retried is not None:
        prompt.space()
        prompt.say("A task that was tried again: what its first attempt raised.")
        prompt.show(f"Task({quoted(retried.pathspec)}, attempt=0).exception.exception")


def logs(prompt: Prompt, run: Run) -> None:
    """Show the end of the longest log."""
    prompt.title("What a task printed")
    tasks = (task for step in run for task in islice(step, TASKS))
    task = max(islice(tasks, 20), key=lambda task: task.stdout_size, default=None)
    if task is None or not task.stdout_size:
        prompt.say("(the tasks of this run printed nothing)")
        return
    prompt.run(f"task = Task({quoted(task.pathspec)})")
    prompt.each(("when, line", 'list(task.loglines("stdout", tail=4))', 4), cells="when, line")


def tags(prompt: Prompt, directory: str, run: Run) -> None:
    """Add a tag and remove it, in a copy."""
    prompt.title("Tags, changed and changed back")
    flow, run_id = run.path_components
    with tempfile.TemporaryDirectory(prefix="mfc-demo-") as copy:
        for path in (flow, os.path.join(flow, run_id)):
            target = os.path.join(copy, ".metaflow", path, "_meta")
            os.makedirs(target)
            own = os.path.join(directory, ".metaflow", path, "_meta", "_self.json")
            shutil.copyfile(own, os.path.join(target, "_self.json"))
        prompt.say("This happens in a copy of the run's metadata; the results stay as they are.")
        prompt.names["copy"] = copy
        prompt.run(f"run = Client(copy, namespace=None).run({quoted(run.pathspec)})")
        for change in ('run.add_tag("reviewed")', 'run.remove_tag("reviewed")'):
            prompt.run(change)
            prompt.show("sorted(run.user_tags)")


def cost(prompt: Prompt, client: Client, flow: str, started: float) -> None:
    """Show what one question costs, and what the tour did."""
    prompt.title("What it cost")
    everything, seconds = client.stats, time.perf_counter() - started
    prompt.run("before = client.stats")
    prompt.show(f"Flow({quoted(flow)}).latest_successful_run")
    prompt.show("client.stats - before")
    prompt.space()
    prompt.show('"metaflow" in sys.modules')
    prompt.space()
    prompt.say(
        f"This tour took {seconds:.2f} s and {everything.reads} reads of files and directories, "
        f"{everything.bytes / 1000:.0f} kB."
    )


def tour(directory: str, client: Client) -> None:
    """Show what is in a directory of results, whatever that is."""
    started = time.perf_counter()
    prompt = Prompt(client=client)
    found = Found(client)
    flows_and_runs(prompt, found)
    if found.run is None:
        prompt.space()
        prompt.say("No flow has a run yet. Run one, or see the sample: make demo")
        return
    one_run(prompt, found.run)
    values(prompt, found.run)
    if (step := foreach_in(found.run)) is not None:
        foreach(prompt, step)
    logs(prompt, found.run)
    if found.failed is not None:
        failed_run(prompt, found.failed)
    tags(prompt, directory, found.run)
    cost(prompt, client, found.run.path_components[0], started)


def introduce(directory: str, *, is_sample: bool) -> None:
    """Say what is shown, and how it is opened."""
    print(styled("mfc: what Metaflow recorded, read without Metaflow", "1"))
    print()
    about = (
        "These runs were recorded by Metaflow and come with the project "
        "(tests/sample/PROVENANCE.md). For your own: make demo FROM=DIR, where DIR holds .metaflow."
    )
    prompt = Prompt()
    prompt.say(about if is_sample else f"These are the results in {directory}; nothing is changed.")
    print()
    prompt.code("from mfc import Client, Flow, Metaflow, Run, Task")
    prompt.code(f'client = Client({quoted(directory)}, namespace=None, trust="safe")')
    print()
    prompt.say(
        "namespace=None: the runs of everybody. trust='safe': only values that are plain data "
        "are loaded, so nothing in the store can run code here; what else there is says so."
    )


def unpack(target: str) -> None:
    """Put the sample into a directory."""
    with tarfile.open(SAMPLE) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            tar.extractall(target)


def show(directory: str, *, is_sample: bool) -> int:
    """Go through a directory; return the exit code."""
    try:
        client = Client(directory, namespace=None, trust="safe")
    except MetaflowException as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    introduce(directory, is_sample=is_sample)
    with warnings.catch_warnings(record=True) as caught, client:
        warnings.simplefilter("always")
        tour(directory, client)
    if caught:
        print(f"\n{len(caught)} warnings, of which the first:")
        print(wrapped(shown(str(caught[0].message)), 0))
    if is_sample:
        print("\nGo on: make demo FROM=DIR · README.md · docs/tutorial.md")
    return 0


def main(arguments: list[str]) -> int:
    """Go through the sample or the directory that is asked for; return the exit code."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print("demo: expected at most one directory, which holds .metaflow", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if arguments:
        directory = os.path.abspath(os.path.expanduser(arguments[0]))
        if os.path.basename(directory) == ".metaflow":
            directory = os.path.dirname(directory)
        return show(directory, is_sample=False)
    with tempfile.TemporaryDirectory(prefix="mfc-demo-") as directory:
        unpack(directory)
        return show(directory, is_sample=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
