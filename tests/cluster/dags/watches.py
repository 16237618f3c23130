"""DAGs that start when a key crosses one of several steps, and when the account's credits are low."""

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import (
    OpenRouterCreditsEventTrigger,
    OpenRouterKeyLimitEventTrigger,
)

# Long enough that a triggerer can be killed between an event and the alert state.
poll = {"openrouter_conn_id": "openrouter_steps", "poll_interval": 5}
triggers = {
    "steps": OpenRouterKeyLimitEventTrigger(threshold=["50%", "25%", "10%"], **poll),
    "credits": OpenRouterCreditsEventTrigger(threshold=25, **poll),
}
for name, trigger in triggers.items():
    asset = Asset(f"low_{name}", watchers=[AssetWatcher(name=f"watcher_{name}", trigger=trigger)])
    with DAG(dag_id=f"alerts_{name}", schedule=[asset]):

        @task
        def read_messages(triggering_asset_events=None):
            events = [event for events in triggering_asset_events.values() for event in events]
            return [event.extra["payload"]["message"] for event in events]

        read_messages()
