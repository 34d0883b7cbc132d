"""One PostgreSQL database with Metaflow's own service: its migrations, after ours and before."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
import requests

from mfc_server._database import Database, DatabaseUnusable
from mfc_server.testing import running


def _migrations() -> ModuleType:
    path = Path(__file__).with_name("migrations.py")
    spec = importlib.util.spec_from_file_location("mfc_server_migrations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


migrations = _migrations()
ALL = sorted(migrations.MIGRATIONS)


@pytest.fixture
def url(postgres: object) -> str:
    return postgres.new()


def schema(url: str) -> dict[str, set[tuple[object, ...]]]:
    """Return the columns, keys and indexes of the tables."""
    questions = {
        "columns": "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable "
        "FROM information_schema.columns WHERE table_name LIKE '%%\\_v3' OR table_name = 'goose_db_version'",
        "constraints": "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid::regclass::text LIKE '%%\\_v3'",
        "indexes": "SELECT tablename, regexp_replace(indexdef, 'INDEX \\S+ ON', 'INDEX ON') FROM pg_indexes "
        "WHERE tablename LIKE '%%\\_v3'",
        "sequences": "SELECT sequencename FROM pg_sequences",
        "versions": "SELECT version_id, is_applied FROM goose_db_version",
    }
    with psycopg.connect(url) as connection:
        return {name: {*connection.execute(sql)} for name, sql in questions.items()}


def test_the_schema_equals_that_of_the_migrations(postgres: object) -> None:
    theirs, ours = postgres.new(), postgres.new()
    assert migrations.up(theirs) == ALL
    Database(ours).close()
    left, right = schema(theirs), schema(ours)
    # The ids of local runs need 64 bits.
    wide = ("runs_v3", "run_number", "bigint", None, "NO")
    narrow = ("runs_v3", "run_number", "integer", None, "NO")
    assert right["columns"] - left["columns"] == {wide}
    assert left["columns"] - right["columns"] == {narrow}
    assert left["constraints"] == right["constraints"]
    assert left["indexes"] <= right["indexes"]
    (ours_alone,) = right["indexes"] - left["indexes"]
    assert "ts_epoch DESC, task_id DESC, name DESC" in ours_alone[1]
    assert left["sequences"] == right["sequences"]
    assert left["versions"] == right["versions"]


def test_the_migrations_change_nothing_in_a_new_database(url: str) -> None:
    with running(url) as server:
        requests.post(f"{server.url}/flows/F", json={}, timeout=30).raise_for_status()
        assert migrations.up(url) == []
        migrations.make_triggers(url)
        assert everything_works(server.url)
    with running(url) as server:
        assert everything_works(server.url)


@pytest.mark.parametrize("triggers", [False, True])
def test_the_server_works_on_a_migrated_database(url: str, triggers: bool) -> None:
    migrations.up(url)
    if triggers:
        migrations.make_triggers(url)
    before = schema(url)
    with running(url) as server:
        assert everything_works(server.url)
    assert schema(url) == before
    assert migrations.up(url) == []


@pytest.mark.parametrize("version", ALL)
def test_a_database_of_an_older_release_works_or_is_refused(url: str, version: int) -> None:
    migrations.up(url, until=version)
    if version < 20200603104139:
        with pytest.raises(DatabaseUnusable, match="of an older release .*goose up"):
            Database(url)
    else:
        with running(url) as server:
            assert everything_works(server.url)
    rest = [each for each in ALL if each > version]
    assert migrations.up(url) == rest
    with running(url) as server:
        assert everything_works(server.url)


def everything_works(url: str) -> bool:
    """Write one of each kind and read it back."""
    made = {"user_name": "ada", "tags": ["a"], "system_tags": ["user:ada"]}
    requests.post(f"{url}/flows/G", json={}, timeout=30)
    run = requests.post(f"{url}/flows/G/run", json=made, timeout=30).json()["run_number"]
    step = f"{url}/flows/G/runs/{run}/steps/start"
    requests.post(f"{step}/step", json=made, timeout=30).raise_for_status()
    task = f"{step}/tasks/{requests.post(f'{step}/task', json=made, timeout=30).json()['task_id']}"
    rows = [{"field_name": f"f{n}", "value": "v" * n, "type": "t"} for n in range(3)]
    assert requests.post(f"{task}/metadata", json=rows, timeout=30).json() == {
        "metadata_created": 3
    }
    rows = [{"name": "x", "location": "l", "ds_type": "s3", "attempt_id": 0}]
    assert requests.post(f"{task}/artifact", json=rows, timeout=30).json() == {
        "artifacts_created": 1
    }
    changed = requests.patch(
        f"{url}/flows/G/runs/{run}/tag/mutate", json={"tags_to_add": ["b"]}, timeout=30
    )
    assert changed.json() == {"tags": ["a", "b"]}
    assert len(requests.get(f"{task}/metadata", timeout=30).json()) == 3
    (found,) = requests.get(f"{url}/flows/G/runs/{run}/artifacts", timeout=30).json()
    assert found["tags"] == ["a", "b"]
    return str(run) in {
        str(each["run_number"])
        for each in requests.get(f"{url}/flows/G/runs?user=ada", timeout=30).json()
    }


def test_a_row_that_a_trigger_refuses_is_left_out_and_the_others_stay(url: str) -> None:
    migrations.up(url)
    migrations.make_triggers(url)
    with running(url) as server:
        made = {"user_name": "ada", "tags": [], "system_tags": []}
        requests.post(f"{server.url}/flows/G", json={}, timeout=30)
        run = requests.post(f"{server.url}/flows/G/run", json=made, timeout=30).json()["run_number"]
        step = f"{server.url}/flows/G/runs/{run}/steps/start"
        requests.post(f"{step}/step", json=made, timeout=30).raise_for_status()
        task = (
            f"{step}/tasks/{requests.post(f'{step}/task', json=made, timeout=30).json()['task_id']}"
        )
        # A notification has 8,000 bytes at most; the real service leaves such a row out as well.
        rows = [{"field_name": f"f{n}", "value": "v" * n, "type": "t"} for n in (1, 9_000, 2)]
        answer = requests.post(f"{task}/metadata", json=rows, timeout=30)
        assert answer.json() == {"metadata_created": 2}
        found = requests.get(f"{task}/metadata", timeout=30).json()
        assert {row["field_name"] for row in found} == {"f1", "f2"}


def test_two_servers_that_start_on_an_empty_database_make_it_once(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(Database, [url] * 8):
            made.close()
    with psycopg.connect(url) as connection:
        (count,) = connection.execute("SELECT count(*) FROM goose_db_version").fetchone()
    assert count == len(ALL) + 1


def test_tags_of_any_kind_by_another_service_are_answered(url: str) -> None:
    migrations.up(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO flows_v3 VALUES ('F', 'ada', 1, '{}', '5')")
        for number, tags in enumerate(
            ["{}", "5", '"user:ada"', "null", '[1, null, {"a": 1}, "b"]']
        ):
            connection.execute(
                "INSERT INTO runs_v3 (flow_id, run_number, user_name, ts_epoch, tags, system_tags) "
                "VALUES ('F', %s, 'ada', 1, %s, %s)",
                (number, tags, tags),
            )
    with running(url) as server:
        for query in (
            "",
            "?_tags=b",
            "?_tags:any=a,b",
            "?_tags:likeany=b",
            "?user=ada",
            "?status=failed",
        ):
            assert requests.get(f"{server.url}/flows/F/runs{query}", timeout=30).status_code == 200
        for number in range(5):
            run = f"{server.url}/flows/F/runs/{number}"
            answer = requests.patch(f"{run}/tag/mutate", json={"tags_to_add": ["c"]}, timeout=30)
            assert answer.status_code == 200
            assert "c" in requests.get(run, timeout=30).json()["tags"]
