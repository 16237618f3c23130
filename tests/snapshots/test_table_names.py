"""Schemas, tables, keys and sources of any name."""

import json
import logging
from types import SimpleNamespace

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy.dialects import mysql, postgresql, sqlite
from support.databases import keys, make_schema

from airflow_provider_openrouter.snapshots.dialects.base import quoted_name

database = support.databases.database
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


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_takes_names_of_63_bytes_and_no_more(database):
    longest = "é" * 31 + "x"
    database.write(keys(1), table=longest)
    assert database.tables == [longest]
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1), table="é" * 32)
    assert str(caught.value) == (
        f"A name is longer than the 63 bytes that PostgreSQL allows: '{'é' * 32}'. Use a shorter one."
    )
    assert database.tables == [longest]


@pytest.mark.parametrize(
    ("dialect", "quoted"),
    [
        (sqlite.dialect(), '"100%% %s"'),
        (mysql.dialect(paramstyle="format"), "`100%% %s`"),
        (postgresql.dialect(paramstyle="pyformat"), '"100%% %s"'),
    ],
    ids=["sqlite", "mysql", "postgresql"],
)
def test_percent_signs_stand_in_sql_as_they_are(dialect, quoted):
    assert quoted_name(SimpleNamespace(dialect=dialect), "100%% %s", None) == quoted


def test_a_name_stays_within_its_line_of_the_log(database, caplog):
    caplog.set_level(logging.INFO)
    database.write(keys(1), table="one\ntwo\x1b[2J")
    shown = [record.getMessage() for record in caplog.records if "one two" in record.getMessage()]
    assert len(shown) == 2
    assert all(line.isprintable() for line in shown)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_long_name_is_cut_in_the_log(database, caplog):
    caplog.set_level(logging.INFO)
    database.write(keys(1), table="x" * 201)
    assert f"Created table {'x' * 200}" in caplog.messages
