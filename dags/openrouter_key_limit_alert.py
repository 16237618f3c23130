"""
### Alert before an OpenRouter key runs dry

Waits until less than a tenth of any key's limit is left, and formats a message with the low keys and what is
left of each. It waits in the triggerer, which uses no worker slot.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
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
        poke_interval=15,  # short, to see it work; in production use minutes, such as 300
        timeout=timedelta(hours=23),
        soft_fail=True,  # on a day without a low key the task is skipped, not failed
    )
    # [END howto_sensor_openrouter_key_limit]

    # [START howto_sensor_openrouter_key_limit_message]
    # To send the message, give the task a notifier, such as the Slack provider's:
    #     @task(on_success_callback=SlackNotifier(channel="#llm", text="{{ ti.xcom_pull('format_message') }}"))
    @task
    def format_message(low_keys: list[dict[str, Any]]) -> str:
        lines = [f"OpenRouter keys with less than a tenth of their limit left: {len(low_keys)}"]
        for key in low_keys:
            workspace = f" in {key['workspace_name']}" if "workspace_name" in key else ""
            left = f"${float(key['limit_remaining']):,.2f} of ${float(key['limit']):,.2f} left"
            reset = f"resets {key['limit_reset']}" if key["limit_reset"] else "never resets"
            lines.append(f"- {key['name']} ({key['label']}){workspace}: {left}, {reset}")
        for line in lines:
            log.info(line)
        return "\n".join(lines)

    format_message(wait_for_low_key.output)
    # [END howto_sensor_openrouter_key_limit_message]
