"""The demo works on any directory of results, and changes none."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "docs" / "demo.py"
SAMPLE = ROOT / "plugins/mfc-testing/src/mfc_testing/sample/sample.tgz"


def demo(*arguments: str | Path, width: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "METAFLOW" not in name}
    environment |= {"COLUMNS": str(width), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(DEMO), *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def results(tmp_path):
    with tarfile.open(SAMPLE) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(tmp_path, filter="data")
        else:
            tar.extractall(tmp_path)
    return tmp_path


def content(directory: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_sample_is_shown_with_every_part():
    shown = demo()
    assert (shown.returncode, shown.stderr) == (0, "")
    for part in (
        'print(run.id, run.created_at, f"{run.status:9}", sorted(run.user_tags))',
        "failed",
        "rentals   'day,temperature",
        "{'average': 276.3, 'line': 93.4, 'nearest': 46.2}",
        "2 46.2 nearest",
        "/fit/2 -> Train/",
        "average: wrong by 276.3 rentals a day",
        "'harbour: the newest reading is 32 days old'",
        "'airport: no answer within 10 s'",
        """['model:bikes', 'nightly', 'reviewed']
>>> run.remove_tag('reviewed')
>>> sorted(run.user_tags)
['model:bikes', 'nightly']
""",
        "cache_hits=",
        "UntrustedValue(",
    ):
        assert part in shown.stdout


def test_lines_can_be_typed(results):
    """Typed into an interpreter in their order, the lines give the answers that are shown."""
    for shown in (demo().stdout, demo(results).stdout):
        typed, answers = transcript(shown)
        console = "import code, sys; code.interact(banner='', exitmsg='')"
        done = subprocess.run(
            [sys.executable, "-c", console],
            input="\n".join([*typed, ""]),
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            cwd=ROOT,
            check=True,
        )
        printed = re.sub(r"^(>>> |\.\.\. )+", "", done.stdout, flags=re.MULTILINE)
        assert printed.splitlines() == answers


def transcript(shown: str) -> tuple[list[str], list[str]]:
    """Return the typed lines, and the answers."""
    typed: list[str] = []
    answers: list[str] = []
    for block in shown.split("\n\n"):
        lines = block.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith(">>> ")), None)
        for line in lines[first:] if first is not None else ():
            if line.startswith((">>> ", "... ")):
                if line.startswith(">>> ") and typed and typed[-1].startswith("    "):
                    typed.append("")
                typed.append(line[4:])
            else:
                if typed[-1].startswith("    "):
                    typed.append("")
                answers.append(line)
    return typed, answers


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_fit_the_screen(width):
    lines = demo(width=width).stdout.splitlines()
    too_long = [line for line in lines if len(line) > max(min(width, 88), 80)]
    assert lines
    assert [line for line in too_long if not line.startswith("'task Refresh/")] == []


def test_colour_is_for_terminals_only():
    assert "\x1b" not in demo().stdout


def test_own_results_are_shown_and_not_changed(results):
    before = content(results)
    shown = demo(results)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"client = Client('{results}', namespace=None, trust='safe')" in shown.stdout
    assert "reviewed" not in shown.stdout
    assert content(results) == before


def test_the_directory_may_be_named_itself(results):
    assert demo(results / ".metaflow").returncode == 0


def test_a_directory_without_runs_is_shown(tmp_path):
    (tmp_path / ".metaflow").mkdir()
    shown = demo(tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "No flow has a run yet." in shown.stdout


def test_a_run_that_has_only_begun_is_shown(tmp_path):
    write_run(tmp_path, 1795424838576163)
    shown = demo(tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "no task is running, the end step has not begun" in shown.stdout


def test_of_many_runs_the_newest_are_shown(tmp_path):
    for number in range(200):
        write_run(tmp_path, 1795424838576163 + number * 1000)
    shown = demo(tmp_path).stdout
    assert len(set(re.findall(r"^\d{16} ", shown, re.MULTILINE))) == 3
    assert "1795424838775163" in shown


def write_run(directory: Path, number: int) -> None:
    flow = directory / ".metaflow" / "Empty"
    run = flow / str(number)
    for path, stamp in ((flow, 1795424838000), (run, number // 1000)):
        (path / "_meta").mkdir(parents=True, exist_ok=True)
        record = {"ts_epoch": stamp, "user_name": "ada", "tags": [], "system_tags": ["user:ada"]}
        (path / "_meta" / "_self.json").write_text(json.dumps(record))


def test_unreadable_values_give_the_reason(results):
    for blob in (results / ".metaflow" / "Train" / "data").glob("*/*"):
        blob.write_bytes(b"something else")
    shown = demo(results)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "CorruptBlob: " in shown.stdout
    assert "do not match their SHA-1" in " ".join(shown.stdout.split())


def test_records_that_cannot_be_read_are_left_out_with_a_warning(results):
    run = max((results / ".metaflow" / "Train").glob("1*"))
    (run / "_meta" / "_self.json").write_text('{"flow_id"')
    shown = demo(results)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert run.name not in shown.stdout.split("Warning: ")[0]
    assert "Warning: " in shown.stdout


def test_logs_give_no_commands_to_the_terminal(results):
    for log in (results / ".metaflow").rglob("*_stdout.log"):
        log.write_bytes(log.read_bytes().replace(b"rentals", b"\x1b[2J"))
    assert "\x1b" not in demo(results).stdout


@pytest.mark.parametrize("wrong", ["nowhere", "", "--help"])
def test_a_wrong_directory_is_reported(tmp_path, wrong):
    shown = demo(wrong if wrong.startswith("-") else tmp_path / wrong)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("demo: ")
    assert shown.stderr.count("\n") == 1
