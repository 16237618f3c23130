"""The example DAGs, parsed and run by Airflow."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from support.databases import connection_to
from support.lines import DagBag, needs_dag_test, needs_frames_in_xcom, plain, without_what_airflow_masks
from support.sandboxes import once_asked

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))

pytestmark = pytest.mark.xdist_group("airflow database")


@pytest.fixture
def dag_bag(airflow_database):
    bag = DagBag(ROOT / "dags")
    activate([asset for dag in bag.dags.values() for task in dag.tasks for asset in task.outlets])
    return bag


def activate(assets):
    """Register and activate assets like the DAG processor: Airflow 3.0 runs no task with another outlet."""
    from airflow.models.asset import AssetActive, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        for asset in assets:
            if not session.get(AssetActive, (asset.name, asset.uri)):
                session.add(AssetModel(name=asset.name, uri=asset.uri))
                session.flush()
                session.add(AssetActive(name=asset.name, uri=asset.uri))


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_OPENROUTER_LAKE", tmp_path.as_uri())
    return tmp_path


def test_dag_files_parse_without_heavy_imports_or_warnings(tmp_path):
    program = f"""
import os, runpy, sys, warnings
from airflow.exceptions import RemovedInAirflow4Warning
from airflow.sdk import DAG, task
task.python  # what Airflow itself imports, and its warnings, are not ours
loaded = set(sys.modules)
for path in {list(map(str, DAG_FILES))!r}:
    if not os.fork():
        warnings.simplefilter("error")
        runpy.run_path(path)
        heavy = {{"numpy", "pandas", "pyarrow", "requests", "sqlalchemy"}}
        print("parsed", sorted((set(sys.modules) - loaded) & heavy), flush=True)
        os._exit(0)
    os.wait()
"""
    parsed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=_environment(tmp_path), timeout=120
    )
    lines = [line for line in parsed.stdout.splitlines() if line.startswith("parsed")]
    assert lines == ["parsed []"] * len(DAG_FILES), parsed.stderr


def test_every_dag_file_is_imported_without_errors(dag_bag):
    assert not dag_bag.import_errors
    assert set(dag_bag.dags) == {path.stem for path in DAG_FILES}
    assert all(dag.doc_md for dag in dag_bag.dags.values())


@needs_dag_test
@needs_frames_in_xcom
def test_the_snapshot_dag_writes_every_key_and_passes_a_frame(dag_bag, lake, sandbox, connection, caplog, capfd):
    run = dag_bag.dags["openrouter_keys_snapshot"].test()

    assert run.state == "success"
    [path] = lake.rglob("*.parquet")
    assert (
        path.relative_to(lake).as_posix() == f"keys/date={run.run_after:%Y-%m-%d}/openrouter_default/all.parquet"
    )
    assert len(pd.read_parquet(path)) == 25

    tasks = {instance.task_id: instance for instance in run.get_task_instances()}
    assert tasks["write_snapshot"].xcom_pull(task_ids="write_snapshot") == path.as_uri().replace("%3D", "=")
    summary = tasks["list_keys"].xcom_pull(task_ids="list_keys", key="summary")
    assert (summary["keys"], summary["workspace"]) == (25, "all workspaces")
    shown = caplog.text + "".join(capfd.readouterr())
    assert f"in all: {pd.read_parquet(path).nlargest(1, 'usage_monthly')['name'].item()}" in shown

    assert sandbox.token not in without_what_airflow_masks(shown)
    for kept in (*Path(os.environ["AIRFLOW_HOME"]).rglob("*"), *lake.rglob("*")):
        assert not kept.is_file() or sandbox.token.encode() not in kept.read_bytes(), kept


@needs_dag_test
def test_the_alert_dag_defers_until_a_key_is_low(dag_bag, monkeypatch, log):
    dag = dag_bag.dags["openrouter_key_limit_alert"]
    monkeypatch.setattr(dag.get_task("wait_for_low_key"), "poke_interval", 0.2)
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        key = sandbox.create_key(
            name="spent",
            label="sk-or-v1-49a...8bd",
            limit=5_000.0,
            limit_remaining=5_000.0,
            limit_reset=None,
            expires_at=None,
        )
        with once_asked(sandbox, 9, lambda: sandbox.update_key(key, limit_remaining=0.25)):
            run = dag.test()

    assert run.state == "success"
    logged = log()
    assert "The trigger found 1 low key" in logged
    tasks = {instance.task_id: instance for instance in run.get_task_instances()}
    [low] = tasks["wait_for_low_key"].xcom_pull(task_ids="wait_for_low_key")
    assert (low["hash"], low["limit_remaining"]) == (key, 0.25)
    message = tasks["wait_for_low_key"].xcom_pull(task_ids="wait_for_low_key", key="message")
    assert message.splitlines()[1] == (
        "- spent (sk-or-v1-49a...8bd, Default) has $0.25 of $5,000.00 left, below 10% of the limit, never resets"
    )
    assert all(line in logged for line in message.splitlines())


@needs_dag_test
def test_a_limit_is_raised_for_a_while_and_restored(dag_bag, monkeypatch):
    with Sandbox() as sandbox:
        updates = json.loads(sandbox.connection) | {"extra": {"allow_updates": True}}
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_UPDATES", json.dumps(updates))
        key = sandbox.create_key(name="billing", limit=5.0)
        run = dag_bag.dags["openrouter_key_raise_for_a_while"].test(
            run_conf={"key_hash": key, "limit": 50, "hours": 0}
        )
        assert run.state == "success"
        assert [request for request in sandbox.requests if request.startswith("PATCH")] == [
            f"PATCH /api/v1/keys/{key}"
        ] * 2
        assert sandbox.get_key(key)["limit"] == 5


@needs_dag_test
def test_the_warehouse_dag_can_run_again_without_doubling_rows(dag_bag, lake, postgresql, monkeypatch):
    warehouse = make_url(postgresql)
    connection = {
        "conn_type": "postgres",
        "host": warehouse.query["host"],
        "login": warehouse.username,
        "schema": warehouse.database,
    }
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_WAREHOUSE", json.dumps(connection))
    with Sandbox(keys=60, workspaces=3) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        for _ in range(2):
            run = dag_bag.dags["openrouter_keys_warehouse"].test()
            assert run.state == "success"

    tables = [pd.read_parquet(path) for path in lake.rglob("*.parquet")]
    assert [len(table) for table in tables] == [20] * 3
    engine = create_engine(postgresql)
    with engine.begin() as database:
        rows = database.execute(text("SELECT hash, workspace_scope FROM openrouter_keys")).all()
        database.execute(text("DROP TABLE openrouter_keys"))
    engine.dispose()
    in_lake = pd.concat(tables)[["hash", "workspace_scope"]].itertuples(index=False, name=None)
    assert sorted(rows) == sorted(in_lake)


@needs_dag_test
def test_the_spend_dag_writes_yesterday_and_skips_a_day_too_old(dag_bag, lake, connection, monkeypatch):
    warehouse = create_engine(f"sqlite:///{lake}/warehouse.db")
    monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_WAREHOUSE", connection_to(warehouse.url))
    dag = dag_bag.dags["openrouter_spend_by_model"]
    now = datetime.now(UTC)
    assert dag.test(run_after=now).state == "success"
    skipped = dag.test(run_after=now - timedelta(days=30)).get_task_instances()

    yesterday = f"{now - timedelta(days=1):%Y-%m-%d}"
    spent = sum(row["usage"] for row in OpenRouterHook().list_activity(date=yesterday))
    with warehouse.begin() as database:
        found = database.execute(text("SELECT date, sum(usage), count(*) FROM openrouter_activity GROUP BY date"))
        [(date, usage, rows)] = found.all()
    warehouse.dispose()
    assert (date, usage) == (yesterday, pytest.approx(spent))
    [path] = lake.rglob("*.parquet")
    assert path.relative_to(lake).as_posix() == f"activity/date={yesterday}/openrouter_default/key.parquet"
    assert len(pd.read_parquet(path)) == rows > 0
    assert {task.task_id: task.state for task in skipped} == {
        "is_remembered": "success",
        "write_lake": "skipped",
        "write_warehouse": "skipped",
    }


@needs_dag_test
@needs_frames_in_xcom
def test_a_refused_key_fails_the_task_and_is_not_shown(dag_bag, lake, sandbox, monkeypatch, capfd):
    secret = "sk-or-v1-a-secret-that-must-not-be-shown"
    monkeypatch.setenv(
        "AIRFLOW_CONN_OPENROUTER_DEFAULT",
        json.dumps({"conn_type": "openrouter", "host": sandbox.base_url, "password": secret}),
    )
    dag = dag_bag.dags["openrouter_keys_snapshot"]
    for task in dag.tasks:
        monkeypatch.setattr(task, "retries", 0)  # they would take minutes
    run = dag.test()

    assert run.state == "failed"
    assert len(sandbox.requests) == 2
    shown = "".join(capfd.readouterr())
    assert "must be an active management key" in plain(shown)
    assert "The management key is the password of connection 'openrouter_default'." in plain(shown)
    assert secret not in without_what_airflow_masks(shown)
    for path in Path(os.environ["AIRFLOW_HOME"]).rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


COMMANDS = """
from airflow.__main__ import main
import sys

