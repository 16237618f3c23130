"""Write every key to files and to tables, as the snapshot of the moment that the run is given."""

from airflow.sdk import DAG

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

with DAG(
    "keeps",
    schedule=None,
    default_args={
        "openrouter_conn_id": "stored",
        "workspace_id": "*",
        "snapshot": "{{ dag_run.conf['moment'] }}",
    },
):
    for granularity in ("day", "hour"):
        OpenRouterKeysToSqlOperator.partial(
            task_id=f"write_table_{granularity}", granularity=granularity, table="openrouter_keys"
        ).expand(sql_conn_id=["sqlite", "postgresql"])
        for suffix in ("parquet", "csv"):
            OpenRouterListKeysOperator(
                task_id=f"write_{suffix}_{granularity}",
                granularity=granularity,
                output_path="{{ var.value.lake }}/keys/date={snapshot}/{source}/{workspace_scope}." + suffix,
            )
