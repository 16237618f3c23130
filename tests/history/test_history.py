"""The SQL that the package returns for tables, folders and days of one's own."""

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from support.autumn import activity_row
from support.databases import connection_to
from support.histories import KINDS, NIGHT, PARQUET_TYPES, create_activity, make_database, row, write_activity
from support.year import DAY

from airflow_provider_openrouter import history
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.schema import table_of

ROWS = [row("key", NIGHT + day * DAY, usage=day / 3) for day in range(10)]
ACTIVITY = [activity_row(NIGHT.date() + day * DAY, key="key", key_name="k", usage=1 / 3) for day in range(10)]


def test_a_table_of_any_name_is_read(table_dialect, request, tmp_path_factory, monkeypatch):
    url = make_database(table_dialect, request, tmp_path_factory)
    schema, table = ("main", 'Keys of "us"') if table_dialect == "sqlite" else (None, 'Keys of "us"')
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        target = table_of(kinds.KEYS, table, None, connection)
        target.create(connection)
        connection.execute(target.insert(), ROWS)
        create_activity(connection, 'What "we" spend', ACTIVITY)
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(sa.engine.make_url(url)))

    def run(sql, **arguments):
        return SQLExecuteQueryOperator(task_id="ask", conn_id="warehouse", sql=sql, **arguments).execute({})

    prefix = f"{schema}." if schema else ""
    activity_table = f'{prefix}What "we" spend'
    views = history.sql("views", dialect=table_dialect, table=f"{prefix}{table}", activity_table=activity_table)
    run(views, split_statements=True)
    question = history.sql("spend_per_day", dialect=table_dialect, days=3)
    assert [found[2:5] for found in run(question)] == [("key", "key", 0.333333)] * 3
    question = history.sql("spend_per_prefix_and_model", dialect=table_dialect, days=3)
    assert [(found[1], float(found[5])) for found in run(question)] == [("key", 1)]
    run(history.sql("views", dialect=table_dialect, activity_table=activity_table), split_statements=True)
    assert [(found[1], float(found[5])) for found in run(question)] == [("k", 1)]


def test_a_folder_of_any_name_is_read(tmp_path):
    folder = tmp_path / "the team's lake"
    (folder / "keys").mkdir(parents=True)
    types = pa.schema([(name, PARQUET_TYPES[kind]) for name, kind in KINDS.items()])
    pa.parquet.write_table(pa.Table.from_pylist(ROWS, schema=types), folder / "keys/keys.parquet")
    write_activity(folder / "activity", ACTIVITY)
    folders = {"folder": f"{folder}/keys/", "activity_folder": f"{folder}/activity"}
    with duckdb.connect() as connection:
        connection.execute(history.sql("views", dialect="duckdb", **folders))
        question = history.sql("spend_per_day", dialect="duckdb", days=3)
        assert [found[2:5] for found in connection.execute(question).fetchall()] == [("key", "key", 0.333333)] * 3
        question = history.sql("spend_per_model", dialect="duckdb", days=3)
        assert [found[6] for found in connection.execute(question).fetchall()] == [0.333333] * 3


REFUSED = [
    ({"name": "views", "dialect": "oracle"}, "dialect must be one of postgresql, sqlite, mysql, duckdb"),
    ({"name": "spend", "dialect": "sqlite"}, "name must be views or one of spend_per_day, "),
    ({"name": "views", "dialect": "sqlite", "days": 30}, "days is only for the questions"),
    *(
        ({"name": "top_spenders", "dialect": "duckdb", argument: "x"}, f"{argument} is only for the views")
        for argument in ("table", "folder", "activity_table", "activity_folder")
    ),
    *(
        ({"name": "views", "dialect": dialect, wrong: "x"}, f"take no {wrong}: give {right} in its place")
        for kind in ("", "activity_")
        for dialect, wrong, right in (
            ("duckdb", f"{kind}table", f"{kind}folder"),
            ("mysql", f"{kind}folder", f"{kind}table"),
        )
    ),
    *(
        ({"name": "top_spenders", "dialect": "sqlite", "days": days}, "days must be")
        for days in (0, True, "7", 1.5)
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_an_argument_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(OpenRouterRequestError, match=message):
        history.sql(**arguments)
