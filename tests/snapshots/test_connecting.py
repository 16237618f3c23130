"""A database is connected to as its connection in Airflow says, with either driver of PostgreSQL."""

import json
import socket
import sqlite3
import threading
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from support.lines import needs_psycopg_3
from support.tasks import Context

from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.snapshots.dialects.base import first_connection
from airflow_provider_openrouter.snapshots.dialects.libpq import connect_as, driver_of
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator

pytestmark = pytest.mark.usefixtures("outside_the_task_runner")

DRIVERS = {"the hook's driver": {}, "psycopg2": {"sqlalchemy_scheme": "postgresql+psycopg2"}}
either_driver = pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)


def write(**arguments):
    operator = OpenRouterKeysToSqlOperator(task_id="write", sql_conn_id="warehouse", table="keys", **arguments)
    return operator.execute(Context())


@pytest.fixture
def server(postgresql):
    """PostgreSQL with a schema of this test's own, which is gone afterwards."""
    url = make_url(postgresql)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as opened:
        opened.exec_driver_sql("CREATE SCHEMA analytics")
    yield url
    with engine.begin() as opened:
        opened.exec_driver_sql("DROP SCHEMA analytics CASCADE")


@pytest.fixture
def warehouse(server, monkeypatch):
    """Return a function that defines the connection to PostgreSQL, with an extra."""

    def define(extra, **fields):
        login = {"login": server.username, "schema": server.database, "host": server.query["host"]}
        connection = {"conn_type": "postgres", **login, **fields, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))

    return define


def setting(name):
    engine = get_engine("warehouse")
    with engine.connect() as opened:
        return opened.exec_driver_sql(f"SHOW {name}").scalar()


@contextmanager
def without_tls(socket_path):
    """Yield a TCP port that leads to a socket, on which a server has no TLS."""

    def pump(source, target):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(socket_path)
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def password_is_asked_for(role, password, server):
    """Let a role of the server log in with its password alone."""
    engine = create_engine(server, poolclass=NullPool).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as opened:
        opened.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = Path(opened.exec_driver_sql("SHOW hba_file").scalar())
        before = rules.read_text()
        try:
            rules.write_text(f"local all {role} scram-sha-256\n{before}")
            opened.exec_driver_sql("SELECT pg_reload_conf()")
            yield
        finally:
            rules.write_text(before)
            opened.exec_driver_sql("SELECT pg_reload_conf()")
            opened.exec_driver_sql(f"DROP ROLE {role}")


# -- what is honoured


@either_driver
def test_a_connection_is_made_with_the_driver_it_names(driver, warehouse):
    warehouse(driver)
    with closing(BaseHook.get_hook("warehouse").get_conn()) as opened:
        hooks_own = type(opened).__module__.partition(".")[0]
    assert get_engine("warehouse").driver == ("psycopg2" if driver else hooks_own)


def test_a_scheme_without_a_driver_leaves_it_to_the_hook(warehouse):
    warehouse({"sqlalchemy_scheme": "postgresql"})
    assert get_engine("warehouse").name == "postgresql"


@either_driver
@pytest.mark.parametrize("cursor", [{}, {"cursor": "dictcursor"}, {"cursor": "namedtuplecursor"}], ids=str)
def test_rows_go_where_the_search_path_leads(cursor, driver, connection, server, warehouse):
    warehouse({"options": "-c search_path=analytics", **cursor, **driver})
    for _ in range(2):
        assert write()["rows"] == 25
    with create_engine(server, poolclass=NullPool).connect() as opened:
        assert opened.exec_driver_sql("SELECT count(*) FROM analytics.keys").scalar() == 25


@either_driver
def test_settings_of_the_extra_hold_for_the_session(driver, warehouse):
    warehouse({"application_name": "openrouter-etl", "options": "-c statement_timeout=123s", **driver})
    assert (setting("application_name"), setting("statement_timeout")) == ("openrouter-etl", "123s")


