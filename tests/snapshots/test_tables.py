"""A partition of a table in two real databases: what is written, and what it replaces."""

import logging
from datetime import datetime, timedelta

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import inspect
from support.databases import keys
from support.listings import OBSERVED_AT

from airflow_provider_openrouter.keys import FIELDS
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.dialects.sqlite import ROWS_A_BATCH

database = support.databases.database
FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity
DAY, HOUR, WEEK = timedelta(days=1), timedelta(hours=1), timedelta(days=7)
MANY = ROWS_A_BATCH + 1


# -- the table it creates


def test_a_missing_table_is_created_with_types_and_a_primary_key(database):
    assert database.write(keys(1, 2)) == {"postgresql": "public", "sqlite": None}[database.name]
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


def test_it_logs_how_many_rows_it_wrote_and_replaced(caplog, database):
    caplog.set_level(logging.INFO)
    database.write(keys(*range(1_200)))
    database.write(keys(1))
    said = [record.getMessage() for record in caplog.records if "openrouter.snapshots" in record.name]
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
