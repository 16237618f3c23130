"""A partition of a table: the whole partition, or the table as it was, in two real databases."""

import json
import logging
import random
import select
import socket
import threading
import time
import traceback
from datetime import datetime, timedelta
from functools import partial

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import inspect
from sqlalchemy.engine import make_url
from support.databases import KILLED, Database, at_once, keys, killable_writer, make_schema
from support.listings import OBSERVED_AT

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.dialects.sqlite import ROWS_A_BATCH

FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity

database = support.databases.database
DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(days=7)
MARK = "value-never-to-be-shown"
MANY = ROWS_A_BATCH + 1

HOSTILE = {
    "quotes": '"say" \'aye\' `so` ""',
    "an injection": "x'; drop table bystander; --",
    "another injection": 'x"; drop table bystander; --',
    "brackets": "[keys]",
    "dots": "a.b.c",
    "emoji": "🔑 é 漢",
    "newlines": "one\ntwo\r\nthree",
    "percents": "100% %s %d %%",
    "colons": ":name ::text ?",
    "backslashes": "C:\\new\\table",
    "white space": " padded\t",
    "a reserved word": "select",
    "another reserved word": "user",
    "capitals": "OpenRouterKeys",
}


@pytest.fixture
def log(caplog):
    """Everything that is logged, down to what SQLAlchemy says at DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy", "sqlalchemy.engine"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


# -- the table it creates


def test_a_missing_table_is_created_with_types_and_a_primary_key(database):
    database.write(keys(1, 2))
    inspector = inspect(database.engine)
    columns = {column["name"]: column for column in inspector.get_columns("keys")}
    assert list(columns) == list(FILE_COLUMNS)
    assert {name for name, column in columns.items() if not column["nullable"]} == set(IDENTITY)
    assert inspector.get_pk_constraint("keys")["constrained_columns"] == list(IDENTITY)
    types = {
        "postgresql": {
            "string": "TEXT",
            "boolean": "BOOLEAN",
            "number": "DOUBLE PRECISION",
            "timestamp": "TIMESTAMP WITH TIME ZONE",
        },
        "sqlite": {"string": "TEXT", "boolean": "BOOLEAN", "number": "FLOAT", "timestamp": "DATETIME"},
    }[database.name]
    for name, kind in FILE_COLUMNS.items():
        said = columns[name]["type"].compile(dialect=database.engine.dialect)
        assert said.startswith(types[kind]), name


def test_a_snapshot_of_no_keys_creates_the_table_too(database):
    database.write([])
    assert database.rows() == []
    assert [column.name for column in database.reflect().columns] == list(FILE_COLUMNS)


def test_values_come_back_as_they_were_written(database):
    sent = {
        "hash": "f01d",
        "name": "billing-prod",
        "label": "",
        "creator_user_id": "x" * 10_000,
        "disabled": False,
        "include_byok_in_limit": True,
        "limit": 100,
        "limit_remaining": 0.1 + 0.2,
        "usage": 1e-7,
        "usage_daily": 123456789.12345679,
        "usage_weekly": 5e-324,
        "usage_monthly": 9.999999999999998e299,
        "byok_usage": -0.0,
        "created_at": "2025-02-19T20:52:27.363244+00:00",
        "expires_at": "2199-12-31T23:59:59Z",
        "last_used_at": "2025-08-24T01:30:00+05:30",
        "rank": {"of": [1, 2], "née": "🔑"},
    }
    database.write([sent], workspace_id="*")
    (row,) = database.rows()
    expected = dict.fromkeys(FILE_COLUMNS) | sent
    del expected["rank"]
    assert row == expected | {
        "snapshot": datetime(2026, 11, 3),
        "granularity": "day",
        "source": "team",
        "workspace_scope": "*",
        "created_at": datetime(2025, 2, 19, 20, 52, 27, 363244),
        "expires_at": datetime(2199, 12, 31, 23, 59, 59),
        "last_used_at": datetime(2025, 8, 23, 20, 0),
        "observed_at": datetime(2026, 11, 3, 6, 30, 15, 123456),
        "extra_fields": '{"rank": {"née": "🔑", "of": [1, 2]}}',
    }
    assert row["disabled"] is False
    assert row["include_byok_in_limit"] is True


def test_what_is_missing_is_null(database):
    database.write([{"hash": "f01d"}])
    (row,) = database.rows()
    assert {name for name in FIELDS if row[name] is not None} == {"hash"}
    assert row["extra_fields"] is None


def test_times_are_utc_whatever_the_time_zone_of_the_session(database):
    if database.name == "postgresql":
        database.do(f"ALTER DATABASE \"{database.url.database}\" SET timezone TO 'Asia/Kathmandu'")
    for _ in range(2):
        database.write(keys(1, created_at="2026-11-02T23:59:59.5Z"))
    (row,) = database.rows()
    assert row["snapshot"] == datetime(2026, 11, 3)
    assert row["created_at"] == datetime(2026, 11, 2, 23, 59, 59, 500_000)


@pytest.mark.parametrize("count", [ROWS_A_BATCH, MANY])
def test_what_fills_a_batch_or_more_is_all_written(count, database):
    database.write(keys(*range(count + 1)))
    database.write(keys(*range(count)))
    rows = [(row["hash"], row["usage"]) for row in database.rows()]
    assert rows == [(f"hash-{number:05}", number / 7) for number in range(count)]


# -- what it replaces


@pytest.mark.parametrize("times", [2, 3])
def test_a_partition_written_again_is_as_if_written_once(times, database):
    for _ in range(times):
        database.write(keys(1, 2, 3))
    database.write(keys(1, 2, 3), table="clean")
    assert database.rows() == database.rows(table="clean")
    assert len(database.rows()) == 3


def test_the_last_run_of_a_partition_counts(database):
    database.write(keys(1, 2, 3))
    database.write(keys(2, 3, 4, usage=99.5), observed_at=OBSERVED_AT + HOUR)
    assert database.names() == ["key 2", "key 3", "key 4"]
    assert {row["usage"] for row in database.rows()} == {99.5}
    assert {row["observed_at"] for row in database.rows()} == {(OBSERVED_AT + HOUR).replace(tzinfo=None)}


def test_no_keys_empty_their_partition_and_no_other(database):
    database.write(keys(1), source="other")
    database.write(keys(1, 2))
    database.write([])
    assert [row["source"] for row in database.rows()] == ["other"]


OTHERS = {
    "another day": {"moment": OBSERVED_AT + DAY},
    "the day before": {"moment": OBSERVED_AT - DAY},
    "an hour of the day": {"granularity": "hour"},
    "the first hour of the day": {"moment": OBSERVED_AT.replace(hour=0), "granularity": "hour"},
    "another source": {"source": "other"},
    "a source in capitals": {"source": "TEAM"},
    "a source with a space": {"source": "team "},
    "a source as a pattern": {"source": "te%"},
    "another scope": {"workspace_id": "workspace-1"},
    "all workspaces": {"workspace_id": "*"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_only_its_own_partition_is_replaced(other, database):
    database.write(keys(1, 2, 3), **other)
    before = database.rows()
    database.write(keys(1, 2, 3))
    database.write(keys(1, 2, name="new"))
    after = database.rows()
    assert [row for row in after if row["name"] != "new"] == before
    assert len(after) == 5
    database.write([], **other)
    assert database.names() == ["new"] * 2


def test_every_hour_of_a_day_is_a_partition(database):
    for hour in (6, 7, 7, 6):
        database.write(keys(1, 2), observed_at=OBSERVED_AT.replace(hour=hour), granularity="hour")
    assert [row["snapshot"].hour for row in database.rows()] == [6, 6, 7, 7]


def test_a_run_cleared_a_week_later_leaves_older_rows_alone(database):
    for number in range(7):
        database.write(keys(1, 2, usage=number), observed_at=OBSERVED_AT + number * DAY)
    before = database.rows()
    database.write(keys(2, 3, usage=99), observed_at=OBSERVED_AT + WEEK)
    after = database.rows()
    assert after[: len(before)] == before
    assert [row["snapshot"] for row in after[len(before) :]] == [datetime(2026, 11, 10)] * 2


def test_it_logs_how_many_rows_it_wrote_and_replaced(log, database):
    database.write(keys(*range(1_200)))
    database.write(keys(1))
    said = [record.getMessage() for record in log.records if "openrouter.snapshots" in record.name]
    assert said == [
        "Created table keys",
        "Wrote 1,200 rows to table keys, replacing 0",
        "Wrote 1 row to table keys, replacing 1,200",
    ]


# -- tables that are there


@pytest.mark.parametrize("lacking", [["last_used_at"], ["extra_fields", "creator_user_id", "limit", "disabled"]])
def test_an_older_table_gets_missing_columns_and_keeps_its_rows(lacking, database):
    database.write(keys(1, 2), observed_at=OBSERVED_AT - DAY)
    database.do(*(f'ALTER TABLE keys DROP COLUMN "{name}"' for name in lacking))
    before = database.rows()
    for _ in range(2):
        database.write(
            keys(1, limit=5.5, disabled=True, last_used_at="2026-11-01T00:00:00Z", creator_user_id="u")
        )
    *old, new = database.rows()
    assert [{name: row[name] for name in before[0]} for row in old] == before
    assert all(row[name] is None for row in old for name in lacking)
    assert (new["limit"], new["disabled"], new["creator_user_id"]) == (5.5, True, "u")
    assert new["last_used_at"] == datetime(2026, 11, 1)
    assert set(database.reflect().columns.keys()) == set(FILE_COLUMNS)


def test_a_table_of_hashes_and_names_gets_all_else(database):
    database.do("CREATE TABLE keys (hash TEXT, name TEXT)", "INSERT INTO keys VALUES ('f01d', 'old')")
    for _ in range(2):
        database.write(keys(1))
    assert sorted(database.names()) == ["key 1", "old"]
    (old,) = database.rows(name="old")
    assert old == dict.fromkeys(FILE_COLUMNS) | {"hash": "f01d", "name": "old"}


def test_columns_of_the_users_own_stay(database):
    database.do("CREATE TABLE keys (hash TEXT, team TEXT DEFAULT 'none', \"my note\" TEXT)")
    database.write(keys(1), observed_at=OBSERVED_AT - DAY)
    database.do("UPDATE keys SET team = 'billing', \"my note\" = 'mine'")
    for _ in range(2):
        database.write(keys(1))
    assert [(row["team"], row["my note"]) for row in database.rows()] == [("billing", "mine"), ("none", None)]


def test_a_missing_table_that_is_not_to_be_created_is_an_error(database):
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1), create_table=False)
    assert str(caught.value) == "There is no table keys. Create it, or set create_table=True."
    assert database.tables == []


def test_an_existing_table_needs_no_creating(database):
    database.do("CREATE TABLE keys (hash TEXT)")
    database.write(keys(1), create_table=False)
    assert database.names() == ["key 1"]


# -- schemas


def test_tables_of_one_name_in_two_schemas_are_two(database, tmp_path):
    make_schema(database, "other", tmp_path)
    database.write(keys(1))
    database.write(keys(2), schema="other")
    database.write(keys(3))
    assert database.names() == ["key 3"]
    assert [row["name"] for row in database.rows(schema="other")] == ["key 2"]


@pytest.mark.parametrize(
    ("schema", "shown"),
    [("nowhere", "nowhere.keys"), (HOSTILE["an injection"], f'"{HOSTILE["an injection"]}".keys')],
)
def test_a_missing_schema_is_an_error(schema, shown, database):
    with pytest.raises(AirflowException) as caught:
        database.write(keys(1), schema=schema)
    assert f"Could not write to table {shown}; nothing was changed. Database error: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_it_returns_the_schema_that_the_table_is_in(database):
    schema = {"postgresql": "public", "sqlite": None}[database.name]
    for given in (None, schema):
        assert database.write(keys(1), schema=given) == schema


# -- hostile names


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_schema_table_keys_and_source_may_have_any_name(text, database, tmp_path):
    make_schema(database, text, tmp_path)
    database.do("CREATE TABLE bystander (x TEXT)", "INSERT INTO bystander VALUES ('here')")
    where = {"schema": text, "table": text, "source": text, "workspace_id": text}
    for _ in range(2):
        database.write(keys(1, 2), **where)
    database.do(f"ALTER TABLE {database.quote(text)}.{database.quote(text)} DROP COLUMN label")
    database.write(keys(3, name=text, label=text, more={text: text}), **where)
    (row,) = database.rows(text, schema=text)
    assert (row["name"], row["label"], row["source"], row["workspace_scope"]) == (text, text, text, text.strip())
    assert json.loads(row["extra_fields"]) == {"more": {text: text}}
    assert database.tables == ["bystander"]
    assert [row["x"] for row in database.rows(table="bystander")] == ["here"]


UNFIT = {"10 kB": "x" * 10_000, "64 letters": "x" * 64, "40 emoji": "🔑" * 40, "a parameter": "%(name)s"}


@pytest.mark.parametrize("table", UNFIT.values(), ids=UNFIT)
def test_a_table_of_an_unfit_name_is_refused_or_found_again(table, database):
    """PostgreSQL cuts names at 63 bytes, and SQLAlchemy counts letters; on SQLite it reads ``%(name)s``."""
    try:
        database.write(keys(1), table=table)
    except AirflowException:
        assert database.tables == []
        return
    database.write(keys(1), table=table)
    (name,) = database.tables
    assert len(database.rows(table=name)) == 1


def test_a_name_that_the_database_cannot_hold_is_not_shown(log, database):
    """SQLite takes NUL, PostgreSQL does not; from the API none comes this far."""
    text = "a\0b"
    database.write(keys(1), observed_at=OBSERVED_AT - DAY)
    before = database.rows()
    try:
        database.write([*keys(2), *keys(3, name=f"{MARK}{text}")])
    except AirflowException as error:
        assert_shows_no_value(error, log)
        assert database.rows() == before
    else:
        assert len(database.rows()) == 3


# -- failures

OLD_TABLE = "CREATE TABLE keys (snapshot {timestamp}, source TEXT, workspace_scope TEXT, hash TEXT, {name})"
CONSTRAINTS = {
    "unique": ("name TEXT UNIQUE", {"name": f"{MARK} 5"}),
    "a check": ("name TEXT CHECK (length(name) < 40)", {"name": MARK * 3}),
    "not null": ("name TEXT NOT NULL", {"name": None, "label": MARK}),
    "another column is required": ("name TEXT, team TEXT NOT NULL", {"name": MARK}),
}


def assert_shows_no_value(error, log):
    shown = "".join(traceback.format_exception(error)) + str(error.__dict__) + repr(error) + log.text
    assert MARK not in shown
    assert len(str(error).splitlines()) == 1
    for record in log.records:
        assert MARK not in record.getMessage() + repr(record.args)


@pytest.mark.parametrize(("column", "last"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_a_failure_in_the_last_batch_changes_nothing(column, last, log, database):
    timestamp = "TIMESTAMPTZ" if database.name == "postgresql" else "DATETIME"
    database.do(OLD_TABLE.format(timestamp=timestamp, name=column))
    if "team" not in column:
        moment = "2026-11-03 00:00:00+00" if database.name == "postgresql" else "2026-11-03 00:00:00.000000"
        database.do(f"INSERT INTO keys VALUES ('{moment}', 'team', 'default', 'f01d', 'old')")
    before, columns = database.rows(), database.reflect().columns.keys()
    sent = [key | {"name": f"{MARK} {number}"} for number, key in enumerate(keys(*range(MANY)))]
    sent[-1] |= last
    with pytest.raises(AirflowException) as caught:
        database.write(sent)
    assert str(caught.value).startswith("Could not write to table keys; nothing was changed. ")
    assert_shows_no_value(caught.value, log)
    assert database.rows() == before
    assert database.reflect().columns.keys() == columns


def test_a_failure_in_the_last_batch_creates_no_table(log, database):
    sent = keys(*range(MANY), name=MARK, label=MARK)
    sent[-1]["hash"] = sent[0]["hash"]
    with pytest.raises(AirflowException, match=r"Database error: (duplicate key|UNIQUE)") as caught:
        database.write(sent)
    assert_shows_no_value(caught.value, log)
    assert database.tables == []
    database.write(sent[:-1])
    assert len(database.rows()) == MANY - 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # a column of SQLite takes any value
@pytest.mark.parametrize("kind", ["INTEGER", "BOOLEAN", "TIMESTAMPTZ", "VARCHAR(5)", "UUID", "JSONB"])
def test_a_column_of_a_wrong_type_changes_nothing(kind, log, database):
    database.do(OLD_TABLE.format(timestamp="TIMESTAMPTZ", name=f"name {kind}"))
    with pytest.raises(AirflowException) as caught:
        database.write(keys(1, name=MARK))
    assert database.rows() == []
    assert len(database.reflect().columns) == 5
    assert_shows_no_value(caught.value, log)


def test_a_table_that_cannot_be_written_to_is_named(database):
    database.do("CREATE VIEW keys AS SELECT 1 AS hash")
    with pytest.raises(AirflowException, match=r"^Could not write to table keys; nothing was changed\. Data"):
        database.write(keys(1))


def test_a_database_that_does_not_respond_is_an_error(database, tmp_path):
    url = (
        make_url(f"sqlite:///{tmp_path}/nowhere/w.db")
        if database.name == "sqlite"
        else database.url.set(query={"host": str(tmp_path)}, password=MARK)
    )
    with pytest.raises(AirflowException, match=r"^Could not write to table keys; nothing was changed") as caught:
        Database(url).write(keys(1))
    assert MARK not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_that_is_written_is_logged(log, database):
    sent = keys(1, name=MARK, label=MARK, more=MARK)
    for _ in range(2):
        database.write(sent)
    assert "DELETE FROM keys" in log.text
    assert MARK not in log.text


# -- at once


@pytest.mark.parametrize("attempt", range(2))
def test_three_workspaces_at_once_create_one_table(attempt, database):
    writers = [Database(database.url) for _ in range(3)]
    at_once(
        *(
            lambda writer=writer, number=number: writer.write(
                keys(*range(300)), workspace_id=f"workspace-{number}"
            )
            for number, writer in enumerate(writers)
        )
    )
    for number in range(3):
        assert len(database.rows(workspace_scope=f"workspace-{number}")) == 300


@pytest.mark.parametrize("table", ["a new one", "one without a primary key", "one that lacks columns"])
def test_a_partition_written_by_three_at_once_is_there_once(table, database):
    if table == "one that lacks columns":
        database.do("CREATE TABLE keys (hash TEXT, name TEXT)")
    if table == "one without a primary key":
        real = "DOUBLE PRECISION" if database.name == "postgresql" else "FLOAT"
        moment = "TIMESTAMPTZ" if database.name == "postgresql" else "DATETIME"
        types = {"string": "TEXT", "boolean": "BOOLEAN", "number": real, "timestamp": moment}
        columns = ", ".join(f'"{name}" {types[kind]}' for name, kind in FILE_COLUMNS.items())
        database.do(f"CREATE TABLE keys ({columns})")
    writers = [Database(database.url) for _ in range(3)]
    at_once(*(lambda writer=writer: writer.write(keys(*range(300))) for writer in writers))
    rows = database.rows()
    assert len(rows) == len({row["hash"] for row in rows}) == 300


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_writers_with_and_without_the_schema_take_turns(database):
    database.write(keys(1))
    writers = [
        threading.Thread(target=database.write, args=(keys(2),), kwargs={"schema": name}) for name in SCHEMAS
    ]
    try:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE keys IN EXCLUSIVE MODE")  # so that no writer comes to an end
            for writer in writers:
                writer.start()
            locks = []
            for _ in range(400):
                query = "SELECT granted FROM pg_locks WHERE locktype = 'advisory'"
                locks = sorted(connection.exec_driver_sql(query).scalars())
                if len(locks) == 2:
                    break
                time.sleep(0.02)
    finally:
        for writer in writers:
            writer.join()
    assert locks == [False, True]


SCHEMAS = (None, "public")


# -- killed


def test_a_writer_killed_at_any_moment_leaves_a_whole_partition(database):
    others, seed = keys(1, 2, 3), random.randrange(1_000_000)
    rows = MANY if database.name == "sqlite" else 500  # two batches there; elsewhere statements are larger
    chance = random.Random(seed)

    def version_of_the_partition():
        if "keys" not in database.tables:
            return 0
        query = "SELECT usage, count(*) FROM keys WHERE source = 'team' GROUP BY usage"
        with database.engine.connect() as connection:
            ((version, count),) = connection.exec_driver_sql(query)
        assert count == rows, seed
        return version

    with killable_writer(database, rows) as write:
        to_create, to_replace = write(1, "measure"), write(1, "measure")
        for last in range(1, to_create + 1):
            assert write(2, last=last) == KILLED
            assert version_of_the_partition() == 0
        assert write(3) == to_create
        database.write(others, source="other")
        for last in range(1, to_replace + 1):
            assert write(4, last=last) == KILLED
            assert version_of_the_partition() == 3
        before = 3
        for version in range(5, 9):  # amid a statement
            fate = write(version, last=chance.randint(1, to_replace), seconds=chance.uniform(0, 0.1))
            after = version_of_the_partition()
            assert before <= after <= version, seed
            assert fate == KILLED or after == version, seed
            before = after
    database.write(keys(*range(rows)))
    for source, sent in (("other", others), ("team", keys(*range(rows)))):
        database.write(sent, source=source, table="clean")
    assert database.rows() == database.rows(table="clean")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_writers_take_turns_whatever_the_default_isolation(level, database):
    database.do(f"ALTER DATABASE {database.url.database} SET default_transaction_isolation = '{level}'")
    database.engine.dispose()
    at_once(*(partial(database.write, keys(*range(300)), source=f"team-{number}") for number in range(4)))
    assert len(database.rows()) == 1_200


class BreaksAtCommit(threading.Thread):
    """Stands before PostgreSQL, and breaks the connection at a COMMIT: before it arrives, or after."""

    def __init__(self, socket_path, *, arrives):
        super().__init__(daemon=True)
        self.target, self.arrives = socket_path, arrives
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def run(self):
        client, _ = self.server.accept()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.target)
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if source is client and data[5:] == b"COMMIT\0":
                        if self.arrives:
                            server.sendall(data)
                            server.recv(1 << 16)
                        return
                    if not data:
                        return
                    (server if source is client else client).sendall(data)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_lost_at_commit_is_not_called_unchanged(arrives, database):
    folder = database.url.query["host"]
    proxy = BreaksAtCommit(f"{folder}/.s.PGSQL.{database.url.port or 5432}", arrives=arrives)
    proxy.start()
    through = Database(database.url.set(host="127.0.0.1", port=proxy.port, query={}))
    with pytest.raises(AirflowException) as caught:
        through.write(keys(1, 2))
    proxy.join()
    assert str(caught.value).startswith("The connection broke while table keys was committed. It is not known")
    assert "keys" in database.tables if arrives else "keys" not in database.tables
    database.write(keys(1, 2))
    assert len(database.rows()) == 2


def test_a_name_stays_within_its_line_of_the_log(database, caplog):
    caplog.set_level(logging.INFO)
    database.write(keys(1), table="one\ntwo\x1b[2J")
    shown = [record.getMessage() for record in caplog.records if "one two" in record.getMessage()]
    assert len(shown) == 2
    assert all(line.isprintable() for line in shown)
