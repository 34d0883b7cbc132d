"""The six tables of Metaflow's metadata service, for queries and as statements that create them.

Source:
    Netflix/metaflow-service 91e44f0, its migrations up to 20260706000003.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, MetaData, SmallInteger, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

#: Most characters of a name, and of every other text but a metadata value.
NAME_LENGTH = 255
#: The largest serial, attempt id: int8 and int2 of PostgreSQL.
MAX_SERIAL, MAX_ATTEMPT = 2**63 - 1, 2**15 - 1

_tables = MetaData()
_NAME = String(NAME_LENGTH)
# None is stored as the JSON null, as by the real service, whose queries tell it from NULL.
_JSON = JSON(none_as_null=False).with_variant(JSONB(none_as_null=False), "postgresql")


def _table(table: str, /, **columns: Any) -> Table:
    typed: list[Column[Any]] = [Column(column, kind) for column, kind in columns.items()]
    return Table(table, _tables, *typed)


_OWN = {"user_name": _NAME, "ts_epoch": BigInteger, "tags": _JSON, "system_tags": _JSON}
_STEP = {"flow_id": _NAME, "run_number": BigInteger, "run_id": _NAME, "step_name": _NAME}
_TASK = {**_STEP, "task_id": BigInteger, "task_name": _NAME}

flows = _table("flows_v3", flow_id=_NAME, **_OWN)
runs = _table(
    "runs_v3",
    flow_id=_NAME,
    run_number=BigInteger,
    run_id=_NAME,
    last_heartbeat_ts=BigInteger,
    **_OWN,
)
steps = _table("steps_v3", **_STEP, **_OWN)
tasks = _table("tasks_v3", **_TASK, last_heartbeat_ts=BigInteger, **_OWN)
metadata = _table(
    "metadata_v3", **_TASK, id=BigInteger, field_name=_NAME, value=Text, type=_NAME, **_OWN
)
artifacts = _table(
    "artifact_v3",
    **_TASK,
    name=_NAME,
    location=_NAME,
    ds_type=_NAME,
    sha=_NAME,
    type=_NAME,
    content_type=_NAME,
    attempt_id=SmallInteger,
    **_OWN,
)
#: In the order in which rows may be inserted.
TABLES = (flows, runs, steps, tasks, metadata, artifacts)

#: On SQLite, which has no sequences: the last serial taken from each.
serials = Table("mfc_serials", MetaData(), Column("name", Text), Column("last", BigInteger))
#: Sequences by their table, with PostgreSQL's names for serial columns.
SEQUENCES = {
    runs: "runs_v3_run_number_seq",
    tasks: "tasks_v3_task_id_seq",
    metadata: "metadata_v3_id_seq",
}
#: The column that a table's sequence numbers.
NUMBERED = {runs: runs.c.run_number, tasks: tasks.c.task_id, metadata: metadata.c.id}

_CREATE = """
CREATE TABLE flows_v3 (
    flow_id VARCHAR(255) PRIMARY KEY,
    user_name VARCHAR(255),
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json}
);
CREATE TABLE runs_v3 (
    flow_id VARCHAR(255) NOT NULL,
    run_number {serial} NOT NULL,
    user_name VARCHAR(255),
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json},
    run_id VARCHAR(255),
    last_heartbeat_ts BIGINT,
    PRIMARY KEY (flow_id, run_number),
    FOREIGN KEY (flow_id) REFERENCES flows_v3 (flow_id),
    CONSTRAINT runs_v3_flow_id_run_id_key UNIQUE (flow_id, run_id)
);
CREATE TABLE steps_v3 (
    flow_id VARCHAR(255) NOT NULL,
    run_number BIGINT NOT NULL,
    step_name VARCHAR(255) NOT NULL,
    user_name VARCHAR(255),
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json},
    run_id VARCHAR(255),
    PRIMARY KEY (flow_id, run_number, step_name),
    FOREIGN KEY (flow_id, run_number) REFERENCES runs_v3 (flow_id, run_number),
    CONSTRAINT steps_v3_flow_id_run_id_step_name_key UNIQUE (flow_id, run_id, step_name)
);
CREATE TABLE tasks_v3 (
    flow_id VARCHAR(255) NOT NULL,
    run_number BIGINT NOT NULL,
    step_name VARCHAR(255) NOT NULL,
    task_id {serial} PRIMARY KEY,
    user_name VARCHAR(255),
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json},
    run_id VARCHAR(255),
    task_name VARCHAR(255),
    last_heartbeat_ts BIGINT,
    FOREIGN KEY (flow_id, run_number, step_name)
        REFERENCES steps_v3 (flow_id, run_number, step_name),
    CONSTRAINT tasks_v3_flow_id_run_number_step_name_task_name_key
        UNIQUE (flow_id, run_number, step_name, task_name)
);
CREATE TABLE metadata_v3 (
    flow_id VARCHAR(255) NOT NULL,
    run_number BIGINT NOT NULL,
    step_name VARCHAR(255) NOT NULL,
    task_id BIGINT NOT NULL,
    id {serial} NOT NULL,
    field_name VARCHAR(255) NOT NULL,
    value TEXT NOT NULL,
    type VARCHAR(255) NOT NULL,
    user_name VARCHAR(255),
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json},
    run_id VARCHAR(255),
    task_name VARCHAR(255),
    PRIMARY KEY (id, flow_id, run_number, step_name, task_id, field_name)
);
CREATE TABLE artifact_v3 (
    flow_id VARCHAR(255) NOT NULL,
    run_number BIGINT NOT NULL,
    step_name VARCHAR(255) NOT NULL,
    task_id BIGINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    location VARCHAR(255) NOT NULL,
    ds_type VARCHAR(255) NOT NULL,
    sha VARCHAR(255),
    type VARCHAR(255),
    content_type VARCHAR(255),
    user_name VARCHAR(255),
    attempt_id SMALLINT NOT NULL,
    ts_epoch BIGINT NOT NULL,
    tags {json},
    system_tags {json},
    run_id VARCHAR(255),
    task_name VARCHAR(255),
    PRIMARY KEY (flow_id, run_number, step_name, task_id, attempt_id, name)
);
CREATE INDEX runs_v3_idx_flow_ts_runnum_desc
    ON runs_v3 (flow_id, ts_epoch DESC, run_number DESC);
