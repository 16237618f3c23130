"""A daily DAG that is backfilled: each run writes the day before it, and one that is repeated changes nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from support.lines import DagBag, needs_dag_test

DAG_FILE = """
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_openrouter.operators.openrouter import OpenRouterListActivityOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterActivityToSqlOperator

with DAG("backfilled", schedule="0 2 * * *", start_date=datetime(2026, 1, 1), catchup=False):
    day = {"date": "{{ macros.ds_add(ds, -1) }}", "by": "key"}
    OpenRouterActivityToSqlOperator(task_id="table", sql_conn_id="warehouse", table="activity", **day)
    OpenRouterListActivityOperator(task_id="file", output_path="HOME/lake/{date}.parquet", **day)
"""


@needs_dag_test
@pytest.mark.xdist_group("airflow database")
@pytest.mark.usefixtures("connection")
def test_a_backfill_writes_each_day_once(sandbox, dag_folder, tmp_path, monkeypatch):
    (dag_folder / "backfilled.py").write_text(DAG_FILE.replace("HOME", str(tmp_path)))
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/warehouse.db"})
    )
    [dag] = DagBag(dag_folder).dags.values()
    today = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    # An hour apart, because dag.test() of the same time clears its run, and turns off links in the whole process.
    dates = [today - timedelta(days=3), today - timedelta(days=2), today - timedelta(days=3, hours=-1)]
    assert [dag.test(logical_date=date).state for date in dates] == ["success"] * 3

    days = sorted({(date - timedelta(days=1)).date() for date in dates})
    assert sorted(Path(tmp_path, "lake").iterdir()) == [tmp_path / "lake" / f"{day}.parquet" for day in days]
    with create_engine(f"sqlite:///{tmp_path}/warehouse.db").connect() as opened:
        stored = opened.execute(text("SELECT date, sum(usage) FROM activity GROUP BY date")).all()
    expected = {str(day): sum(each["usage"] for each in sandbox.list_activity(days=[day])) for day in days}
    assert dict(map(tuple, stored)) == pytest.approx(expected)
