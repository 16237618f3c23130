"""A frame as a partition of a table: the whole partition, or the table as it was."""

from __future__ import annotations

import logging

import pandas as pd
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy import and_, inspect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_openrouter.snapshots.dialects import dialect_of
from airflow_provider_openrouter.snapshots.dialects.base import shown_name
from airflow_provider_openrouter.snapshots.partition import IDENTITY, Partition
from airflow_provider_openrouter.snapshots.schema import keys_table, prepare_table
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)


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
    older one is upgraded. Only one at a time writes to a table, whatever the isolation level of the database.

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
    target = keys_table(table, schema, engine)
    dialect = dialect_of(engine)
    primary_key: tuple[str, ...] = ()
    is_written = False
    try:
        with dialect.transaction(engine, target) as connection:
            primary_key = prepare_table(connection, target, create_table=create_table)
            own = (target.c[name] == value for name, value in partition.columns.items())
            replaced = connection.execute(target.delete().where(and_(*own))).rowcount
            dialect.insert(connection, target, frame)
            if schema is None and connection.dialect.name != "sqlite":
                schema = inspect(connection).default_schema_name
            is_written = True
    except (SQLAlchemyError, ValueError) as error:
        if is_written and getattr(error, "connection_invalidated", False):
            raise AirflowException(
                f"The connection broke while table {shown_name(target)} was committed. It is not known whether "
                f"it was changed. Run the task again, which sets it right. Database error: {dialect.reason(error)}"
            ) from None
        key = (
            f"Its primary key must be ({', '.join(IDENTITY)}). "
            if primary_key != IDENTITY and dialect.is_collision(error)
            else ""
        )
        raise AirflowException(
            f"Could not write to table {shown_name(target)}; {dialect.after_failure}. {key}"
            f"Database error: {dialect.reason(error)}"
        ) from None
    log.info("Wrote %s to table %s, replacing %s", count(len(frame), "row"), shown_name(target), f"{replaced:,}")
    return schema
