"""PostgreSQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Table,
    Text,
    cast,
    create_engine,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from airflow_provider_openrouter.snapshots.dialects.base import (
    Dialect,
    cause_of,
    first_connection,
    kind_of,
    unsupported,
)
from airflow_provider_openrouter.snapshots.dialects.libpq import connect_as, driver_of, named_driver
from airflow_provider_openrouter.snapshots.kinds import ACTIVITY, KEYS
from airflow_provider_openrouter.snapshots.partition import BasePartition
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    import pandas as pd
    from airflow.providers.common.compat.sdk import Connection as AirflowConnection

LASTING = {"2BP01", "23502", "42501", "55006"}
"""The states in which a key cannot be changed later either: it is used, not filled, or not ours."""
COLUMNS = KEYS.columns.keys() | ACTIVITY.columns.keys()
"""The names that an error may show."""
_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "integer": BigInteger(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),
    "date": Date(),
}


class PostgreSQL(Dialect):
    """PostgreSQL, with psycopg 3 or psycopg2."""

    name: ClassVar[str] = "postgresql"
    conn_type: ClassVar[str] = "postgres"

    def get_engine(self, connection: AirflowConnection, hook: Any) -> Engine:
        """Connect as the hook does, with the driver that the connection names or else the hook's own."""
        driver = named_driver(connection)
        connect = partial(connect_as, hook, driver and import_module(driver))
        with first_connection(connection, connect) as opened:
            with opened.cursor() as cursor:
                cursor.execute("SELECT version()")
                [version] = cursor.fetchone()
                if not version.startswith("PostgreSQL ") or "Redshift" in version:
                    raise unsupported(connection, f"leads to {plain(version, longest=60)!r}")
            place = {"host": opened.info.host, "port": opened.info.port, "database": opened.info.dbname}
            url = URL.create(f"postgresql+{driver_of(opened)}", **place)
        return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)

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
        engine = engine.execution_options(isolation_level="READ COMMITTED")
        with super().transaction(engine, target) as connection:
            yield connection

    def schema_of(self, connection: Connection, target: Table) -> str | None:
        """Return the schema that the search path leads to."""
        found = connection.execute(
            text(
                "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
                "WHERE pg_class.oid = to_regclass(:name)"
            ),
            {"name": target.info["quoted_name"]},
        ).scalar()
        return found or super().schema_of(connection, target)

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait for a lock of the transaction."""
        schema = self.schema_of(connection, target)
        name = hashlib.sha256(f"airflow-provider-openrouter {schema}.{target.name}".encode()).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(name[:8], signed=True))))

    def change_key(self, connection: Connection, target: Table) -> None:
        """Change the constraint, whatever its name is."""
        inspector: Any = inspect(connection)
        preparer = connection.dialect.identifier_preparer
        constraint = preparer.quote(inspector.get_pk_constraint(target.name, schema=target.schema)["name"])
        try:
            connection.exec_driver_sql(
                f"ALTER TABLE {preparer.format_table(target)} DROP CONSTRAINT {constraint}, "
                "ALTER COLUMN granularity SET NOT NULL, "
                f"ADD CONSTRAINT {constraint} PRIMARY KEY ({', '.join(kind_of(target).identity)})"
            )
        except DBAPIError as error:
            if _sql_state(error) in LASTING:
                raise self.cannot_change_key(target, f"Database error: {self.reason(error)}.") from None
            raise

    def utc(self, column: Any, stored_as: Any) -> Any:
        """Return a time without a zone; a type without zones holds UTC."""
        if isinstance(stored_as, DateTime | Date) and not getattr(stored_as, "timezone", False):
            return cast(column, DateTime())
        return func.timezone("UTC", cast(column, DateTime(timezone=True)))

    def replace(
        self, connection: Connection, target: Table, partition: BasePartition, frame: pd.DataFrame
    ) -> int:
        """Replace the rows of a partition; all values go as text, which PostgreSQL reads as its columns are."""
        from airflow_provider_openrouter.snapshots.dialects.relation import Relation  # which needs pyarrow

        relation = Relation.read(connection, target)
        relation.check(partition)
        return relation.replace(connection, partition, frame)

    def is_collision(self, error: Exception) -> bool:
        """Return whether the state is that of a unique violation."""
        return _sql_state(error) == "23505"

    def reason(self, error: Exception) -> str:
        """Return what PostgreSQL says; of errors of class 22, which quote values, the state and the column."""
        cause, state = cause_of(error), _sql_state(error)
        if not state.startswith("22"):
            return super().reason(error)
        column = re.search(r", line \d+, column (\w+)", cause.diag.context or "")
        where = f" in column {column[1]}" if column and column[1] in COLUMNS else ""
        return f"{type(cause).__name__} {state}{where}"


def _sql_state(error: Exception) -> str:
    """Return the five characters with which PostgreSQL distinguishes errors, or nothing."""
    cause = cause_of(error)
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
