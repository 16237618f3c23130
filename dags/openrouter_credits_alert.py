"""
### Start when OpenRouter's credits run low

When the account's balance is gone, every request fails with a 402, whatever limit its key has. The triggerer
watches the balance; no DAG run waits. This DAG starts when the credits last less than three days at the account's
pace, and not again until they have recovered. Before Airflow 3.3, a balance that is still low is reported once
more after a restart of the triggerer.

If the account buys credits by itself, use a threshold in USD instead, below the amount at which it buys.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- To send the message to people: a Slack or SMTP notifier instead of `LogNotifier`, and its connection.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import OpenRouterCreditsEventTrigger

log = logging.getLogger(__name__)

# [START howto_event_trigger_openrouter_credits]
low_credits = Asset(
    "openrouter_low_credits",
    watchers=[
        AssetWatcher(
            name="openrouter_credits",
            trigger=OpenRouterCreditsEventTrigger(
                threshold="3 days",
                poll_interval=15,  # short, to see it work; in production use minutes, such as 300
            ),
        )
    ],
)
# [END howto_event_trigger_openrouter_credits]


class LogNotifier(BaseNotifier):
    """Writes a message to the task's log."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        for line in self.text.splitlines():
            log.info(line)


# [START howto_event_trigger_openrouter_credits_message]
notifier = LogNotifier("{{ ti.xcom_pull() }}")
# openrouter_key_limit_alert.py shows those of Slack and SMTP.

with DAG(
    dag_id="openrouter_credits_alert",
    schedule=[low_credits],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["openrouter"],
):

    @task(on_success_callback=notifier)
    def report_low_credits(triggering_asset_events: Any = None) -> str:
        payloads = [event.extra["payload"] for event in triggering_asset_events[low_credits]]
        if not payloads:
            raise AirflowSkipException("There is no event: this DAG is started by low credits, not by hand.")
        return payloads[-1]["message"]

    report_low_credits()
# [END howto_event_trigger_openrouter_credits_message]
