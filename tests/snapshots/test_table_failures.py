"""A write that fails leaves the table as it was, and shows no value."""

import logging
import select
import socket
import threading
import traceback
from datetime import timedelta

import pytest
import support.databases
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy.engine import make_url
from support.databases import Database, keys
from support.listings import OBSERVED_AT

from airflow_provider_openrouter.snapshots.dialects import DIALECTS
from airflow_provider_openrouter.snapshots.dialects.sqlite import ROWS_A_BATCH

database = support.databases.database
DAY = timedelta(days=1)
MARK = "value-never-to-be-shown"
MANY = ROWS_A_BATCH + 1


@pytest.fixture
def log(caplog):
    """Everything that is logged, down to what SQLAlchemy says at DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy", "sqlalchemy.engine"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


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
    assert ("Its primary key must be" in str(caught.value)) == column.endswith("UNIQUE")
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


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_value_that_a_driver_does_not_take_is_not_quoted(dialect):
    assert dialect.reason(UnicodeError(MARK)) == "UnicodeError"


class BreaksAt(threading.Thread):
    """Stands before PostgreSQL, and breaks the connection at a statement: before it arrives, or after."""

    def __init__(self, socket_path, statement, *, arrives=False):
        super().__init__(daemon=True)
        self.target, self.statement, self.arrives = socket_path, statement, arrives
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def run(self):
        client, _ = self.server.accept()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.target)
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    # In psycopg 3, the empty name of a prepared statement may come before it.
                    if source is client and data[5:].lstrip(b"\0").startswith(self.statement):
                        if self.arrives:
                            server.sendall(data)
                            server.recv(1 << 16)
                        return
                    if not data:
                        return
                    (server if source is client else client).sendall(data)


def broken_at(statement, database, **how):
    """Write through a connection that breaks at a statement, and return what is said of it."""
    folder = database.url.query["host"]
    proxy = BreaksAt(f"{folder}/.s.PGSQL.{database.url.port or 5432}", statement, **how)
    proxy.start()
    through = Database(database.url.set(host="127.0.0.1", port=proxy.port, query={}))
    with pytest.raises(AirflowException) as caught:
        through.write(keys(1, 2))
    proxy.join()
    return str(caught.value)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_lost_at_commit_is_not_called_unchanged(arrives, database):
    said = broken_at(b"COMMIT", database, arrives=arrives)
    assert said.startswith(
        "The connection broke while table keys was committed. It is not known whether it was changed. Run the "
        "task again, which sets it right. Database error: "
    )
    assert ("keys" in database.tables) == arrives
    database.write(keys(1, 2))
    assert len(database.rows()) == 2


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_lost_before_the_commit_changed_nothing(database):
    said = broken_at(b"DELETE", database)
    assert said.startswith("Could not write to table keys; nothing was changed. ")
    assert database.tables == []
