"""Waiting, and tasks, in one whole Airflow, whose triggerer is killed."""

import json
import re
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from urllib.parse import quote

import pytest
from standalone import Standalone
from support.lines import BEFORE_AIRFLOW_3_3
from support.sandboxes import Flaky
from support.statsd import Statsd

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.payload import fit

ROOT = Path(__file__).parents[2]
[ASYNC_TASK] = re.findall(r"```python\n(import asyncio\n.*?)```", (ROOT / "docs/hook.md").read_text(), re.DOTALL)
SANDBOXES = {
    "openrouter_default": {"keys": 25},
    "events": {"keys": 0},
    "hostile": {"keys": 0},
    "stored": {"keys": 60, "workspaces": 3},
}
"""The accounts, by the connections that lead to them."""
REPORTED_AGAIN = int(BEFORE_AIRFLOW_3_3)
"""How often a key is reported again after a restart of the triggerer: the state store came with 3.3."""

pytestmark = [pytest.mark.xdist_group("airflow standalone"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def sandboxes():
    with ExitStack() as stack:
        yield {name: stack.enter_context(Flaky(**account)) for name, account in SANDBOXES.items()}


@pytest.fixture(scope="module")
def metrics():
    with Statsd() as server:
        yield server


@pytest.fixture(scope="module")
def airflow(sandboxes, metrics, tmp_path_factory):
    """An Airflow that these tests share, each with DAGs and an account of its own."""
    environment = {
        **metrics.environment,
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
        **{
            f"AIRFLOW_CONN_{name.upper()}": connection(sandbox)
            for name, sandbox in sandboxes.items()
            if name != "stored"  # so that a task asks Airflow for it
        },
    }
    with Standalone(tmp_path_factory.mktemp("airflow") / "home", {}, environment) as airflow:
        yield airflow


def connection(sandbox):
    return json.dumps(json.loads(sandbox.connection) | {"extra": json.dumps({"max_retries": 0})})


def test_the_alert_outlives_the_triggerer(airflow, sandboxes, metrics):
    dag_id, sandbox = "openrouter_key_limit_alert", sandboxes["openrouter_default"]
    source, shorter = re.subn("poke_interval=15", "poke_interval=2", (ROOT / f"dags/{dag_id}.py").read_text())
    assert shorter == 1
    airflow.add({dag_id: source})
    airflow.wait_for_waits(dag_id, "wait_for_low_key")
    [(run_id,)] = airflow.query("select run_id from dag_run where dag_id = :dag_id", dag_id=dag_id)
    links = airflow.get(f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/wait_for_low_key/links")
    assert links["extra_links"] == {"OpenRouter keys": sandbox.base_url.removesuffix("/api/v1")}
    polls = "airflow.openrouter.polls.openrouter_default.all:1|c"
    airflow.wait_for(lambda: metrics.ours.count(polls) > 1, "the metrics of the worker and the triggerer")

    airflow.kill_triggerer()
    asked = len(sandbox.requests)
    key = sandbox.create_key(name="about-to-run-dry", limit=10.0, limit_remaining=0.25, expires_at=None)
    time.sleep(3)
    assert len(sandbox.requests) == asked
    assert airflow.run_states(dag_id) == ["running"]

    airflow.start_triggerer()
    airflow.wait_for(lambda: airflow.run_states(dag_id) == ["success"], "the run to end")
    [low] = airflow.xcom(dag_id, "wait_for_low_key")
    assert (low["hash"], low["limit_remaining"]) == (key, 0.25)
    for key in ("message", "report"):
        assert "about-to-run-dry" in airflow.xcom(dag_id, "wait_for_low_key", key)
    logs = airflow.logs()
    assert "20 keys watched (3 more not measurable), 1 below 10% of the limit" in logs
    assert "about-to-run-dry (Default) has $0.25 of $10.00 left" in logs
    assert "1 OpenRouter key is low" in logs, "The notifier was not called."
    assert not airflow.files_with(sandbox.token)


WATCHED = """
from datetime import datetime, timezone

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

for name, threshold in {"tenth": "10%", "dollar": 1}.items():
    trigger = OpenRouterKeyLimitEventTrigger(openrouter_conn_id="events", threshold=threshold, poll_interval=1)
    asset = Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])
    with DAG(dag_id=name, schedule=[asset], start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):

        @task
        def list_low_keys(triggering_asset_events=None):
            [event] = [event for events in triggering_asset_events.values() for event in events]
            return [key["name"] for key in event.extra["payload"]["keys"]]

        list_low_keys()
"""


def test_a_dag_starts_once_per_crossing(airflow, sandboxes):
    sandbox = sandboxes["events"]
    keys = [
        sandbox.create_key(name=name, limit=100.0, limit_remaining=50.0, disabled=False, expires_at=None)
        for name in ("first", "second")
    ]

    def listed(times):
        wanted = len(sandbox.listings) + times
        airflow.wait_for(lambda: len(sandbox.listings) >= wanted, f"{times} listings")

    def parsed():
        [(time,)] = airflow.query("select last_parsed_time from dag where dag_id = 'tenth'")
        return time

    def runs(count):
        airflow.wait_for(lambda: airflow.run_states("tenth") == ["success"] * count, f"run {count}")

    def settled(key):
        """Wait until it is stored that a key was reported, which is some seconds after the report."""
        if REPORTED_AGAIN:
            listed(4)
        else:
            states = "select value from asset_state_store join asset on id = asset_id where name = 'tenth'"
            airflow.wait_for(lambda: any(key in value for (value,) in airflow.query(states)), "the alert state")

    def status():
        """Return how the watch is, as it has stored that itself."""
        states = (
            "select value from asset_state_store join asset on id = asset_id "
            "where name = 'tenth' and key like 'openrouter_status:%'"
        )
        [status] = [json.loads(value) for (value,) in airflow.query(states)]
        return status

    airflow.add({"watched": WATCHED})
    listed(7)
    intervals = [after - before for before, after in pairwise(sandbox.listings[1:])]
    assert fmean(intervals) > 0.75, "Two watchers list more often than one."
    assert airflow.run_states("tenth") == []

    sandbox.update_key(keys[0], limit_remaining=5.0)
    runs(1)
    assert airflow.xcom("tenth", "list_low_keys") == ["first"]
    before = parsed()
    airflow.add({"watched": WATCHED})
    airflow.wait_for(lambda: parsed() > before, "the DAG to be parsed again")
    settled(keys[0])
    assert airflow.run_states("tenth") == ["success"]

    airflow.kill_triggerer()
    airflow.start_triggerer()
    listed(4)
    runs(1 + REPORTED_AGAIN)

    sandbox.update_key(keys[0], limit_remaining=50.0)
    listed(4)
    sandbox.update_key(keys[0], limit_remaining=5.0)
    runs(2 + REPORTED_AGAIN)
    settled(keys[0])

    sandbox.update_key(keys[1], limit_remaining=5.0)
    listed(1)
    airflow.kill_triggerer()
    airflow.start_triggerer()
    enough = 2 + REPORTED_AGAIN
    airflow.wait_for(lambda: len(airflow.run_states("tenth")) > enough, "the alert that must not be lost")
    airflow.wait_for(lambda: set(airflow.run_states("tenth")) == {"success"}, "the run to end")
    low = airflow.xcom("tenth", "list_low_keys")
    assert low == ["second"] or (REPORTED_AGAIN and sorted(low) == ["first", "second"])

    listed(2)  # so that both watchers have polled before the server fails
    sandbox.fails = True
    listed(1)
    failed_from = len(sandbox.listings)
    listed(3)
    intervals = [after - before for before, after in pairwise(sandbox.listings[failed_from:])]
    assert fmean(intervals) > 1.5, "Failed listings are repeated more often than good ones."
    if not BEFORE_AIRFLOW_3_3:
        airflow.wait_for(lambda: status()["failing_since"], "the status to say that the watch fails")
        assert (status()["watched"], status()["low"]) == (2, 2)
        assert status()["reported"]["text"].startswith("second has $5.00 of $100.00 left")
    sandbox.fails = False
    sandbox.update_key(keys[0], limit_remaining=0.5)
    airflow.wait_for(lambda: airflow.run_states("dollar") == ["success"], "the run of the other rule")
    assert airflow.xcom("dollar", "list_low_keys") == ["first"]
    assert BEFORE_AIRFLOW_3_3 or not status()["failing_since"]
    assert not airflow.files_with(sandbox.token)


HOSTILE_DAGS = """
from datetime import datetime, timezone

from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import DAG, Asset, AssetWatcher, BaseOperator, task

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

start = {{"start_date": datetime(2026, 1, 1, tzinfo=timezone.utc), "catchup": False}}
rule = {{"threshold": 1, "openrouter_conn_id": "hostile"}}


class WaitForFile(BaseOperator):
    def execute(self, context):
        self.defer(trigger=FileTrigger(filepath={path!r}, poke_interval=1), method_name="resume")

    def resume(self, context, event=None):
        return "resumed"


with DAG(dag_id="unrelated", schedule="@once", **start):
    WaitForFile(task_id="wait")

with DAG(dag_id="sensor", schedule="@once", **start):
    OpenRouterKeyLimitSensor(task_id="wait", poke_interval=1, deferrable=True, **rule)

trigger = OpenRouterKeyLimitEventTrigger(poll_interval=1, **rule)
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


HOSTILE_KEY = {
    "limit": 10**20,
    "usage": 1e21,
    "__type": "timedelta",
    "__var": 1e9,
    "x": [{"__classname__": "builtins.set", "__version__": 1, "__data__": [1]}, {"__id__": "a"}],
    "deep": nested(300),
}
"""A key that Airflow cannot carry as it is."""


def test_a_hostile_key_stops_neither_its_waits_nor_others(airflow, sandboxes, tmp_path):
    file, sandbox = tmp_path / "file", sandboxes["hostile"]

    def succeeds(dag_id):
        airflow.wait_for(lambda: airflow.task_states(dag_id).get("wait") == "success", f"{dag_id} to succeed")

    hostile = sandbox.create_key(**HOSTILE_KEY, limit_remaining=5.0, disabled=False, expires_at=None)
    airflow.add({"hostile": HOSTILE_DAGS.format(path=str(file))})
    for dag_id in ("unrelated", "sensor"):
        airflow.wait_for_waits(dag_id, "wait")
    asked = len(sandbox.requests)
    airflow.wait_for(lambda: len(sandbox.requests) > asked + 4, "polls of the triggerer")

    sandbox.update_key(hostile, limit_remaining=0.5)
    succeeds("sensor")
    airflow.wait_for(lambda: airflow.run_states("watcher") == ["success"], "the run of the asset")
    expected = fit(sandbox.get_key(hostile))
    [low] = airflow.xcom("sensor", "wait")
    why = {"reason": "limit", "threshold": 1.0, "next_reset_at": low["next_reset_at"]}
    assert low == expected | why | {"observed_at": low["observed_at"]}
    [low] = airflow.xcom("watcher", "list_low_keys")
    assert low == expected | why | {"observed_at": low["observed_at"]}
    assert (low["limit"], low["field__type"]) == ("100000000000000000000", "timedelta")

    file.touch()
    succeeds("unrelated")
    assert airflow.xcom("unrelated", "wait") == "resumed"


BESIDE = """
import asyncio

from airflow.sdk import DAG, BaseHook, task

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook


async def ask_airflow(done):
    while not done.is_set():
        await BaseHook.aget_connection("stored")


with DAG(dag_id="beside", schedule=None):

    @task
    async def list_keys_while_airflow_is_asked():
        done = asyncio.Event()
        asking = asyncio.create_task(ask_airflow(done))
        await asyncio.sleep(0.005)
        try:
            return [len(await asyncio.to_thread(OpenRouterHook().list_keys, workspace_id="*")) for _ in range(5)]
        finally:
            done.set()
            await asking

    list_keys_while_airflow_is_asked()
"""


@pytest.mark.airflow(">=3.3", "async tasks")
def test_the_hook_works_in_async_tasks(airflow, sandboxes, tmp_path):
    sandbox, stored = sandboxes["stored"], tmp_path / "connections.json"
    stored.write_text(json.dumps({"stored": json.loads(sandbox.connection)}))
    airflow.run("connections", "import", str(stored))
    for dag_id, source in {"openrouter_async_task": ASYNC_TASK, "beside": BESIDE}.items():
        hook = source.replace("OpenRouterHook()", "OpenRouterHook('stored')")
        airflow.add({dag_id: hook.replace("schedule=None", "schedule='@once'")})
    for dag_id in ("openrouter_async_task", "beside"):
        airflow.wait_for(lambda dag_id=dag_id: airflow.run_states(dag_id) == ["success"], f"{dag_id} to end")
    keys = len(OpenRouterClient(sandbox.token, base_url=sandbox.base_url).list_keys(workspace_id="*"))
    assert airflow.xcom("openrouter_async_task", "count_keys") == {"keys": keys, "workspaces": 3}
    assert airflow.xcom("beside", "list_keys_while_airflow_is_asked") == [keys] * 5
