"""The newest snapshot in a table of keys, as a listing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowNotFoundException
from sqlalchemy import column, inspect, select
from sqlalchemy import table as table_clause
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_openrouter.keys import KeyListing, read_time
from airflow_provider_openrouter.scope import ALL_WORKSPACES, WorkspaceScope
from airflow_provider_openrouter.snapshots.database import get_engine, split_name
from airflow_provider_openrouter.snapshots.kinds import KEYS
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql import TableClause

NEEDED = {"snapshot", "source", "workspace_scope", "hash"}
"""The columns that every table of keys has; older ones may lack others."""
OUTDATED = timedelta(days=1)
"""How much older a snapshot of all workspaces may be than that of some, and still be shown."""


def newest_listing(sql_conn_id: str, table: str, openrouter_conn_id: str) -> KeyListing:
    """
    Return the newest snapshot that ``OpenRouterKeysToSqlOperator`` wrote of an account, as a listing.

    The account is the one whose ``source`` is the connection to OpenRouter. If there is none, it is the only one
    in the table. A snapshot of all workspaces is preferred to a newer one of some, unless it is outdated.
    Fields that this version does not know are left out. The table is only read.

    :param sql_conn_id: the connection to the database.
    :param table: the table, or ``schema.table``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :raises AirflowException: if there is none, or it cannot be read.
    """
    name, schema = split_name(table)
    try:
        engine = get_engine(sql_conn_id)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"There is no connection {sql_conn_id!r}. Create it, or use another."
        ) from None
    from airflow_provider_openrouter.snapshots.dialects import dialect_of  # it needs what get_engine has found

    dialect = dialect_of(engine)
    try:
        with engine.connect() as connection:
            snapshots = _columns_of(connection, name, schema)
            chosen = _choose(connection, snapshots, openrouter_conn_id)
            return _read(connection, snapshots, chosen)
    except (SQLAlchemyError, dialect.errors(engine)) as error:
        raise AirflowException(
            f"Could not read table {plain(table)}. Database error: {dialect.reason(error)}"
        ) from None
    finally:
        engine.dispose()


def _columns_of(connection: Connection, name: str, schema: str | None) -> TableClause:
    """Return the table with those of our columns that it has, whatever their types."""
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise AirflowFailException(f"There is no table {plain(name)}. OpenRouterKeysToSqlOperator creates it.")
    present = {each["name"] for each in inspector.get_columns(name, schema=schema)}
    if lacking := NEEDED - present:
        raise AirflowFailException(
            f"Table {plain(name)} is not a table of keys: it has no column {', '.join(sorted(lacking))}. Name "
            "the one that OpenRouterKeysToSqlOperator writes to."
        )
    columns: list[Any] = [column(each) for each in KEYS.columns if each in present - {"extra_fields"}]
    return table_clause(name, *columns, schema=schema)


def _choose(connection: Connection, snapshots: TableClause, openrouter_conn_id: str) -> Row[Any]:
    """Return the columns of the partition to show."""
    of_source = snapshots.c.source == openrouter_conn_id
    newest = _newest(connection, snapshots, of_source)
    if newest is None:
        newest = _newest(connection, snapshots)
        if newest is None:
            raise AirflowFailException(
                f"Table {plain(snapshots.name)} has no snapshot yet. OpenRouterKeysToSqlOperator writes them."
            )
        of_source = snapshots.c.source == newest.source
        if _newest(connection, snapshots, ~of_source) is not None:
            raise AirflowFailException(
                f"Table {plain(snapshots.name)} has snapshots of several accounts, but none of connection "
                f"{openrouter_conn_id!r}. Write them with that as the source."
            )
    of_all = _newest(connection, snapshots, of_source, snapshots.c.workspace_scope == ALL_WORKSPACES)
    if of_all is None or _time(newest.snapshot) - _time(of_all.snapshot) > OUTDATED:
        return newest
    return of_all


def _newest(connection: Connection, snapshots: TableClause, *conditions: Any) -> Row[Any] | None:
    """Return the partition with the newest snapshot, found by the primary key."""
    partition = [each for each in snapshots.c if each.name in KEYS.partition]
    known = snapshots.c.snapshot.is_not(None)
    query = select(*partition).where(known, *conditions).order_by(*(each.desc() for each in partition)).limit(1)
    return connection.execute(query).first()


def _read(connection: Connection, snapshots: TableClause, chosen: Row[Any]) -> KeyListing:
    """Return the rows of a partition as a listing."""
    partition = chosen._asdict()
    of_partition = [snapshots.c[name] == value for name, value in partition.items()]
    names = [each.name for each in snapshots.c if each.name not in partition]
    rows = [
        {name: _sent(value, KEYS.columns[name]) for name, value in zip(names, row, strict=True)}
        for row in connection.execute(select(*(snapshots.c[name] for name in names)).where(*of_partition))
    ]
    times = filter(None, (read_time(row.pop("observed_at", None)) for row in rows))
    observed_at = max(times, default=_time(chosen.snapshot))
    named = {row.get("workspace_id"): row.pop("workspace_name", None) for row in rows}
    scope = chosen.workspace_scope
    return KeyListing(
        keys=rows,
        observed_at=observed_at,
        scope=WorkspaceScope(None if scope == WorkspaceScope().column else scope),
        workspace_names={id_: name for id_, name in named.items() if id_ and name},
    )


def _sent(value: Any, kind: str) -> Any:
    """Return a value as the API sends it, whatever the database makes of it."""
    if isinstance(value, date):  # a time without a zone is UTC
        return value.isoformat()
    if kind == "boolean" and isinstance(value, int):
        return bool(value)
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, UUID) else value


def _time(value: Any) -> datetime:
    return read_time(_sent(value, "timestamp")) or datetime.min.replace(tzinfo=UTC)
