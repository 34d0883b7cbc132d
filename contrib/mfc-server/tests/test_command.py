"""The command line: bad input gets a message, and secrets are never printed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import requests

from mfc_server.__main__ import main
from mfc_server._redaction import reason, without_password
from mfc_server.testing import running
from mfc_testing import sample

SAMPLE = Path(sample.ARCHIVE)
SECRET = "S3cr3t-of-ada"


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mfc_server", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command in this process; returns the message that it ends with."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        assert status in (1, 2), printed
        assert len(printed.err.splitlines()) == 1 or printed.err.startswith("usage: ")
        return printed.out + printed.err

    return call


#: Unusable URLs, which may be shown in every part but the secret.
URLS = [
    "mysql://u:{}@h/x", "postgresql+nothing://u:{}@h/x", "postgresql://u:{}@127.0.0.1:1/x", "postgresql://u:{}@h:port/x",
    "postgresql://u:{}@/x?host=/no/such", "postgresql://u:{}@[::1/x", "postgresql://u:a/{}@127.0.0.1:1/x", "postgresql://u:a@{}@127.0.0.1:1/x",
    "postgresql://u:{}:b@127.0.0.1:1/x", "postgresql://u:{}#x@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?password={}", "postgresql://u@127.0.0.1:1/x?sslpassword={}&sslmode=x",
    "postgres://u:{}@127.0.0.1:1/x", "postgresql+psycopg2://u:{}@h/x", "postgresql+asyncpg://u:{}@h/x", "oracle://u:{}@h/x", "u:{}@h/x", "postgresql:u:{}@h/x", "postgresql:/u:{}@h/x",
    "sqlite://u:{}@h/x", "sqlite:///meta.db?password={}", "postgresql://u:{}@127.0.0.1:1/x?nothing=1", "postgresql://u:{}@127.0.0.1:99999999/x", " postgresql://u:{}@127.0.0.1:1/x",
    "postgresql://u:{}@127.0.0.1:1/x?connect_timeout=x", "postgresql://u:{}@:1/x", "//u:{}@h/x", "://u:{}@h", "postgresql://:{}@127.0.0.1:1/x", "postgresql://u:%53%33{}@127.0.0.1:1/%FF",
    "https://u:{}@h/x", "POSTGRESQL://u:{}@127.0.0.1:1/x", "jdbc:postgresql://u:{}@h/x", "postgresql://u:{}\n@h/x",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_never_printed(
    tmp_path: Path, refused, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    full = url.format(SECRET)
    said = refused("--db", full, "--port", "0")
    said += refused("copy", "--from", full, "--to", full)
    (tmp_path / "results/.metaflow").mkdir(parents=True)
    said += refused("import", f"service@{full}", "--db", full)
    for wrong in (
        ["--bd", full],
        [full],
        ["--port", full],
        ["copy", full],
        ["--prefix", full],
        ["--db", "x", "copy", "--to", full],
    ):
        said += refused(*wrong)
    monkeypatch.setenv("MFC_SERVER_DB", full)
    said += refused("--port", "0")
    said += refused("import", "results")
    assert SECRET not in said
    assert "S3cr3t" not in said


def test_a_reason_omits_every_part_of_a_secret() -> None:
    url = "postgresql://ada:pa%40ss@db/meta"
    said = reason(ValueError("cannot use 'pa@ss' or pa%40ss\nsecond line"), url)
    assert said == "cannot use '***' or ***"
    assert without_password("sqlite:////srv/a@b.db") == "sqlite:////srv/a@b.db"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "0 to 65535"), (["--port", "-1"], "0 to 65535"), (["--port", "x"], "0 to 65535"), (["--port", "9" * 5000], "0 to 65535"), (["--port", "²"], "0 to 65535"),
        (["--prefix", "a b"], "a prefix is"), (["--prefix", "/a/../b"], "a prefix is"), (["--prefix", "/{x}"], "a prefix is"), (["--prefix", "a//b"], "a prefix is"), (["--prefix", "é"], "a prefix is"),
        (["--seconds", "0"], "number of seconds"), (["--seconds", "nan"], "number of seconds"), (["--seconds", "inf"], "number of seconds"), (["--seconds", "x"], "number of seconds"),
        (["--host", ""], "--host is empty"), (["--host", "no.such.host.invalid"], "cannot listen"), (["--host", "a b"], "cannot listen"), (["--host", "x" * 300], "cannot listen"),
        (["--api-key-file", "."], "Is a directory"), (["--api-key-file", "empty"], "is empty"), (["--api-key-file", "binary"], "is not a text"), (["--api-key-file", "lines"], "one line"),
        (["--db", ""], "is not a database"), (["--db", "sqlite://"], "names no file"), (["--db", "sqlite:///"], "names no file"), (["--db", "sqlite:///."], "unable to open"), (["--db", "sqlite:///binary"], "not a database"),
        (["--db", "sqlite:///x.db?nothing=1"], "a file has a name alone"), (["--db", "meta.db"], "is not a database"), (["--db", "sqlite:///\0"], "a file has a name alone"), (["--db", "/srv/meta.db"], "is not a database"),
        (["import", "no-such-folder"], "no-such-folder"), (["import", ""], "cannot be imported"), (["import", "binary"], "binary"), (["import", "s3://bucket/x"], "s3"), (["import", "empty-folder"], "empty-folder"),
        (["import", "empty-folder/.metaflow"], ".metaflow"), (["import", "http://127.0.0.1:1"], "127.0.0.1:1"), (["import"], "source"), (["import", "\0"], "cannot be imported"),
        (["copy", "--from", "sqlite:///no.db", "--to", "sqlite:///to.db"], "no such file"), (["copy", "--from", "sqlite:///binary", "--to", "sqlite:///to.db"], "not a database"), (["copy"], "--from"),
        (["nonsense"], "invalid choice"), (["--nonsense"], "unrecognized"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_message(tmp_path: Path, refused, arguments: list[str], said: str) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 1000)
    (tmp_path / "lines").write_text("one\ntwo")
    assert said in refused(*arguments)
    assert not (tmp_path / "to.db").exists()
    assert not (tmp_path / "no.db").exists()
    assert arguments[0] != "import" or not (tmp_path / "metaflow.db").exists()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with tarfile.open(SAMPLE) as tar:
        tar.extractall(tmp_path / "results", filter="data")
    return tmp_path / "results"


@pytest.mark.parametrize(
    "source",
    [
        "results",
        "results/.metaflow",
        "results/.metaflow/",
        "./results/../results/.metaflow",
        "~/results/.metaflow",
        "~/results",
        "local@results",
    ],
)
def test_a_directory_is_accepted_by_any_of_its_names(results: Path, source: str) -> None:
    folder = results.parent
    ended = run(folder, "import", source, "--db", "sqlite:///meta.db", HOME=str(folder))
    assert ended.returncode == 0, ended.stderr
    assert " runs imported, 0 runs there already" in ended.stdout
    assert not ended.stdout.startswith("0 ")


def test_a_link_to_results_is_accepted(results: Path) -> None:
    (results.parent / "link").symlink_to(results / ".metaflow")
    (results.parent / ".metaflow").symlink_to(results / ".metaflow")
    ended = run(results.parent, "import", ".metaflow", "--db", "sqlite:///meta.db")
    assert ended.returncode == 0, ended.stderr


def test_results_that_no_database_can_hold_are_reported(results: Path, db_url: str) -> None:
    """A recorded text with half of a surrogate pair, or with NUL."""
    found = sorted(results.glob(".metaflow/*/*/*/*/_meta/*.json"))
    assert found
    noted = next(path for path in found if "sysmeta" in path.name)
    noted.write_text(noted.read_text().replace('"value": "', '"value": "\\ud800\\u0000'))
    ended = run(results.parent, "import", "results", "--db", db_url)
    assert ended.returncode in (0, 1)
    assert "Traceback" not in ended.stderr
    if ended.returncode == 1:
        assert "cannot be stored in" in ended.stderr
    with running(db_url) as server:
        for flow in requests.get(f"{server.url}/flows", timeout=30).json():
            answer = requests.get(f"{server.url}/flows/{flow['flow_id']}/runs", timeout=30)
            assert answer.status_code == 200
