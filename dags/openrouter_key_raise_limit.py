"""
### Ask a person before the limit of an OpenRouter key is raised

Starts when a key runs low. For each such key it asks a person under *Browse → Required Actions*: raise its limit,
leave it, or disable the key? Without an answer within twelve hours, the key is left as it is. At the end the DAG
logs what was decided, and by whom.

It needs Airflow 3.1 or newer, and:

- **Connection** `openrouter_default`: a management key as its password, to watch the keys.
- **Connection** `openrouter_updates`: a management key as its password, and the extra `allow_updates`, to change
  them.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.operators.openrouter import OpenRouterRaiseLimitOperator
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

log = logging.getLogger(__name__)

keys_to_raise = Asset(
    "openrouter_keys_to_raise",
    watchers=[
        AssetWatcher(
            name="openrouter_keys_to_raise",
            trigger=OpenRouterKeyLimitEventTrigger(
                threshold="10%",
                workspace_id="*",
                rearm_margin="5%",
                poll_interval=15,  # short, to see it work; in production use minutes, such as 300
            ),
        )
    ],
)

with DAG(
    dag_id="openrouter_key_raise_limit",
    schedule=[keys_to_raise],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_operator_openrouter_raise_limit]
    @task
    def low_keys(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        events = triggering_asset_events[keys_to_raise]
        if not events:
            raise AirflowSkipException("There is no event: this DAG is started by a key that runs low.")
        return [key for event in events for key in event.extra["payload"]["keys"]]

    ask = OpenRouterRaiseLimitOperator.partial(
        task_id="ask",
        max_limit=500,
        openrouter_conn_id="openrouter_updates",
        response_timeout=timedelta(hours=12),
    ).expand(key=low_keys())
    # [END howto_operator_openrouter_raise_limit]

    @task(trigger_rule="none_failed_min_one_success")
    def format_message(decisions: list[dict[str, Any]]) -> str:
        lines = []
        for done in decisions:
            if not done["changed"]:
                what = "no longer needed a change"
            elif done["answer"] == "Disable":
                what = f"was disabled by {done['answered_by']}"
            else:
                limits = f"from ${done['before']['limit']:,.2f} to ${done['after']['limit']:,.2f}"
                what = f"was raised {limits} by {done['answered_by']}"
            lines.append(f"OpenRouter key {done['name']} {what}")
            log.info(lines[-1])
        return "\n".join(lines)

    format_message(ask.output)