CREATE INDEX metadata_v3_akey
    ON metadata_v3 (flow_id, run_number, step_name, task_id, field_name);
CREATE INDEX artifact_v3_idx_latest_attempt
    ON artifact_v3 (flow_id, run_number, task_id, name, ts_epoch DESC);
CREATE INDEX artifact_v3_idx_flow_run_step_ts_task_name_desc
    ON artifact_v3 (flow_id, run_number, step_name, ts_epoch DESC, task_id DESC, name DESC);
CREATE INDEX flows_v3_idx_ts_flow_desc ON flows_v3 (ts_epoch DESC, flow_id DESC);
CREATE INDEX tasks_v3_idx_flow_run_step_ts_task_desc
    ON tasks_v3 (flow_id, run_number, step_name, ts_epoch DESC, task_id DESC);
CREATE INDEX metadata_v3_idx_flow_run_ts_id_desc
    ON metadata_v3 (flow_id, run_number, ts_epoch DESC, id DESC);
"""
# Only queries of the real service use it, which may run on the same database.
_FOR_THE_REAL_SERVICE = """
CREATE INDEX runs_v3_idx_ts_epoch ON runs_v3 (ts_epoch);
CREATE INDEX runs_v3_idx_gin_tags_combined ON runs_v3 USING gin ((tags || system_tags));
CREATE INDEX runs_v3_idx_flow_id_asc_ts_epoch_desc ON runs_v3 (flow_id ASC, ts_epoch DESC);
CREATE INDEX runs_v3_idx_user_asc_ts_epoch_desc ON runs_v3 (
    (CASE WHEN system_tags ? ('user:' || user_name) THEN user_name ELSE NULL END) ASC,
    ts_epoch DESC
);
CREATE INDEX runs_v3_idx_epoch_ts_desc ON runs_v3 (ts_epoch DESC);
CREATE INDEX runs_v3_idx_str_ids_primary_key_v2 ON runs_v3 (flow_id, run_id);
CREATE INDEX steps_v3_idx_str_ids_primary_key_v2 ON steps_v3 (flow_id, run_id, step_name);
CREATE INDEX tasks_v3_idx_flow_id_run_id_step_name_task_name_v2
    ON tasks_v3 (flow_id, run_id, step_name, task_name);
CREATE INDEX metadata_v3_idx_str_ids_a_key
    ON metadata_v3 (flow_id, run_id, step_name, task_name, field_name);
CREATE INDEX metadata_v3_idx_str_ids_a_key_with_task_id
    ON metadata_v3 (flow_id, run_id, step_name, task_id, field_name);
CREATE INDEX artifact_v3_idx_str_ids_primary_key_v2
    ON artifact_v3 (flow_id, run_id, step_name, task_name, attempt_id, name);
CREATE INDEX artifact_v3_idx_str_ids_primary_key_with_task_id
    ON artifact_v3 (flow_id, run_id, step_name, task_id, attempt_id, name);
"""
# Migrations of the real service that yield this schema, as its tool (goose) records them.
_GOOSE = """
CREATE TABLE goose_db_version (
    id SERIAL PRIMARY KEY,
    version_id BIGINT NOT NULL,
    is_applied BOOLEAN NOT NULL,
    tstamp TIMESTAMP DEFAULT now()
);
INSERT INTO goose_db_version (version_id, is_applied) VALUES
    (0, true),
    (1, true),
    (20200603104139, true),
    (20201002000616, true),
    (20210202145952, true),
    (20210260056859, true),
    (20211202100726, true),
    (20220503175500, true),
    (20230118020300, true),
    (20260615000000, true),
    (20260706000000, true),
    (20260706000001, true),
    (20260706000002, true),
    (20260706000003, true);
"""
_SERIALS = "CREATE TABLE mfc_serials (name TEXT PRIMARY KEY, last BIGINT NOT NULL);"


def creation(dialect: str) -> list[str]:
    """Return the statements that create everything in an empty database.

    Args:
        dialect: `sqlite` or `postgresql`.
    """
    if dialect == "postgresql":
        # The real service numbers runs in 32 bits; the ids of local runs need more.
        script = _CREATE.format(json="JSONB", serial="BIGSERIAL") + _FOR_THE_REAL_SERVICE
        script += _GOOSE
    else:
        script = _CREATE.format(json="TEXT", serial="INTEGER") + _SERIALS
    return [statement for statement in script.split(";\n") if statement.strip()]
