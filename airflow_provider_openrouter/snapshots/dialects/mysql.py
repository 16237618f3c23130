"""MySQL and MariaDB."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import BigInteger, Boolean, Date, String, Table, create_engine, func, select, text
from sqlalchemy.dialects.mysql import DATETIME, DOUBLE
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn

from airflow_provider_openrouter.snapshots.dialects.base import (
    Dialect,
    arrow_rows,
    cause_of,
    first_connection,
    kind_of,
    shown_name,
    unsupported,
)
from airflow_provider_openrouter.snapshots.dialects.mysql_columns import about, columns_of
from airflow_provider_openrouter.snapshots.partition import BasePartition
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from airflow.providers.common.compat.sdk import Connection as AirflowConnection

log = logging.getLogger(__name__)

DRIVERS = {"MySQLdb": "mysqldb", "pymysql": "pymysql", "mysql": "mysqlconnector"}
"""SQLAlchemy's names of the drivers, by the packages that their connections are from."""
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
    "default_storage_engine = 'InnoDB'"
)
"""What makes the server refuse a value that it would cut or replace, and keep times and transactions."""
OLDEST = {"MariaDB": (10, 5), "MySQL": (8, 0, 17)}
KEY_LENGTH = 190
"""The characters of a text in the key: four of them and a time fit into InnoDB's 3,072 bytes."""
ROWS_A_BATCH = 1_000
A_YEAR = 31_536_000
"""Seconds: the one server waits for ever with a negative number, the other not at all."""
TEMPORARY = {1205, 1213}
"""The errors in which a lock is held too long, or by two that wait for each other."""
# Where the server quotes a value, which may be a name of a key or the SQL with all of them.
_VALUE = re.compile(r"\b(value|entry|near|string|double):? '.*?'(?= for (?:key|column) |[^']*$)", re.DOTALL)


class _Exact(String):
    """Text in which case and spaces at the end count, whatever the defaults of the table are."""

    cache_ok = True


@compiles(_Exact, "mysql")
def _exact(type_: _Exact, compiler: Any, **_: Any) -> str:
    kind = f"VARCHAR({type_.length})" if type_.length else "LONGTEXT"
    family = "nopad" if compiler.dialect.is_mariadb else "0900"
    return f"{kind} CHARACTER SET utf8mb4 COLLATE utf8mb4_{family}_bin"


_TYPES: dict[str, Any] = {
    "string": _Exact(),
    "boolean": Boolean(),
    "integer": BigInteger(),
    "number": DOUBLE(asdecimal=False),
    "timestamp": DATETIME(fsp=6),  # in UTC
    "date": Date(),
}


