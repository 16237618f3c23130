"""A frame as a partition of a table: the whole partition, or the table as it was."""

from __future__ import annotations

import hashlib
import logging
import re

import pandas as pd
import pyarrow as pa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from sqlalchemy import Table, and_, func, inspect, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_provider_openrouter.snapshots.database import reason, sql_state
from airflow_provider_openrouter.snapshots.files import SCHEMA
from airflow_provider_openrouter.snapshots.partition import Partition
from airflow_provider_openrouter.snapshots.schema import IDENTITY, keys_table, prepare_table, shown_name
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

ROWS_A_BATCH = 5_000


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

    All of it is one transaction: if anything fails, the table is as it was. A missing table is created, and an
    older one is upgraded. On PostgreSQL and SQLite only one at a time writes to a table, whatever the isolation
    level of the database.

    :param engine: where the table is.
    :param frame: what :func:`~airflow_provider_openrouter.snapshots.frame.keys_file_frame` returned.
    :param partition: the partition that is replaced.
    :param table: the name of the table.
    :param schema: the database schema that it is in, None for the connection's default.
    :param create_table: whether a missing table is created, and the primary key of an older one changed. Missing
        columns are added in any case.
    :raises AirflowFailException: if the table is missing and is not to be created, or cannot be upgraded.
    :raises AirflowException: if the database refuses; its message is shown without values.
    """
    target = keys_table(table, schema)
    if engine.dialect.name == "postgresql":
        # A stricter level would fix what a run sees before it is its turn, and so let it fail.
        engine = engine.execution_options(isolation_level="READ COMMITTED")
    primary_key: tuple[str, ...] = ()
    is_written = False
    try:
        with engine.begin() as connection:
            _check_length(connection, table, schema)
            _take_turns(connection, target)
            primary_key = prepare_table(connection, target, create_table=create_table)
            own = (target.c[name] == value for name, value in partition.columns.items())
            replaced = connection.execute(target.delete().where(and_(*own))).rowcount
            for start in range(0, len(frame), ROWS_A_BATCH):
                batch = pa.Table.from_pandas(
                    frame.iloc[start : start + ROWS_A_BATCH], SCHEMA, preserve_index=False
                )
                connection.execute(target.insert(), batch.to_pylist())
            if schema is None and connection.dialect.name != "sqlite":
                schema = inspect(connection).default_schema_name
            is_written = True
    except (SQLAlchemyError, ValueError) as error:
        if is_written and getattr(error, "connection_invalidated", False):
            raise AirflowException(
                f"The connection broke while table {shown_name(target)} was committed. It is not known whether "
                f"it was changed. Run the task again, which sets it right. Database error: {reason(error)}"
            ) from None
        key = (
            f"Its primary key must be ({', '.join(IDENTITY)}). "
            if primary_key != IDENTITY and _is_collision(error)
            else ""
        )
        raise AirflowException(
            f"Could not write to table {shown_name(target)}; nothing was changed. {key}"
            f"Database error: {reason(error)}"
        ) from None
    log.info("Wrote %s to table %s, replacing %s", count(len(frame), "row"), shown_name(target), f"{replaced:,}")
    return schema


def _take_turns(connection: Connection, target: Table) -> None:
    """Wait until no other run writes to the table, and let none begin before the transaction ends."""
    if connection.dialect.name == "postgresql":
        schema = target.schema or inspect(connection).default_schema_name
        name = hashlib.sha256(f"airflow-provider-openrouter {schema}.{target.name}".encode()).digest()
        connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(name[:8], "big", signed=True))))
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_length(connection: Connection, *names: str | None) -> None:
    """Refuse a name that is too long for PostgreSQL, which would cut it short; it counts bytes."""
    longest = connection.dialect.max_identifier_length
    for name in names:
        if connection.dialect.name == "postgresql" and len((name or "").encode()) > longest:
            raise AirflowFailException(
                f"A name is longer than the {longest} bytes that PostgreSQL allows: {name!r}. Use a shorter one."
            )


def _is_collision(error: Exception) -> bool:
    """Return whether two rows had the same key; each database says so in its own words."""
    return isinstance(error, IntegrityError) and bool(
        sql_state(error.orig) == "23505" or re.search("unique|duplicate", str(error.orig), re.IGNORECASE)
    )
