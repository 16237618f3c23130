"""The OpenLineage events of a run, by its real provider and file transport, with nothing secret in them."""

import json
import os
import subprocess
import sys

import pytest
from airflow.models.connection import Connection
from airflow.providers.postgres.hooks.postgres import PostgresHook
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from support.lines import BEFORE_AIRFLOW_3_3, needs_dag_test, without_what_airflow_masks

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.lineage import Target, file_target, lineage, table_target
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

FILE_COLUMNS = kinds.KEYS.columns

DATABASE_PASSWORD = "a-database-password-that-must-not-be-shown"


# -- names of files and tables


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/data/keys.parquet", "file", "/data/keys.parquet"),
        ("file:///data/keys.parquet", "file", "/data/keys.parquet"),
        ("file:///data/date=2026-11-03/a b.csv", "file", "/data/date=2026-11-03/a b.csv"),
        ("s3://bucket/keys/all.parquet", "s3://bucket", "keys/all.parquet"),
        ("s3://aws_conn@bucket/date=2026-11-03T06/all.parquet", "s3://bucket", "date=2026-11-03T06/all.parquet"),
        ("gs://google_conn@bucket/keys.jsonl", "gs://bucket", "keys.jsonl"),
        ("s3://bucket//XX://all/", "s3://bucket", "XX://all/"),
        ("abfss://container/keys.parquet", "abfss://container", "keys.parquet"),
    ],
)  # fmt: skip
def test_a_file_is_named_without_its_connection(path, namespace, name):
    assert file_target(path) == Target(namespace, name)


@pytest.mark.parametrize("name", ["team #1/all.parquet", "who?.parquet", "a%20b.parquet", "[a].parquet"])
def test_a_file_is_named_whole_whatever_is_in_its_name(name):
    assert file_target(f"s3://aws_conn@bucket/{name}") == Target("s3://bucket", name)
    assert file_target(f"file:///data/{name}") == Target("file", f"/data/{name}")


@pytest.mark.parametrize(
    ("url", "schema", "target"),
    [
        ("postgresql+psycopg2://me:secret@db/sales", "public", ("postgres://db:5432", "sales.public.keys")),
        ("postgresql://me:secret@db:6543/sales", "spend", ("postgres://db:6543", "sales.spend.keys")),
        ("mysql+pymysql://me:secret@db/sales", None, ("mysql://db:3306", "sales.keys")),
        ("sqlite:////data/sales.db", None, ("sqlite://", "/data/sales.db.keys")),
        ("sqlite://", None, ("sqlite://", "keys")),
    ],
)
def test_a_table_is_named_without_login_and_password(url, schema, target):
    assert table_target(make_url(url), schema=schema, table="keys") == Target(*target)


def test_a_name_with_a_dot_is_quoted():
    target = table_target(make_url("postgresql://db/sales"), schema="ware.house", table="keys.of.all")
    assert target == Target("postgres://db:5432", 'sales."ware.house"."keys.of.all"')


@pytest.mark.parametrize("port", [None, 5432, 6543])
def test_a_postgresql_table_is_named_as_airflow_names_it(port):
    connection = Connection(
        conn_id="pg", conn_type="postgres", host="db.example", port=port, login="me", password="x", schema="sales"
    )
    theirs = PostgresHook(connection=connection).get_openlineage_database_info(connection)
    url = PostgresHook(connection=connection).sqlalchemy_url
    mine = table_target(url, schema="public", table="keys")
    assert mine.namespace == f"{theirs.scheme}://{theirs.authority}"
    assert mine.name == f"{theirs.database}.public.keys"


# -- what is reported


def columns_of(dataset):
    return {field.name: field.type for field in dataset.facets["schema"].fields}


def test_a_listing_without_a_target_has_an_input_and_no_output():
    reported = lineage(kinds.KEYS, "https://proxy.example/X/v1", None, rows=3, size=None)
    [api] = reported.inputs
    assert (api.namespace, api.name) == ("https://proxy.example", "X/v1/keys")
    assert columns_of(api) == FIELDS
    assert not reported.outputs


def test_a_target_is_reported_with_columns_rows_and_size():
    reported = lineage(
        kinds.KEYS, "https://openrouter.ai/api/v1/", Target("s3://bucket", "all.parquet"), rows=3, size=1234
    )
    [api], [written] = reported.inputs, reported.outputs
    assert (api.namespace, api.name) == ("https://openrouter.ai", "api/v1/keys")
    assert (written.namespace, written.name) == ("s3://bucket", "all.parquet")
    assert columns_of(written) == FILE_COLUMNS
    statistics = written.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (3, 1234)


