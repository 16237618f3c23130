"""The DAGs of docs/warehouses.md, as they are there, run by Airflow against stand-ins for the warehouses."""

import json
import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import databricks.sql
import pytest
import redshift_connector
import snowflake.connector
from stand_ins import Warehouse, bigquery
from support.lines import DagBag
from support.s3 import running_s3

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds

FILE_COLUMNS = kinds.KEYS.columns

PAGE = (Path(__file__).parents[2] / "docs" / "warehouses.md").read_text()
SECTIONS = {
    title: dict(re.findall(r"```(sql|python)\n(.*?)```", text, re.DOTALL))
    for title, text in re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
BUCKET = "my-lake"
CONNECTIONS = {
    "AWS_DEFAULT": {"conn_type": "aws", "login": "AKIAIOSFODNN7EXAMPLE", "password": "not-checked-by-moto"},
    "GOOGLE_CLOUD_DEFAULT": {
        "conn_type": "google_cloud_platform",
        "extra": {"is_anonymous": True, "project": "my-project"},
    },
    "SNOWFLAKE_DEFAULT": {"conn_type": "snowflake", "login": "airflow", "extra": {"account": "my-account"}},
    "REDSHIFT_DEFAULT": {"conn_type": "redshift", "host": "redshift.example.com", "login": "airflow"},
    "DATABRICKS_DEFAULT": {
        "conn_type": "databricks",
        "host": "databricks.example.com",
        "password": "token",
        "extra": {"http_path": "/sql/1.0/warehouses/1"},
    },
}
OURS = "granularity = 'day' AND source = 'openrouter_default' AND workspace_scope = '*'"
STATEMENTS = {
    "Snowflake": [
        f"DELETE FROM openrouter_keys WHERE snapshot = '{{day}}T00:00:00+00:00'::TIMESTAMP_TZ AND {OURS}",
        "COPY INTO openrouter_keys FROM '@openrouter_lake/{key}' "
        "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE) "
        "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE FORCE = TRUE",
    ],
    "BigQuery": {
        "autodetect": None,
        "createDisposition": "CREATE_NEVER",
        "destinationTable": {"projectId": "my-project", "datasetId": "my_dataset"},
        "ignoreUnknownValues": False,
        "parquetOptions": {},
        "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"],
        "sourceFormat": "PARQUET",
        "timePartitioning": {"type": "DAY", "field": "snapshot"},
        "writeDisposition": "WRITE_TRUNCATE",
    },
    "Redshift": [
        f"DELETE FROM openrouter_keys WHERE \"snapshot\" = '{{day}} 00:00:00+00' AND {OURS}",
        "COPY openrouter_keys FROM 's3://my-lake/{key}' IAM_ROLE default FORMAT AS JSON 'auto' TIMEFORMAT 'auto'",
    ],
    "Databricks": [
        "INSERT INTO main.default.openrouter_keys "
        f"REPLACE WHERE snapshot = TIMESTAMP '{{day}}T00:00:00+00:00' AND {OURS} "
        f"SELECT {', '.join(FILE_COLUMNS).replace(' limit,', ' `limit`,')} FROM parquet.`s3://my-lake/{{key}}`"
    ],
}
OTHERS = {
    "the day before": ("day", "openrouter_default", "*", timedelta(days=1)),
    "by the hour": ("hour", "openrouter_default", "*", timedelta(0)),
    "another account": ("day", "other", "*", timedelta(0)),
    "another workspace": ("day", "openrouter_default", "default", timedelta(0)),
}


