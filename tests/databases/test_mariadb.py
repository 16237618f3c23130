"""Writing to MariaDB: keys that are alike, values of every size, tables of the user's own, and who is killed."""

import json
import sys
from datetime import datetime, timedelta

import pymysql
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import inspect
from support.databases import KILLED, at_once, connection_to, keys, killable_writer
from support.listings import OBSERVED_AT

from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.snapshots.frame import FILE_COLUMNS
from airflow_provider_openrouter.snapshots.partition import IDENTITY, OLD_IDENTITY
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

KEY_TYPE = "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL"
OWN = {
    "snapshot": "DATETIME(6) NOT NULL",
    "granularity": "VARCHAR(4) NOT NULL",
    **dict.fromkeys(("source", "workspace_scope", "hash"), KEY_TYPE),
}
MARK = "never-to-be-shown"


def own_table(database, *, key=IDENTITY, end="ENGINE = InnoDB", **columns):
    """Create a table by hand, with columns in the place of its usual ones or beside them."""
    columns = {name: kind for name, kind in (OWN | columns).items() if kind}
    parts = [f"{database.quote(name)} {kind}" for name, kind in columns.items()]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(key)})")
    database.do(f"CREATE TABLE own ({', '.join(parts)}) CHARACTER SET utf8mb4 {end}")


def hashes(database, table="keys", **where):
    return [row["hash"] for row in database.rows(table, **where)]


# -- what a table holds


def test_a_new_table_has_columns_that_lose_nothing(database):
    database.write(keys(1))
    with database.engine.connect() as connection:
        ((_, statement),) = connection.exec_driver_sql("SHOW CREATE TABLE `keys`")
    for name, kind in FILE_COLUMNS.items():
        is_key = name in IDENTITY
        text = "varchar(190)" if is_key else "longtext"
        type_ = {
            "string": f"{text} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
            "boolean": "tinyint(1)",
            "number": "double",
            "timestamp": "datetime(6)",
        }[kind]
        assert f"`{name}` {type_} {'NOT NULL' if is_key else 'DEFAULT NULL'},\n" in statement
    assert "ENGINE=InnoDB" in statement
    assert f"PRIMARY KEY ({','.join(f'`{name}`' for name in IDENTITY)})" in statement


@pytest.mark.parametrize("other", ["TEAM", "team ", "téam", "team\t", "te\u00adam"])
def test_sources_that_look_alike_are_two(other, database):
    database.write(keys(1, 2), source="team")
    database.write(keys(3), source=other)
    database.write(keys(4), source="team")
    assert hashes(database, source=other) == ["hash-00003"]
    assert hashes(database, source="team") == ["hash-00004"]


def test_hashes_that_look_alike_are_two(database):
    sent = ["a", "A", "a ", "á", "a\n"]
    database.write([{"hash": name} for name in sent])
    assert sorted(hashes(database)) == sorted(sent)


EXTRAS = {
    "mysqlclient": {},
    "a cursor of dicts": {"cursor": "DictCursor"},
    "a cursor on the server": {"cursor": "SSCursor"},
    "a character set without emoji": {"charset": "latin1"},
    "mysql-connector-python": {"client": "mysql-connector-python"},
    "PyMySQL": {"PyMySQL": True},
}