@pytest.mark.parametrize(
    "operator",
    [
        OpenRouterListKeysOperator(task_id="list_keys"),
        OpenRouterKeysToSqlOperator(task_id="to_sql", sql_conn_id="warehouse", table="keys"),
    ],
    ids=lambda operator: operator.task_id,
)
def test_before_it_executes_an_operator_reports_nothing(operator):
    assert operator.get_openlineage_facets_on_complete(None) is None


# -- the events of a run

DAG = """
import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

with DAG(dag_id="reported", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
    OpenRouterListKeysOperator(task_id="to_file", output_path=os.environ["LAKE"] + "/{source}.parquet")
    OpenRouterListKeysOperator(task_id="to_xcom", xcom_format="records")
    OpenRouterKeysToSqlOperator(task_id="to_postgresql", sql_conn_id="postgresql", table="lineage_keys")
    OpenRouterKeysToSqlOperator(task_id="to_sqlite", sql_conn_id="sqlite", table="lineage_keys")

with DAG(dag_id="failing", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as failing:
    OpenRouterListKeysOperator(
        task_id="refused", openrouter_conn_id="refused", output_path=os.environ["LAKE"] + "/refused.parquet"
    )
"""
RUN = """
if __name__ == "__main__":
    import json
    from pathlib import Path

    from airflow.utils.db import initdb

    initdb()
    # First what fails: a test shares what Airflow collects with the next one.
    runs = [each.test() for each in (failing, dag)]
    states = {each.task_id: each.state for run in runs for each in run.get_task_instances()}
    Path(__file__).with_name("states.json").write_text(json.dumps(states))
"""
SUCCEEDING = ("to_file", "to_xcom", "to_postgresql", "to_sqlite")


def as_connection(url):
    """Return the connection to a PostgreSQL, with a password that it does not ask for."""
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": url.query.get("host") or url.host,
            "port": url.port,
            "login": url.username,
            "password": DATABASE_PASSWORD,
            "schema": url.database,
        }
    )


IN_ONE_WORKER = pytest.mark.xdist_group("openlineage")


@pytest.fixture(scope="module", params=[pytest.param("dag.test", marks=[needs_dag_test, IN_ONE_WORKER])])
def run_of_dag(postgresql, tmp_path_factory):
    """A run of the DAG as Airflow does it: its folder, its output and its events."""
    home = tmp_path_factory.mktemp("openlineage")
    (home / "dags").mkdir()
    (home / "dags" / "reported.py").write_text(DAG + RUN)
    events = home / "events.jsonl"
    database = make_url(postgresql)
    with Sandbox(keys=25) as sandbox:
        environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(events), "append": True}
            ),
            # The provider of that time recurses without end into what there is of any task.
            "AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO": str(not BEFORE_AIRFLOW_3_3),
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_REFUSED": json.dumps(
                {"conn_type": "openrouter", "host": sandbox.base_url, "password": "sk-or-v1-refused-and-secret"}
            ),
            "AIRFLOW_CONN_POSTGRESQL": as_connection(database),
            "AIRFLOW_CONN_SQLITE": json.dumps({"conn_type": "sqlite", "host": str(home / "keys.db")}),
            "LAKE": f"file://{home}/lake",
        }
        run = subprocess.run(
            [sys.executable, home / "dags" / "reported.py"],
            capture_output=True, text=True, env=environment, timeout=240,
        )  # fmt: skip
        base_url = sandbox.base_url
        token = sandbox.token
    engine = create_engine(postgresql)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS lineage_keys"))
    engine.dispose()
    assert events.exists(), run.stdout[-4000:] + run.stderr[-4000:]
    return {
        "home": home,
        "output": run.stdout + run.stderr,
        "states": json.loads((home / "dags" / "states.json").read_text()),
        "text": events.read_text(),
        "base_url": base_url,
        "token": token,
        "database": database,
    }


def event_of(run_of_dag, task_id, kind="COMPLETE"):
    events = (json.loads(line) for line in run_of_dag["text"].splitlines())
    [event] = [
        event for event in events if event["job"]["name"].endswith(f".{task_id}") and event["eventType"] == kind
    ]
    return event


