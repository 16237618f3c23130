"""
### Disable an OpenRouter key that burns its limit within hours

Starts when a key, at its pace, will run dry within six hours and before its next reset. If even its whole limit
would last less than a day at that pace, the DAG disables the key and logs a message about it: the key may have
leaked, or a loop may use it. A key that is nearly empty but spends slowly is left alone.

Use it for keys whose limit is meant to last for days. A limit that resets daily may well be spent within a day.

It needs:

- **Connection** `openrouter_default`: a management key as its password, to watch the keys.
- **Connection** `openrouter_updates`: a management key as its password, and the extra `allow_updates`, to change
  them.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.operators.openrouter import OpenRouterUpdateKeyOperator
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

log = logging.getLogger(__name__)

runaway_keys = Asset(
    "openrouter_runaway_keys",
    watchers=[
        AssetWatcher(
            name="openrouter_runaway_keys",
            trigger=OpenRouterKeyLimitEventTrigger(
                threshold="6 hours",
                name_pattern="*",  # narrow it to the keys that may be disabled, such as "dev-*"
                workspace_id="*",
                poll_interval=60,
            ),
        )
    ],
)

with DAG(
    dag_id="openrouter_key_kill_switch",
    schedule=[runaway_keys],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["openrouter"],
):
    # [START howto_operator_openrouter_update_key]
    @task
    def hashes(triggering_asset_events: Any = None) -> list[str]:
        events = triggering_asset_events[runaway_keys]
        keys = [key for event in events for key in event.extra["payload"]["keys"]]
        found = {key["hash"] for key in keys if key["pace_usd_per_day"] > (key["limit"] or 0)}
        if not found:  # there is no event at all if the DAG is triggered by hand
            raise AirflowSkipException("There is no key whose whole limit would last for less than a day.")
        return sorted(found)

    disable = OpenRouterUpdateKeyOperator.partial(
        task_id="disable", disabled=True, openrouter_conn_id="openrouter_updates"
    ).expand(key_hash=hashes())
    # [END howto_operator_openrouter_update_key]

    @task
    def format_message(disabled: list[dict[str, Any]]) -> str:
        lines = [
            f"OpenRouter key {done['name']} burned its limit within hours and was disabled"
            for done in disabled
            if done["changed"]
        ]
        for line in lines:
            log.info(line)
        return "\n".join(lines)

    format_message(disable.output)
