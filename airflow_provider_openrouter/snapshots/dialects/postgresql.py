"""PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import Boolean, DateTime, Float, Table, Text, cast, func, inspect, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from airflow_provider_openrouter.snapshots.dialects.base import Dialect, cause_of
from airflow_provider_openrouter.snapshots.partition import IDENTITY

LASTING = {"2BP01", "23502", "42501", "55006"}
"""The states in which a key cannot be changed later either: it is used, not filled, or not ours."""
_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),
}


class PostgreSQL(Dialect):
    """PostgreSQL, with psycopg 3 or psycopg2."""

    name: ClassVar[str] = "postgresql"
    conn_type: ClassVar[str] = "postgres"
    changes_key: ClassVar[bool] = True

    def get_engine(self, hook: Any) -> Engine:
        """Connect as the hook does, and return an engine whose connections are made in the same way."""
        return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})  # type: ignore[no-any-return]

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """Return the type of a column."""
        return _TYPES[kind]

    def check_name(self, connection: Connection, name: str) -> None:
        """Refuse a name that is too long, and would be cut short; PostgreSQL counts bytes."""
        longest = connection.dialect.max_identifier_length
        if len(name.encode()) > longest:
            raise AirflowFailException(
                f"A name is longer than the {longest} bytes that PostgreSQL allows: {name!r}. Use a shorter one."
            )

    @contextmanager
    def transaction(self, engine: Engine, target: Table) -> Iterator[Connection]:
        """Begin a transaction, at the level that shows what the run before has written."""
        # A stricter level would fix what a run sees before it is its turn, and so let it fail.
        with super().transaction(
            engine.execution_options(isolation_level="READ COMMITTED"), target
        ) as connection:
            yield connection

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait for a lock of the transaction."""
        schema = target.schema or inspect(connection).default_schema_name
        name = hashlib.sha256(f"airflow-provider-openrouter {schema}.{target.name}".encode()).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(name[:8], "big", signed=True))))

    def change_key(self, connection: Connection, target: Table) -> None:
        """Change the constraint, whatever its name is."""
        inspector: Any = inspect(connection)
        preparer = connection.dialect.identifier_preparer
        constraint = preparer.quote(inspector.get_pk_constraint(target.name, schema=target.schema)["name"])
        try:
            connection.exec_driver_sql(
                f"ALTER TABLE {preparer.format_table(target)} DROP CONSTRAINT {constraint}, "
                "ALTER COLUMN granularity SET NOT NULL, "
                f"ADD CONSTRAINT {constraint} PRIMARY KEY ({', '.join(IDENTITY)})"
            )
        except DBAPIError as error:
            if _sql_state(error) in LASTING:
                raise self.cannot_change_key(target, f"Database error: {self.reason(error)}.") from None
            raise

    def utc(self, column: Any) -> Any:
        """Return a time without a zone."""
        return func.timezone("UTC", cast(column, column.type))

    def is_collision(self, error: Exception) -> bool:
        """Return whether the state is that of a unique violation."""
        return _sql_state(error) == "23505"

    def reason(self, error: Exception) -> str:
        """Return what PostgreSQL says; errors of class 22 quote values in their first line."""
        state = _sql_state(error)
        return f"{type(cause_of(error)).__name__} {state}" if state.startswith("22") else super().reason(error)


def _sql_state(error: Exception) -> str:
    """Return the five characters with which PostgreSQL tells errors apart, or nothing."""
    cause = cause_of(error)
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
