"""
### Start when an OpenRouter key runs low

The triggerer watches the keys; no DAG run waits. This DAG starts when a key crosses the threshold, and not again
for that key until it has recovered. After a restart of the triggerer, keys that are still low are reported once
more on Airflow before 3.3; newer ones remember what was reported.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

log = logging.getLogger(__name__)

# [START howto_event_trigger_openrouter_key_limit]
low_keys = Asset(
    "openrouter_low_keys",
    watchers=[
        AssetWatcher(
            name="openrouter_key_limit",
            trigger=OpenRouterKeyLimitEventTrigger(
                threshold="10%",
                workspace_id="*",
                rearm_margin="2%",
                poll_interval=15,  # short, to see it work; in production use minutes, such as 300
            ),
        )
    ],
)
# [END howto_event_trigger_openrouter_key_limit]

with DAG(
    dag_id="openrouter_key_low_event",
    schedule=[low_keys],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_event_trigger_openrouter_key_limit_message]
    # To send the message, give the task a notifier, such as the Slack or the SMTP provider's:
    #     @task(on_success_callback=SlackNotifier(channel="#llm", text="{{ ti.xcom_pull('format_message') }}"))
    @task
    def format_message(triggering_asset_events: Any = None) -> str:
        if not triggering_asset_events[low_keys]:
            raise AirflowSkipException(
                "There is no event: this DAG is started by a key that runs low, not by hand."
            )
        lines = []
        for event in triggering_asset_events[low_keys]:
            payload = event.extra["payload"]
            crossed, low = len(payload["keys"]), payload["low_count"]
            lines.append(f"OpenRouter keys that crossed the threshold: {crossed} ({low} low in all)")
            for key in payload["keys"]:
                workspace = f" in {key['workspace_name']}" if "workspace_name" in key else ""
                left = f"${float(key['limit_remaining']):,.2f} of ${float(key['limit']):,.2f} left"
                lines.append(f"- {key['name']} ({key['label']}){workspace}: {left}, threshold {key['threshold']}")
        for line in lines:
            log.info(line)
        return "\n".join(lines)

    format_message()
    # [END howto_event_trigger_openrouter_key_limit_message]