class MySQL(Dialect):
    """MySQL and MariaDB, with mysqlclient, mysql-connector-python, or PyMySQL in the place of the first."""

    name: ClassVar[str] = "mysql"
    conn_type: ClassVar[str] = "mysql"
    after_failure: ClassVar[str] = "its partition is as it was"

    def get_engine(self, connection: AirflowConnection, hook: Any) -> Engine:
        """Connect as the hook does, and return an engine whose connections are made in the same way."""
        connect = partial(_connect, hook)
        with first_connection(connection, connect) as opened:
            with closing(opened.cursor()) as cursor:
                cursor.execute("SELECT version()")
                (version,) = cursor.fetchone()
            product = "MariaDB" if "MariaDB" in version else "MySQL"
            if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST[product]:
                oldest = ".".join(map(str, OLDEST[product]))
                raise unsupported(connection, f"leads to {product} {version}, which is older than {oldest}")
            # It has no database, as that is what a schema is here.
            driver = f"mysql+{DRIVERS[_package(opened)]}"
            url = URL.create(driver, host=connection.host or "localhost", port=connection.port)
        # A connection is closed at its end, and with it ends the lock of the writer.
        return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """Return the type of a column."""
        return _Exact(KEY_LENGTH) if is_key and kind == "string" else _TYPES[kind]

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait for a lock of the connection, as DDL ends a transaction. Its name may have 64 characters."""
        schema = self.schema_of(connection, target)
        digest = hashlib.sha256(f"{schema}.{target.name}".lower().encode()).hexdigest()
        if connection.execute(select(func.get_lock(f"openrouter-{digest[:48]}", A_YEAR))).scalar() != 1:
            raise AirflowException(f"The server gave no lock for table {shown_name(target)}. Run the task again.")

    def change_key(self, connection: Connection, target: Table) -> None:
        """Change the key and its columns in one statement."""
        target.c.granularity.nullable = False
        identity = kind_of(target).identity
        changes = (
            "DROP PRIMARY KEY",
            *_modifications(connection, target, identity),
            f"ADD PRIMARY KEY ({', '.join(identity)})",
        )
        name = connection.dialect.identifier_preparer.format_table(target)
        try:
            connection.exec_driver_sql(f"ALTER TABLE {name} {', '.join(changes)}")
        except DBAPIError as error:
            if error.connection_invalidated or _parts(error)[0] in TEMPORARY:
                raise
            raise self.cannot_change_key(target, f"Database error: {self.reason(error)}.") from None

    def replace(
        self, connection: Connection, target: Table, partition: BasePartition, frame: pd.DataFrame
    ) -> int:
        """Replace the rows of a partition, if the table holds exactly what is written to it."""
        self._check(connection, target)
        return super().replace(connection, target, partition, frame)

    def _check(self, connection: Connection, target: Table) -> None:
        """Refuse a table without transactions, and one whose columns do not hold exactly what they are given."""
        name = shown_name(target)
        engine = connection.execute(about(target, "engine", "tables")).scalar()
        if engine is None:
            raise AirflowFailException(f"{name} is a view. Set table to the table itself.")
        transactions = text("SELECT transactions FROM information_schema.engines WHERE engine = :engine")
        if connection.execute(transactions, {"engine": engine}).scalar() != "YES":
            raise AirflowFailException(
                f"Table {name} has the engine {engine}, which has no transactions. "
                f"Run: ALTER TABLE {name} ENGINE = InnoDB"
            )
        columns = columns_of(connection, target)
        if wrong := [column for column in columns if column.is_wrong]:
            shown = ", ".join(f"{column.name} {column.type} {column.collation or ''}".strip() for column in wrong)
            changes = ", ".join(_modifications(connection, target, [column.name for column in wrong]))
            # Another zone of the session would become that of the times.
            zone = "SET time_zone = '+00:00'; " if any(column.kind == "timestamp" for column in wrong) else ""
            raise AirflowFailException(
                f"Table {name} cannot hold every value exactly: {shown}. Run: {zone}ALTER TABLE {name} {changes}"
            )
        if rounding := [f"{column.name} {column.type}" for column in columns if column.rounds]:
            log.warning("Table %s rounds amounts: %s", name, ", ".join(rounding))

    def insert(self, connection: Connection, target: Table, frame: pd.DataFrame) -> None:
        """Insert the rows of a frame in batches that the server takes."""
        columns = [column for column in columns_of(connection, target) if column.holds == "string"]
        packet = connection.execute(text("SELECT @@max_allowed_packet")).scalar_one()
        for start in range(0, len(frame), ROWS_A_BATCH):
            rows = arrow_rows(target, frame.iloc[start : start + ROWS_A_BATCH])
            for column in columns:
                column.check(rows[column.name], target)
            for batch in _batches(rows, packet):
                if batch.nbytes > packet:
                    raise AirflowFailException(
                        f"A row has {batch.nbytes:,} bytes, more than max_allowed_packet of the server, "
                        f"{packet:,}. Raise max_allowed_packet."
                    )
                connection.execute(target.insert(), batch.to_pylist())

    def is_collision(self, error: Exception) -> bool:
        """Return whether the error is that of a duplicate entry."""
        return _parts(error)[0] == 1062

    def reason(self, error: Exception) -> str:
        """Return what the server says, without the values that it quotes."""
        number, said = _parts(error)
        if not number:
            return super().reason(error)
        return plain(f"{_VALUE.sub(lambda found: found[1], said)} ({number})", longest=500)


def _connect(hook: Any) -> Any:
    """Return a connection of the hook, in which nothing is lost."""
    try:
        connection = hook.get_conn()
    except RuntimeError as error:  # which the hook raises where mysqlclient is not installed
        raise ImportError(error) from None
    package = _package(connection)
    if package == "mysql":
        connection.config(buffered=True)  # as SQLAlchemy asks for, which may leave results unread
    else:
        connection.cursorclass = import_module(f"{package}.cursors").Cursor
        connection.set_character_set("utf8mb4")
    with closing(connection.cursor()) as cursor:
        cursor.execute(SESSION)
    return connection


def _package(connection: Any) -> str:
    return type(connection).__module__.partition(".")[0]


def _modifications(connection: Connection, target: Table, names: Iterable[str]) -> list[str]:
    """Return what makes columns of a table as we create them."""
    return [f"MODIFY {CreateColumn(target.c[name]).compile(dialect=connection.dialect)}" for name in names]


def _batches(rows: pa.Table, packet: int) -> Iterator[pa.Table]:
    """Divide rows until a part surely fits into a packet: text may double, and other values become 30 bytes."""
    if len(rows) > 1 and 2 * rows.nbytes + 30 * len(rows) * rows.num_columns > packet:
        half = len(rows) // 2
        yield from _batches(rows[:half], packet)
        yield from _batches(rows[half:], packet)
    else:
        yield rows


def _parts(error: Exception) -> tuple[int, str]:
    """Return the number and the words of an error of the server, or of its driver."""
    cause = cause_of(error)
    number, said = (*cause.args, None, None)[:2]
    if not isinstance(number, int):
        return 0, ""
    return number, str(getattr(cause, "msg", said))