@either_driver
def test_a_service_says_where_the_database_is(driver, warehouse, server, monkeypatch, tmp_path):
    (tmp_path / "services").write_text(f"[lake]\nhost={server.query['host']}\noptions=-c search_path=analytics\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    warehouse({"service": "lake", **driver}, host=None)
    assert setting("search_path") == "analytics"


@either_driver
def test_a_server_without_tls_gets_nothing_where_it_is_asked(driver, sandbox, connection, server, warehouse):
    path = f"{server.query['host']}/.s.PGSQL.{server.port or 5432}"
    with without_tls(path) as port:
        place = {"host": "127.0.0.1", "port": port}
        warehouse({"sslmode": "disable", "options": "-c search_path=analytics", **driver}, **place)
        write()
        sandbox.requests.clear()
        warehouse({"sslmode": "verify-full", **driver}, **place)
        with pytest.raises(AirflowException, match=r"^Could not connect to the database of 'warehouse': .*SSL"):
            write()
    assert sandbox.requests == []


def test_a_table_later_in_the_search_path_is_the_one(connection, server, warehouse):
    with create_engine(server, poolclass=NullPool).begin() as opened:
        opened.exec_driver_sql("CREATE TABLE analytics.keys (hash TEXT)")
        opened.exec_driver_sql("CREATE SCHEMA front")
    try:
        warehouse({"options": "-c search_path=front,analytics"})
        operator = OpenRouterKeysToSqlOperator(task_id="write", sql_conn_id="warehouse", table="keys")
        operator.execute(Context())
        (output,) = operator.get_openlineage_facets_on_complete(None).outputs
        assert output.name == f"{server.database}.analytics.keys"
    finally:
        with create_engine(server, poolclass=NullPool).begin() as opened:
            opened.exec_driver_sql("DROP SCHEMA front CASCADE")


def test_a_read_only_file_of_sqlite_stays_as_it_is(connection, monkeypatch, tmp_path):
    path = tmp_path / "keys.db"
    for mode in ("rwc", "ro"):
        warehouse = {"conn_type": "sqlite", "host": str(path), "extra": {"mode": mode}}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse))
        if mode == "rwc":
            write(snapshot="2026-11-03")
            before = path.read_bytes()
    with pytest.raises(AirflowException, match="Database error: attempt to write a readonly database"):
        write(snapshot="2026-11-04")
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_an_engine_opens_each_connection_anew_and_hides_values(kind, warehouse, monkeypatch, tmp_path):
    warehouse({})
    if kind == "sqlite":
        path = tmp_path / "keys.db"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": kind, "host": str(path)}))
    engine = get_engine("warehouse")
    if kind == "sqlite":
        assert engine.url == make_url(f"sqlite:///{path}")
    assert isinstance(engine.pool, NullPool)
    mark = "?" if kind == "sqlite" else "%s"
    with engine.connect() as opened, pytest.raises(DBAPIError, match="nowhere") as caught:
        # PostgreSQL quotes the line with the error; psycopg2 writes values into the statement.
        opened.exec_driver_sql(f"INSERT INTO nowhere\nVALUES ({mark})", ("never-to-be-shown",))
    assert "never-to-be-shown" not in str(caught.value)


