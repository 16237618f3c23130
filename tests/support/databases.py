"""A table in two real databases, and who writes to it: alone, at once, or killed while at it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import DDL, MetaData, Table, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.pool import NullPool
from support.activity import day_of, frame_of, row
from support.listings import OBSERVED_AT, listing_of, partition_of

from airflow_provider_openrouter.activity import Activity
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.snapshots import kinds
from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.snapshots.frame import keys_file_frame
from airflow_provider_openrouter.snapshots.partition import ActivityPartition
from airflow_provider_openrouter.snapshots.tables import replace_partition

IDENTITY = kinds.KEYS.identity

KILLED = -signal.SIGKILL
"""What :func:`killable_writer` returns of a writer that was killed."""


def keys(*numbers: int, **fields: Any) -> list[Key]:
    return [
        {"hash": f"hash-{number:05}", "name": f"key {number}", "usage": number / 7} | fields for number in numbers
    ]


def connection_to(url: URL) -> str:
    """Return a connection of Airflow to a database."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database.removeprefix('/')}"
    kinds = {"postgresql": "postgres", "mysql": "mysql"}
    parts = {"login": url.username, "password": url.password, "host": url.host, "port": url.port}
    query = {name: value for name, value in url.query.items() if name != "host"}
    host = {"host": url.query["host"]} if "host" in url.query else {}
    return json.dumps(
        parts | host | {"conn_type": kinds[url.get_backend_name()], "schema": url.database or "", "extra": query}
    )


def engine_of(url: URL) -> Engine:
    """Return an engine whose sessions are those of the operator, where it sets what they need."""
    if url.get_backend_name() != "mysql":
        return create_engine(url, hide_parameters=True, poolclass=NullPool)
    name = f"database_{uuid4().hex}"
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = connection_to(url)
    return get_engine(name)


class Database:
    """A database of one test's own."""

    def __init__(self, url: str | URL) -> None:
        self.url = url
        self.engine = engine_of(make_url(url))
        self.name = self.engine.dialect.name

    def write(
        self,
        keys: list[Key],
        *,
        table: str = "keys",
        schema: str | None = None,
        create_table: bool = True,
        observed_at: datetime = OBSERVED_AT,
        workspace_id: str | None = None,
        workspace_names: dict[str, str] | None = None,
        **partition_arguments: Any,
    ) -> str | None:
        listing = listing_of(keys, observed_at, workspace_id, workspace_names)
        partition = partition_of(listing, **partition_arguments)
        return replace_partition(
            self.engine,
            keys_file_frame(listing, partition),
            partition=partition,
            table=table,
            schema=schema,
            create_table=create_table,
        )

    def write_activity(
        self, activity: Activity, *, table: str = "activity", source: str = "team", create_table: bool = True
    ) -> str | None:
        return replace_partition(
            self.engine,
            frame_of(activity, source),
            partition=ActivityPartition(activity.day, source, activity.grouped_by),
            table=table,
            schema=None,
            create_table=create_table,
        )

    def do(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def quote(self, name: str) -> str:
        if self.name == "mysql":
            return "`" + name.replace("`", "``").replace("%", "%%") + "`"
        return '"' + name.replace('"', '""').replace("%", "%%" if self.name == "postgresql" else "%") + '"'

    def reflect(self, table: str = "keys", schema: str | None = None) -> Table:
        return Table(table, MetaData(), schema=schema, autoload_with=self.engine)

    def rows(self, table: str = "keys", schema: str | None = None, **where: Any) -> list[dict[str, Any]]:
        """Return the rows as dicts in the order of what tells them apart; times are naive and in UTC."""
        query = select(self.reflect(table, schema))
        if self.name == "mysql":  # where a reflected DOUBLE is read as ten digits
            query = text(f"SELECT * FROM {'.'.join(map(self.quote, filter(None, (schema, table))))}")
        with self.engine.connect() as connection:
            found = connection.execute(query).mappings().all()
        rows = [{name: _plain(value) for name, value in row.items()} for row in found]
        rows = [row for row in rows if where.items() <= row.items()]
        return sorted(rows, key=lambda row: [str(row.get(name)) for name in (*IDENTITY, "name")])

    def names(self, **where: Any) -> list[str]:
        return [row["name"] for row in self.rows(**where)]

    @property
    def tables(self) -> list[str]:
        return inspect(self.engine).get_table_names()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/warehouse.db")
        yield database
        database.engine.dispose()
        return
    with database_of(request.getfixturevalue("postgresql")) as url:
        yield Database(url)


@contextmanager
def database_of(postgresql: str) -> Iterator[URL]:
    """Give the database ``tests`` of a PostgreSQL, and empty it afterwards, which is quicker than a new one."""
    server = make_url(postgresql)
    url = server.set(database="tests")
    with create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        if not connection.exec_driver_sql("SELECT 1 FROM pg_database WHERE datname = 'tests'").all():
            connection.exec_driver_sql("CREATE DATABASE tests")
        yield url
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity WHERE datname = 'tests'"
        ).all()
        connection.exec_driver_sql("ALTER DATABASE tests RESET ALL")
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        schemas = "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'"
        for schema in connection.exec_driver_sql(schemas).scalars().all():
            connection.execute(DDL(f"DROP SCHEMA {schema.replace('%', '%%')} CASCADE"))
        connection.exec_driver_sql("CREATE SCHEMA public")
        connection.exec_driver_sql("GRANT ALL ON SCHEMA public TO PUBLIC")


