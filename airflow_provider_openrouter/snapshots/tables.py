"""A frame as a partition of a table: the whole partition, or the table as it was."""

from __future__ import annotations

import logging

import pandas as pd
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from airflow_provider_openrouter.snapshots.dialects import dialect_of
from airflow_provider_openrouter.snapshots.dialects.base import shown_name
from airflow_provider_openrouter.snapshots.partition import BasePartition
from airflow_provider_openrouter.snapshots.schema import prepare_table, table_of
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)


def replace_partition(
    engine: Engine,
    frame: pd.DataFrame,
    *,
    partition: BasePartition,
    table: str,
    schema: str | None,
    create_table: bool,
) -> str | None:
    """
    Replace a partition of a table by the rows of a frame, and return the schema that the table is in.

    All of it is one transaction: if anything fails, the table is as it was. A missing table is created, and an
    older one is upgraded. Only one at a time writes to a table, whatever the isolation level of the database.

    :param engine: where the table is.
    :param frame: what :mod:`airflow_provider_openrouter.snapshots.frame` returns for the partition's kind.
    :param partition: the partition that is replaced.
    :param table: the name of the table.
    :param schema: the database schema that it is in, None for the connection's default.
    :param create_table: whether a missing table is created, and the primary key of an older one changed. Missing
        columns are added in any case.
    :raises AirflowFailException: if the table is missing and is not to be created, or cannot be upgraded.
    :raises AirflowException: if the database refuses; its message is shown without values.
    """
    kind = partition.kind
    target = table_of(kind, table, schema, engine)
    dialect = dialect_of(engine)
    primary_key: tuple[str, ...] = ()
    is_written = False
    try:
        with dialect.transaction(engine, target) as connection:
            for name in filter(None, (table, schema)):
                dialect.check_name(connection, name)
            primary_key = prepare_table(connection, target, create_table=create_table)
            replaced = dialect.replace(connection, target, partition, frame)
            found_in = dialect.schema_of(connection, target)
            is_written = True
    except (SQLAlchemyError, ValueError, dialect.errors(engine)) as error:
        if is_written and isinstance(error, DBAPIError) and error.connection_invalidated:
            raise AirflowException(
                f"The connection broke while table {shown_name(target)} was committed. It is not known whether "
                f"it was changed. Run the task again, which sets it right. "
                f"Database error: {dialect.reason(error)}"
            ) from None
        key = ""
        if primary_key != kind.identity and dialect.is_collision(error):
            wanted = f"be ({', '.join(kind.identity)})" if kind.identity else "have none of these columns"
            key = f"Its primary key must {wanted}. "
        raise AirflowException(
            f"Could not write to table {shown_name(target)}; {dialect.after_failure}. {key}"
            f"Database error: {dialect.reason(error)}"
        ) from None
    log.info("Wrote %s to table %s, replacing %s", count(len(frame), "row"), shown_name(target), f"{replaced:,}")
    return found_in
