"""
### Tell a person before an OpenRouter key runs dry

Waits in the triggerer, which costs no worker, until less than a tenth of any key's limit is left; then says which
keys they are, and how much is left of them.

**Connection** `openrouter_default`: the management key as its password.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor

log = logging.getLogger(__name__)

with DAG(
    dag_id="openrouter_key_limit_alert",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_sensor_openrouter_key_limit]
    wait_for_low_key = OpenRouterKeyLimitSensor(
        task_id="wait_for_low_key",
        threshold="10%",
        workspace_id="*",
        deferrable=True,
        poke_interval=15,  # so that you can watch it; in production minutes will do, such as 300
        timeout=timedelta(hours=23),
        soft_fail=True,  # a day without a low key is skipped, not failed
    )
    # [END howto_sensor_openrouter_key_limit]

    # [START howto_sensor_openrouter_key_limit_message]
    # To send the message, give the task a notifier, such as that of the Slack provider:
    #     @task(on_success_callback=SlackNotifier(channel="#llm", text="{{ ti.xcom_pull('format_message') }}"))
    @task
    def format_message(low_keys: list[dict[str, Any]]) -> str:
        lines = [f"{len(low_keys)} OpenRouter key(s) have less than a tenth of their limit left:"]
        for key in low_keys:
            left = f"${key['limit_remaining']:.2f} of ${key['limit']:.2f} left"
            lines.append(f"- {key['name']} ({key['label']}): {left}, resets: {key['limit_reset'] or 'never'}")
        for line in lines:
            log.info(line)
        return "\n".join(lines)

    format_message(wait_for_low_key.output)
    # [END howto_sensor_openrouter_key_limit_message]
