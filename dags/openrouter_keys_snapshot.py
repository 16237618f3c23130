"""
### Every OpenRouter key, every day

Writes one file a day with every API key of the account, in all workspaces, and logs which keys spend most.

The API shows only the present, so a missed day cannot be made up for. A run that is cleared or backfilled writes
the keys of today, under today's date.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- **Variable** `openrouter_lake`: the folder or bucket to write to, such as `file:///data/lake` or
  `s3://aws_default@my-lake/openrouter`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, task

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

with DAG(
    dag_id="openrouter_keys_snapshot",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_operator_openrouter_list_keys_file]
    write_snapshot = OpenRouterListKeysOperator(
        task_id="write_snapshot",
        workspace_id="*",
        output_path="{{ var.value.openrouter_lake }}/keys/date={snapshot}/{source}/{workspace_scope}.parquet",
    )
    # [END howto_operator_openrouter_list_keys_file]

    # [START howto_operator_openrouter_list_keys_frame]
    list_keys = OpenRouterListKeysOperator(task_id="list_keys", workspace_id="*")

    @task
    def log_top_spenders(keys: pd.DataFrame) -> None:
        for key in keys.nlargest(5, "usage_monthly").itertuples():
            log.info("$%.2f this month, $%.2f in all: %s", key.usage_monthly, key.usage, key.name)

    log_top_spenders(list_keys.output)
    # [END howto_operator_openrouter_list_keys_frame]
