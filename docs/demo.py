"""A tour of mfc on results of Metaflow: `python docs/demo.py [DIR]`.

DIR holds a `.metaflow` directory; without it, the tour goes through the sample that comes with
the project. Every line after `>>>` is run as it is shown, in order, so typing the same lines gives
the same answers. Results in DIR stay as they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mfc import Client, MetaflowException, Run, Step, Task
from mfc.errors import visible
from mfc_testing import sample

WIDTH = min(shutil.get_terminal_size().columns, 88)
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
#: Where the sample is unpacked, and stays, so that its lines can be typed afterwards.
UNPACKED = Path(__file__).parent.parent / ".cache" / "sample"
#: Artifacts larger than this are not loaded for a demonstration.
LARGE = 1_000_000


def styled(text: str, style: str) -> str:
    """Return text in a style, where the terminal shows styles."""
    return f"\x1b[{style}m{text}\x1b[0m" if COLOUR else text


def say(text: str) -> None:
    """Print a paragraph."""
    print(f"\n{textwrap.fill(visible(text), WIDTH)}")


def title(text: str) -> None:
    """Begin a part of the tour."""
    print(f"\n{styled(text, '1')}\n{'-' * len(text)}")


class Prompt:
    """Runs lines of Python, and shows them with what they print, as a terminal does."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}

    def run(self, code: str) -> None:
        """Run a statement or an expression; its names are known from then on."""
        code = textwrap.dedent(code).strip()
        for n, line in enumerate(code.splitlines()):
            print(f"{styled('...' if n else '>>>', '36')} {visible(line)}")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(f"{code}\n", "<stdin>", "single"), self._names)
            except Exception as error:  # noqa: BLE001 - shown, whatever it is
                print("Traceback (most recent call last):\n  ...")
                print(traceback.format_exception_only(error)[-1], end="")
        for line in printed.getvalue().split("\n")[:-1]:
            print(visible(line))


def foreach_in(run: Run) -> Step | None:
    """Return a step of the run that has a task per element."""
    for step in run:
        task = step.task
        if task is not None and task.index is not None:
            return step
    return None


class Found:
    """What there is to show: the newest run of a foreach, a failed one."""

    def __init__(self, client: Client) -> None:
        self.flows = list(islice(client.flows(), 3))
        newest = [run for flow in self.flows for run in islice(flow, 20)]
        newest.sort(key=lambda run: run.created_at, reverse=True)
        status = {run: run.status for run in newest}
        completed = [run for run in newest if status[run] == "completed"]
        with_foreach = [run for run in completed[:20] if foreach_in(run)]
        self.run = next(iter(with_foreach or completed or newest), None)
        self.failed = next((run for run in newest if status[run] == "failed"), None)


def flows_and_runs(prompt: Prompt, found: Found) -> None:
    """Show what there is."""
    title("Flows and their runs, newest first")
    prompt.run(
        """
        for flow in islice(client.flows(), 3):
            print(f"{flow.id:9} {flow.created_at:%Y-%m-%d}  {flow.latest_run}")
        """
    )
    for flow in found.flows:
        print()
        prompt.run(
            f"""
            for run in client.flow({flow.id!r}).runs(limit=3):
                print(run.id, run.created_at, f"{{run.status:9}}", sorted(run.user_tags))
            """
        )


def one_run(prompt: Prompt, run: Run) -> None:
    """Show a run from its steps down to its parameters."""
    title("One run: its steps, tasks and parameters")
    prompt.run(f"run = client.run({run.pathspec!r})")
    prompt.run("run.status")
    prompt.run(
        """
        for step in run:
            for task in islice(step, 4):
                print(f"{step.id:8} {task.id:4} {task.status:9}", task.finished_at)
        """
    )
    print()
    prompt.run(
        """
        for parameter in run["_parameters"].task:
            print(f"{parameter.id:9} {parameter.data!r:.60}")
        """
    )


def values(prompt: Prompt, run: Run) -> None:
    """Show the artifacts of the last task."""
    task = run.end_task or next((t for step in run for t in step), None)
    if task is None:
        return
    title("What a task left: its artifacts")
    prompt.run(f"task = client.task({task.pathspec!r})")
    prompt.run(f"small = [artifact for artifact in task if artifact.size < {LARGE:_}]")
    prompt.run(
        """
        for artifact, value in zip(small, load(small, errors="return")):
            print(f"{artifact.id:9} {artifact.size:4}  {value!r:.60}")
        """
    )


def differing(tasks: list[Task]) -> list[str]:
    """Return the names of a few small values in which tasks differ."""
    known: dict[str, set[str]] = {}
    for task in tasks:
        for artifact in task:
            if artifact.type in ("<class 'str'>", "<class 'float'>", "<class 'int'>"):
                known.setdefault(artifact.id, set()).add(artifact.sha)
    names = sorted(name for name, shas in known.items() if len(shas) > 1 and name.isidentifier())
    return [name for name in names if all(name in task for task in tasks)][:2]


def foreach(prompt: Prompt, step: Step) -> None:
    """Show the tasks of a foreach, and what they were joined by."""
    title("A foreach: one task per element, and the join after it")
    names = differing(list(islice(step, 4)))
    cells = ["task.index", *(f"task.data.{name}" for name in names)]
    prompt.run(
        f"""
        for task in islice(run[{step.id!r}], 4):
            print({", ".join(cells)})
        """
    )
    if (task := step.task) is not None and any(True for _ in task.child_tasks):
        print()
        prompt.run(f"join = next(run[{step.id!r}].task.child_tasks)")
        prompt.run(
            """
            for task in islice(join.parent_tasks, 4):
                print(task.pathspec, "->", join.pathspec)
            """
        )


