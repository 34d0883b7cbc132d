"""The floor of every operation: FORMAT.md's layout read by the tightest loop that answers the same.

A floor gives the same answer on a healthy directory and nothing else: no damaged files, no other writers, no objects.
Nothing here may be slower for the sake of looks; each trick was the fastest of the ways that were measured:
`os.open` and one `os.read` (half of `open()`), the scanner of `JSONDecoder` on text (two thirds of `json.loads` on
bytes), `os.listdir` where only names are asked for, f-strings for paths (a tenth of `os.path.join`), `re.split` for
logs (flat pieces; `findall` builds a tuple per line and keeps the collector busy) in chunks that stay in the
processor's cache (three quarters of the time of one piece, a third of its memory).
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import zlib
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Returns the value at an index of a text, and where it ends; `loads` is this with checks around it.
scan_json: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]
#: More than any metadata file of the layout: one read is enough.
ONE_READ = 1 << 16
#: `wbits` that makes zlib read one gzip member.
GZIP = 31
#: Runs that `heapq.nlargest` picks at first: a tenth of the time of sorting 10,000 ids.
FIRST_WINDOW = 64
#: Bytes of a log that are processed together.
LOG_CHUNK = 1 << 16
SUCCESS_SHA = "868436778cb011a1c6230bc12534683ab0b7f1c3"
CREATED = itemgetter("ts_epoch")
#: Splits a log into: the text between lines (empty), the stamp, the message with its newline.
DECORATED_LINE = re.compile(
    rb"(?:\[!)?\[MFLOG\|0\|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z\|[^|\n]*\|[^]\n]*\](.*\n)"
)
Record = dict[str, Any]


def file_text(path: str) -> str:
    """Return the content of a small file."""
    descriptor = os.open(path, os.O_RDONLY)
    content = os.read(descriptor, ONE_READ)
    os.close(descriptor)
    return content.decode()


def children(directory: str) -> list[Record]:
    """Return the records of all runs of a flow, or tasks of a step, newest first."""
    os_open, os_read, os_close, read_only = os.open, os.read, os.close, os.O_RDONLY
    records = []
    for name in os.listdir(directory):
        try:
            descriptor = os_open(f"{directory}/{name}/_meta/_self.json", read_only)
        except OSError:
            continue
        records.append(scan_json(os_read(descriptor, ONE_READ).decode(), 0)[0])
        os_close(descriptor)
    records.sort(key=CREATED, reverse=True)
    return records


def runs_in_namespace(flow: str, tag: str) -> list[Record]:
    """Return the records of the runs that carry `tag`, newest first."""
    return [
        record for record in children(flow) if tag in record["system_tags"] or tag in record["tags"]
    ]


def run_ids(flow: str) -> list[str]:
    """Return the ids of the runs of a flow in directory order, without opening one.

    A local run's id is its creation time in microseconds; ids of equal length sort as text.

    Raises:
        ValueError: the ids are not of equal length.
    """
    ids = list(filter(str.isdecimal, os.listdir(flow)))
    if len(set(map(len, ids))) != 1:
        raise ValueError(flow)
    return ids


def run_record(flow: str, run: str) -> Record:
    """Return the record of one run."""
    record: Record = scan_json(file_text(f"{flow}/{run}/_meta/_self.json"), 0)[0]
    return record


def latest_run(flow: str) -> Record:
    """Return the record of the newest run."""
    return run_record(flow, max(run_ids(flow)))


def latest_successful_run(flow: str) -> Record | None:
    """Return the record of the newest run whose end task succeeded, looking at a growing window of the newest."""
    ids, seen, window = run_ids(flow), 0, FIRST_WINDOW
    while seen < len(ids):
        for run in nlargest(window, ids)[seen:]:
            if run_success(f"{flow}/{run}"):
                return run_record(flow, run)
        seen, window = window, window * 8
    return None


def run_success(run: str) -> bool:
    """Tell whether the newest task of a run's end step succeeded."""
    end = f"{run}/{end_step(run)}"
    try:
        tasks = os.listdir(end)
    except OSError:
        return False
    return task_success(f"{end}/{max(filter(str.isdecimal, tasks), key=int)}/_meta")


