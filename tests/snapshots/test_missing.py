"""What is not installed is named before the first request, with what to install."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys

from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

ExecutorSafeguard.test_mode = True
missing, target = sys.argv[1:]


class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name == missing or name.startswith(f"{missing}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
    del sys.modules[name]
sys.meta_path.insert(0, Nowhere())
operator = (
    OpenRouterListKeysOperator(task_id="to_file", output_path=target)
    if "://" in target
    else OpenRouterKeysToSqlOperator(task_id="to_table", sql_conn_id=target, table="keys")
)
try:
    operator.execute({})
except AirflowFailException as error:
    print("refused:", error)
"""


imported_by_airflow_itself = pytest.mark.airflow(">=3.1")
"""Airflow 3.0 imports these before an operator is made, so that they cannot be missing there."""


@pytest.mark.parametrize(
    ("missing", "target", "refusal"),
    [
        (
            "s3fs",
            "s3://aws_conn@bucket/{snapshot}.parquet",
            "Cannot write to s3://: No module named 's3fs'. Install apache-airflow-providers-amazon[s3fs].",
        ),
        (
            "nothing",
            "gs://bucket/keys.csv",
            "Cannot write to gs://: no filesystem of that scheme is installed. Install "
            "apache-airflow-providers-google.",
        ),
        (
            "nothing",
            "abfss://container@account/keys.csv",
            "Cannot write to abfss://: no filesystem of that scheme is installed. Install "
            "apache-airflow-providers-microsoft-azure.",
        ),
        (
            "nothing",
            "nonsense://bucket/{source}.jsonl",
            "Cannot write to nonsense://: no filesystem of that scheme is installed. Install the Airflow "
            "provider of that scheme, or correct output_path.",
        ),
        pytest.param(
            "airflow.providers.sqlite",
            "sqlite_conn",
            "Connection 'sqlite_conn' is of type 'sqlite', whose ",
            marks=imported_by_airflow_itself,
        ),
        (
            "airflow.providers.common.sql",
            "sqlite_conn",
            "Cannot write to a table: No module named 'airflow.providers.common.sql'. Install "
            "airflow-provider-openrouter[sql].",
        ),
        pytest.param(
            "sqlalchemy",
            "sqlite_conn",
            "Cannot write to a table: No module named 'sqlalchemy",
            marks=imported_by_airflow_itself,
        ),
        (
            "nothing",
            "mssql_conn",
            "Connection 'mssql_conn' is of type 'mssql', which is not supported: write a file ",
        ),
        pytest.param(
            "psycopg2",
            "postgres_conn",
            "Connection 'postgres_conn' is of type 'postgres', whose driver cannot be imported: No module named "
            "'psycopg2'. Install apache-airflow-providers-postgres.",
            marks=imported_by_airflow_itself,
        ),
    ],
)
def test_what_is_missing_is_named_before_the_first_request(
    missing, target, refusal, sandbox, connection, tmp_path
):
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_AWS_CONN": json.dumps({"conn_type": "aws"}),
        "AIRFLOW_CONN_SQLITE_CONN": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "keys.db")}),
        "AIRFLOW_CONN_MSSQL_CONN": json.dumps({"conn_type": "mssql", "host": "db"}),
        "AIRFLOW_CONN_POSTGRES_CONN": json.dumps(
            {"conn_type": "postgres", "host": "db", "extra": {"sqlalchemy_scheme": "postgresql+psycopg2"}}
        ),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, missing, target],
        capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"refused: {refusal}" in run.stdout
    assert sandbox.requests == []
