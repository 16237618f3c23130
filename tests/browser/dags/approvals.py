"""Asks a person about low keys: about some until there is an answer, about another for a short time only."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_openrouter.operators.openrouter import OpenRouterRaiseLimitOperator
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor

SHORT = timedelta(seconds=20)
"""Longer than Airflow takes to read that a task waits: before that it can fail a task that resumes."""

with DAG("approvals", schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    for name, response_timeout in (("asked", None), ("forgotten", SHORT)):
        low_keys = OpenRouterKeyLimitSensor(
            task_id=f"find_{name}",
            threshold="20%",
            name_pattern=f"{name}*",
            openrouter_conn_id="openrouter_updates",
        )
        OpenRouterRaiseLimitOperator.partial(
            task_id=f"ask_{name}",
            max_limit=100,
            openrouter_conn_id="openrouter_updates",
            response_timeout=response_timeout,
        ).expand(key=low_keys.output)
