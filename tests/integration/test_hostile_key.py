"""A key that Airflow cannot carry, in a whole Airflow: what waits for it gets it, and nothing else is stopped."""

import pytest
from standalone import Standalone

from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.sandbox import Sandbox

pytestmark = [pytest.mark.xdist_group("airflow standalone"), pytest.mark.timeout(600)]

DAGS = """
from datetime import datetime, timezone

from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import DAG, Asset, AssetWatcher, BaseOperator, task

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

start = {{"start_date": datetime(2026, 1, 1, tzinfo=timezone.utc), "catchup": False}}


class WaitForFile(BaseOperator):
    def execute(self, context):
        self.defer(trigger=FileTrigger(filepath={path!r}, poke_interval=1), method_name="resume")

    def resume(self, context, event=None):
        return "resumed"


with DAG(dag_id="unrelated", schedule="@once", **start):
    WaitForFile(task_id="wait")

with DAG(dag_id="sensor", schedule="@once", **start):
    OpenRouterKeyLimitSensor(task_id="wait", threshold=1, poke_interval=1, deferrable=True)

trigger = OpenRouterKeyLimitEventTrigger(threshold=1, poll_interval=1)
asset = Asset("low", watchers=[AssetWatcher(name="low", trigger=trigger)])
with DAG(dag_id="watcher", schedule=[asset], **start):

    @task
    def list_low_keys(triggering_asset_events=None):
        [event] = [event for events in triggering_asset_events.values() for event in events]
        return event.extra["payload"]["keys"]

    list_low_keys()
"""


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


HOSTILE = {
    "limit": 10**20,
    "usage": 1e21,
    "__type": "timedelta",
    "__var": 1e9,
    "x": [{"__classname__": "builtins.set", "__version__": 1, "__data__": [1]}, {"__id__": "a"}],
    "deep": nested(300),
}


def test_a_hostile_key_stops_neither_its_waits_nor_others(tmp_path):
    file = tmp_path / "file"

    def wait_for(dag_id, state):
        airflow.wait_for(lambda: airflow.task_states(dag_id).get("wait") == state, f"{dag_id} to be {state}")

    with Sandbox(keys=0) as sandbox:
        hostile = sandbox.create_key(**HOSTILE, limit_remaining=5.0, disabled=False, expires_at=None)
        with Standalone(
            tmp_path / "home",
            {"hostile": DAGS.format(path=str(file))},
            {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection},
        ) as airflow:
            wait_for("unrelated", "deferred")
            wait_for("sensor", "deferred")
            asked = len(sandbox.requests)
            airflow.wait_for(lambda: len(sandbox.requests) > asked + 4, "polls of the triggerer")

            sandbox.update_key(hostile, limit_remaining=0.5)
            wait_for("sensor", "success")
            airflow.wait_for(lambda: airflow.run_states("watcher") == ["success"], "the run of the asset")
            expected = fit(sandbox.get_key(hostile))
            [low] = airflow.xcom("sensor", "wait")
            assert low == expected | {"observed_at": low["observed_at"]}
            [low] = airflow.xcom("watcher", "list_low_keys")
            assert low == expected | {"observed_at": low["observed_at"], "threshold": 1.0}
            assert (low["limit"], low["field__type"]) == ("100000000000000000000", "timedelta")

            file.touch()
            wait_for("unrelated", "success")
            assert airflow.xcom("unrelated", "wait") == "resumed"
