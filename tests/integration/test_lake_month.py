"""A month of files is one table in pandas, pyarrow and DuckDB."""

from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from support.lake import PARTITIONS, files_below, run

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema

FILE_COLUMNS = kinds.KEYS.columns
SCHEMA = arrow_schema(kinds.KEYS.columns)

pytestmark = [pytest.mark.usefixtures("outside_the_task_runner"), pytest.mark.xdist_group("lake")]


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Thirty daily files, of an account that the API shows with other unknown fields each day."""
    lake = tmp_path_factory.mktemp("month")
    days = [datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=day) for day in range(30)]
    patch = pytest.MonkeyPatch()
    patch.setattr(ExecutorSafeguard, "test_mode", True)
    with Sandbox(keys=0) as sandbox:
        patch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
        for number, day in enumerate(days):
            changing = [
                {},
                {"rank": number},
                {"rank": f"no. {number}", "budget": {"usd": number}},
                {"rank": None, "tags": ["a", number]},
                {"observed_at": "not ours", "snapshot": 5, f"only_on_{number}": True},
            ]
            sandbox.create_key(usage=float(number), expires_at=None, **changing[number % 5])
            run(f"{lake}/{PARTITIONS}.parquet", snapshot=day.isoformat())
    patch.undo()
    return lake


@pytest.fixture(scope="module")
def lake_in_duckdb(month):
    with duckdb.connect() as database:
        database.sql("SET timezone = 'UTC'")
        database.sql(f"CREATE VIEW keys AS FROM read_parquet('{month}/keys/date=*/*/*.parquet')")
        yield database


def test_thirty_days_are_one_table_in_duckdb(lake_in_duckdb):
    assert lake_in_duckdb.sql("SELECT count(*), count(DISTINCT snapshot) FROM keys").fetchall() == [(465, 30)]
    types = {
        "string": "VARCHAR",
        "boolean": "BOOLEAN",
        "number": "DOUBLE",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
    }
    described = {name: kind for name, kind, *_ in lake_in_duckdb.sql("DESCRIBE keys").fetchall()}
    described.pop("date", None)
    assert described == {name: types[kind] for name, kind in FILE_COLUMNS.items()}


def test_spend_per_day_is_one_query_in_duckdb(lake_in_duckdb):
    rows = lake_in_duckdb.sql(
        'SELECT snapshot::DATE::VARCHAR, count(*), sum("usage") FROM keys GROUP BY ALL ORDER BY ALL'
    ).fetchall()
    assert rows == [
        (f"2026-09-{number + 1:02}", number + 1, float(number * (number + 1) / 2)) for number in range(30)
    ]


def test_unknown_fields_are_queried_as_json_in_duckdb(lake_in_duckdb):
    rows = lake_in_duckdb.sql(
        "SELECT \"usage\"::INT, extra_fields::JSON ->> '$.budget.usd' FROM keys "
        "WHERE snapshot = '2026-09-30' AND (extra_fields::JSON ->> '$.budget.usd') IS NOT NULL ORDER BY 1"
    ).fetchall()
    assert rows == [(number, str(number)) for number in range(2, 30, 5)]
    [(without,)] = lake_in_duckdb.sql(
        "SELECT count(*) FROM keys WHERE snapshot = '2026-09-30' AND extra_fields IS NULL"
    ).fetchall()
    assert without == 6


def test_an_unknown_field_does_not_replace_a_column_of_its_name(lake_in_duckdb):
    [(snapshots, mine)] = lake_in_duckdb.sql(
        "SELECT count(DISTINCT snapshot), min(extra_fields::JSON ->> '$.observed_at') FROM keys "
        "WHERE extra_fields LIKE '%only_on_4\"%'"
    ).fetchall()
    assert (snapshots, mine) == (26, "not ours")


def test_thirty_days_are_one_table_in_pandas_and_pyarrow(month):
    frame = pd.read_parquet(month)
    dataset = pa.dataset.dataset(month / "keys", partitioning="hive")
    assert len(frame) == dataset.count_rows() == 465
    assert dataset.schema.remove(dataset.schema.get_field_index("date")).equals(SCHEMA, check_metadata=False)
    known = frame[list(FILE_COLUMNS)]
    assert known.dtypes.equals(pd.read_parquet(files_below(month)[7], partitioning=None).dtypes)
    assert (frame["snapshot"].dt.strftime("%Y-%m-%d") == frame["date"].astype(str)).all()


def test_every_file_of_the_month_has_the_same_schema(month):
    assert len(files_below(month)) == 30
    for path in files_below(month):
        assert pa.parquet.read_schema(path).equals(SCHEMA, check_metadata=False)


def test_no_keys_nulls_and_unknown_fields_make_one_schema(monkeypatch, tmp_path):
    nothing = dict.fromkeys(FIELDS.keys() - {"hash", "workspace_id"}) | {"disabled": True}
    accounts = {"none": [], "nulls": [nothing], "unknown": [{"rank": 1}, {"rank": "first", "mood": [{}]}]}
    for name, keys in accounts.items():
        with Sandbox(keys=0) as sandbox:
            for key in keys:
                sandbox.create_key(**key)
            monkeypatch.setenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", sandbox.connection)
            run(tmp_path / f"{name}.parquet")
    schemas = [pa.parquet.read_schema(path) for path in files_below(tmp_path)]
    assert len(schemas) == 3
    assert all(schema.equals(SCHEMA, check_metadata=False) for schema in schemas)
    assert {tuple(schema.remove_metadata()) for schema in schemas} == {tuple(SCHEMA)}
    assert pd.read_parquet(tmp_path)["extra_fields"].dropna().tolist() == [
        '{"mood": [{}], "rank": "first"}',
        '{"rank": 1}',
    ]
