"""
### Alert before an OpenRouter key runs dry

Waits until less than a tenth of any key's limit is left, and sends a message about the low keys. It waits in the
triggerer, which uses no worker slot. If you trigger a run by hand, the form asks for the threshold and for a
pattern that the keys' names must match.

It needs:

- **Connection** `openrouter_default`: the management key as its password.
- To send the message to people: a Slack or SMTP notifier instead of `LogNotifier`, and its connection.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.notifier import BaseNotifier
from airflow.sdk import DAG, Param

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor

log = logging.getLogger(__name__)


class LogNotifier(BaseNotifier):
    """Writes a message to the task's log."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        for line in self.text.splitlines():
            log.info(line)


# [START howto_sensor_openrouter_key_limit_notifier]
MESSAGE = "{{ ti.xcom_pull(key='message') }}"
notifier = LogNotifier(MESSAGE)

# With Slack:
#     from airflow.providers.slack.notifications.slack import SlackNotifier
#
#     notifier = SlackNotifier(channel="#llm", text=MESSAGE)
#
# By email:
#     from airflow.providers.smtp.notifications.smtp import SmtpNotifier
#
#     notifier = SmtpNotifier(
#         from_email="airflow@example.com",
#         to="llm@example.com",
#         subject="{{ ti.xcom_pull(key='message').splitlines()[0] }}",
#         html_content=f"<pre>{MESSAGE}</pre>",
#     )
# [END howto_sensor_openrouter_key_limit_notifier]

with DAG(
    dag_id="openrouter_key_limit_alert",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "threshold": Param(
            "10%", type="string", description="USD (5), percent of the limit (10%) or time (3 days)"
        ),
        "pattern": Param(None, type=["null", "string"], description="Of the keys' names, such as billing-*"),
    },
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_sensor_openrouter_key_limit]
    OpenRouterKeyLimitSensor(
        task_id="wait_for_low_key",
        threshold="{{ params.threshold }}",
        name_pattern="{{ params.pattern or '' }}",
        workspace_id="*",
        deferrable=True,
        poke_interval=15,  # short, to see it work; in production use minutes, such as 300
        timeout=timedelta(hours=23),
        soft_fail=True,  # on a day without a low key the task is skipped, not failed
        on_success_callback=notifier,
    )
    # [END howto_sensor_openrouter_key_limit]
