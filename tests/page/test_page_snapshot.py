"""The newest snapshot in a table of keys, as a listing."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from support.databases import connection_to, keys, make_schema
from support.listings import OBSERVED_AT, listing_of

from airflow_provider_openrouter import history
from airflow_provider_openrouter.keys import FIELDS, team
from airflow_provider_openrouter.page.keys import show_keys
from airflow_provider_openrouter.page.snapshot import newest_listing
from airflow_provider_openrouter.scope import WorkspaceScope

HOUR = timedelta(hours=1)

database = support.databases.database


@pytest.fixture
def newest(database, monkeypatch):
    """Return a function that reads the newest snapshot of the account "team"."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(make_url(database.url)))
    return lambda table="keys", of="team": newest_listing("warehouse", table, of)


def shown(listing):
    return {name: list(value) if name == "keys" else value for name, value in show_keys(listing).items()}


def hashes(listing):
    return sorted(int(key["hash"].removeprefix("hash-")) for key in listing.keys)


ODD = {
    "label": "sk-or-v1-ü…",
    "disabled": "true",
    "limit": "50",
    "limit_remaining": 0.1 + 0.2,
    "limit_reset": ["monthly"],
    "usage_daily": "much",
    "include_byok_in_limit": False,
    "created_at": "2026-03-01T12:34:56.789+09:00",
    "expires_at": "9999-12-31T23:59:59.999999",
    "last_used_at": None,
    "workspace_id": "w1",
    "new": {"a": 1},
}


def test_a_snapshot_is_shown_as_the_listing_that_it_was(database, newest):
    listed = [*keys(1, 2, usage_daily=1.5, workspace_id="w2"), *keys(3, **ODD)]
    names = {"w1": "Team", "w2": ""}
    database.write(listed, workspace_id="*", workspace_names=names)
    listing = newest()
    assert (listing.observed_at, listing.scope) == (OBSERVED_AT, WorkspaceScope("*"))
    assert listing.keys[0].keys() == FIELDS.keys()
    live = shown(listing_of(listed, workspace_id="*", workspace_names=names))
    assert shown(listing) == live
    assert live["keys"][0]["workspace"] == "w2"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("snapshots", "shown"),
    [
        # The newest, of hours and days.
        ([{"hours": 0}, {"hours": 24}, {"hours": 3}], 2),
        ([{"hours": 0, "granularity": "hour"}, {"hours": 1, "granularity": "hour"}, {"hours": 0}], 2),
        # Of all workspaces, unless that is outdated.
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 24}], 1),
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 48}], 2),
        ([{"hours": 0, "workspace_id": "*"}, {"hours": 24, "workspace_id": "w1"}, {"hours": 48}], 3),
        ([{"hours": 0}, {"hours": 24, "workspace_id": "w1"}], 2),
        # Of the account, which may have another name where it is the only one.
        ([{"hours": 0}, {"hours": 24, "source": "other", "workspace_id": "*"}], 1),
        ([{"hours": 0, "source": "other"}, {"hours": 24, "source": "other"}], 2),
    ],
)
def test_the_newest_snapshot_of_the_account_is_chosen(snapshots, shown, database, newest):
    for number, arguments in enumerate(snapshots, 1):
        observed_at = OBSERVED_AT + arguments.pop("hours") * HOUR
        database.write(keys(number), observed_at=observed_at, **arguments)
    assert hashes(newest()) == [shown]


def test_a_workspace_alone_is_the_scope_of_its_snapshot(database, newest):
    database.write(keys(1), workspace_id="w1")
    assert newest().scope == WorkspaceScope("w1")
    database.write(keys(2), source="default")
    assert newest(of="default").scope == WorkspaceScope()


def test_a_table_in_a_schema_is_read(database, newest, tmp_path):
    if database.name == "sqlite":  # whose schemas are those of one connection
        database.write(keys(1), schema="main")
        assert hashes(newest("main.keys")) == [1]
        return
    make_schema(database, "analytics", tmp_path)
    database.write(keys(1), schema="analytics")
    assert hashes(newest("analytics.keys")) == [1]


OLD = "CREATE TABLE keys (hash TEXT, snapshot TEXT, source TEXT, workspace_scope TEXT, name TEXT)"


