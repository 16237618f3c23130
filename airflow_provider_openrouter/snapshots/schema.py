"""The table of the keys: created where it is missing, and upgraded where it is older."""

from __future__ import annotations

import logging
import re
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
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
    case,
    cast,
    extract,
    func,
    inspect,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from airflow_provider_openrouter.snapshots.database import reason, sql_state
from airflow_provider_openrouter.snapshots.frame import FILE_COLUMNS
from airflow_provider_openrouter.snapshots.partition import PARTITION_COLUMNS
from airflow_provider_openrouter.text import count, plain

log = logging.getLogger(__name__)

IDENTITY = (*PARTITION_COLUMNS, "hash")
"""The columns that tell a row from all others."""
OLD_IDENTITY = tuple(name for name in IDENTITY if name != "granularity")
"""The primary key of tables that were created before the column granularity existed."""

_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),
}
LASTING = {"2BP01", "23502", "42501", "55006"}
"""The states of PostgreSQL in which a key cannot be changed later either: it is used, not filled, or not ours."""
_OLD_KEY = re.compile(
    r"\bPRIMARY\s+KEY\s*\(\s*" + r"\s*,\s*".join(f'"?{name}"?' for name in OLD_IDENTITY) + r"\s*\)",
    re.IGNORECASE,
)
_CREATE = re.compile(r"^CREATE (TABLE|UNIQUE INDEX|INDEX|TRIGGER) ")
"""The beginning of the statements that SQLite stores: always in this form and without a schema."""


def keys_table(name: str, schema: str | None) -> Table:
    """Return the definition of the table."""
    return Table(
        name,
        MetaData(),
        *(Column(name, _TYPES[kind], nullable=name not in IDENTITY) for name, kind in FILE_COLUMNS.items()),
        PrimaryKeyConstraint(*IDENTITY),
        schema=schema,
    )


def shown_name(table: Table) -> str:
    """Return the name of a table as part of a line."""
    return plain(table.fullname, longest=200)


def prepare_table(connection: Connection, target: Table, *, create_table: bool) -> tuple[str, ...]:
    """
    Create a missing table, or upgrade one that we created earlier, and return its primary key.

    It is part of the transaction that the connection is in.

    :param connection: where the table is.
    :param target: what :func:`keys_table` returned.
    :param create_table: whether a missing table is created, and the primary key of an older one changed.
    :raises AirflowFailException: if the table is missing and is not to be created.
    """
    inspector: Any = inspect(connection)
    if not inspector.has_table(target.name, schema=target.schema):
        if not create_table:
            raise AirflowFailException(
                f"There is no table {shown_name(target)}. Create it, or set create_table=True."
            )
        target.create(connection)
        log.info("Created table %s", shown_name(target))
        return IDENTITY
    present = {column["name"] for column in inspector.get_columns(target.name, schema=target.schema)}
    change_key = {"postgresql": _change_key_on_postgresql, "sqlite": _change_key_on_sqlite}.get(
        connection.dialect.name
    )
    primary_key = _primary_key(connection, target)
    is_ours = create_table and change_key is not None and primary_key == OLD_IDENTITY
    name = connection.dialect.identifier_preparer.format_table(target)
    for column in target.columns:
        if column.name not in present:
            column.nullable = True  # existing rows have no value for it
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {definition}")
            log.info("Added column %s to table %s", column.name, shown_name(target))
    if is_ours or "granularity" not in present:
        _fill_granularity(connection, target)
    if is_ours and change_key is not None:
        change_key(connection, target)
        primary_key = IDENTITY
        log.info("Changed the primary key of table %s to (%s)", shown_name(target), ", ".join(IDENTITY))
    return primary_key


def _primary_key(connection: Connection, target: Table) -> tuple[str, ...]:
    if connection.dialect.name == "sqlite":  # where SQLAlchemy fails if the name differs in case
        columns = "SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk"
        return tuple(connection.exec_driver_sql(columns, (target.name, target.schema or "main")).scalars())
    inspector: Any = inspect(connection)
    return tuple(inspector.get_pk_constraint(target.name, schema=target.schema)["constrained_columns"])


def _fill_granularity(connection: Connection, target: Table) -> None:
    """Set granularity to ``day`` in old rows at 00:00 UTC, and to ``hour`` in all others."""
    snapshot: Any = target.c.snapshot
    moment = snapshot
    if connection.dialect.name == "postgresql":
        moment = func.timezone("UTC", cast(snapshot, snapshot.type))
    is_midnight = and_(*(extract(field, moment) == 0 for field in ("hour", "minute", "second")))
    filled = connection.execute(
        target.update()
        .where(target.c.granularity.is_(None), snapshot.is_not(None))
        .values(granularity=case((is_midnight, "day"), else_="hour"))
    ).rowcount
    log.info("Set granularity in %s of table %s", count(filled, "row"), shown_name(target))


def _change_key_on_postgresql(connection: Connection, target: Table) -> None:
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
        if sql_state(error.orig) in LASTING:
            raise _cannot_change_key(target, f"Database error: {reason(error)}.") from None
        raise


def _cannot_change_key(target: Table, why: str) -> AirflowFailException:
    return AirflowFailException(
        f"Cannot change the primary key of table {shown_name(target)}; nothing was changed. Change it to "
        f"({', '.join(IDENTITY)}) yourself. {why}"
    )


def _change_key_on_sqlite(connection: Connection, target: Table) -> None:
    """
    Rebuild the table with the new key, as SQLite cannot change one.

    The table's own statement is edited, so that what a user added is kept. Its rows are set aside in a temporary
    table, as no table can be renamed while a view looks for one that is missing. Indexes and triggers are dropped
    with their table, and made again.
    """
    run = connection.exec_driver_sql
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = quote(target.schema or "main")
    name = f"{schema}.{quote(target.name)}"
    create, *others = run(
        f"SELECT sql FROM {schema}.sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL "  # noqa: S608  # nosec B608
        "ORDER BY type = 'table' DESC, rowid",
        (target.name,),
    ).scalars()
    create, edited = _OLD_KEY.subn(f"PRIMARY KEY ({', '.join(IDENTITY)})", create)
    create = re.sub(r"\bgranularity TEXT\b(?! NOT NULL)", "granularity TEXT NOT NULL", create)
    referring = run(
        f"SELECT count(*) FROM {schema}.sqlite_master AS other, "  # noqa: S608  # nosec B608
        "pragma_foreign_key_list(other.name, ?) AS reference "
        "WHERE other.type = 'table' AND reference.\"table\" = ? COLLATE NOCASE",
        (target.schema or "main", target.name),
    ).scalar()
    if edited != 1 or referring:
        why = "A foreign key of another table refers to it." if referring else "It is not as it was created."
        raise _cannot_change_key(target, why)
    stored = "SELECT name FROM pragma_table_xinfo(?, ?) WHERE hidden = 0"  # generated columns are hidden
    columns = ", ".join(map(quote, run(stored, (target.name, target.schema or "main")).scalars()))

    def make(statement: str) -> None:
        run(_CREATE.sub(lambda create: f"{create[0]}{schema}.", statement))

    run(f"CREATE TEMP TABLE openrouter_old_rows AS SELECT {columns} FROM {name}")  # noqa: S608  # nosec B608
    run(f"DROP TABLE {name}")
    make(create)
    run(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM temp.openrouter_old_rows")  # noqa: S608  # nosec B608
    run("DROP TABLE temp.openrouter_old_rows")
    for other in others:
        make(other)
