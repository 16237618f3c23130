"""
### Start when an OpenRouter key runs low

The triggerer watches the keys; no DAG run waits. This DAG starts when a key will run dry within three days at its
pace, and not again for that key until it has recovered. It also starts when the keys cannot be watched, and once
more when they can be watched again. Before Airflow 3.3, keys that are still low are reported once more after a
restart of the triggerer.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- To send the messages to people: Slack or SMTP notifiers instead of `LogNotifier`, and their connections.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.notifier import BaseNotifier
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
                threshold="3 days",
                workspace_id="*",
                report_failures_after=5,
                poll_interval=15,  # short, to see it work; in production use minutes, such as 300
            ),
        )
    ],
)
# [END howto_event_trigger_openrouter_key_limit]


class LogNotifier(BaseNotifier):
    """Writes a message to the task's log."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        for line in self.text.splitlines():
            log.info(line)


# [START howto_event_trigger_openrouter_key_limit_notifiers]
MESSAGE = "{{ ti.xcom_pull() }}"
notify_owners = LogNotifier(MESSAGE)
notify_operators = LogNotifier(MESSAGE)

# With Slack:
#     from airflow.providers.slack.notifications.slack import SlackNotifier
#
#     notify_owners = SlackNotifier(channel="#llm", text=MESSAGE)
#
# By email:
#     from airflow.providers.smtp.notifications.smtp import SmtpNotifier
#
#     notify_operators = SmtpNotifier(
#         from_email="airflow@example.com",
#         to="airflow-operators@example.com",
#         subject="{{ ti.xcom_pull().splitlines()[0] }}",
#         html_content=f"<pre>{MESSAGE}</pre>",
#     )
# [END howto_event_trigger_openrouter_key_limit_notifiers]


# [START howto_event_trigger_openrouter_key_limit_messages]
def read_messages(events: Any, *statuses: str) -> str:
    payloads = [event.extra["payload"] for event in events]
    messages = [payload["message"] for payload in payloads if payload["status"] in statuses]
    if not messages:  # there is no event at all if the DAG is triggered by hand
        raise AirflowSkipException(f"There is no event of the status {' or '.join(statuses)}.")
    return "\n\n".join(messages)


with DAG(
    dag_id="openrouter_key_low_event",
    schedule=[low_keys],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["openrouter"],
):

    @task(on_success_callback=notify_owners)
    def report_low_keys(triggering_asset_events: Any = None) -> str:
        return read_messages(triggering_asset_events[low_keys], "low")

    @task(on_success_callback=notify_operators)
    def report_failing_watcher(triggering_asset_events: Any = None) -> str:
        return read_messages(triggering_asset_events[low_keys], "error", "recovered")

    report_low_keys()
    report_failing_watcher()
# [END howto_event_trigger_openrouter_key_limit_messages]
