"""Writing to MariaDB: keys that are alike, values of every size, how it connects, and who is killed."""

import json
import sys
from datetime import datetime, timedelta

import pymysql
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from support.databases import KILLED, at_once, connection_to, keys, killable_writer
from support.listings import OBSERVED_AT
from support.mariadb import hashes, own_table

from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.snapshots.lineage import table_target
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

FILE_COLUMNS = kinds.KEYS.columns
IDENTITY = kinds.KEYS.identity

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
        database.write(keys(1, hash="two\nlines") * 2, source="a")
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


def test_the_lineage_names_the_database_once(database):
    schema = database.write(keys(1))
    target = table_target(database.engine.url, schema=schema, table="keys")
    assert target == (f"mysql://127.0.0.1:{database.url.port}", f"{database.url.database}.keys")


def test_a_missing_driver_is_named(database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection_to(database.url))
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(
        AirflowFailException, match=r"cannot be imported: .*mysqlclient.*Install apache-airflow-pro"
    ):
        get_engine("warehouse")


# -- many writers


def test_a_partition_written_by_three_at_once_is_there_once(database):
    sent = keys(*range(1_500))
    own_table(database, key=None)
    at_once(*(lambda: database.write(sent, table="own") for _ in range(3)))
    assert len(database.rows("own")) == 1_500


def test_a_writer_killed_at_any_moment_leaves_a_whole_partition(database, writing_process):
    rows = 3_000

    def versions(table):
        if table not in database.tables:
            return set()
        with database.engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT `usage`, count(*) FROM `{table}` GROUP BY `usage`").all()
        assert [count for _, count in found] == [rows] * len(found)
        return {version for version, _ in found}

    write = killable_writer(writing_process, database, rows)
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