@pytest.fixture(params=EXTRAS.values(), ids=EXTRAS)
def connected(request, database, monkeypatch):
    """The id of a connection of Airflow with extras."""
    extra = dict(request.param)
    if extra.pop("PyMySQL", False):
        for name in [name for name in sys.modules if name.partition(".")[0] == "MySQLdb"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "MySQLdb", pymysql)
        monkeypatch.setitem(sys.modules, "MySQLdb.cursors", pymysql.cursors)
    uri = json.loads(connection_to(database.url)) | {"extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(uri))
    return "warehouse"


def test_each_driver_and_extra_writes_the_same(connected, database):
    database.engine = get_engine(connected)
    sent = {
        "hash": "f01d",
        "name": '🔑 it\'s \\ "é" 100% %s ` \0 \r\n',
        "label": "x" * 70_000,
        "disabled": True,
        "limit": 0.1 + 0.2,
        "usage": 123456789.12345679,
        "created_at": "0001-01-01T00:00:00Z",
        "expires_at": "9999-12-31T23:59:59.999999Z",
    }
    for _ in range(2):
        database.write([sent, *keys(*range(3_000))], source="a")
    row = database.rows(hash="f01d")[0]
    moments = {"created_at": datetime(1, 1, 1), "expires_at": datetime(9999, 12, 31, 23, 59, 59, 999999)}
    assert {name: row[name] for name in sent} == sent | moments
    assert row["observed_at"] == OBSERVED_AT.replace(tzinfo=None)
    assert len(database.rows()) == 3_001
    with pytest.raises(AirflowException, match=r"Duplicate entry for key 'PRIMARY' \(1062\)$"):
        database.write([*keys(1), *keys(1)], source="a")
    assert len(database.rows()) == 3_001


def test_rows_are_sent_in_packets_that_the_server_takes(database):
    """The server takes 1 MiB."""
    sent = [key | {"label": "'" * 40_000} for key in keys(*range(40))]
    database.write(sent)
    assert [len(row["label"]) for row in database.rows()] == [40_000] * 40
    with pytest.raises(
        AirflowException,
        match=r"more than max_allowed_packet of the server, 1,048,576\. Raise",
    ):
        database.write([key | {"label": "x" * 2_000_000} for key in keys(1)])
    assert len(database.rows()) == 40


# -- how it connects


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"ssl_mode": "VERIFY_IDENTITY"}, "SSL is required, but the server does not support it"),
        ({"client": "pymysql"}, "Unknown MySQL client name provided!"),
        ({"unix_socket": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_setting_that_cannot_hold_ends_before_a_request(
    extra, said, database, sandbox, connection, monkeypatch, outside_the_task_runner
):
    url = database.url.set(host="localhost") if "unix_socket" in extra else database.url
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(json.loads(connection_to(url)) | {"extra": extra}))
    task = OpenRouterKeysToSqlOperator(task_id="write", sql_conn_id="warehouse", table="keys")
    with pytest.raises(AirflowException) as caught:
        task.execute({})
    assert str(caught.value).startswith("Could not connect to the database of 'warehouse': ")
    assert said in str(caught.value)
    assert sandbox.requests == []


def test_the_operator_writes_hours_sources_and_workspaces(
    database, sandbox, connection, monkeypatch, outside_the_task_runner
):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(database.url.set(database="mysql")))
    table = f"{database.url.database}.openrouter_keys"

    class TaskInstance:
        def xcom_push(self, **_):
            pass

    for source in ("prod", "Prod"):
        for workspace in (None, "*"):
            for granularity in ("day", "hour", "hour"):
                written = OpenRouterKeysToSqlOperator(
                    task_id="write",
                    sql_conn_id="warehouse",
                    table=table,
                    source=source,
                    workspace_id=workspace,
                    granularity=granularity,
                    snapshot="2026-11-03T05:00:00+00:00",
                ).execute({"ti": TaskInstance()})
                assert written["table"] == table
                rows = database.rows("openrouter_keys", source=source, workspace_scope=workspace or "default")
                of_partition = [row for row in rows if row["granularity"] == granularity]
                assert len(of_partition) == written["rows"] > 0
    assert {row["snapshot"] for row in database.rows("openrouter_keys", granularity="hour")} == {
        datetime(2026, 11, 3, 5)
    }


def test_a_missing_driver_is_named(database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(database.url))
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(
        AirflowFailException, match=r"cannot be imported: .*mysqlclient.*Install apache-airflow-pro"
    ):
        get_engine("warehouse")


# -- tables of the user's own


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


# -- many writers


def test_a_partition_written_by_three_at_once_is_there_once(database):
    sent = keys(*range(1_500))
    own_table(database, key=None)
    at_once(*(lambda: database.write(sent, table="own") for _ in range(3)))
    assert len(database.rows("own")) == 1_500


def test_a_writer_killed_at_any_moment_leaves_a_whole_partition(database):
    rows = 3_000

    def versions(table):
        if table not in database.tables:
            return set()
        with database.engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT `usage`, count(*) FROM `{table}` GROUP BY `usage`").all()
        assert [count for _, count in found] == [rows] * len(found)
        return {version for version, _ in found}

    with killable_writer(database, rows) as write:
        last = write(1, "measure")
        for number in range(1, last + 1):
            assert write(2, last=number) == KILLED
            assert versions("keys") == set()
        write(3)
        for number in range(1, write(1, "measure") + 1):
            assert write(4, last=number) == KILLED
            assert versions("keys") == {3}
    database.write(keys(1), observed_at=OBSERVED_AT + timedelta(days=1))  # no lock is left
    assert len(database.rows()) == rows + 1


def test_a_connection_lost_while_it_writes_changes_nothing(database):
    database.write(keys(1))
    own_table(database, label="LONGTEXT")
    database.do("CREATE TRIGGER slow BEFORE INSERT ON own FOR EACH ROW SET NEW.label = sleep(60)")

    def end_it():
        with database.engine.connect() as connection:
            query = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
            while not (found := connection.exec_driver_sql(query).scalar()):
                pass
            connection.exec_driver_sql(f"KILL {found}")

    def write():
        with pytest.raises(AirflowException, match=r"its partition is as it was\. Database error: .*\(\d+\)$"):
            database.write(keys(2), table="own")

    at_once(write, end_it)
    assert hashes(database, "own") == []
    database.do("DROP TRIGGER slow")
    database.write(keys(2), table="own")
