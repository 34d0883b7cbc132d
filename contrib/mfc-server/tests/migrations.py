"""The schema of Metaflow's own service, migration by migration.

The statements have the effects of the service's migrations, as found in Netflix/metaflow-service
91e44f0, services/migration_service/migration_files; `goose` is how that service applies them
(pressly/goose 3.9, which records each in `goose_db_version`). The triggers are those that the
service makes for its user interface where DB_TRIGGER_CREATE is set
(services/data/postgres_async_db.py).
"""

from __future__ import annotations

import psycopg

_OWN = "user_name varchar(255), ts_epoch bigint NOT NULL, tags jsonb, system_tags jsonb"
_STEP = "flow_id varchar(255) NOT NULL, run_number bigint NOT NULL, step_name varchar(255) NOT NULL"
_V2 = "CREATE INDEX CONCURRENTLY IF NOT EXISTS"
MIGRATIONS: dict[int, list[str]] = {
    1: [
        f"CREATE TABLE IF NOT EXISTS flows_v3 (flow_id varchar(255) PRIMARY KEY, {_OWN})",
        ("CREATE TABLE IF NOT EXISTS runs_v3 (flow_id varchar(255) NOT NULL REFERENCES flows_v3 (flow_id), "
        f"run_number serial NOT NULL, {_OWN}, PRIMARY KEY (flow_id, run_number))"),
        (f"CREATE TABLE IF NOT EXISTS steps_v3 ({_STEP}, {_OWN}, PRIMARY KEY (flow_id, run_number, step_name), "
        "FOREIGN KEY (flow_id, run_number) REFERENCES runs_v3 (flow_id, run_number))"),
        (f"CREATE TABLE IF NOT EXISTS tasks_v3 ({_STEP}, task_id bigserial PRIMARY KEY, {_OWN}, "
        "FOREIGN KEY (flow_id, run_number, step_name) REFERENCES steps_v3 (flow_id, run_number, step_name))"),
        (f"CREATE TABLE IF NOT EXISTS metadata_v3 ({_STEP}, task_id bigint NOT NULL, id bigserial NOT NULL, "
        f"field_name varchar(255) NOT NULL, value text NOT NULL, type varchar(255) NOT NULL, {_OWN}, "
        "PRIMARY KEY (flow_id, run_number, step_name, task_id, field_name))"),
        (f"CREATE TABLE IF NOT EXISTS artifact_v3 ({_STEP}, task_id bigint NOT NULL, name varchar(255) NOT NULL, "
        "location varchar(255) NOT NULL, ds_type varchar(255) NOT NULL, sha varchar(255), type varchar(255), "
        f"content_type varchar(255), attempt_id smallint NOT NULL, {_OWN}, "
        "PRIMARY KEY (flow_id, run_number, step_name, task_id, attempt_id, name))"),
    ],
    20200603104139: [
        "ALTER TABLE runs_v3 ADD COLUMN run_id varchar(255)",
        "ALTER TABLE runs_v3 ADD COLUMN last_heartbeat_ts bigint",
        "ALTER TABLE runs_v3 ADD CONSTRAINT runs_v3_flow_id_run_id_key UNIQUE (flow_id, run_id)",
        "ALTER TABLE steps_v3 ADD COLUMN run_id varchar(255)",
        "ALTER TABLE steps_v3 ADD CONSTRAINT steps_v3_flow_id_run_id_step_name_key UNIQUE (flow_id, run_id, step_name)",
        "ALTER TABLE tasks_v3 ADD COLUMN run_id varchar(255)",
        "ALTER TABLE tasks_v3 ADD COLUMN task_name varchar(255)",
        "ALTER TABLE tasks_v3 ADD COLUMN last_heartbeat_ts bigint",
        ("ALTER TABLE tasks_v3 ADD CONSTRAINT tasks_v3_flow_id_run_number_step_name_task_name_key "
        "UNIQUE (flow_id, run_number, step_name, task_name)"),
        *(f"ALTER TABLE {table} ADD COLUMN {column} varchar(255)" for table in ("metadata_v3", "artifact_v3") for column in ("run_id", "task_name")),
    ],
    20201002000616: [
        "CREATE INDEX metadata_v3_akey ON metadata_v3 (flow_id, run_number, step_name, task_id, field_name)",
        "ALTER TABLE metadata_v3 DROP CONSTRAINT metadata_v3_pkey",
        "ALTER TABLE metadata_v3 ADD PRIMARY KEY (id, flow_id, run_number, step_name, task_id, field_name)",
    ],
    20210202145952: [
        "CREATE INDEX IF NOT EXISTS runs_v3_idx_ts_epoch ON runs_v3 (ts_epoch)",
        "CREATE INDEX IF NOT EXISTS runs_v3_idx_gin_tags_combined ON runs_v3 USING gin ((tags || system_tags))",
        "CREATE INDEX IF NOT EXISTS runs_v3_idx_flow_id_asc_ts_epoch_desc ON runs_v3 (flow_id ASC, ts_epoch DESC)",
        ("CREATE INDEX IF NOT EXISTS runs_v3_idx_user_asc_ts_epoch_desc ON runs_v3 "
        "((CASE WHEN system_tags ? ('user:' || user_name) THEN user_name ELSE NULL END) ASC, ts_epoch DESC)"),
    ],
    20210260056859: [f"{_V2} tasks_v3_idx_flow_id_run_id_step_name_task_name ON tasks_v3 (flow_id, run_id, step_name, task_name) WHERE run_id IS NOT NULL AND task_name IS NOT NULL"],
    20211202100726: [
        f"{_V2} runs_v3_idx_str_ids_primary_key ON runs_v3 (flow_id, run_id) WHERE run_id IS NOT NULL",
        f"{_V2} steps_v3_idx_str_ids_primary_key ON steps_v3 (flow_id, run_id, step_name) WHERE run_id IS NOT NULL",
        f"{_V2} metadata_v3_idx_str_ids_primary_key ON metadata_v3 (id, flow_id, run_id, step_name, task_name, field_name) WHERE run_id IS NOT NULL AND task_name IS NOT NULL",
        f"{_V2} artifact_v3_idx_str_ids_primary_key ON artifact_v3 (flow_id, run_id, step_name, task_name, attempt_id, name) WHERE run_id IS NOT NULL AND task_name IS NOT NULL",
    ],
    20220503175500: [f"{_V2} runs_v3_idx_epoch_ts_desc ON runs_v3 (ts_epoch DESC)"],
    20230118020300: [
        f"{_V2} runs_v3_idx_str_ids_primary_key_v2 ON runs_v3 (flow_id, run_id)",
        "DROP INDEX CONCURRENTLY IF EXISTS runs_v3_idx_str_ids_primary_key",
        f"{_V2} steps_v3_idx_str_ids_primary_key_v2 ON steps_v3 (flow_id, run_id, step_name)",
        "DROP INDEX CONCURRENTLY IF EXISTS steps_v3_idx_str_ids_primary_key",
        f"{_V2} tasks_v3_idx_flow_id_run_id_step_name_task_name_v2 ON tasks_v3 (flow_id, run_id, step_name, task_name)",
        "DROP INDEX CONCURRENTLY IF EXISTS tasks_v3_idx_flow_id_run_id_step_name_task_name",
        f"{_V2} metadata_v3_idx_str_ids_a_key ON metadata_v3 (flow_id, run_id, step_name, task_name, field_name)",
        f"{_V2} metadata_v3_idx_str_ids_a_key_with_task_id ON metadata_v3 (flow_id, run_id, step_name, task_id, field_name)",
        "DROP INDEX CONCURRENTLY IF EXISTS metadata_v3_idx_str_ids_primary_key",
        f"{_V2} artifact_v3_idx_str_ids_primary_key_v2 ON artifact_v3 (flow_id, run_id, step_name, task_name, attempt_id, name)",
        f"{_V2} artifact_v3_idx_str_ids_primary_key_with_task_id ON artifact_v3 (flow_id, run_id, step_name, task_id, attempt_id, name)",
        "DROP INDEX CONCURRENTLY IF EXISTS artifact_v3_idx_str_ids_primary_key",
    ],
    20260615000000: [f"{_V2} runs_v3_idx_flow_ts_runnum_desc ON runs_v3 (flow_id, ts_epoch DESC, run_number DESC)"],
    20260706000000: [f"{_V2} artifact_v3_idx_latest_attempt ON artifact_v3 (flow_id, run_number, task_id, name, ts_epoch DESC)"],
    20260706000001: [f"{_V2} flows_v3_idx_ts_flow_desc ON flows_v3 (ts_epoch DESC, flow_id DESC)"],
    20260706000002: [f"{_V2} tasks_v3_idx_flow_run_step_ts_task_desc ON tasks_v3 (flow_id, run_number, step_name, ts_epoch DESC, task_id DESC)"],
    20260706000003: [f"{_V2} metadata_v3_idx_flow_run_ts_id_desc ON metadata_v3 (flow_id, run_number, ts_epoch DESC, id DESC)"],
}  # fmt: skip
#: Columns whose changes the service's triggers send to its user interface.
_TOLD = {
    "flows_v3": ["flow_id"],
    "runs_v3": ["flow_id", "run_number", "last_heartbeat_ts"],
    "steps_v3": ["flow_id", "run_number", "step_name"],
    "tasks_v3": ["flow_id", "run_number", "step_name", "task_id"],
    "metadata_v3": ["flow_id", "run_number", "step_name", "task_id", "field_name", "value", "tags"],
    "artifact_v3": ["flow_id", "run_number", "step_name", "task_id", "attempt_id", "name"],
}
#: Tables of which they send insertions only.
_INSERTED = ("metadata_v3", "artifact_v3")


