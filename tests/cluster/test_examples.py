"""The example DAGs in the cluster."""

import json

import hunt
import pandas as pd
import pytest
from scenes import PATIENCE, ends, hashes, measured

pytestmark = pytest.mark.timeout(900)


def test_the_snapshot_dag_passes_its_frame_through_storage(cluster):
    ends(cluster, "openrouter_keys_snapshot")

    frame = hunt.unpacked(cluster.xcom_file("openrouter_keys_snapshot", "list_keys"))
    assert len(frame) == frame["hash"].nunique() == 25
    [(in_database,)] = cluster.query(
        "select cast(value as text) from xcom where dag_id = 'openrouter_keys_snapshot' "
        "and task_id = 'list_keys' and key = 'return_value'"
    )
    assert json.loads(in_database).startswith(cluster.xcoms.as_uri())
    [path] = (cluster.home / "lake" / "keys").rglob("*.parquet")
    assert sorted(pd.read_parquet(path)["hash"]) == sorted(frame["hash"])
    top = frame.nlargest(1, "usage_monthly")["name"].item()
    [log] = (cluster.home / "logs").glob("dag_id=openrouter_keys_snapshot/*/task_id=log_top_spenders/*.log")
    assert f"in all: {top}" in log.read_text()


def test_the_warehouse_dag_fills_the_lake_and_the_warehouse(cluster, warehouse):
    ends(cluster, "openrouter_keys_warehouse")

    assert cluster.xcom("openrouter_keys_warehouse", "compare_counts") == 0
    [path] = (cluster.home / "lake" / "workspaces").rglob("*.parquet")
    assert sorted(pd.read_parquet(path)["hash"]) == hashes(warehouse, "openrouter_keys")
    assert len(hashes(warehouse, "openrouter_keys")) == 25


def test_a_low_key_ends_the_wait_and_starts_the_dag_of_its_event(cluster, accounts, record_property):
    cluster.wait_for_waits("openrouter_key_limit_alert", "wait_for_low_key", seconds=PATIENCE)
    assert cluster.run_states("openrouter_key_low_event") == []

    with measured(record_property, "seconds from crossing to run, checked every 15 s"):
        accounts["default"].create_key(name="nearly-dry", limit=10.0, limit_remaining=0.25, expires_at=None)
        cluster.wait_for(lambda: cluster.run_states("openrouter_key_low_event"), "a run for the event")

    ends(cluster, "openrouter_key_low_event")
    ends(cluster, "openrouter_key_limit_alert")
    assert "nearly-dry" in cluster.xcom("openrouter_key_low_event", "report_low_keys")
    assert "nearly-dry" in cluster.xcom("openrouter_key_limit_alert", "wait_for_low_key", "message")
    [low] = cluster.xcom("openrouter_key_limit_alert", "wait_for_low_key")
    assert low["limit_remaining"] == 0.25
