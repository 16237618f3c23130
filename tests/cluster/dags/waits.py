"""DAGs that wait for three keys of an account, and a DAG that starts when one of two others runs low."""

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

for account in ("stored", "flaky"):
    openrouter_conn_id = f"openrouter_{account}"
    with DAG(dag_id=f"waits_{account}", schedule=None):
        OpenRouterKeyLimitSensor.partial(
            task_id="wait",
            threshold="10%",
            openrouter_conn_id=openrouter_conn_id,
            deferrable=True,
            poke_interval=2,
        ).expand(name_pattern=["wait-0", "wait-1", "wait-2"])

    trigger = OpenRouterKeyLimitEventTrigger(
        threshold="2 hours", openrouter_conn_id=openrouter_conn_id, name_pattern="alert-*", poll_interval=2
    )
    asset = Asset(f"low_keys_{account}", watchers=[AssetWatcher(name=f"watcher_{account}", trigger=trigger)])
    with DAG(dag_id=f"alerts_{account}", schedule=[asset]):

        @task
        def list_low_keys(triggering_asset_events=None):
            [event] = [event for events in triggering_asset_events.values() for event in events]
            return [key["name"] for key in event.extra["payload"]["keys"]]

        list_low_keys()
