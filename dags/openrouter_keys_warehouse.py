"""
### Every OpenRouter key, every day, in the lake and in the warehouse

Writes the keys of each workspace into a parquet file and into a table, one row for each key and day, and checks
that both have as many. If it runs again on the same day, it replaces what it wrote on that day, and nothing else.

The day is the day on which the keys are listed, because the API shows only the present. A run that is cleared a
week later writes the keys of that later day, and leaves the rows of the week before as they were.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- **Connection** `openrouter_warehouse`: the database.
- **Variable** `openrouter_lake`: the folder or bucket to write to, such as `file:///data/lake` or
  `s3://aws_default@my-lake/openrouter`.
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
    def list_workspaces() -> list[dict[str, str]]:
        workspaces = OpenRouterHook().list_workspaces()
        return [{"id": each["id"], "name": each.get("name") or each["id"]} for each in workspaces]

    workspace_ids = list_workspaces().map(lambda workspace: workspace["id"])
    # The UI shows the name of each workspace in place of a number.
    workspace_name = "{{ ti.xcom_pull(task_ids='list_workspaces')[ti.map_index]['name'] }}"

    # [START howto_operator_openrouter_lake]
    write_lake = OpenRouterListKeysOperator.partial(
        task_id="write_lake",
        map_index_template=workspace_name,
        output_path="{{ var.value.openrouter_lake }}"
        "/workspaces/date={snapshot}/{source}/{workspace_scope}.parquet",
    ).expand(workspace_id=workspace_ids)
    # [END howto_operator_openrouter_lake]

    # [START howto_transfer_openrouter_to_sql]
    write_warehouse = OpenRouterKeysToSqlOperator.partial(
        task_id="write_warehouse",
        map_index_template=workspace_name,
        sql_conn_id="openrouter_warehouse",
        table="openrouter_keys",
        outlets=[Asset("openrouter_keys")],
    ).expand(workspace_id=workspace_ids)
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
            "WITH days AS (SELECT * FROM openrouter_keys WHERE granularity = 'day' AND "
            "source = 'openrouter_default' AND workspace_scope NOT IN ('default', '*')) "
            "SELECT count(*) FROM days WHERE snapshot = (SELECT max(snapshot) FROM days)"
        )
        # Lake and warehouse list the keys one after the other: keys created or deleted between differ.
        level = logging.INFO if in_lake == in_warehouse else logging.WARNING
        log.log(level, "Keys in the lake: %s; in the warehouse: %s", f"{in_lake:,}", f"{in_warehouse:,}")
        return in_warehouse - in_lake

    write_warehouse >> compare_counts(write_lake.output)
