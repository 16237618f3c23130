"""Tables of the user's own on MariaDB, and older ones: written to, upgraded, or refused with what to do."""

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import inspect
from support.databases import keys
from support.mariadb import KEY_TYPE, hashes, own_table

from airflow_provider_openrouter.snapshots import kinds

IDENTITY = kinds.KEYS.identity
OLD_IDENTITY = kinds.KEYS.old_identity

MARK = "never-to-be-shown"


def test_a_table_of_the_users_own_may_have_narrower_types(database, log):
    own_table(
        database,
        name="VARCHAR(20)",
        usage="DECIMAL(10, 2)",
        extra_fields="JSON",
        workspace_scope="VARBINARY(50) NOT NULL",
        team="VARCHAR(9) DEFAULT 'x'",
    )
    sent = [key | {"usage": 1.239, "color": "green"} for key in keys(1, 2)]
    for _ in range(2):
        database.write(sent, table="own", create_table=False)
    assert [float(row["usage"]) for row in database.rows("own")] == [1.24, 1.24]
    assert [json.loads(row["extra_fields"]) for row in database.rows("own")] == [{"color": "green"}] * 2
    assert "Table own rounds amounts: usage decimal(10,2)" in log()


ALTER = "Run: ALTER TABLE own "
UNFIT = {
    "a collation": (
        {"source": "VARCHAR(100) COLLATE utf8mb4_general_ci NOT NULL"},
        f"cannot hold every value exactly: source varchar(100) utf8mb4_general_ci. {ALTER}MODIFY source "
        f"{KEY_TYPE}",
    ),
    "padding": (
        {"hash": "VARCHAR(100) COLLATE utf8mb4_bin NOT NULL"},
        f"cannot hold every value exactly: hash varchar(100) utf8mb4_bin. {ALTER}MODIFY hash {KEY_TYPE}",
    ),
    "times without fractions": (
        {"created_at": "DATETIME", "expires_at": "TIMESTAMP NULL"},
        "cannot hold every value exactly: created_at datetime, expires_at timestamp. Run: SET "
        "time_zone = '+00:00'; ALTER TABLE own MODIFY created_at DATETIME(6), MODIFY expires_at DATETIME(6)",
    ),
    "a day": (
        {"snapshot": "DATE NOT NULL"},
        f"cannot hold every value exactly: snapshot date. {ALTER}MODIFY snapshot DATETIME(6) NOT NULL",
    ),
    "no transactions": ({"end": "ENGINE = MyISAM"}, f"has no transactions. {ALTER}ENGINE = InnoDB"),
}


@pytest.mark.parametrize(("columns", "said"), UNFIT.values(), ids=UNFIT)
def test_a_table_that_would_mix_rows_is_refused_with_the_remedy(columns, said, database):
    own_table(database, **({"key": None} if "end" in columns else {}) | columns)
    database.do(
        "INSERT INTO own (snapshot, granularity, source, workspace_scope, hash) "
        "VALUES ('2026-11-03', 'day', 'Team', 'default', 'a')"
    )
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1), table="own")
    assert said in str(caught.value)
    assert hashes(database, "own") == ["a"]
    database.do(*str(caught.value).partition("Run: ")[2].split("; "))
    database.write(keys(1), table="own")
    assert set(hashes(database, "own")) == {"hash-00001", "a"}


def test_a_view_is_refused(database):
    database.write(keys(1))
    database.do("CREATE VIEW own AS SELECT * FROM `keys`")
    with pytest.raises(AirflowFailException, match=r"^own is a view\. Set table to the table itself\.$"):
        database.write(keys(2), table="own")
    assert hashes(database) == ["hash-00001"]


TOO_LONG = {
    "characters": ("VARCHAR(30)", "é" * 31, "30 characters, and a value has 31"),
    "spaces at the end": ("VARCHAR(30)", "é" + " " * 30, "30 characters, and a value has 31"),
    "bytes": ("TINYTEXT", "é" * 128, "255 bytes, and a value has 256"),
}


