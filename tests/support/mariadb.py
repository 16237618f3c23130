"""A MariaDB from the system's packages, set up in the way that is hardest to write to without losing anything."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sessions import Guard
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool
from support.databases import Database

from airflow_provider_openrouter.snapshots import kinds

IDENTITY = kinds.KEYS.identity

HARD = {
    "character-set-server": "latin1",
    "default-storage-engine": "MyISAM",
    "default-time-zone": "+13:00",
    "max-allowed-packet": "1M",
    "sql-mode": "",
}
QUICK = {
    "innodb-buffer-pool-size": "32M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-log-file-size": "16M",
    "performance-schema": "OFF",
    "skip-name-resolve": "ON",  # else the anonymous user of localhost precedes this one
}
USER = """\
CREATE USER writer@'%' IDENTIFIED BY 'pass/word';
GRANT ALL ON *.* TO writer@'%' WITH GRANT OPTION;
"""
"""A statement a line, as it must be in an init file."""

KEY_TYPE = "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL"
OWN = {
    "snapshot": "DATETIME(6) NOT NULL",
    "granularity": "VARCHAR(4) NOT NULL",
    **dict.fromkeys(("source", "workspace_scope", "hash"), KEY_TYPE),
}


@contextmanager
def running_mariadb(**options: str) -> Iterator[URL]:
    """Run MariaDB in its own folder on a free port, and return its URL. It ends with this process."""
    with tempfile.TemporaryDirectory(prefix="openrouter-mariadb-") as folder, closing(Guard()) as guard:
        log = Path(folder, "log")
        # A server that starts removes the temporary tables of all others that it finds in its folder for them.
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        users = Path(folder, "users.sql")
        users.write_text(USER)
        common = ["--no-defaults", f"--datadir={folder}/data"]
        if not os.getuid():
            for path in (folder, scratch):
                shutil.chown(path, "mysql")
            common.append("--user=mysql")
        with log.open("w") as output:
            install = ["mariadb-install-db", *common, "--skip-test-db", "--skip-name-resolve"]
            environment = os.environ | {"TMPDIR": str(scratch)}
            subprocess.run(install, check=True, stdout=output, stderr=output, env=environment)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            places = {
                "bind-address": "127.0.0.1",
                "init-file": str(users),
                "port": str(port),
                "socket": f"{folder}/socket",
                "tmpdir": str(scratch),
            }
            program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") or "mariadbd"
            arguments = (f"--{name}={value}" for name, value in (HARD | QUICK | places | options).items())
            process = subprocess.Popen(
                [program, *common, *arguments], stdout=output, stderr=output, start_new_session=True
            )
        guard.watch(process.pid)
        try:
            _await(process, port, log)
            yield URL.create(
                "mysql+mysqldb", "writer", "pass/word", "127.0.0.1", port, query={"charset": "utf8mb4"}
            )
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def database(mariadb: URL) -> Iterator[Database]:
    """A database on the MariaDB of the tests."""
    name = f"test_{uuid4().hex}"
    with create_engine(mariadb, poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield Database(mariadb.set(database=name))
        connection.exec_driver_sql(f"DROP DATABASE {name}")


def own_table(database: Database, *, key: Any = IDENTITY, end: str = "ENGINE = InnoDB", **columns: Any) -> None:
    """Create a table by hand, with columns in the place of its usual ones or beside them."""
    columns = {name: kind for name, kind in (OWN | columns).items() if kind}
    parts = [f"{database.quote(name)} {kind}" for name, kind in columns.items()]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(key)})")
    database.do(f"CREATE TABLE own ({', '.join(parts)}) CHARACTER SET utf8mb4 {end}")


def hashes(database: Database, table: str = "keys", **where: Any) -> list[str]:
    return [row["hash"] for row in database.rows(table, **where)]


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"MariaDB did not start: {log.read_text()[-2000:]}")
