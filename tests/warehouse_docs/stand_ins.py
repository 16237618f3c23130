"""Stand-ins for the warehouses: what reaches their drivers or their API is kept, and run on DuckDB."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

COPY = re.compile(r"\s*COPY .*FROM '(?:@openrouter_lake|s3://my-lake)/(?P<key>[^']+)'", re.DOTALL)
REPLACE = re.compile(
    r"\s*INSERT INTO (?P<table>\S+)\s+REPLACE WHERE (?P<condition>.+?)\s"
    r"SELECT\s+(?P<columns>.+?)\s+FROM parquet\.`s3://my-lake/(?P<key>[^`]+)`\s*",
    re.DOTALL,
)


class Warehouse:
    """
    A warehouse with the table that a page of SQL creates.

    :param dialect: its SQL.
    :param page: the SQL.
    :param fetch: returns a local copy of a file in the bucket.
    """

    def __init__(self, dialect: str, page: str, fetch: Callable[[str], Path]) -> None:
        self.dialect = dialect
        self.fetch = fetch
        self.statements: list[str] = []
        self.fails = False
        self.database = duckdb.connect()
        self.database.execute("SET TimeZone = 'America/New_York'")  # which day it is must not depend on it
        [create] = re.findall(r"^CREATE TABLE .+?;", page, re.DOTALL | re.MULTILINE)
        self.translate(create)

    def connect(self, *, commits_each: bool = False) -> Connection:
        return Connection(self, commits_each)

    def execute(self, statement: str) -> None:
        self.statements.append(statement)
        if copied := COPY.match(statement):
            self.load(copied["key"], "BY NAME SELECT *")
        elif replaced := REPLACE.fullmatch(statement):
            self.translate(f"DELETE FROM {replaced['table']} WHERE {replaced['condition']}")
            self.load(replaced["key"], f"SELECT {replaced['columns']}".replace("`", '"'))
        else:
            self.translate(statement)

    def load(self, key: str, selected: str) -> None:
        if self.fails:
            raise RuntimeError("The load fails.")
        file = self.fetch(key)
        reader = "read_parquet" if file.suffix == ".parquet" else "read_ndjson"
        self.database.execute(f"INSERT INTO openrouter_keys {selected} FROM {reader}('{file}')")

    def translate(self, statement: str) -> None:
        parsed = sqlglot.parse_one(statement, read=self.dialect)
        for table in parsed.find_all(exp.Table):
            table.set("db", None)
            table.set("catalog", None)
        parsed.set("properties", None)
        self.database.execute(parsed.sql("duckdb"))


class Connection:
    """
    A connection of a database driver.

    :param commits_each: whether each statement is a transaction of its own.
    """

    def __init__(self, warehouse: Warehouse, commits_each: bool) -> None:
        self.warehouse = warehouse
        self.commits_each = commits_each
        self.is_open = False
        self.autocommit: Any = lambda on: None

    def cursor(self, *_: Any) -> Cursor:
        return Cursor(self)

    def execute(self, statement: str, *_: Any, **__: Any) -> None:
        if not self.is_open:
            self.warehouse.database.execute("BEGIN")
            self.is_open = True
        try:
            if statement not in ("BEGIN", "COMMIT"):
                self.warehouse.execute(statement)
        except BaseException:
            if self.commits_each:
                self.close()
            raise
        if statement == "COMMIT" or self.commits_each:
            self.commit()

    def commit(self) -> None:
        self._end("COMMIT")

    def close(self) -> None:
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        if self.is_open:
            self.warehouse.database.execute(how)
        self.is_open = False


class Cursor:
    """A cursor of a connection; no statement has a result."""

    description: tuple[Any, ...] = ()
    rowcount = -1
    sfqid = query_id = "1"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.execute = connection.execute

    def fetchall(self) -> list[Any]:
        return []

    def close(self) -> None:
        pass


@contextmanager
def bigquery(warehouse: Warehouse) -> Iterator[str]:
    """Run BigQuery's API for load jobs on loopback, and return its URL; each job is kept as a statement."""

    class Handler(BaseHTTPRequestHandler):
        job: dict[str, Any]

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            load = job["configuration"]["load"]
            warehouse.statements.append(json.dumps(load))
            _, _, day = load["destinationTable"]["tableId"].partition("$")
            [key] = [uri.removeprefix("gs://my-lake/") for uri in load["sourceUris"]]
            status: dict[str, Any] = {"state": "DONE"}
            warehouse.database.execute("BEGIN")
            try:
                partition = f"{datetime.strptime(day, '%Y%m%d'):%Y-%m-%d}T00:00:00+00:00"
                warehouse.database.execute(f"DELETE FROM openrouter_keys WHERE snapshot = '{partition}'")
                warehouse.load(key, "BY NAME SELECT *")
                warehouse.database.execute("COMMIT")
            except RuntimeError as error:
                warehouse.database.execute("ROLLBACK")
                status["errorResult"] = {"reason": "invalid", "message": str(error)}
            Handler.job = job | {"status": status, "statistics": {}}
            self.do_GET()

        def do_GET(self) -> None:
            body = json.dumps(Handler.job).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
