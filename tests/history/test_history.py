"""The SQL that the package returns for tables, folders and days of one's own."""

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from support.databases import connection_to
from support.histories import KINDS, PARQUET_TYPES, make_database
from support.year import DAY
from test_history_rules import NIGHT, row

from airflow_provider_openrouter import history
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.schema import table_of

ROWS = [row("key", NIGHT + day * DAY, usage=day / 3) for day in range(10)]


def test_a_table_of_any_name_is_read(table_dialect, request, tmp_path_factory, monkeypatch):
    url = make_database(table_dialect, request, tmp_path_factory)
    schema, table = ("main", 'Keys of "us"') if table_dialect == "sqlite" else (None, 'Keys of "us"')
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        target = table_of(kinds.KEYS, table, None, connection)
        target.create(connection)
        connection.execute(target.insert(), ROWS)
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(sa.make_url(url)))

    def run(sql, **arguments):
        return SQLExecuteQueryOperator(task_id="ask", conn_id="warehouse", sql=sql, **arguments).execute({})

    run(
        history.sql("views", dialect=table_dialect, table=f"{schema}.{table}" if schema else table),
        split_statements=True,
    )
    question = history.sql("spend_per_day", dialect=table_dialect, days=3)
    assert [found[2:5] for found in run(question)] == [("key", "key", 0.333333)] * 3


def test_a_folder_of_any_name_is_read(tmp_path):
    folder = tmp_path / "the team's lake"
    folder.mkdir()
    types = pa.schema([(name, PARQUET_TYPES[kind]) for name, kind in KINDS.items()])
    pa.parquet.write_table(pa.Table.from_pylist(ROWS, schema=types), folder / "keys.parquet")
    with duckdb.connect() as connection:
        connection.execute(history.sql("views", dialect="duckdb", folder=f"{folder}/"))
        question = history.sql("spend_per_day", dialect="duckdb", days=3)
        assert [found[2:5] for found in connection.execute(question).fetchall()] == [("key", "key", 0.333333)] * 3


REFUSED = [
    ({"name": "views", "dialect": "oracle"}, "dialect must be one of postgresql, sqlite, mysql, duckdb"),
    ({"name": "spend", "dialect": "sqlite"}, "name must be views or one of spend_per_day, "),
    ({"name": "top_spenders", "dialect": "sqlite", "table": "keys"}, "table and folder are for the views"),
    ({"name": "top_spenders", "dialect": "duckdb", "folder": "keys"}, "table and folder are for the views"),
    ({"name": "views", "dialect": "duckdb", "table": "keys"}, "give folder in place of table"),
    ({"name": "views", "dialect": "sqlite", "folder": "keys"}, "give table in place of folder"),
    *(
        ({"name": "top_spenders", "dialect": "sqlite", "days": days}, "days must be")
        for days in (0, True, "7", 1.5)
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_an_argument_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(OpenRouterRequestError, match=message):
        history.sql(**arguments)
