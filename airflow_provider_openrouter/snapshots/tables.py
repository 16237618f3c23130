"""A frame as a partition of a table: the whole partition, or the table as it was."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pandas as pd
import pyarrow as pa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    func,
    inspect,
    select,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from airflow_provider_openrouter.snapshots.files import SCHEMA
from airflow_provider_openrouter.snapshots.frame import FILE_COLUMNS
from airflow_provider_openrouter.snapshots.partition import PARTITION_COLUMNS, Partition

log = logging.getLogger(__name__)

ROWS_A_BATCH = 5_000
IDENTITY = (*PARTITION_COLUMNS, "hash")
"""What tells one row from all others."""

_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),
}


def replace_partition(
    engine: Engine,
    frame: pd.DataFrame,
    *,
    partition: Partition,
    table: str,
    schema: str | None,
    create_table: bool,
) -> str | None:
    """
    Replace a partition of a table by the rows of a frame, and return the schema that the table is in.

    All of it is one transaction: if anything fails, the table is as it was. A missing table is created, and one
    that misses columns gets them. On PostgreSQL and SQLite writers of one table take turns.

    :param engine: where the table is.
    :param frame: what :func:`~airflow_provider_openrouter.snapshots.frame.keys_file_frame` returns.
    :param partition: the partition that is replaced.
    :param table: the name of the table.
    :param schema: the database schema that it is in, None for the connection's default.
    :param create_table: whether a missing table is created.
    :raises AirflowFailException: if the table is missing and is not to be created.
    :raises AirflowException: if the database refuses; its words are told without the values.
    """
    target = Table(
        table,
        MetaData(),
        *(Column(name, _TYPES[kind], nullable=name not in IDENTITY) for name, kind in FILE_COLUMNS.items()),
        PrimaryKeyConstraint(*IDENTITY),
        schema=schema,
    )
    try:
        with engine.begin() as connection:
            _check_length(connection, table, schema)
            _take_turns(connection, target)
            _prepare(connection, target, create_table)
            mine = (target.c[name] == value for name, value in partition.columns.items())
            replaced = connection.execute(target.delete().where(and_(*mine))).rowcount
            for start in range(0, len(frame), ROWS_A_BATCH):
                batch = pa.Table.from_pandas(
                    frame.iloc[start : start + ROWS_A_BATCH], SCHEMA, preserve_index=False
                )
                connection.execute(target.insert(), batch.to_pylist())
            if schema is None and connection.dialect.name != "sqlite":
                schema = inspect(connection).default_schema_name
    except (SQLAlchemyError, ValueError) as error:
        raise AirflowException(
            f"The table {target.fullname} is as it was, for the database refused: {_reason(error)}"
        ) from None
    log.info("Wrote %s rows to %s, in place of %s", f"{len(frame):,}", target.fullname, f"{replaced:,}")
    return schema


def get_engine(sql_conn_id: str) -> Engine:
    """
    Return SQLAlchemy's engine for a connection of Airflow.

    :param sql_conn_id: the connection to the database.
    :raises AirflowFailException: if it is not one to a database that speaks SQLAlchemy.
    """
    hook: Any = BaseHook.get_connection(sql_conn_id).get_hook()  # type: ignore[no-untyped-call]
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise AirflowFailException(
            f"The connection {sql_conn_id!r} is not one to a database that speaks SQLAlchemy."
        )
    return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})  # type: ignore[no-any-return]


def _take_turns(connection: Connection, target: Table) -> None:
    """Let nobody else write until the transaction ends, who might create the table or fill the slice as well."""
    if connection.dialect.name == "postgresql":
        schema = target.schema or inspect(connection).default_schema_name
        name = hashlib.sha256(f"airflow-provider-openrouter {schema}.{target.name}".encode()).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(name[:8], "big", signed=True))))
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare(connection: Connection, target: Table, create_table: bool) -> None:
    inspector: Any = inspect(connection)
    if not inspector.has_table(target.name, schema=target.schema):
        if not create_table:
            raise AirflowFailException(
                f"There is no table {target.fullname}: create it, or set create_table=True."
            )
        target.create(connection)
        log.info("Created the table %s", target.fullname)
        return
    present = {column["name"] for column in inspector.get_columns(target.name, schema=target.schema)}
    name = connection.dialect.identifier_preparer.format_table(target)
    for column in target.columns:
        if column.name not in present:
            column.nullable = True  # the rows that are there have no value for it
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
            log.info("Added the column %s to %s", column.name, target.fullname)


def _check_length(connection: Connection, *names: str | None) -> None:
    """Refuse a name that PostgreSQL would cut short, which it does by bytes."""
    longest = connection.dialect.max_identifier_length
    for name in names:
        if connection.dialect.name == "postgresql" and len((name or "").encode()) > longest:
            raise AirflowFailException(
                f"The name {name!r} is too long: {longest} bytes are what the database takes."
            )


def _reason(error: SQLAlchemyError | ValueError) -> str:
    """Answer what the database says, except where it quotes values: in errors of class 22, and a driver's own."""
    cause: Any = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
    if state.startswith("22") or isinstance(error, ValueError):
        return f"{type(cause).__name__} {state}".strip()
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
