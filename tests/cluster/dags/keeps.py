"""Write every key of an account to a file and to a table."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

for account in ("slow", "flaky"):
    with DAG(
        dag_id=f"keeps_{account}",
        schedule=None,
        default_args={
            "openrouter_conn_id": f"openrouter_{account}",
            "retries": 5,
            "retry_delay": timedelta(seconds=2),
        },
    ):
        OpenRouterListKeysOperator(
            task_id="write_file", output_path="{{ var.value.openrouter_lake }}/{source}/{snapshot}.parquet"
        )
        OpenRouterKeysToSqlOperator(
            task_id="write_table", sql_conn_id="openrouter_warehouse", table=f"keys_{account}"
        )
