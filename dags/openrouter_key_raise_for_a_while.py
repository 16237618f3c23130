"""
### Raise the limit of an OpenRouter key for some hours

Trigger it by hand and enter the hash of the key, the new limit, and the number of hours. It raises the limit,
waits in the triggerer, and restores the old limit, unless somebody has changed the limit in the meantime.

It needs:

- **Connection** `openrouter_updates`: a management key as its password, and the extra `allow_updates`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, Param, task

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.openrouter import OpenRouterUpdateKeyOperator

with DAG(
    dag_id="openrouter_key_raise_for_a_while",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={
        "key_hash": Param("", type="string", title="Hash of the key"),
        "limit": Param(50, type="number", minimum=0, title="New limit (USD)"),
        "hours": Param(24, type="number", minimum=0, title="Hours"),
    },
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_operator_openrouter_update_key_for_a_while]
    # A task of its own: if the raise runs again because its response was lost, this still has the old limit.
    @task
    def read_limit(params: dict[str, Any]) -> float | None:
        return OpenRouterHook("openrouter_updates").get_key(params["key_hash"])["limit"]

    raise_limit = OpenRouterUpdateKeyOperator(
        task_id="raise_limit",
        key_hash="{{ params.key_hash }}",
        limit="{{ params.limit }}",
        max_limit=500,
        openrouter_conn_id="openrouter_updates",
    )
    wait = DateTimeSensorAsync(
        task_id="wait",
        target_time="{{ dag_run.run_after + macros.timedelta(hours=params.hours) }}",
    )
    restore = OpenRouterUpdateKeyOperator(
        task_id="restore",
        key_hash="{{ params.key_hash }}",
        limit="{{ ti.xcom_pull('read_limit') }}",
        only_if={"limit": "{{ ti.xcom_pull('raise_limit')['after']['limit'] }}"},
        openrouter_conn_id="openrouter_updates",
    )
    read_limit() >> raise_limit >> wait >> restore
    # [END howto_operator_openrouter_update_key_for_a_while]