def test_an_older_table_is_read_as_it_is(database, newest):
    rows = ("('f01d', '2026-11-03 00:00:00', 'team', 'default', 'a')", "('bad', NULL, 'team', 'default', 'b')")
    database.do(OLD, *(f"INSERT INTO keys VALUES {row}" for row in rows))
    listing = newest()
    assert listing.keys == [{"hash": "f01d", "name": "a"}]
    assert listing.observed_at == datetime(2026, 11, 3, tzinfo=UTC)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_columns_of_other_types_are_read_too(database, newest):
    types = {"workspace_id": "UUID", "limit_remaining": "NUMERIC", "snapshot": "DATE", "created_at": "TIMESTAMP"}
    id_ = "0198a3a0-7c5e-7d7a-9b1e-3b8f2f6f1c11"
    listed = keys(1, limit_remaining=3.4, workspace_id=id_, created_at="2026-03-01T12:34:56Z")
    database.write(listed)
    database.do(
        *(f"ALTER TABLE keys ALTER {name} TYPE {type_} USING {name}::{type_}" for name, type_ in types.items())
    )
    assert shown(newest()) == shown(listing_of(listed))


def test_nothing_is_written(database, newest):
    database.write(keys(1))
    said = []
    listen = (Engine, "before_cursor_execute", lambda _, __, statement, *___: said.append(statement))
    event.listen(*listen)
    try:
        newest()
    finally:
        event.remove(*listen)
    assert {statement.split()[0].upper() for statement in said} <= {"SELECT", "PRAGMA", "SHOW", "DESCRIBE"}


# -- what cannot be read

REFUSED = {
    "no table": ([], "There is no table keys. OpenRouterKeysToSqlOperator creates it."),
    "an empty table": ([OLD], "Table keys has no snapshot yet. OpenRouterKeysToSqlOperator writes them."),
    "another table": (
        ["CREATE TABLE keys (hash TEXT, source TEXT)"],
        "Table keys is not a table of keys: it has no column snapshot, workspace_scope. "
        "Name the one that OpenRouterKeysToSqlOperator writes to.",
    ),
    "several accounts": (
        [OLD, *(f"INSERT INTO keys VALUES ('f01d', '2026-11-03', '{source}', '*', 'a')" for source in "ab")],
        "Table keys has snapshots of several accounts, but none of connection 'team'. "
        "Write them with that as the source.",
    ),
}


@pytest.mark.parametrize(("statements", "said"), REFUSED.values(), ids=REFUSED)
def test_a_table_without_a_snapshot_is_an_error(statements, said, database, newest):
    database.do(*statements)
    with pytest.raises(AirflowException) as error:
        newest()
    assert str(error.value) == said


BROKEN = {
    "postgresql": (
        "CREATE VIEW keys AS SELECT 1 / (SELECT 0) AS snapshot, '' AS source, '' AS workspace_scope, '' AS hash",
        "Could not read table keys. Database error: DivisionByZero 22012",
    ),
    "sqlite": (
        "CREATE VIEW keys AS SELECT * FROM gone",
        "Could not read table keys. Database error: no such table: main.gone",
    ),
}


def test_an_error_of_the_database_is_shown_in_a_sentence(database, newest):
    statement, said = BROKEN[database.name]
    database.do(statement)
    with pytest.raises(AirflowException) as error:
        newest()
    assert str(error.value) == said


def test_without_a_connection_the_error_says_so():
    with pytest.raises(AirflowFailException) as error:
        newest_listing("nowhere", "keys", "team")
    assert str(error.value) == "There is no connection 'nowhere'. Create it, or use another."


def test_a_database_that_cannot_be_reached_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(make_url(f"sqlite:///{tmp_path}/gone/keys.db")))
    with pytest.raises(AirflowException, match=r"^Could not connect to the database of 'warehouse': unable"):
        newest_listing("warehouse", "keys", "team")


# -- teams


def test_a_team_is_the_prefix_of_the_history(database):
    names = ["billing-eu-1", "billing", "-eu", "--", "", None, "é-ü", ["a-b"], 7]
    listed = [{"hash": str(number), "name": name} for number, name in enumerate(names)]
    database.write(listed, table="openrouter_keys")
    views = history.sql("views", dialect=database.name)
    [view] = re.findall(r"CREATE VIEW openrouter_key_observations.*?;", views, re.DOTALL)
    database.do(view)
    prefixes = {row["hash"]: row["prefix"] for row in database.rows("openrouter_key_observations")}
    assert prefixes == {key["hash"]: team(key["name"]) for key in listed}