def test_the_run_was_as_it_should_be(run_of_dag):
    assert run_of_dag["states"] == {**dict.fromkeys(SUCCEEDING, "success"), "refused": "failed"}


@pytest.mark.parametrize("task_id", SUCCEEDING)
def test_the_api_is_the_input_of_every_task(task_id, run_of_dag):
    [api] = event_of(run_of_dag, task_id)["inputs"]
    host = run_of_dag["base_url"].removesuffix("/api/v1")
    assert (api["namespace"], api["name"]) == (host, "api/v1/keys")
    assert {field["name"]: field["type"] for field in api["facets"]["schema"]["fields"]} == FIELDS


@pytest.mark.parametrize("task_id", ["to_file", "to_postgresql", "to_sqlite"])
def test_what_is_written_is_reported_with_columns_and_rows(task_id, run_of_dag):
    [written] = event_of(run_of_dag, task_id)["outputs"]
    assert {field["name"]: field["type"] for field in written["facets"]["schema"]["fields"]} == FILE_COLUMNS
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 25


def test_a_file_is_reported_by_its_path_and_size(run_of_dag):
    [written] = event_of(run_of_dag, "to_file")["outputs"]
    path = run_of_dag["home"] / "lake" / "openrouter_default.parquet"
    assert (written["namespace"], written["name"]) == ("file", str(path))
    assert written["outputFacets"]["outputStatistics"]["size"] == path.stat().st_size


def test_a_postgresql_table_is_reported_by_its_full_name(run_of_dag):
    [written] = event_of(run_of_dag, "to_postgresql")["outputs"]
    assert written["namespace"].startswith("postgres://")
    assert written["name"] == f"{run_of_dag['database'].database}.public.lineage_keys"
    assert "size" not in written["outputFacets"]["outputStatistics"]


def test_a_sqlite_table_is_reported_by_file_and_name(run_of_dag):
    [written] = event_of(run_of_dag, "to_sqlite")["outputs"]
    assert (written["namespace"], written["name"]) == ("sqlite://", f"{run_of_dag['home']}/keys.db.lineage_keys")


def test_a_task_that_writes_nothing_has_no_output(run_of_dag):
    assert not event_of(run_of_dag, "to_xcom").get("outputs")


def test_a_failed_task_is_reported_without_an_output(run_of_dag):
    event = event_of(run_of_dag, "refused", "FAIL")
    assert not event.get("outputs")


def test_no_key_and_no_password_is_in_an_event_or_in_the_output(run_of_dag):
    for secret in (run_of_dag["token"], DATABASE_PASSWORD, "sk-or-v1-refused-and-secret"):
        assert secret not in run_of_dag["text"]
        assert secret not in without_what_airflow_masks(run_of_dag["output"])


# -- without OpenLineage

WITHOUT = """
import sys
from types import SimpleNamespace

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        theirs = name.startswith("airflow.providers.openlineage.") and not name.endswith(".get_provider_info")
        if theirs or name.partition(".")[0] == "openlineage":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nowhere())
from airflow.sdk.bases.operator import ExecutorSafeguard

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

ExecutorSafeguard.test_mode = True
context = {"ti": SimpleNamespace(xcom_push=lambda key, value: None), "outlet_events": {}}
for operator in (
    OpenRouterListKeysOperator(task_id="to_file", output_path=sys.argv[1]),
    OpenRouterListKeysOperator(task_id="to_xcom", xcom_format="records"),
    OpenRouterKeysToSqlOperator(task_id="to_sqlite", sql_conn_id="sqlite", table="keys"),
):
    assert operator.get_openlineage_facets_on_complete(None) is None
    print("did", operator.task_id, len(operator.execute(context)))
print("loaded", [name for name in sys.modules if "openlineage" in name.split(".")])
"""


def test_without_openlineage_the_operators_work(sandbox, connection, tmp_path):
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_SQLITE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "keys.db")}),
    }
    path = str(tmp_path / "keys.parquet")
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, path], capture_output=True, text=True, env=environment, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    said = [line for line in ran.stdout.splitlines() if line.startswith(("did ", "loaded "))]
    assert said == [f"did to_file {len(path)}", "did to_xcom 25", "did to_sqlite 6", said[-1]]
    assert "openlineage.client" not in said[-1]
