"""PostgreSQL behind PgBouncer in transaction mode, which gives each transaction whatever session is free."""

import json
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.databases import Database, database_of, keys

from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.snapshots.dialects.relation import ROWS_A_STATEMENT

ROWS = 8 * ROWS_A_STATEMENT
"""So many equal statements in a transaction that psycopg 3 would prepare them."""


@pytest.fixture
def server(postgresql):
    with database_of(postgresql) as url:
        yield url


@pytest.fixture
def pgbouncer(server, tmp_path):
    """Run PgBouncer with two sessions in front of a database, and yield its port."""
    folder = Path(server.query["host"])
    owner = pwd.getpwuid(folder.stat().st_uid).pw_name
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{server.database} = host={folder} user={server.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nignore_startup_parameters = extra_float_digits\n"
    )
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    as_owner = ["-u", owner] if os.getuid() == 0 else []  # it refuses to run as root
    with subprocess.Popen(["pgbouncer", *as_owner, settings], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
        process.terminate()


@pytest.mark.parametrize("extra", [{}, {"sqlalchemy_scheme": "postgresql+psycopg2"}], ids=str)
@pytest.mark.parametrize("statement", ["COPY", "INSERT"])
def test_three_runs_in_a_row_write_through_it(statement, extra, server, pgbouncer, monkeypatch):
    connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": pgbouncer, "schema": server.database}
    connection |= {"login": server.username, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    direct, through = Database(server), Database(server)
    if statement == "INSERT":
        direct.write([], table="base")
        direct.do("CREATE VIEW keys AS SELECT * FROM base")
    for run in range(1, 4):
        through.engine = get_engine("warehouse")
        through.write(keys(*range(ROWS), usage=run))
        with direct.engine.connect() as opened:
            found = opened.exec_driver_sql("SELECT count(*), min(usage), max(usage) FROM keys").one()
        assert tuple(found) == (ROWS, run, run)
