"""The table of one kind: created where it is missing, and upgraded where it is older."""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import Column, Index, MetaData, PrimaryKeyConstraint, Table, and_, case, extract, inspect
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateColumn

from airflow_provider_openrouter.snapshots.dialects import dialect_of
from airflow_provider_openrouter.snapshots.dialects.base import kind_of, quoted_name, shown_name
from airflow_provider_openrouter.snapshots.kinds import Kind
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)


def table_of(kind: Kind, name: str, schema: str | None, database: Engine | Connection) -> Table:
    """Return the definition of a table of one kind, as a database takes it."""
    column_type = dialect_of(database).column_type
    return Table(
        name,
        MetaData(),
        *(
            Column(column, column_type(holds, is_key=column in kind.key), nullable=column not in kind.key)
            for column, holds in kind.columns.items()
        ),
        PrimaryKeyConstraint(*kind.identity) if kind.identity else Index(None, *kind.partition),
        schema=schema,
        info={"kind": kind, "quoted_name": quoted_name(database, name, schema)},
    )


def prepare_table(connection: Connection, target: Table, *, create_table: bool) -> tuple[str, ...]:
    """
    Create a missing table, or upgrade one that we created earlier, and return its primary key.

    It is part of the transaction that the connection is in, where the database can undo DDL.

    :param connection: where the table is.
    :param target: what :func:`table_of` returned.
    :param create_table: whether a missing table is created, and the primary key of an older one changed.
    :raises AirflowFailException: if the table is missing and is not to be created.
    """
    kind = kind_of(target)
    inspector: Any = inspect(connection)
    if not inspector.has_table(target.name, schema=target.schema):
        if not create_table:
            raise AirflowFailException(
                f"There is no table {shown_name(target)}. Create it, or set create_table=True."
            )
        target.create(connection)
        log.info("Created table %s", shown_name(target))
        return kind.identity
    present = {column["name"]: column["type"] for column in inspector.get_columns(target.name, target.schema)}
    dialect = dialect_of(connection)
    primary_key = dialect.primary_key(connection, target)
    is_ours = create_table and primary_key == kind.old_identity != ()
    name = connection.dialect.identifier_preparer.format_table(target)
    for column in target.columns:
        if column.name not in present:
            column.nullable = True  # existing rows have no value for it
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
            log.info("Added column %s to table %s", column.name, shown_name(target))
    if is_ours or "granularity" in kind.columns.keys() - present:
        _fill_granularity(connection, target, present.get("snapshot"))
    if is_ours:
        dialect.change_key(connection, target)
        primary_key = kind.identity
        log.info("Changed the primary key of table %s to (%s)", shown_name(target), ", ".join(primary_key))
    return primary_key


def _fill_granularity(connection: Connection, target: Table, snapshot_type: Any) -> None:
    """Set granularity to ``day`` in old rows at 00:00 UTC, and to ``hour`` in all others."""
    snapshot: Any = target.c.snapshot
    moment = dialect_of(connection).utc(snapshot, snapshot_type)
    is_midnight = and_(*(extract(field, moment) == 0 for field in ("hour", "minute", "second")))
    filled = connection.execute(
        target.update()
        .where(target.c.granularity.is_(None), snapshot.is_not(None))
        .values(granularity=case((is_midnight, "day"), else_="hour"))
    ).rowcount
    log.info("Set granularity in %s of table %s", count(filled, "row"), shown_name(target))
