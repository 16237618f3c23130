"""Tables of before there was a granularity: upgraded in one transaction, with all that is in them."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import inspect
from sqlalchemy.dialects import mysql
from support.databases import KILLED, Database, at_once, keys, killable_writer
from support.listings import OBSERVED_AT

from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.schema import table_of

FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity
OLD_IDENTITY = kinds.KEYS.old_identity

database = support.databases.database

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OLD_ROWS = 600

# As SQLAlchemy wrote it, tab for tab.
OLD_TABLE = """
CREATE TABLE {table} (
	snapshot {time} NOT NULL, 
	source TEXT NOT NULL, 
	workspace_scope TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	name TEXT, 
	label TEXT, 
	disabled BOOLEAN, 
	"limit" {number}, 
	limit_remaining {number}, 
	limit_reset TEXT, 
	include_byok_in_limit BOOLEAN, 
	usage {number}, 
	usage_daily {number}, 
	usage_weekly {number}, 
	usage_monthly {number}, 
	byok_usage {number}, 
	byok_usage_daily {number}, 
	byok_usage_weekly {number}, 
	byok_usage_monthly {number}, 
	created_at {time}, 
	updated_at {time}, 
	expires_at {time}, 
	workspace_id TEXT, 
	creator_user_id TEXT, 
	external_user TEXT, 
	last_used_at {time}, 
	observed_at {time}, 
	extra_fields TEXT, 
	PRIMARY KEY (snapshot, source, workspace_scope, hash)
)
"""  # noqa: W291
TYPES = {
    "postgresql": {"time": "TIMESTAMP WITH TIME ZONE", "number": "FLOAT(53)"},
    "sqlite": {"time": "DATETIME", "number": "FLOAT"},
}
KEY = "(snapshot, granularity, source, workspace_scope, hash)"


def old_table(database, table="keys", *, key=True):
    """Create a table as it was before."""
    statement = OLD_TABLE.format(table=table, **TYPES[database.name])
    if not key:
        statement = statement.replace(", \n\tPRIMARY KEY (snapshot, source, workspace_scope, hash)", "")
    database.do(statement)


def old_rows(database, *snapshots, table="keys", rows=1):
    """Write rows as they were before."""
    end = "+00" if database.name == "postgresql" else ".000000"
    for snapshot in snapshots:
        values = ", ".join(
            f"('{snapshot}{end}', 'team', 'default', 'hash-{number:05}', 'old', 1.5)" for number in range(rows)
        )
        columns = "snapshot, source, workspace_scope, hash, name, usage"
        database.do(f"INSERT INTO {table} ({columns}) VALUES {values}")


MIDNIGHT, SIX = datetime(2026, 11, 1), datetime(2026, 11, 1, 6)


def primary_key(database, table="keys", schema=None):
    return tuple(inspect(database.engine).get_pk_constraint(table, schema)["constrained_columns"])


def granularities(database, table="keys", **where):
    return {(row["snapshot"], row["granularity"]) for row in database.rows(table, **where)}


def columns_of(database, table="keys", schema=None):
    """The columns as sets of name, type and whether they may be null."""
    columns = inspect(database.engine).get_columns(table, schema)
    return {(column["name"], str(column["type"]), column["nullable"]) for column in columns}


# -- a new table


def test_in_mysql_only_text_of_the_key_has_a_length():
    database = SimpleNamespace(dialect=mysql.dialect(paramstyle="format"))
    columns = table_of(kinds.KEYS, "keys", None, database).columns
    limited = {column.name for column in columns if getattr(column.type, "length", None)}
    assert limited == {"granularity", "source", "workspace_scope", "hash"}


# -- a table that we created


@pytest.mark.parametrize("times", [1, 2])
def test_an_older_table_becomes_as_a_new_one_is(times, database):
    old_table(database)
    old_rows(database, MIDNIGHT, SIX)
    before = database.rows()
    for _ in range(times):
        database.write(keys(1, 2))
    database.write(keys(1, 2), table="clean")
    assert primary_key(database) == IDENTITY
    nullable = {("workspace_name", "TEXT", True)}
    assert columns_of(database) == columns_of(database, "clean") >= nullable
    rows = database.rows()
    assert [{name: row[name] for name in before[0]} for row in rows[:2]] == before
    assert rows[2:] == database.rows("clean")
    assert granularities(database, name="old") == {(MIDNIGHT, "day"), (SIX, "hour")}
    assert {row["workspace_name"] for row in rows} == {None}


def test_old_rows_are_days_at_midnight_in_utc_in_any_session(database):
    if database.name == "postgresql":
        database.do(f"ALTER DATABASE \"{database.url.database}\" SET timezone TO 'Asia/Kathmandu'")
    old_table(database)
    hours = [MIDNIGHT + number * HOUR for number in range(-1, 26)]
    old_rows(database, *hours)
    database.write([])
    assert granularities(database) == {(hour, "day" if hour.hour == 0 else "hour") for hour in hours}


def test_a_day_and_its_first_hour_are_two_partitions_then(database):
    old_table(database)
    old_rows(database, datetime(2026, 11, 3))
    first_hour = {"moment": OBSERVED_AT.replace(hour=0), "granularity": "hour"}
    for _ in range(2):
        database.write(keys(0, 1, name="hour"), **first_hour)
        database.write(keys(0, name="day"))
    assert [(row["granularity"], row["name"]) for row in database.rows()] == [
        ("day", "day"),
        ("hour", "hour"),
        ("hour", "hour"),
    ]


@pytest.mark.parametrize("table", ["Käse keys", "select", 'a "b".c', "100% %s"])
def test_an_older_table_of_any_name_is_upgraded(table, database):
    old_table(database, database.quote(table))
    old_rows(database, MIDNIGHT, SIX, table=database.quote(table))
    database.write(keys(1), table=table)
    assert primary_key(database, table) == IDENTITY
    assert len(database.rows(table)) == 3
    assert database.tables == [table]


def test_an_older_table_in_another_schema_is_upgraded(database, tmp_path):
    support.databases.make_schema(database, "ware house", tmp_path)
    old_table(database)
    old_rows(database, SIX)
    name = f"{database.quote('ware house')}.keys"
    old_table(database, name)
    old_rows(database, MIDNIGHT, table=name)
    if database.name == "sqlite":
        database.do('CREATE INDEX "ware house".by_name ON keys (name)')
    else:
        database.do(f"ALTER TABLE {name} RENAME CONSTRAINT keys_pkey TO its_own")
    for _ in range(2):
        database.write(keys(1), schema="ware house")
    assert primary_key(database, schema="ware house") == IDENTITY
    assert primary_key(database) == OLD_IDENTITY
    assert len(database.rows(schema="ware house")) == 2
    assert len(database.rows()) == 1
    if database.name == "sqlite":
        assert [index["name"] for index in inspect(database.engine).get_indexes("keys", "ware house")] == [
            "by_name"
        ]


def test_a_key_whose_columns_were_added_before_is_changed_later(database):
    old_table(database)
    old_rows(database, MIDNIGHT)
    first_hour = {"moment": OBSERVED_AT.replace(hour=0), "granularity": "hour"}
    for partition in ({"source": "other"} | first_hour, {}):
        database.write(keys(1), create_table=False, **partition)
    assert primary_key(database) == OLD_IDENTITY
    database.write(keys(1), create_table=True)
    assert primary_key(database) == IDENTITY
    assert granularities(database, source="other") == {(datetime(2026, 11, 3), "hour")}
    assert not database.reflect().c.granularity.nullable
    assert granularities(database, name="old") == {(MIDNIGHT, "day")}


def test_what_a_user_added_to_the_table_stays(database):
    old_table(database)
    old_rows(database, MIDNIGHT, SIX)
    generated = "name || '!'"
    database.do(
        "CREATE TABLE teams (team TEXT PRIMARY KEY)",
        "INSERT INTO teams VALUES ('none'), ('billing')",
        "ALTER TABLE keys ADD COLUMN team TEXT DEFAULT 'none' CHECK (team <> '(')",
        'ALTER TABLE keys ADD COLUMN "my note" TEXT',
        f"ALTER TABLE keys ADD COLUMN loud TEXT GENERATED ALWAYS AS ({generated}) "
        + ("STORED" if database.name == "postgresql" else "VIRTUAL"),
        "UPDATE keys SET team = 'billing', \"my note\" = 'mine, \"all\"'",
        "CREATE INDEX by_team ON keys (team)",
        "CREATE UNIQUE INDEX by_note ON keys (\"my note\", snapshot) WHERE team = 'billing'",
        "CREATE VIEW teams_of_keys AS SELECT team, count(*) AS number FROM keys GROUP BY team",
        "CREATE TABLE journal (hash TEXT)",
    )
    if database.name == "sqlite":
        database.do(
            "CREATE TRIGGER keeps_a_journal AFTER INSERT ON keys BEGIN "
            "INSERT INTO journal VALUES (new.hash); SELECT ';'; END"
        )
    database.write(keys(7))
    assert primary_key(database) == IDENTITY
    assert [(row["team"], row["my note"], row["loud"]) for row in database.rows(name="old")] == [
        ("billing", 'mine, "all"', "old!")
    ] * 2
    (new,) = database.rows(name="key 7")
    assert (new["team"], new["my note"], new["loud"]) == ("none", None, "key 7!")
    indexes = {index["name"]: index["unique"] for index in inspect(database.engine).get_indexes("keys")}
    assert {name: bool(unique) for name, unique in indexes.items()} == {"by_note": True, "by_team": False}
    assert sorted((row["team"], row["number"]) for row in database.rows("teams_of_keys")) == [
        ("billing", 2),
        ("none", 1),
    ]
    if database.name == "sqlite":
        assert [row["hash"] for row in database.rows("journal")] == ["hash-00007"]
    with pytest.raises(Exception, match=r"(?i)check"):
        database.do("UPDATE keys SET team = '('")


@pytest.mark.parametrize("schema", [None, "ware house"])
def test_a_table_that_others_refer_to_stays_as_it_is(schema, database, tmp_path):
    place = ""
    if schema:
        support.databases.make_schema(database, schema, tmp_path)
        place = f"{database.quote(schema)}."
    old_table(database, f"{place}keys")
    old_rows(database, MIDNIGHT, table=f"{place}keys")
    names = ", ".join(OLD_IDENTITY)
    time = TYPES[database.name]["time"]
    referred = "keys" if database.name == "sqlite" else f"{place}keys"
    database.do(
        f"CREATE TABLE {place}notes (snapshot {time}, source TEXT, workspace_scope TEXT, hash TEXT, "
        f"FOREIGN KEY ({names}) REFERENCES {referred} ({names}) ON DELETE CASCADE)",
        f"INSERT INTO {place}notes SELECT {names} FROM {place}keys",
    )
    before, columns = database.rows(schema=schema), columns_of(database, schema=schema)
    why = {
        "sqlite": "A foreign key of another table refers to it.",
        "postgresql": "because other objects depend on it.",
    }[database.name]
    with pytest.raises(AirflowException, match=f"nothing was changed.*{why}$"):
        database.write(keys(1), schema=schema)
    assert (database.rows(schema=schema), columns_of(database, schema=schema)) == (before, columns)
    assert len(database.rows("notes", schema)) == 1


def test_a_constraint_of_another_name_is_found_by_its_columns(database):
    old_table(database)
    old_rows(database, MIDNIGHT)
    if database.name == "postgresql":
        database.do('ALTER TABLE keys RENAME CONSTRAINT keys_pkey TO "the ""key"" %%"')
    else:
        database.do("ALTER TABLE keys RENAME TO moved", "ALTER TABLE moved RENAME TO keys")
    database.write(keys(1))
    assert primary_key(database) == IDENTITY
    if database.name == "postgresql":
        assert inspect(database.engine).get_pk_constraint("keys")["name"] == 'the "key" %'


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_finds_an_older_table_in_other_letters(database):
    old_table(database, "Keys")
    old_rows(database, MIDNIGHT, table="Keys")
    database.write(keys(1), table="kEYS")
    assert primary_key(database, "Keys") == IDENTITY
    assert len(database.rows("Keys")) == 2
    assert database.tables == ["Keys"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_table_whose_statement_is_not_understood_stays(database):
    database.do(
        "CREATE TABLE keys (snapshot DATETIME, source TEXT, workspace_scope TEXT, hash TEXT, "
        "PRIMARY KEY (snapshot /* day or hour */, source, workspace_scope, hash))"
    )
    columns = columns_of(database)
    with pytest.raises(AirflowFailException) as caught:
        database.write(keys(1))
    assert str(caught.value) == (
        "Cannot change the primary key of table keys; nothing was changed. "
        f"Change it to {KEY} yourself. It is not as it was created."
    )
    assert columns_of(database) == columns


# -- a table of the user's own


def test_a_table_of_the_users_own_gets_columns_and_no_key(database):
    old_table(database)
    old_rows(database, MIDNIGHT, SIX)
    for _ in range(2):
        database.write(keys(1), create_table=False)
    assert primary_key(database) == OLD_IDENTITY
    assert database.reflect().c.granularity.nullable
    assert granularities(database, name="old") == {(MIDNIGHT, "day"), (SIX, "hour")}
    assert {column.name for column in database.reflect().columns} == set(FILE_COLUMNS)


def test_a_key_without_granularity_that_collides_is_named(database):
    old_table(database)
    database.write(keys(1), create_table=False)
    before = database.rows()
    with pytest.raises(AirflowException) as caught:
        database.write(keys(1), create_table=False, moment=OBSERVED_AT.replace(hour=0), granularity="hour")
    assert str(caught.value).startswith(
        f"Could not write to table keys; nothing was changed. Its primary key must be {KEY}. Database error: "
    )
    assert database.rows() == before


@pytest.mark.parametrize("create_table", [True, False])
def test_a_table_without_a_key_gets_the_columns(create_table, database):
    old_table(database, key=False)
    old_rows(database, MIDNIGHT, SIX)
    for granularity in ("day", "hour", "day"):
        database.write(
            keys(1, 2), create_table=create_table, moment=OBSERVED_AT.replace(hour=0), granularity=granularity
        )
    assert primary_key(database) == ()
    assert len(database.rows()) == 2 + 4
    assert granularities(database, name="old") == {(MIDNIGHT, "day"), (SIX, "hour")}


@pytest.mark.parametrize("key", [("hash", *OLD_IDENTITY[:-1]), ("snapshot", "hash")])
def test_another_key_is_never_touched(key, database):
    old_table(database, key=False)
    if database.name == "postgresql":
        database.do(f"ALTER TABLE keys ADD PRIMARY KEY ({', '.join(key)})")
    else:
        columns = "snapshot DATETIME, source TEXT, workspace_scope TEXT, hash TEXT, name TEXT, usage FLOAT"
        database.do("DROP TABLE keys", f"CREATE TABLE keys ({columns}, PRIMARY KEY ({', '.join(key)}))")
    old_rows(database, MIDNIGHT)
    for _ in range(2):
        database.write(keys(1))
    assert primary_key(database) == key
    assert len(database.rows()) == 2


# -- at once, and killed


def test_two_writers_upgrade_one_table_at_once(database):
    old_table(database)
    old_rows(database, MIDNIGHT, SIX, rows=500)
    before = database.rows()
    writers = [Database(database.url) for _ in range(2)]
    at_once(
        *(
            lambda writer=writer, number=number: writer.write(keys(*range(500)), workspace_id=f"w-{number}")
            for number, writer in enumerate(writers)
        )
    )
    assert primary_key(database) == IDENTITY
    old = database.rows(name="old")
    assert [{name: row[name] for name in before[0]} for row in old] == before
    assert len(database.rows()) == 1_000 + 2 * 500


@pytest.mark.xdist_group("killed writers")
def test_a_writer_killed_while_it_upgrades_changes_nothing(database, writing_process):
    for table in ("keys", "measure"):
        old_table(database, table)
        old_rows(database, MIDNIGHT, SIX, table=table, rows=OLD_ROWS // 2)
    before, columns = database.rows(), columns_of(database)
    write = killable_writer(writing_process, database, 3)
    statements = write(1, "measure")
    for last in range(1, statements + 1):
        assert write(1, last=last) == KILLED
        assert columns_of(database) == columns
        assert primary_key(database) == OLD_IDENTITY
        assert database.rows() == before
    for _ in range(2):
        write(2)
    assert primary_key(database) == IDENTITY
    old = database.rows(name="old")
    assert [{name: row[name] for name in before[0]} for row in old] == before
    assert len(database.rows()) == OLD_ROWS + 3
    assert sorted(database.tables) == ["keys", "measure"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_lock_that_may_pass_leaves_the_task_its_retries(database):
    old_table(database)
    database.write(keys(1), create_table=False)
    database.do(f"ALTER DATABASE {database.url.database} SET lock_timeout TO '200ms'")
    with database.engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM keys").all()
        with pytest.raises(AirflowException, match="lock timeout") as caught:
            database.write(keys(1))
    assert not isinstance(caught.value, AirflowFailException)
    database.write(keys(1))
    assert primary_key(database) == IDENTITY


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_key_that_is_referred_to_is_the_users_to_change(database):
    old_table(database)
    database.do(
        "CREATE TABLE notes (snapshot timestamptz, source text, workspace_scope text, hash text, "
        "FOREIGN KEY (snapshot, source, workspace_scope, hash) REFERENCES keys)"
    )
    with pytest.raises(
        AirflowFailException, match=r"nothing was changed\. Change it to .* yourself\. Database error"
    ):
        database.write(keys(1))
    assert primary_key(database) == OLD_IDENTITY


def test_a_users_own_unique_index_is_not_blamed_on_the_key(database):
    database.write(keys(1))
    database.do("CREATE UNIQUE INDEX mine ON keys (hash)")
    with pytest.raises(AirflowException) as caught:
        database.write(keys(1), source="another")
    assert "primary key must be" not in str(caught.value)