@pytest.fixture(scope="module")
def s3():
    with running_s3() as url:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=CONNECTIONS["AWS_DEFAULT"]["login"],
            aws_secret_access_key=CONNECTIONS["AWS_DEFAULT"]["password"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield client


class Case:
    """A DAG of the page, its warehouse, and an account of OpenRouter."""

    def __init__(self, title, folder, s3, sandbox):
        self.title = title
        self.sandbox = sandbox
        self.bucket = folder / f"google_cloud_default@{BUCKET}"
        self.s3 = s3
        self.copies = folder
        self.keys = []
        self.warehouse = Warehouse(title.lower(), SECTIONS[title]["sql"], self.fetch)
        (folder / f"{title}.py").write_text(SECTIONS[title]["python"])
        bag = DagBag(folder)
        assert bag.import_errors == {}
        [self.dag] = bag.dags.values()
        if title == "BigQuery":  # there is no stand-in for Cloud Storage
            write_file = self.dag.get_task("write_file")
            write_file.output_path = write_file.output_path.replace("gs://", folder.as_uri() + "/")

    def fetch(self, key):
        """Return a local copy of a file in the bucket."""
        self.keys.append(key)
        if self.title == "BigQuery":
            return self.bucket / key
        copy = self.copies / f"copy{Path(key).suffix}"
        self.s3.download_file(BUCKET, key, copy)
        return copy

    def run(self):
        return self.dag.test(logical_date=datetime.now(UTC) - timedelta(days=7)).state

    def rows(self):
        """Return the hashes that the table has of each partition."""
        rows = self.warehouse.database.execute(
            "SELECT snapshot, granularity, source, workspace_scope, list(hash ORDER BY hash) "
            "FROM openrouter_keys GROUP BY ALL"
        ).fetchall()
        return {(snapshot.astimezone(UTC), *others): hashes for snapshot, *others, hashes in rows}

    @property
    def day(self):
        """The day of the file that was loaded last."""
        return datetime.fromisoformat(self.keys[-1].split("/")[2]).replace(tzinfo=UTC)


@pytest.fixture(params=["Snowflake", "BigQuery", "Redshift", "Databricks"])
def case(request, tmp_path, s3, airflow_database, monkeypatch):
    bundle = {
        "name": "page",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    for name, connection in CONNECTIONS.items():
        if name == "AWS_DEFAULT":
            endpoint = {"endpoint_url": s3.meta.endpoint_url, "region_name": "us-east-1"}
            connection = connection | {"extra": endpoint}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
    with Sandbox(keys=60, workspaces=3) as sandbox, ExitStack() as stack:
        monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        case = Case(request.param, tmp_path, s3, sandbox)
        connect = case.warehouse.connect
        monkeypatch.setattr(snowflake.connector, "connect", lambda **_: connect())
        monkeypatch.setattr(redshift_connector, "connect", lambda **_: connect())
        monkeypatch.setattr(databricks.sql, "connect", lambda *_, **__: connect(commits_each=True))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.enter_context(bigquery(case.warehouse)))
        yield case


def test_every_key_is_loaded_with_its_values(case):
    assert case.run() == "success"
    columns = case.warehouse.database.execute("SELECT * FROM openrouter_keys").description
    assert [name.lower() for name, *_ in columns] == list(FILE_COLUMNS)
    assert set(case.rows()) == {(case.day, "day", "openrouter_default", "*")}

    def time(text):
        return text and datetime.fromisoformat(text)

    keys = OpenRouterHook().list_keys(workspace_id="*", include_disabled=True, include_expired=True)
    loaded = case.warehouse.database.execute(
        'SELECT hash, name, disabled, "limit", usage, workspace_id, created_at, expires_at FROM openrouter_keys'
    ).fetchall()
    as_they_are = ("hash", "name", "disabled", "limit", "usage", "workspace_id")
    assert sorted(loaded) == sorted(
        (*(key[name] for name in as_they_are), time(key["created_at"]), time(key["expires_at"])) for key in keys
    )
    assert len(loaded) == 60


def test_the_rendered_statements_are_those_of_the_page(case):
    case.run()
    [key] = case.keys
    suffix = ".jsonl" if case.title == "Redshift" else ".parquet"
    assert key == f"openrouter/keys/{case.day:%Y-%m-%d}/openrouter_default/all{suffix}"
    if case.title == "BigQuery":
        [load] = map(json.loads, case.warehouse.statements)
        assert load.pop("sourceUris") == [f"gs://{BUCKET}/{key}"]
        assert load["destinationTable"].pop("tableId") == f"openrouter_keys${case.day:%Y%m%d}"
        assert load == STATEMENTS["BigQuery"]
    else:
        rendered = [" ".join(statement.split()) for statement in case.warehouse.statements]
        expected = STATEMENTS[case.title]
        assert rendered == [each.format(day=f"{case.day:%Y-%m-%d}", key=key) for each in expected]


def test_running_a_day_again_replaces_its_rows_and_no_others(case):
    case.run()
    others = OTHERS if case.title != "BigQuery" else {"the day before": OTHERS["the day before"]}
    for hash_, (granularity, source, scope, earlier) in others.items():
        case.warehouse.database.execute(
            "INSERT INTO openrouter_keys (snapshot, granularity, source, workspace_scope, hash) "
            "VALUES (?, ?, ?, ?, ?)",
            (case.day - earlier, granularity, source, scope, hash_),
        )
    key = case.sandbox.create_key(name="new")
    assert case.run() == "success"
    rows = case.rows()
    loaded = rows.pop((case.day, "day", "openrouter_default", "*"))
    assert len(loaded) == 61
    assert key in loaded
    assert sorted(hashes[0] for hashes in rows.values()) == sorted(others)


def test_a_load_that_fails_leaves_the_day_as_it_was(case):
    case.run()
    before = case.rows()
    case.warehouse.fails = True
    case.dag.get_task("load").retries = 0
    assert case.run() == "failed"
    assert case.rows() == before
