"""A history in a database, with the views and questions of the package."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from importlib.resources import files
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.sql.hooks.sql import DbApiHook
from support.databases import engine_of
from support.year import DAY, Year

from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.columns import arrow_schema
from airflow_provider_openrouter.snapshots.dialects import dialect_of
from airflow_provider_openrouter.snapshots.schema import prepare_table, table_of

FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity
OLD_IDENTITY = kinds.KEYS.old_identity

HISTORY = files("airflow_provider_openrouter") / "history"
KINDS = {
    **dict.fromkeys(("granularity", "source", "workspace_scope", "hash", "name", "label", "limit_reset"), str),
    **dict.fromkeys(("workspace_id", "workspace_name", "creator_user_id", "external_user", "extra_fields"), str),
    **dict.fromkeys(("disabled", "include_byok_in_limit"), bool),
    **dict.fromkeys(("limit", "limit_remaining"), float),
    **{
        f"{kind}{period}": float
        for kind in ("usage", "byok_usage")
        for period in ("", "_daily", "_weekly", "_monthly")
    },
    **dict.fromkeys(
        ("snapshot", "observed_at", "created_at", "updated_at", "expires_at", "last_used_at"), datetime
    ),
}
PARQUET_TYPES = {str: pa.string(), bool: pa.bool_(), float: pa.float64(), datetime: pa.timestamp("us", tz="UTC")}
NEWER = {"granularity", "workspace_name"}
"""Columns that the first tables and files did not have."""

NIGHT = datetime(2026, 11, 3, 0, 5, tzinfo=UTC)
"""A Tuesday."""


def row(key, at, *, scope="default", source="prod", hourly=False, **fields):
    """What a listing at a moment says of a key."""
    cut = {"minute": 0, "second": 0, "microsecond": 0} | ({} if hourly else {"hour": 0})
    partition = {
        "snapshot": at.replace(**cut),
        "granularity": "hour" if hourly else "day",
        "source": source,
        "workspace_scope": scope,
    }
    known = {"hash": key, "name": key, "usage": 0.0, "created_at": NIGHT - 100 * DAY, "observed_at": at}
    return partition | known | fields


def views(dialect):
    return f"observations_{dialect}", "days", "spend"


def activity_views(dialect, names="names"):
    return f"activity_{dialect}", names, "activity"


def scripts_of(dialect, rows, activity):
    """Return the scripts for what there is: keys, activity, or both."""
    keys = views(dialect) if rows or not activity else ()
    return (*keys, *(activity_views(dialect, "names" if rows else "no_names") if activity else ()))


class Table:
    """A history in a table. Its database or session is in a time zone that is not UTC."""

    def __init__(self, url, rows, old=False, activity=()):
        self.url = sa.engine.make_url(url)
        self.engine = engine_of(self.url)
        self.dialect = self.engine.dialect.name
        names = [name for name in KINDS if name not in NEWER] if old else list(KINDS)
        with self.engine.begin() as connection:
            types = {
                name: dialect_of(connection).column_type(FILE_COLUMNS[name], is_key=name in IDENTITY)
                for name in names
            }
            keys = [sa.PrimaryKeyConstraint(*OLD_IDENTITY)] if old else []
            columns = (sa.Column(name, type_) for name, type_ in types.items())
            table = sa.Table("openrouter_keys", sa.MetaData(), *columns, *keys)
            table.create(connection)
            if rows:
                connection.execute(table.insert(), [{name: row.get(name) for name in names} for row in rows])
            if activity:
                create_activity(connection, "openrouter_activity", activity)
        for script in scripts_of(self.dialect, rows, activity):
            self.run(text_of(script))

    def run(self, script):
        with self.engine.begin() as connection:
            for statement in DbApiHook.split_sql_string(script):
                connection.exec_driver_sql(statement)

    def upgrade(self):
        with self.engine.begin() as connection:
            prepare_table(
                connection, table_of(kinds.KEYS, "openrouter_keys", None, connection), create_table=True
            )
        inspector = sa.inspect(self.engine)
        key = inspector.get_pk_constraint("openrouter_keys")["constrained_columns"]
        assert tuple(key) == IDENTITY
        assert {column["name"] for column in inspector.get_columns("openrouter_keys")} == KINDS.keys()

    def query(self, sql):
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]

    def close(self):
        self.engine.dispose()


class Lake:
    """A history in a folder: a file for each partition, in every third of them a column that the others lack."""

    dialect = "duckdb"

    def __init__(self, folder, rows, old=False, activity=()):
        """Write the files; those before a day may be older ones, or all if that is True."""
        self.folder = folder
        partitions = defaultdict(list)
        for row in rows:
            place = [row[name] for name in ("source", "workspace_scope", "snapshot", "granularity")]
            partitions[tuple(place)].append(row)
        for number, ((source, scope, snapshot, granularity), partition) in enumerate(partitions.items()):
            scope = "all" if scope == "*" else scope
            hive = f"source={source}/{granularity}={snapshot:%Y-%m-%dT%H}/workspace_scope={scope}"
            path = folder / "lake/keys" / hive / "keys.parquet"
            path.parent.mkdir(parents=True)
            is_old = old is True or (old and snapshot < old)
            kinds = {name: kind for name, kind in KINDS.items() if not (is_old and name in NEWER)}
            schema = pa.schema([(name, PARQUET_TYPES[kind]) for name, kind in kinds.items()])
            table = pa.Table.from_pylist(partition, schema=schema)
            if number % 3 == 1:
                table = table.append_column("day_number", pa.array(["not ours"] * len(table)))
            pa.parquet.write_table(table, path)
        if activity:
            write_activity(folder / "lake/activity/date=2026-11-03", activity)
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'Pacific/Auckland'")
        for script in scripts_of("duckdb", rows, activity):
            self.run(text_of(script))

    def run(self, script):
        self.connection.execute(script.replace("'lake/", f"'{self.folder}/lake/"))

    def query(self, sql):
        result = self.connection.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def close(self):
        self.connection.close()


def create_activity(connection, table, rows):
    """Create a table of activity as the operator does."""
    table = table_of(kinds.ACTIVITY, table, None, connection)
    table.create(connection)
    connection.execute(table.insert(), [{name: row.get(name) for name in kinds.ACTIVITY.columns} for row in rows])


def write_activity(folder, rows):
    """Write a file of activity, with the types of the operator's."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(kinds.ACTIVITY.columns))
    pa.parquet.write_table(table, folder / "all.parquet")


