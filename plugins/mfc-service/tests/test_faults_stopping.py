"""Interrupting a hanging call, ending a process with one, and deadlines in forked children."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers.gateway import Asked, Gateway, Reply
from tests.servers.proxy import Drip, Hole, Running

from .asking import through

#: Far longer than any test may take: a test that waits for this deadline hangs.
LONG = 300
#: Seconds after which a process that was told to stop counts as hung.
STOPS = 15
BEGIN = """
import sys, threading
from mfc import Client
client = Client(f"service@{sys.argv[1]}", namespace=None, config={"MFC_SERVICE_TIMEOUT": sys.argv[2]})
"""
posix = pytest.mark.skipif(os.name == "nt", reason="signals and fork are of POSIX")


def started(script: str, url: str, *words: str, timeout: float = LONG) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BEGIN + script, url, str(timeout), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupted(process: subprocess.Popen[str]) -> str:
    """Interrupt a process as Ctrl-C does; return its output until the end."""
    time.sleep(0.2)  # the call must already hang
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=STOPS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail("it does not stop")
    return said


HANGING = {
    "an object": "client.flow('ForeachFlow')",
    "a listing": "list(client.flows())",
    "a change of tags": "client.run('BranchFlow/19')",
    "threads of the user": """
threads = [
    threading.Thread(target=client.flow, args=("ForeachFlow",), daemon=True) for _ in range(8)
]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
}


@posix
@pytest.mark.parametrize("kind", HANGING)
def test_ctrl_c_stops_a_hanging_call(kind: str, proxy: Running, recorded: str) -> None:
    proxy.always = Hole()
    width = 8 if "threads" in kind else 1
    with started(HANGING[kind], through(proxy.port, recorded)) as process:
        until(lambda: proxy.counts["turns"] >= width, process)
        said = interrupted(process)
    assert "KeyboardInterrupt" in said
    assert process.returncode in (-signal.SIGINT, 1)


SIDE_BY_SIDE = {
    "siblings": "print([run.successful for run in client.flow('FailFlow')])",
    "flows in a namespace": "client.namespace = 'user:alice'; print(list(client.flows()))",
}


@posix
@pytest.mark.parametrize("kind", SIDE_BY_SIDE)
def test_ctrl_c_stops_concurrent_hanging_calls(kind: str, gateway: Gateway) -> None:
    """Calls in the client's own threads do not keep the process alive."""
    over, hanging, first = threading.Event(), set(), []

    def hang(asked: Asked, ask: Callable[[], Reply]) -> Reply:
        flow = re.match(r"/flows/\w+/runs(/\d+)?", asked.path)
        if flow is not None and (flow[1] or kind != "siblings"):
            first[:] = first or [flow[0]]
            if flow[0] != first[0]:
                hanging.add(flow[0])
                over.wait(60)
        return ask()

    gateway.always = hang
    with started(SIDE_BY_SIDE[kind], gateway.url) as process:
        until(lambda: len(hanging) >= 2, process)
        said = interrupted(process)
    over.set()
    assert "KeyboardInterrupt" in said
    assert process.returncode in (-signal.SIGINT, 1)


@posix
def test_ctrl_c_stops_a_pause(gateway: Gateway) -> None:
    gateway.always = Reply(503, headers={"Retry-After": str(LONG // 2)})
    with started("client.flow('ForeachFlow')", gateway.url) as process:
        until(lambda: bool(gateway.asked), process)
        said = interrupted(process)
    assert "KeyboardInterrupt" in said
    assert len(gateway.asked) == 1


@pytest.mark.parametrize(
    "script",
    [
        "threading.Thread(target=client.flow, args=('ForeachFlow',), daemon=True).start()",
        """
from mfc._concurrency._prefetch import ahead
found = ahead(client.flow, iter(["A", "B", "C"]))
threading.Thread(target=next, args=(found,), daemon=True).start()
""",
    ],
    ids=["a thread of the user", "threads of the client"],
)
def test_a_process_ends_although_a_call_hangs(
    script: str, proxy: Running, recorded: str, tmp_path: Path
) -> None:
    proxy.always = Hole()
    go = tmp_path / "go"
    wait = f"\nimport os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
    with started(script + wait, through(proxy.port, recorded)) as process:
        until(lambda: proxy.counts["turns"] >= 1, process)
        go.touch()
        _, said = process.communicate(timeout=STOPS)
    assert (process.returncode, said) == (0, "")


FORK = """
import os, warnings
from mfc.errors import Unanswered
warnings.simplefilter("ignore", DeprecationWarning)
names = [run.id for run in client.flow("ForeachFlow")]
if "threads" in sys.argv:
    for _ in range(4):
        threading.Thread(target=client.flow, args=("FailFlow",), daemon=True).start()
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
child = os.fork()
if child == 0:
    try:
        found = [run.id for run in client.flow("ForeachFlow")]
        os._exit(0 if found == names else 1)
    except Unanswered:
        os._exit(2)
    finally:
        os._exit(3)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
# The parent's connections are still its own.
if "parent" in sys.argv:
    print([run.id for run in client.flow("ForeachFlow")] == names)
"""


def forked(url: str, *words: str, then: Callable[[], None] = lambda: None) -> str:
    command = [sys.executable, "-c", BEGIN + FORK, url, "3", *words]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        then()
        said, _ = process.communicate("go\n", timeout=60)
    return said


@posix
def test_a_child_has_connections_of_its_own(proxy: Running, recorded: str) -> None:
    assert forked(through(proxy.port, recorded), "parent") == "0\nTrue\n"
    assert proxy.counts["connections"] == 2


@posix
@pytest.mark.parametrize("words", [(), ("threads",)], ids=["alone", "with threads"])
def test_deadlines_hold_in_a_child(words: tuple[str, ...], proxy: Running, recorded: str) -> None:
    def vanish() -> None:
        # Slow bytes over minutes are ended only by a thread of the child's own.
        proxy.always = Drip(0.5)

    start = time.monotonic()
    assert forked(through(proxy.port, recorded), *words, then=vanish) == "2\n"
    assert time.monotonic() - start < 30


DRIPS = """
from mfc.errors import Unanswered
results = []
def ask():
    try:
        client.flow("ForeachFlow")
    except Unanswered as error:
        results.append(str(error))
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(results), len(set(results)), "MFC_SERVICE_TIMEOUT" in results[0])
"""


def test_deadlines_hold_in_threads(proxy: Running, recorded: str) -> None:
    proxy.always = Drip(0.5)
    with started(DRIPS, through(proxy.port, recorded), timeout=1) as process:
        said, _ = process.communicate(timeout=30)
    assert said == "8 1 True\n"
