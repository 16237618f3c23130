"""
### Every OpenRouter key, every day, in the lake and in the warehouse

Writes each workspace's keys into a parquet file and into a table, a row for each key and day, and compares how
many both hold. A run that is repeated replaces what it wrote on the same day, and nothing else.

The day is that on which the keys are listed, as the API shows only the present: a run that is cleared a week
later writes that day's truth, and leaves the rows of a week ago as they were.

**Connection** `openrouter_default`: the management key as its password.
**Connection** `openrouter_warehouse`: the database.
**Variable** `openrouter_lake`: the folder or bucket to write to, such as `s3://aws_default@my-lake/openrouter`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import BaseHook
from airflow.sdk import DAG, Asset, ObjectStoragePath, task

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

log = logging.getLogger(__name__)

with DAG(
    dag_id="openrouter_keys_warehouse",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
    tags=["openrouter"],
):

    @task
    def list_workspaces() -> list[str]:
        return [workspace["id"] for workspace in OpenRouterHook().list_workspaces()]

    workspaces = list_workspaces()

    # [START howto_operator_openrouter_lake]
    write_lake = OpenRouterListKeysOperator.partial(
        task_id="write_lake",
        output_path="{{ var.value.get('openrouter_lake', 'file:///tmp/openrouter') }}"
        "/workspaces/date={snapshot}/{source}/{workspace_scope}.parquet",
    ).expand(workspace_id=workspaces)
    # [END howto_operator_openrouter_lake]

    # [START howto_transfer_openrouter_to_sql]
    write_warehouse = OpenRouterKeysToSqlOperator.partial(
        task_id="write_warehouse",
        sql_conn_id="openrouter_warehouse",
        table="openrouter_keys",
        outlets=[Asset("openrouter_keys")],
    ).expand(workspace_id=workspaces)
    # [END howto_transfer_openrouter_to_sql]

    @task
    def compare_counts(paths: list[str]) -> int:
        import pandas as pd

        in_lake = 0
        for path in paths:
            with ObjectStoragePath(path).open("rb") as file:
                in_lake += len(pd.read_parquet(file, columns=["hash"]))
        warehouse = BaseHook.get_connection("openrouter_warehouse").get_hook()
        [in_warehouse] = warehouse.get_first(
            "SELECT count(*) FROM openrouter_keys WHERE source = 'openrouter_default' AND "
            "workspace_scope NOT IN ('default', '*') AND snapshot = (SELECT max(snapshot) FROM openrouter_keys "
            "WHERE source = 'openrouter_default')"
        )
        # They are listed one after the other, so that keys created or deleted meanwhile make a difference.
        level = logging.INFO if in_lake == in_warehouse else logging.WARNING
        log.log(level, "%s keys are in the lake, %s in the warehouse", in_lake, in_warehouse)
        return in_warehouse - in_lake

    write_warehouse >> compare_counts(write_lake.output)
