"""What can differ between databases, and what most of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import Table, and_, inspect
from sqlalchemy.engine import Connection, Engine

from airflow_provider_openrouter.snapshots.kinds import Kind
from airflow_provider_openrouter.snapshots.partition import BasePartition
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from airflow.providers.common.compat.sdk import Connection as AirflowConnection


class Dialect:
    """A database that can be written to."""

    name: ClassVar[str]
    """What SQLAlchemy calls it."""
    conn_type: ClassVar[str]
    """The type of its connections in Airflow, which is also the end of the name of its provider."""
    after_failure: ClassVar[str] = "nothing was changed"
    """What a failed transaction leaves behind, in words: DDL may not be part of it."""

    def get_engine(self, connection: AirflowConnection, hook: Any) -> Engine:
        """
        Connect as the hook does, and return an engine whose connections are made in the same way.

        :param connection: the connection in Airflow.
        :param hook: its hook.
        :raises AirflowFailException: if a setting of the connection cannot be honoured.
        :raises AirflowException: if the database cannot be reached, or refuses to be connected to.
        """
        raise NotImplementedError

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """
        Return the type of a column.

        :param kind: one of the kinds of :data:`airflow_provider_openrouter.keys.READERS`.
        :param is_key: whether the column is part of the primary key, or of the index in its place.
        """
        raise NotImplementedError

    def check_name(self, connection: Connection, name: str) -> None:
        """Raise AirflowFailException if the database would cut a name short."""

    def schema_of(self, connection: Connection, target: Table) -> str | None:
        """Return the schema that the table is in, or would be created in."""
        return target.schema or inspect(connection).default_schema_name

    @contextmanager
    def transaction(self, engine: Engine, target: Table) -> Iterator[Connection]:
        """Begin a transaction in which nobody else writes to the table in the same way; commit it at the end."""
        with engine.begin() as connection:
            self.take_turn(connection, target)
            yield connection

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait until no other run writes to the table, and let none begin before the transaction ends."""
        raise NotImplementedError

    def primary_key(self, connection: Connection, target: Table) -> tuple[str, ...]:
        """Return the columns of the primary key that the table has."""
        inspector: Any = inspect(connection)
        return tuple(inspector.get_pk_constraint(target.name, schema=target.schema)["constrained_columns"])

    def change_key(self, connection: Connection, target: Table) -> None:
        """
        Change the primary key of a table that we created to the present one.

        :raises AirflowFailException: if that will not be possible later either.
        """
        raise NotImplementedError

    def utc(self, column: Any, stored_as: Any) -> Any:
        """
        Return an expression for the UTC time in a column, from which fields can be extracted.

        :param column: the column.
        :param stored_as: the type that it has in the database.
        """
        return column

    def replace(
        self, connection: Connection, target: Table, partition: BasePartition, frame: pd.DataFrame
    ) -> int:
        """Replace the rows of a partition by those of a frame, and return how many it had."""
        own = (target.c[name] == value for name, value in partition.columns.items())
        replaced = connection.execute(target.delete().where(and_(*own))).rowcount
        self.insert(connection, target, frame)
        return replaced

    def insert(self, connection: Connection, target: Table, frame: pd.DataFrame) -> None:
        """Insert the rows of a frame."""
        raise NotImplementedError

    def errors(self, engine: Engine) -> type[Exception]:
        """Return the base class of the driver's errors, which SQLAlchemy does not wrap where it is passed by."""
        dbapi: Any = engine.dialect.dbapi
        return dbapi.Error  # type: ignore[no-any-return]

    def is_collision(self, error: Exception) -> bool:
        """Return whether an error says that two rows have the same key."""
        raise NotImplementedError

    def reason(self, error: Exception) -> str:
        """Return what the database says, without values that it quotes."""
        cause = cause_of(error)
        if isinstance(error, ValueError):
            return type(cause).__name__
        return _first_line(cause)

    def cannot_change_key(self, target: Table, why: str) -> AirflowFailException:
        """Return the error that says why the key of a table cannot be changed."""
        return AirflowFailException(
            f"Cannot change the primary key of table {shown_name(target)}; {self.after_failure}. Change it to "
            f"({', '.join(kind_of(target).identity)}) yourself. {why}"
        )


def unsupported(connection: AirflowConnection, what: str) -> AirflowFailException:
    """Return the error for a database that cannot be written to, with the way that works."""
    return AirflowFailException(
        f"Connection {connection.conn_id!r} {what}, which is not supported: write a file with "
        "OpenRouterListKeysOperator and load it, as docs/warehouses.md shows."
    )


@contextmanager
def first_connection(connection: AirflowConnection, connect: Callable[[], Any]) -> Iterator[Any]:
    """
    Connect to see whether that and the first query work, and close the connection at the end.

    :param connection: the connection in Airflow.
    :param connect: what returns a connection of the driver.
    """
    try:
        with closing(connect()) as opened:
            yield opened
            opened.rollback()  # a pooler ends a session whose client leaves it amid a transaction
    except (ImportError, AirflowException):
        raise
    except Exception as error:
        # Hooks and drivers raise these two for settings that they do not know.
        kind = AirflowFailException if isinstance(error, TypeError | ValueError) else AirflowException
        said = _first_line(error)
        raise kind(f"Could not connect to the database of {connection.conn_id!r}: {said}") from None


def cause_of(error: Exception) -> Any:
    """Return the error of the driver in one of SQLAlchemy, or the error itself."""
    return getattr(error, "orig", None) or error


def _first_line(error: Exception) -> str:
    return plain((str(error).strip().splitlines() or [type(error).__name__])[0], longest=500)


def kind_of(target: Table) -> Kind:
    """Return the kind of a table."""
    return target.info["kind"]  # type: ignore[no-any-return]


def arrow_rows(target: Table, frame: pd.DataFrame) -> pa.Table:
    """Return rows of a frame as they are sent to a table."""
    import pyarrow as pa  # which takes 80 MB: who only reads a table does without it

    from airflow_provider_openrouter.snapshots.columns import arrow_schema

    return pa.Table.from_pandas(frame, arrow_schema(kind_of(target).columns))


def quoted_name(database: Engine | Connection, table: str, schema: str | None) -> str:
    """Return the name of a table as it stands in SQL, with its schema if there is one."""
    preparer = database.dialect.identifier_preparer
    name = ".".join(preparer.quote(part) for part in (schema, table) if part)
    # SQLAlchemy doubles percent signs for drivers to which they are the sign of a parameter.
    return name.replace("%%", "%") if database.dialect.paramstyle in ("format", "pyformat") else name


def shown_name(table: Table) -> str:
    """Return the name of a table as part of a line."""
    return plain(table.info["quoted_name"], longest=200)