def text_of(name, **settings):
    """The text of a file, with its settings edited as a reader would."""
    text = (HISTORY / f"{name}.sql").read_text(encoding="utf-8")
    for setting, value in settings.items():
        text, found = re.subn(
            rf"(?m)^(WITH settings AS \(SELECT .*)\b\d+ AS {setting}\b", rf"\g<1>{value} AS {setting}", text
        )
        assert found == 1
    return text


def ask(history, question, **settings):
    return history.query(text_of(question, **settings))


@pytest.fixture(scope="module")
def keep(request, tmp_path_factory):
    """Keep rows as a history in a database of their own."""
    kept = []

    def keep(dialect, rows, **how):
        if dialect == "duckdb":
            history = Lake(tmp_path_factory.mktemp("history"), rows, **how)
        else:
            history = Table(make_database(dialect, request, tmp_path_factory), rows, **how)
        kept.append(history)
        return history

    yield keep
    for history in kept:
        history.close()


def make_database(dialect, request, tmp_path_factory):
    """Return the URL of an empty database."""
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('history')}/history.db"
    name = f"history_{uuid4().hex}"
    url = sa.engine.make_url(request.getfixturevalue({"postgresql": "postgresql", "mysql": "mariadb"}[dialect]))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    if dialect == "mysql":
        return url.set(database=name)
    return url.update_query_dict({"options": f"-csearch_path={name} -ctimezone=Pacific/Auckland"})


@pytest.fixture
def history_of(dialect, keep):
    """Keep rows in each of the databases."""
    return lambda *rows: keep(dialect, rows)


@pytest.fixture(scope="module")
def history(dialect, keep, year):
    """The simulated year in each of the databases; where that is slow, its days are worked out once."""
    history = keep(dialect, year.rows)
    if dialect in ("duckdb", "sqlite"):
        days = "openrouter_key_days"
        history.run(f"CREATE TABLE days AS SELECT * FROM {days}; DROP VIEW {days}")
        history.run(f"CREATE VIEW {days} AS SELECT * FROM days")
    return history


@pytest.fixture(scope="module")
def year():
    return Year()
