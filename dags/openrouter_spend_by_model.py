"""
### Store what every OpenRouter key spent on which model, every day

Writes the activity of the day before, by key and model, into a parquet file and into a table. If it runs again
for a day, it replaces what it wrote for that day, and nothing else.

OpenRouter keeps the last 30 days, so the DAG catches up on missed runs: after a pause, and from `start_date` on
when it is switched on. Runs for older days are skipped, and what was written for them stays.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- **Connection** `openrouter_warehouse`: the database.
- **Variable** `openrouter_lake`: the folder or bucket to write to, such as `file:///data/lake` or
  `s3://aws_default@my-lake/openrouter`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from airflow.sdk import DAG, Asset, task

from airflow_provider_openrouter.operators.openrouter import OpenRouterListActivityOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterActivityToSqlOperator

# The day before the run is due, or was started by hand. Unlike `ds` it is the same day with and without
# [scheduler] create_cron_data_intervals.
DAY = "{{ macros.ds_add(dag_run.run_after | ds, -1) }}"

with DAG(
    dag_id="openrouter_spend_by_model",
    schedule="0 2 * * *",  # in UTC, as OpenRouter's days are; two hours for the usage that is counted late
    start_date=datetime(2026, 11, 1, tzinfo=UTC),  # set it to 30 days before you switch the DAG on
    catchup=True,
    max_active_runs=3,  # so that catching up on a month does not send all requests at once
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    doc_md=__doc__,
    tags=["openrouter"],
):

    @task.short_circuit
    def is_remembered(day: str) -> bool:
        return date.fromisoformat(day) >= datetime.now(UTC).date() - timedelta(days=30)

    # [START howto_operator_openrouter_list_activity_file]
    write_lake = OpenRouterListActivityOperator(
        task_id="write_lake",
        date=DAY,
        by="key",
        output_path="{{ var.value.openrouter_lake }}/activity/date={date}/{source}/{grouped_by}.parquet",
    )
    # [END howto_operator_openrouter_list_activity_file]

    # [START howto_transfer_openrouter_activity_to_sql]
    write_warehouse = OpenRouterActivityToSqlOperator(
        task_id="write_warehouse",
        date=DAY,
        by="key",
        sql_conn_id="openrouter_warehouse",
        table="openrouter_activity",
        outlets=[Asset("openrouter_activity")],
    )
    # [END howto_transfer_openrouter_activity_to_sql]

    is_remembered(DAY) >> [write_lake, write_warehouse]
