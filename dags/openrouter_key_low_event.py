"""
### Start when an OpenRouter key runs low

Nothing waits in a DAG run: the triggerer watches the keys, and this DAG starts once for each key that crosses the
threshold, and not again until it has recovered. It needs Airflow 3.3 or newer to remember over a restart of the
triggerer what was told.

**Connection** `openrouter_default`: the management key as its password.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

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
                poll_interval=15,  # so that you can watch it; in production minutes will do, such as 300
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
    # To send the message, give the task a notifier, such as that of the Slack or of the SMTP provider:
    #     @task(on_success_callback=SlackNotifier(channel="#llm", text="{{ ti.xcom_pull('format_message') }}"))
    @task
    def format_message(triggering_asset_events: Any = None) -> str:
        lines = []
        for event in triggering_asset_events[low_keys]:
            told = event.extra["payload"]
            lines.append(
                f"{len(told['keys'])} OpenRouter key(s) crossed the threshold, {told['low_count']} low in all:"
            )
            for key in told["keys"]:
                left = f"${key['limit_remaining']:.2f} of ${key['limit']:.2f} left"
                lines.append(f"- {key['name']} ({key['label']}): {left}, threshold {key['threshold']}")
        for line in lines:
            log.info(line)
        return "\n".join(lines)

    format_message()
    # [END howto_event_trigger_openrouter_key_limit_message]