for command in ("providers list -o plain", "providers hooks -o plain", "connections test openrouter_default"):
    sys.argv = ["airflow", *command.split()]
    main()
"""


def test_airflow_lists_the_provider_and_tests_its_connection(tmp_path):
    with Sandbox() as sandbox:
        environment = _environment(tmp_path) | {
            "AIRFLOW_CONN_OPENROUTER_DEFAULT": sandbox.connection,
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        }
        shown = subprocess.run(
            [sys.executable, "-c", COMMANDS],
            capture_output=True, text=True, check=True, env=environment, timeout=120,
        ).stdout  # fmt: skip
    for expected in ("airflow-provider-openrouter", "openrouter_conn_id", "Connection success"):
        assert expected in shown


def connection_form():
    """Return the form as the API server sends it to the UI."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [form] = [each for each in HookMetaService.hook_meta_data() if each.connection_type == "openrouter"]
    return form


@pytest.mark.airflow(">=3.1", "form")  # before 3.1 a form has no labels unless wtforms is installed
def test_the_connection_form_has_labels_and_hides_other_fields():
    fields = connection_form().standard_fields
    assert fields.password.title == "Management API key"
    assert (fields.host.title, fields.host.placeholder) == ("Base URL", "https://openrouter.ai/api/v1")
    assert fields.login.hidden
    assert fields.url_schema.hidden
    assert not fields.port.hidden


@pytest.mark.airflow(">=3.2", "form")
def test_the_extras_are_typed_fields_of_the_connection_form():
    extras = connection_form().extra_fields
    assert {name: field["schema"]["type"][0] for name, field in extras.items()} == {
        "timeout": "number",
        "max_retries": "integer",
        "max_concurrency": "integer",
        "allow_http": "boolean",
        "allow_updates": "boolean",
    }


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/a.db",
    }
