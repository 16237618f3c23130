"""Waiting in a real Airflow with a scheduler and a triggerer, which is killed; one DAG is an example DAG."""

import json
import time
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest
from standalone import Standalone
from support.lines import BEFORE_AIRFLOW_3_3
from support.sandboxes import Flaky

from airflow_provider_openrouter.sandbox import Sandbox

DAGS = Path(__file__).parents[2] / "dags"

pytestmark = [pytest.mark.xdist_group("airflow standalone"), pytest.mark.timeout(600)]


def test_the_alert_waits_in_the_triggerer_and_survives_its_death(tmp_path):
    dag_id = "openrouter_key_limit_alert"
    with (
        Sandbox(keys=25) as sandbox,
        Standalone(
            tmp_path / "home", [DAGS / f"{dag_id}.py"], {"AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection}
        ) as airflow,
    ):
        airflow.wait_for(lambda: airflow.task_states(dag_id).get("wait_for_low_key") == "deferred", "a deferral")
        worker = len(sandbox.requests)
        airflow.wait_for(lambda: len(sandbox.requests) > worker, "the triggerer's first listing")

        airflow.kill_triggerer()
        asked = len(sandbox.requests)
        key = sandbox.create_key(name="about-to-run-dry", limit=10.0, limit_remaining=0.25, expires_at=None)
        time.sleep(16)
        assert len(sandbox.requests) == asked
        assert airflow.run_states(dag_id) == ["running"]

        airflow.start_triggerer()
        airflow.wait_for(lambda: airflow.run_states(dag_id) == ["success"], "the run to end")
        [low] = airflow.xcom(dag_id, "wait_for_low_key")
        assert (low["hash"], low["limit_remaining"]) == (key, 0.25)
        assert "about-to-run-dry" in airflow.xcom(dag_id, "format_message")
        logs = airflow.logs()
        assert "20 keys watched (3 more not measurable), 1 below 10% of the limit" in logs
        assert "about-to-run-dry (Default) has $0.25 of $10.00 left" in logs
    assert not airflow.files_with(sandbox.token)


REPORTED_AGAIN = int(BEFORE_AIRFLOW_3_3)
"""How often a key is reported again after a restart of the triggerer: the state store came with 3.3."""

WATCHED = """
from datetime import datetime, timezone

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitEventTrigger

for name, threshold in {"tenth": "10%", "dollar": 1}.items():
    trigger = OpenRouterKeyLimitEventTrigger(threshold=threshold, poll_interval=2)
    asset = Asset(name, watchers=[AssetWatcher(name=name, trigger=trigger)])
    with DAG(dag_id=name, schedule=[asset], start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):

        @task
        def list_low_keys(triggering_asset_events=None):
            [event] = [event for events in triggering_asset_events.values() for event in events]
            return [key["name"] for key in event.extra["payload"]["keys"]]

        list_low_keys()
"""


def test_a_dag_starts_once_per_crossing_despite_killed_triggerers(tmp_path, record_property):
    with Flaky(keys=0) as sandbox:
        connection = json.dumps(json.loads(sandbox.connection) | {"extra": json.dumps({"max_retries": 0})})
        keys = [
            sandbox.create_key(name=name, limit=100.0, limit_remaining=50.0, disabled=False, expires_at=None)
            for name in ("first", "second")
        ]
        with Standalone(
            tmp_path / "home", {"watched": WATCHED}, {"AIRFLOW_CONN_OPENROUTER_DEFAULT": connection}
        ) as airflow:

            def listed(times):
                wanted = len(sandbox.listings) + times
                airflow.wait_for(lambda: len(sandbox.listings) >= wanted, f"{times} listings")

            def runs(count):
                airflow.wait_for(lambda: airflow.run_states("tenth") == ["success"] * count, f"run {count}")

            listed(7)
            intervals = [after - before for before, after in pairwise(sandbox.listings[1:])]
            assert fmean(intervals) > 1.5, "Two watchers list more often than one."
            assert airflow.run_states("tenth") == []

            crossed = time.monotonic()
            sandbox.update_key(keys[0], limit_remaining=5.0)
            airflow.wait_for(lambda: airflow.run_states("tenth"), "a run")
            record_property("seconds from crossing to run", round(time.monotonic() - crossed, 1))
            runs(1)
            assert airflow.xcom("tenth", "list_low_keys") == ["first"]
            time.sleep(60)
            assert airflow.run_states("tenth") == ["success"]

            airflow.kill_triggerer()
            airflow.start_triggerer()
            listed(4)
            runs(1 + REPORTED_AGAIN)

            sandbox.update_key(keys[0], limit_remaining=50.0)
            listed(4)
            sandbox.update_key(keys[0], limit_remaining=5.0)
            runs(2 + REPORTED_AGAIN)
            listed(4)

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
            assert fmean(intervals) > 3, "Failed listings are repeated more often than good ones."
            sandbox.fails = False
            sandbox.update_key(keys[0], limit_remaining=0.5)
            airflow.wait_for(lambda: airflow.run_states("dollar") == ["success"], "the run of the other rule")
            assert airflow.xcom("dollar", "list_low_keys") == ["first"]
        assert not airflow.files_with(sandbox.token)
