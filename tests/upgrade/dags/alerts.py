"""DAGs that start when a key runs low: by a part of its limit with a margin, and by an amount for some keys."""

from datetime import UTC, datetime

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

RULES = {
    "tenth": {"threshold": "10%", "rearm_margin": "2%", "workspace_id": "*"},
    "dollars": {"threshold": 5, "rearm_margin": 1, "name_pattern": "alert-*"},
}

for name, rule in RULES.items():
    trigger = OpenRouterKeyLimitEventTrigger(openrouter_conn_id="alerting", poll_interval=2, **rule)
    asset = Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])
    with DAG(name, schedule=[asset], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):

        @task
        def list_low_keys(triggering_asset_events=None):
            events = [event for events in triggering_asset_events.values() for event in events]
            return [key["name"] for event in events for key in event.extra["payload"]["keys"]]

        list_low_keys()