def end_step(run: str) -> str:
    """Return the name of the end step, which the `_parameters` task of a run records."""
    meta = f"{run}/_parameters/0/_meta"
    (name,) = (name for name in os.listdir(meta) if name.startswith("sysmeta_end_step_"))
    value: str = scan_json(file_text(f"{meta}/{name}"), 0)[0]["value"]
    return value


def artifact_record(meta: str, ending: str) -> Record:
    """Return the artifact record `<attempt><ending>` of the attempt that counts.

    One record of that name means one finished attempt, so the number recorded in `attempt-done` need not be read.
    """
    names = [name for name in os.listdir(meta) if name.endswith(ending)]
    name = names[0] if len(names) == 1 else f"{done_attempt(meta)}{ending}"
    record: Record = scan_json(file_text(f"{meta}/{name}"), 0)[0]
    return record


def done_attempt(meta: str) -> str:
    """Return the number of the attempt that finished last."""
    done = max(name for name in os.listdir(meta) if name.startswith("sysmeta_attempt-done_"))
    value: str = scan_json(file_text(f"{meta}/{done}"), 0)[0]["value"]
    return value


def task_success(meta: str) -> bool:
    """Tell whether a task succeeded, by the known hash of True."""
    return bool(artifact_record(meta, "_artifact__success.json")["sha"] == SUCCESS_SHA)


def successes(step: str) -> list[bool]:
    """Return `successful` of every task of a step, newest first."""
    return [task_success(f"{step}/{record['task_id']}/_meta") for record in children(step)]


def artifact_values(step: str, content: str, name: str) -> list[object]:
    """Return artifact `name` of every task of a step, newest first; `content` is the flow's `data` directory."""
    ending = f"_artifact_{name}.json"
    return [
        stored_value(content, artifact_record(f"{step}/{record['task_id']}/_meta", ending)["sha"])
        for record in children(step)
    ]


def stored_value(content: str, sha: str) -> object:
    """Read, decompress, verify and unpickle one blob.

    Raises:
        ValueError: the content does not hash to `sha`.
    """
    descriptor = os.open(f"{content}/{sha[:2]}/{sha}", os.O_RDONLY)
    packed = os.read(descriptor, os.fstat(descriptor).st_size)
    os.close(descriptor)
    pickled = zlib.decompress(packed, GZIP)
    if hashlib.sha1(pickled, usedforsecurity=False).hexdigest() != sha:
        raise ValueError(sha)
    return pickle.loads(pickled)


def task_artifact(task: str, content: str, name: str) -> object:
    """Return one artifact of one task."""
    return stored_value(content, artifact_record(f"{task}/_meta", f"_artifact_{name}.json")["sha"])


def log_text(task: str, stream: str) -> str:
    """Return the text of a task's log of attempt 0 in the order of its stamps.

    Raises:
        ValueError: a line is not decorated or not ended, or the stamps are not in order.
    """
    text, last, rest = [], b"", b""
    with open(f"{task}/0.runtime_{stream}.log", "rb", buffering=0) as log:
        while chunk := log.read(LOG_CHUNK):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            pieces = DECORATED_LINE.split(lines + newline)
            stamps = pieces[1::3]
            if any(pieces[0::3]) or sorted(stamps) != stamps or stamps[0] < last:
                raise ValueError(task)
            last = stamps[-1]
            text.append(b"".join(pieces[2::3]))
    if rest:
        raise ValueError(task)
    return b"".join(text).decode()


def parent_tasks(run: str, content: str, step: str, task: str) -> list[Record]:
    """Return the records of the tasks that lead to `task`, which is in no foreach itself.

    Such a task has no `foreach-execution-path`: its parents are all tasks of the steps before it.
    """
    meta = f"{run}/{step}/{task}/_meta"
    names = os.listdir(meta)
    if any(name.startswith("sysmeta_foreach-execution-path_") for name in names):
        raise ValueError(task)
    graph: Any = stored_value(content, artifact_record(meta, "_artifact__graph_info.json")["sha"])
    before = [name for name, node in graph["steps"].items() if step in node["next"]]
    return [record for name in before for record in children(f"{run}/{name}")]
