"""SQLite."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Float, Table, Text, create_engine
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from airflow_provider_openrouter.snapshots.dialects.base import (
    Dialect,
    arrow_rows,
    cause_of,
    first_connection,
    kind_of,
)
from airflow_provider_openrouter.snapshots.kinds import KEYS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from airflow.providers.common.compat.sdk import Connection as AirflowConnection

ROWS_A_BATCH = 5_000
_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "integer": BigInteger(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),  # stored as text, in UTC and without a zone
    "date": Date(),  # stored as text
}
_OLD_KEY = re.compile(
    r"\bPRIMARY\s+KEY\s*\(\s*" + r"\s*,\s*".join(f'"?{name}"?' for name in KEYS.old_identity) + r"\s*\)",
    re.IGNORECASE,
)
_CREATE = re.compile(r"^CREATE (TABLE|UNIQUE INDEX|INDEX|TRIGGER) ")
"""The beginning of the statements that SQLite stores: always in this form and without a schema."""


class SQLite(Dialect):
    """SQLite."""

    name: ClassVar[str] = "sqlite"
    conn_type: ClassVar[str] = "sqlite"

    def get_engine(self, connection: AirflowConnection, hook: Any) -> Engine:
        """Connect as the hook does, and return an engine whose connections are made in the same way."""
        with first_connection(connection, hook.get_conn) as opened:
            _, _, path = opened.execute("PRAGMA database_list").fetchone()
        return create_engine(
            URL.create("sqlite", database=path), creator=hook.get_conn, poolclass=NullPool, hide_parameters=True
        )

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """Return the type of a column."""
        return _TYPES[kind]

    def schema_of(self, connection: Connection, target: Table) -> str | None:
        """Return the name of an attached database, or None for the main one."""
        return target.schema

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait up to a minute for the file."""
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def primary_key(self, connection: Connection, target: Table) -> tuple[str, ...]:
        """Return the columns of the key, also if the name of the table differs in case."""
        columns = "SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk"
        return tuple(connection.exec_driver_sql(columns, (target.name, target.schema or "main")).scalars())

    def change_key(self, connection: Connection, target: Table) -> None:
        """
        Rebuild the table with the new key, as SQLite cannot change one.

        The table's own statement is edited, so that what a user added is kept. Its rows are set aside in a
        temporary table, as no table can be renamed while a view looks for one that is missing. Indexes and
        triggers are dropped with their table, and made again.
        """
        run = connection.exec_driver_sql
        quote = connection.dialect.identifier_preparer.quote_identifier
        schema = quote(target.schema or "main")
        name = f"{schema}.{quote(target.name)}"
        create, *others = run(
            f"SELECT sql FROM {schema}.sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL "  # noqa: S608  # nosec B608
            "ORDER BY type = 'table' DESC, rowid",
            (target.name,),
        ).scalars()
        create, edited = _OLD_KEY.subn(f"PRIMARY KEY ({', '.join(kind_of(target).identity)})", create)
        create = re.sub(r"\bgranularity TEXT\b(?! NOT NULL)", "granularity TEXT NOT NULL", create)
        referring = run(
            f"SELECT count(*) FROM {schema}.sqlite_master AS other, "  # noqa: S608  # nosec B608
            "pragma_foreign_key_list(other.name, ?) AS reference "
            "WHERE other.type = 'table' AND reference.\"table\" = ? COLLATE NOCASE",
            (target.schema or "main", target.name),
        ).scalar()
        if edited != 1 or referring:
            why = "A foreign key of another table refers to it." if referring else "It is not as it was created."
            raise self.cannot_change_key(target, why)
        stored = "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0"  # generated columns are hidden
        columns = ", ".join(map(quote, run(stored, (target.name, target.schema or "main")).scalars()))

        def make(statement: str) -> None:
            run(_CREATE.sub(lambda create: f"{create[0]}{schema}.", statement))

        run(f"CREATE TEMP TABLE openrouter_old_rows AS SELECT {columns} FROM {name}")  # noqa: S608  # nosec B608
        run(f"DROP TABLE {name}")
        make(create)
        run(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM temp.openrouter_old_rows")  # noqa: S608  # nosec B608
        run("DROP TABLE temp.openrouter_old_rows")
        for other in others:
            make(other)

    def insert(self, connection: Connection, target: Table, frame: pd.DataFrame) -> None:
        """Insert the rows of a frame, in half the time that SQLAlchemy takes for each value."""
        preparer = connection.dialect.identifier_preparer
        names = ", ".join(preparer.quote(column.name) for column in target.columns)
        marks = ", ".join("?" for _ in target.columns)
        statement = f"INSERT INTO {preparer.format_table(target)} ({names}) VALUES ({marks})"  # noqa: S608  # nosec B608
        for start in range(0, len(frame), ROWS_A_BATCH):
            batch = arrow_rows(target, frame.iloc[start : start + ROWS_A_BATCH])
            columns = (_as_stored(column).to_pylist() for column in batch.columns)
            connection.exec_driver_sql(statement, list(zip(*columns, strict=True)))

    def is_collision(self, error: Exception) -> bool:
        """Return whether the words are those of a unique violation."""
        return isinstance(error, IntegrityError) and "UNIQUE" in str(cause_of(error))


def _as_stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as SQLAlchemy stores them: text, in UTC and without a zone."""
    import pyarrow as pa

    return column.cast(pa.timestamp("us")).cast(pa.string()) if pa.types.is_timestamp(column.type) else column