@pytest.mark.parametrize(("kind", "value", "said"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_value_that_is_too_long_is_refused_and_never_cut(kind, value, said, database):
    own_table(database, name=kind)
    database.write(keys(1), table="own")
    with pytest.raises(AirflowFailException) as caught:
        database.write([{"hash": "b", "name": value}], table="own")
    assert str(caught.value) == f"Column name of table own takes {said}. Make the column longer."
    assert hashes(database, "own") == ["hash-00001"]
    database.write([{"hash": "b", "name": value[:-1]}], table="own")
    assert database.rows("own")[0]["name"] == value[:-1]


REFUSED = {
    "a null": ("VARCHAR(90) NOT NULL", None),
    "another character set": ("VARCHAR(90) CHARACTER SET latin1", f"🔑 {MARK}"),
    "a number": ("INT", MARK),
    "an enum": ("ENUM('a', 'b')", MARK),
    "a check": ("JSON", MARK),
}


@pytest.mark.parametrize(("kind", "value"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_would_be_changed_is_refused_unseen(kind, value, database):
    """The server of the tests is not strict, and would change it."""
    own_table(database, name=kind)
    with pytest.raises(AirflowException) as caught:
        database.write([{"hash": "b", "name": value}], table="own")
    said = str(caught.value)
    assert said.startswith("Could not write to table own; its partition is as it was. Database error: ")
    assert "name" in said.partition("error: ")[2] or "own" in said.partition("error: ")[2]
    assert MARK not in said
    assert hashes(database, "own") == []


# -- older tables


def test_an_older_table_becomes_as_a_new_one_is(database):
    plain = "VARCHAR(100) COLLATE utf8mb4_general_ci NOT NULL"
    older = {
        "snapshot": "TIMESTAMP(6) NOT NULL",
        "granularity": None,
        "source": plain,
        "workspace_scope": plain,
        "hash": plain,
    }
    own_table(database, key=OLD_IDENTITY, **older, team="VARCHAR(9) DEFAULT 'x'")
    rows = "('2026-11-03 05:00', 'team', 'default', 'a'), ('2026-11-03 10:00', 'team', 'default', 'a')"
    database.do(
        "SET time_zone = '+05:00'", f"INSERT INTO own (snapshot, source, workspace_scope, hash) VALUES {rows}"
    )
    with pytest.raises(AirflowException, match="cannot hold every value exactly"):
        database.write(keys(1), table="own", source="b", create_table=False)
    database.write(keys(1), table="own", source="Team")
    rows = database.rows("own")
    assert {(row["snapshot"].hour, row["granularity"], row["source"], row["team"]) for row in rows} == {
        (0, "day", "team", "x"),
        (5, "hour", "team", "x"),
        (0, "day", "Team", "x"),
    }
    assert inspect(database.engine).get_pk_constraint("own")["constrained_columns"] == list(IDENTITY)
    database.write(keys(1))
    new = {column["name"]: str(column["type"]) for column in inspect(database.engine).get_columns("keys")}
    own = {column["name"]: str(column["type"]) for column in inspect(database.engine).get_columns("own")}
    assert own == new | {"team": "VARCHAR(9)"}


def test_a_key_that_cannot_be_changed_is_the_users_to_change(database):
    own_table(database, key=OLD_IDENTITY, granularity=None, source="VARCHAR(300) NOT NULL")
    database.do(
        "INSERT INTO own (snapshot, source, workspace_scope, hash) "
        f"VALUES ('2026-11-03', '{MARK * 14}', 'default', 'a')"
    )
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1), table="own")
    assert str(caught.value).startswith(
        "Cannot change the primary key of table own; its partition is as it was. Change it to "
        "(snapshot, granularity, source, workspace_scope, hash) yourself. Database error: Data too long "
    )
    assert hashes(database, "own") == ["a"]