def logs(prompt: Prompt, run: Run) -> None:
    """Show the end of the longest log."""
    title("What a task printed")
    tasks = (task for step in run for task in islice(step, 4))
    task = max(islice(tasks, 20), key=lambda task: task.stdout_size, default=None)
    if task is None or not task.stdout_size:
        say("The tasks of this run printed nothing.")
        return
    prompt.run(f"task = client.task({task.pathspec!r})")
    prompt.run(
        """
        for when, line in task.loglines("stdout", tail=4):
            print(when, line)
        """
    )


def failed_run(prompt: Prompt, run: Run) -> None:
    """Show what went wrong in a run, and what was tried again."""
    title("A run that failed, and why")
    prompt.run(f"run = next(client.flow({run.path_components[0]!r}).runs(status='failed'))")
    prompt.run("run.status.reason")
    prompt.run(
        """
        for step in run:
            for task in islice(step, 4):
                print(f"{step.id:8} {task.id:4} {task.status.reason:.60}")
        """
    )
    tasks = [task for step in run for task in islice(step, 100)]
    task = next((task for task in tasks if task.status == "failed"), None)
    if task is not None and task.exception is not None:
        print()
        prompt.run(f"exception = client.task({task.pathspec!r}).exception")
        prompt.run("exception.type, exception.exception")
        prompt.run('print(*exception.stacktrace.splitlines()[-3:], sep="\\n")')
    retried = next((task for task in tasks if task.current_attempt and task.successful), None)
    if retried is not None:
        say("A task that was tried again: what its first attempt raised.")
        prompt.run(f"first = client.task({retried.pathspec!r}, attempt=0)")
        prompt.run("first.exception.exception")


def tags(prompt: Prompt, run: Run) -> None:
    """Add a tag and remove it."""
    title("Tags, changed and changed back")
    prompt.run(f"run = client.run({run.pathspec!r})")
    for change in ("add", "remove"):
        prompt.run(f"run.{change}_tag('reviewed')")
        prompt.run("sorted(run.user_tags)")


def cost(prompt: Prompt, flow: str) -> None:
    """Show what one question costs."""
    title("What it cost")
    prompt.run("before = client.stats")
    prompt.run(f"client.flow({flow!r}).latest_successful_run")
    prompt.run("client.stats - before")
    prompt.run("import sys")
    prompt.run("'metaflow' in sys.modules")


def tour(directory: str, found: Found, *, is_sample: bool) -> None:
    """Show what is in a directory of results, whatever that is."""
    prompt = Prompt()
    print()
    prompt.run("from itertools import islice")
    prompt.run("from mfc import Client, load")
    within = os.path.relpath(directory)
    shown = directory if within.startswith(os.pardir) else within
    prompt.run(f"client = Client({shown!r}, namespace=None, trust='safe')")
    say(
        "namespace=None: the runs of all users. trust='safe': only plain data is loaded, so "
        "nothing in the store can run code here; other values say so."
    )
    flows_and_runs(prompt, found)
    if found.run is None:
        say("No flow has a run yet. Run one, or see the sample: make demo")
        return
    one_run(prompt, found.run)
    values(prompt, found.run)
    if (step := foreach_in(found.run)) is not None:
        foreach(prompt, step)
    logs(prompt, found.run)
    if found.failed is not None:
        failed_run(prompt, found.failed)
    if is_sample:
        tags(prompt, found.run)
    cost(prompt, found.run.path_components[0])


def show(directory: str, *, is_sample: bool) -> int:
    """Go through a directory; return the exit code."""
    try:
        client = Client(directory, namespace=None, trust="safe")
    except MetaflowException as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    print(styled("mfc: what Metaflow recorded, read without Metaflow", "1"))
    if is_sample:
        say(
            "These runs were recorded by Metaflow and come with the project "
            "(tests/sample/PROVENANCE.md). For your own: make demo FROM=DIR, where DIR holds "
            ".metaflow."
        )
    else:
        say(f"These are the results in {directory}; nothing is changed.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tour(directory, Found(client), is_sample=is_sample)
    for text in dict.fromkeys(str(warning.message) for warning in islice(caught, 100)):
        say(f"Warning: {text}")
    if is_sample:
        print("\nGo on: make demo FROM=DIR · README.md · docs/tutorial.md")
    return 0


@contextlib.contextmanager
def unpacked() -> Iterator[str]:
    """Give a directory with the sample, which stays where the checkout can be written to."""
    if UNPACKED.is_dir():
        yield str(UNPACKED)
        return
    with tempfile.TemporaryDirectory(prefix="mfc-demo-") as passing:
        with tarfile.open(sample.ARCHIVE) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(passing, filter="data")
            else:
                tar.extractall(passing)
        with contextlib.suppress(OSError):  # a read-only checkout, or another demo was first
            UNPACKED.parent.mkdir(exist_ok=True)
            shutil.copytree(passing, f"{UNPACKED}.{os.getpid()}")
            os.rename(f"{UNPACKED}.{os.getpid()}", UNPACKED)
        yield str(UNPACKED) if UNPACKED.is_dir() else passing


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
    with unpacked() as directory:
        return show(directory, is_sample=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
