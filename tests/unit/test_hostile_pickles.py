"""Hostile pickles: refused or harmless, in bounded time and memory, also when only results are displayed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfc import Client, unpickle
from mfc._pickle import loads
from mfc.errors import MetaflowException, UndecodableArtifact, UntrustedValue
from mfc.trust import Trust

from ..properties.hostile import RUN, Hostile  # noqa: TID252 - tests are not an importable package
from .hostile_pickles import HARMLESS, PICKLES

LIBRARIES = {"pandas", "numpy"}
#: Artifacts that are read when results are displayed.
LOOKED_AT = {
    "_task_ok": "end/5", "_success": "end/5", "_exception": "start/1", "_foreach_stack": "body/2", "_graph_info": "_parameters/0",
}  # fmt: skip


@pytest.mark.parametrize("level", ["safe", "plain"])
@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles_are_refused_or_harmless(name: str, level: str) -> None:
    blob = PICKLES[name]()
    try:
        value: Any = loads(blob, Trust(level))  # type: ignore[arg-type]
    except (UntrustedValue, UndecodableArtifact):
        return
    assert name in HARMLESS | {"manager-rows"}
    assert type(value).__name__ in {
        "dict",
        "NoneType",
        "OrderedDict",
        "S3Object",
        "DataFrame",
        "ConfigValue",
    }


COSTLY = ["nested-hash", "nested-hidden", "twice-as-key", "colliding-keys", "one-large-key-often", "dicts", "lists", "marks", "memo-often", "copies-of-bytes", "copies-in-arrays", "copies-of-text", "range-as-rows"]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX reports peaks of memory")
@pytest.mark.parametrize("name", COSTLY)
def test_hostile_pickles_are_bounded_in_memory(name: str) -> None:
    script = str(Path(__file__).with_name("hostile_pickles.py"))
    found = subprocess.run(
        [sys.executable, script, name, "safe"], capture_output=True, text=True, check=True
    )
    assert found.stdout.split()[1] == "0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.mark.parametrize("level", ["none", "safe", "full"])
def test_displaying_results_builds_plain_values_only(level: str, tmp_path: Path) -> None:
    tree = Hostile.written(tmp_path)
    imported = set(sys.modules)
    for blob in (
        "fields-any-object",
        "nested-hash",
        "manager-write",
        "twice-as-key",
        "unicode-error-state",
        "file-of-the-reader",
    ):
        for name, task in LOOKED_AT.items():
            tree.artifact(f"{RUN}/{task}", name, PICKLES[blob]())
        client = Client(f"local@{tmp_path}", namespace=None, trust=level)
        looked_at(client)
    assert not LIBRARIES & (set(sys.modules) - imported)


def looked_at(client: Client) -> None:
    flow = client.flow("F")
    for question in ("latest_successful_run", "latest_run"):
        with contextlib.suppress(MetaflowException):
            getattr(flow, question)
    for step in client.run(RUN):
        for task in step:
            for question in (
                "status",
                "successful",
                "finished",
                "exception",
                "index",
                "parent_tasks",
                "child_tasks",
            ):
                with contextlib.suppress(MetaflowException):
                    answer = getattr(task, question)
                    list(answer) if question.endswith("tasks") else str(answer)
    with contextlib.suppress(MetaflowException):
        str(client.run(RUN).status)


def test_a_copy_of_the_task_is_never_opened() -> None:
    found: Any = unpickle(PICKLES["file-of-the-reader"](), trust="safe")
    with pytest.raises(FileNotFoundError, match="s3://b/k"):
        found.text  # noqa: B018


def test_memory_can_be_set() -> None:
    blob = b"](" + b"}" * 500_000 + b"e."
    with pytest.raises(UntrustedValue, match=r"67 MB .*Trust\.safe\(memory=…\)"):
        loads(blob, Trust.safe())
    assert len(loads(blob, Trust.safe(memory=1 << 30))) == 500_000  # type: ignore[arg-type]
    with pytest.raises(UntrustedValue, match="0 MB"):
        loads(b"]" * 9000 + b".", Trust.safe(memory=1000))


def test_a_value_may_hold_itself() -> None:
    lists: Any = loads(
        b"]q\x00(h\x00}q\x01Vme\nh\x01s.".replace(b"}q\x01Vme\nh\x01s.", b"}q\x01Vme\nh\x01se."),
        Trust.safe(),
    )
    assert lists[0] is lists
    assert lists[1]["me"] is lists[1]
    ordered: Any = loads(b"ccollections\nOrderedDict\n)Rq\x00Vme\nh\x00s.", Trust.safe())
    assert ordered["me"] is ordered
    tuples: Any = loads(b"]q\x00h\x00\x85q\x01a0h\x01.", Trust.safe())
    assert tuples[0][0] is tuples


def test_shared_objects_stay_shared() -> None:
    first, second = loads(b"(}q\x00Va\nI1\nsh\x00t.", Trust.safe())  # type: ignore[misc]
    assert first is second


def test_a_part_of_a_table_is_refused() -> None:
    pytest.importorskip("pandas")
    with pytest.raises(UntrustedValue, match="a part of a table"):
        loads(b"\x80\x04(cpandas.core.internals.managers\nBlockManager\n()]tRl.", Trust.safe())
