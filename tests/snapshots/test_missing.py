"""What is not installed is named before the first request, with what to install."""

import json
import os
import subprocess
import sys

import pytest

from airflow_provider_openrouter.sandbox import Sandbox

pytestmark = pytest.mark.xdist_group("missing")

PROGRAM = """
import json, os, sys

from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

ExecutorSafeguard.test_mode = True


class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name == missing or name.startswith(f"{missing}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def execute(target):
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
        print("refused:", missing, target, error, flush=True)


for missing, target in json.loads(sys.argv[1]):
    if not os.fork():
        execute(target)
        os._exit(0)
    os.wait()
"""


imported_late = pytest.mark.airflow(">=3.2", "late imports")
"""Before 3.2, Airflow itself needs these before our operator does."""


CASES = [
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
        marks=imported_late,
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
        marks=imported_late,
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
        # Before, the provider itself cannot be imported without it, so Airflow says that it is not installed.
        marks=pytest.mark.airflow(">=3.3", "late imports"),
    ),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each case is refused with; all run in one process, because Airflow starts slowly."""
    home = tmp_path_factory.mktemp("missing")
    cases = [getattr(case, "values", case)[:2] for case in CASES]
    with Sandbox() as sandbox:
        environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_AWS_CONN": json.dumps({"conn_type": "aws"}),
            "AIRFLOW_CONN_SQLITE_CONN": json.dumps({"conn_type": "sqlite", "host": str(home / "keys.db")}),
            "AIRFLOW_CONN_MSSQL_CONN": json.dumps({"conn_type": "mssql", "host": "db"}),
            "AIRFLOW_CONN_POSTGRES_CONN": json.dumps(
                {"conn_type": "postgres", "host": "db", "extra": {"sqlalchemy_scheme": "postgresql+psycopg2"}}
            ),
        }
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(cases)],
            capture_output=True, text=True, env=environment, timeout=120,
        )  # fmt: skip
        assert sandbox.requests == []
    return run.stdout + run.stderr


@pytest.mark.parametrize(("missing", "target", "refusal"), CASES)
def test_what_is_missing_is_named_before_the_first_request(missing, target, refusal, refusals):
    assert f"refused: {missing} {target} {refusal}" in refusals
