"""The example DAGs in a real Airflow: scheduler, triggerer, workers, and a triggerer that is killed."""

import time
from pathlib import Path

import pytest
from standalone import Standalone

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
        assert "1 below 10% of the limit: about-to-run-dry has $0.25 of $10.00 left" in airflow.logs()
    assert not airflow.files_with(sandbox.token)