def up(url: str, until: int | None = None) -> list[int]:
    """Apply the missing migrations, as goose does; return which."""
    applied = []
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT to_regclass('goose_db_version')").fetchone()
        if known == (None,):
            connection.execute(
                "CREATE TABLE goose_db_version (id serial NOT NULL, version_id bigint NOT NULL, "
                "is_applied boolean NOT NULL, tstamp timestamp NULL DEFAULT now(), PRIMARY KEY (id))"
            )
            connection.execute(
                "INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true)"
            )
        noted = connection.execute(
            "SELECT version_id FROM goose_db_version WHERE is_applied ORDER BY id DESC"
        )
        done = {version for (version,) in noted}
        # goose goes on behind the largest, and refuses gaps.
        for version in sorted(set(MIGRATIONS) - done):
            if version < max(done):
                raise AssertionError(f"missing migration {version}")
            if until is not None and version > until:
                break
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            insert = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (%s, true)"
            connection.execute(insert, (version,))
            applied.append(version)
    return applied


def make_triggers(url: str) -> None:
    """Have every change notified, as the service does for its user interface."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table, columns in _TOLD.items():
            name = f"notify_ui_05092024_{table}"
            pairs = ", ".join(f"'{column}', rec.{column}" for column in columns)
            connection.execute(
                f"CREATE OR REPLACE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
                "DECLARE rec RECORD; BEGIN "
                "CASE TG_OP WHEN 'INSERT', 'UPDATE' THEN rec := NEW; WHEN 'DELETE' THEN rec := OLD; END CASE; "
                "PERFORM pg_notify('notify', json_build_object('table', TG_TABLE_NAME, 'schema', TG_TABLE_SCHEMA, "
                f"'operation', TG_OP, 'data', json_build_object({pairs}))::text); RETURN rec; END $$"
            )
            events = "INSERT" if table in _INSERTED else "INSERT OR UPDATE OR DELETE"
            connection.execute(
                f"CREATE TRIGGER {name} AFTER {events} ON public.{table} "
                f"FOR EACH ROW EXECUTE PROCEDURE public.{name}()"
            )
            connection.execute(f"ALTER TABLE public.{table} ENABLE ALWAYS TRIGGER {name}")