@needs_psycopg_3
@pytest.mark.parametrize("named", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("hooks_own", ["psycopg", "psycopg2"])
def test_each_driver_takes_over_from_the_other(named, hooks_own, server):
    place = {"host": server.query["host"], "user": "writer", "password": "secret", "dbname": server.database}
    with password_is_asked_for("writer", "secret", server):
        hook = SimpleNamespace(get_conn=lambda: import_module(hooks_own).connect(**place))
        with closing(connect_as(hook, import_module(named))) as opened, opened.cursor() as cursor:
            assert driver_of(opened) == named
            cursor.execute("SELECT current_user, current_setting('application_name')")
            assert cursor.fetchone() == ("writer", "")


def test_a_connection_of_the_right_driver_is_kept(server):
    with closing(import_module("psycopg2").connect(host=server.query["host"], user=server.username)) as opened:
        hook = SimpleNamespace(get_conn=lambda: opened)
        assert connect_as(hook, import_module("psycopg2")) is opened


# -- what is refused before the first request

REFUSED = {
    "settings for SQLAlchemy": (
        {"sqlalchemy_query": {"sslmode": "require"}},
        "has settings in sqlalchemy_query, which Airflow's hook does not connect with. Move them into the extra "
        "itself.$",
    ),
    "a driver that cannot copy": (
        {"sqlalchemy_scheme": "postgresql+asyncpg"},
        "names the driver 'asyncpg' in sqlalchemy_scheme. Name one of psycopg and psycopg2, or none.$",
    ),
    "Redshift without servers": ({"redshift-serverless": True}, "leads to Amazon Redshift, which is not"),
    "Redshift": (
        {"redshift": True},
        "leads to Amazon Redshift, which is not supported: write a file with OpenRouterListKeysOperator and load "
        "it, as docs/warehouses.md shows.$",
    ),
}


@pytest.mark.parametrize(("extra", "said"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_cannot_be_honoured_is_refused(extra, said, sandbox, connection, warehouse):
    warehouse(extra)
    with pytest.raises(AirflowFailException, match=f"^Connection 'warehouse' {said}"):
        write()
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("PostgreSQL 8.0.2 on i686, Redshift 1.0.12103", "PostgreSQL 8.0.2 on i686, Redshift 1.0.12103"),
        (f"CockroachDB CCL {'v' * 60}", f"CockroachDB CCL {'v' * 44}"),
    ],
)
def test_another_database_behind_its_protocol_is_refused(version, shown, sandbox, connection, server, warehouse):
    with create_engine(server, poolclass=NullPool).begin() as opened:
        opened.exec_driver_sql("CREATE SCHEMA other")
        opened.exec_driver_sql(f"CREATE FUNCTION other.version() RETURNS text LANGUAGE sql RETURN '{version}'")
    try:
        warehouse({"options": "-c search_path=other,pg_catalog"})
        with pytest.raises(
            AirflowFailException, match=f"^Connection 'warehouse' leads to '{shown}', which is not"
        ):
            write()
    finally:
        with create_engine(server, poolclass=NullPool).begin() as opened:
            opened.exec_driver_sql("DROP SCHEMA other CASCADE")
    assert sandbox.requests == []


@pytest.mark.parametrize("extra", [{"no_such_setting": 1}, {"cursor": "no_such_cursor"}], ids=str)
def test_a_setting_that_nobody_knows_is_an_error(extra, sandbox, connection, warehouse):
    warehouse(extra)
    with pytest.raises(AirflowException, match=r"^Could not connect to the database of 'warehouse': .*no_such_"):
        write()
    assert sandbox.requests == []


def test_a_first_query_that_fails_is_a_failure_to_connect():
    connection = SimpleNamespace(conn_id="warehouse")
    said = "^Could not connect to the database of 'warehouse': no such table: nowhere$"
    with (
        pytest.raises(AirflowException, match=said),
        first_connection(connection, lambda: sqlite3.connect(":memory:")) as opened,
    ):
        opened.execute("SELECT * FROM nowhere")


@pytest.mark.parametrize(("said", "shown"), [("", "OSError"), ("no\nroute", "no"), ("x" * 501, "x" * 500)])
def test_of_a_failure_to_connect_one_short_line_is_shown(said, shown):
    def connect():
        raise OSError(said)

    with (
        pytest.raises(AirflowException, match=f"^Could not connect to the database of 'warehouse': {shown}$"),
        first_connection(SimpleNamespace(conn_id="warehouse"), connect),
    ):
        pytest.fail("connected")