def make_schema(database: Database, name: str, folder: Path) -> None:
    """Make a schema, which SQLite calls an attached database."""
    if database.name != "sqlite":
        database.do(f"CREATE SCHEMA {database.quote(name)}")
        return
    path = str(folder / "attached.db")

    @event.listens_for(database.engine, "connect")
    def attach(connection: Any, record: Any) -> None:
        connection.execute(f"ATTACH DATABASE ? AS {database.quote(name)}", (path,))


def at_once(*works: Callable[[], Any]) -> None:
    """Do works in threads that start together; raise what failed."""
    barrier = threading.Barrier(len(works))
    errors: list[Exception] = []

    def do(work: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def writing_process() -> Iterator[subprocess.Popen[str]]:
    """A process that writes in its children, for :func:`killable_writer`."""
    program = [sys.executable, "-m", "support.databases"]
    pipe = subprocess.PIPE
    folder = Path(__file__).parents[1]
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True, cwd=folder) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def killable_writer(
    process: subprocess.Popen[str], database: Database, rows: int, what: str = "keys"
) -> Callable[..., int]:
    """
    Return a function that writes keys or activity in a process, and kills that at a statement or commit.

    It takes the version, which the rows have as their usage, the table, the number of the statement, and how long
    after it the process is killed. It returns -9, or how many statements there were.
    """
    url = make_url(database.url).render_as_string(hide_password=False)

    def write(version: float, table: str = "keys", *, last: int = 0, seconds: float = 0.0) -> int:
        process.stdin.write(json.dumps([url, rows, what, version, table, last, seconds]) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    return write


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write_until(url: str, rows: int, what: str, version: float, table: str, last: int, seconds: float) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # newer Airflows print the log
    begun = itertools.count(1)

    def at_a_statement(*_: Any) -> None:
        if next(begun) == last:
            threading.Timer(seconds, _die).start() if seconds else _die()

    event.listen(Engine, "before_cursor_execute", at_a_statement)
    event.listen(Engine, "commit", at_a_statement)
    if what == "keys":
        Database(url).write(keys(*range(rows), usage=version), table=table)
    else:
        Database(url).write_activity(day_of(*[row(usage=version)] * rows), table=table)
    os._exit(next(begun) - 1)


def _main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of the fork, and Airflow prints that
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        if not os.fork():
            _write_until(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main()
