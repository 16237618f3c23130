"""What can differ between databases, and what most of them have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import Table, inspect
from sqlalchemy.engine import Connection, Engine

from airflow_provider_openrouter.snapshots.files import SCHEMA
from airflow_provider_openrouter.snapshots.partition import IDENTITY
from airflow_provider_openrouter.text import plain

ROWS_A_BATCH = 5_000


class Dialect:
    """A database that can be written to."""

    name: ClassVar[str]
    """What SQLAlchemy calls it."""
    conn_type: ClassVar[str]
    """The type of its connections in Airflow, which is also the end of the name of its provider."""
    changes_key: ClassVar[bool]
    """Whether it can change the key of a table that was created before the column granularity existed."""
    after_failure: ClassVar[str] = "nothing was changed"
    """What a failed transaction leaves behind, in words: DDL may not be part of it."""

    def get_engine(self, hook: Any) -> Engine:
        """
        Connect as the hook does, and return an engine whose connections are made in the same way.

        :param hook: the hook of the connection in Airflow.
        :raises AirflowFailException: if a setting of the connection cannot be honoured.
        """
        raise NotImplementedError

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """
        Return the type of a column.

        :param kind: one of the kinds in :data:`~airflow_provider_openrouter.snapshots.frame.FILE_COLUMNS`.
        :param is_key: whether the column is part of the primary key.
        """
        raise NotImplementedError

    def check_name(self, connection: Connection, name: str) -> None:
        """Raise AirflowFailException if the database would cut a name short."""

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

    def utc(self, column: Any) -> Any:
        """Return an expression for the time of day in UTC of a column, from which fields can be extracted."""
        return column

    def insert(self, connection: Connection, target: Table, frame: pd.DataFrame) -> None:
        """Insert the rows of a frame."""
        for start in range(0, len(frame), ROWS_A_BATCH):
            batch = pa.Table.from_pandas(frame.iloc[start : start + ROWS_A_BATCH], SCHEMA, preserve_index=False)
            connection.execute(target.insert(), batch.to_pylist())

    def is_collision(self, error: Exception) -> bool:
        """Return whether an error says that two rows have the same key."""
        raise NotImplementedError

    def reason(self, error: Exception) -> str:
        """Return what the database says, without values that it quotes."""
        cause = cause_of(error)
        if isinstance(error, ValueError):
            return type(cause).__name__
        return plain((str(cause).strip().splitlines() or [type(cause).__name__])[0], longest=500)

    def cannot_change_key(self, target: Table, why: str) -> AirflowFailException:
        """Return the error that says why the key of a table cannot be changed."""
        return AirflowFailException(
            f"Cannot change the primary key of table {shown_name(target)}; {self.after_failure}. Change it to "
            f"({', '.join(IDENTITY)}) yourself. {why}"
        )


def cause_of(error: Exception) -> Any:
    """Return the error of the driver in one of SQLAlchemy, or the error itself."""
    return getattr(error, "orig", None) or error


def shown_name(table: Table) -> str:
    """Return the name of a table as part of a line."""
    return plain(table.fullname, longest=200)
