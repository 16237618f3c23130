"""The options of the page, in Airflow's configuration."""

import subprocess
import sys

import pytest

from airflow_provider_openrouter.get_provider_info import get_provider_info
from airflow_provider_openrouter.page.settings import PageSettings

OPTIONS = get_provider_info()["config"]["openrouter"]["options"]


def test_airflow_knows_the_options_and_their_defaults():
    command = [sys.executable, "-m", "airflow", "config", "get-value", "openrouter", "page_conn_id"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert told.splitlines()[-1] == "openrouter_default"
    defaults = {name: option["default"] for name, option in OPTIONS.items()}
    settings = PageSettings()
    assert defaults == {
        "page_conn_id": settings.conn_id,
        "page_sql_conn_id": settings.sql_conn_id,
        "page_table": settings.table,
    }


def test_what_is_set_counts(monkeypatch):
    for name in OPTIONS:
        monkeypatch.setenv(f"AIRFLOW__OPENROUTER__{name.upper()}", f" {name} ")
    assert PageSettings.read() == PageSettings(
        conn_id="page_conn_id", sql_conn_id="page_sql_conn_id", table="page_table"
    )


@pytest.mark.parametrize(
    ("sql_conn_id", "table", "is_wrong"),
    [("", "", False), ("warehouse", "", False), ("warehouse", "keys", False), ("", "keys", True)],
)
def test_a_table_needs_a_database(sql_conn_id, table, is_wrong):
    assert bool(PageSettings(sql_conn_id=sql_conn_id, table=table).fault) == is_wrong
