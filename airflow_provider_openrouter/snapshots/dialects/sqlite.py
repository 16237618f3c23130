"""SQLite."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from sqlalchemy import Boolean, DateTime, Float, Table, Text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from airflow_provider_openrouter.snapshots.dialects.base import Dialect, cause_of
from airflow_provider_openrouter.snapshots.partition import IDENTITY, OLD_IDENTITY

_TYPES: dict[str, Any] = {
    "string": Text(),
    "boolean": Boolean(),
    "number": Float(53),
    "timestamp": DateTime(timezone=True),  # stored as text, in UTC and without a zone
}
_OLD_KEY = re.compile(
    r"\bPRIMARY\s+KEY\s*\(\s*" + r"\s*,\s*".join(f'"?{name}"?' for name in OLD_IDENTITY) + r"\s*\)",
    re.IGNORECASE,
)
_CREATE = re.compile(r"^CREATE (TABLE|UNIQUE INDEX|INDEX|TRIGGER) ")
"""The beginning of the statements that SQLite stores: always in this form and without a schema."""


class SQLite(Dialect):
    """SQLite."""

    name: ClassVar[str] = "sqlite"
    conn_type: ClassVar[str] = "sqlite"
    changes_key: ClassVar[bool] = True

    def get_engine(self, hook: Any) -> Engine:
        """Connect as the hook does, and return an engine whose connections are made in the same way."""
        return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})  # type: ignore[no-any-return]

    def column_type(self, kind: str, *, is_key: bool) -> Any:
        """Return the type of a column."""
        return _TYPES[kind]

    def take_turn(self, connection: Connection, target: Table) -> None:
        """Wait up to a minute for the file."""
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def primary_key(self, connection: Connection, target: Table) -> tuple[str, ...]:
        """Return the columns of the key, also if the name of the table differs in case."""
        columns = "SELECT name FROM pragma_table_info(?, ?) WHERE pk > 0 ORDER BY pk"
        return tuple(connection.exec_driver_sql(columns, (target.name, target.schema or "main")).scalars())

    def change_key(self, connection: Connection, target: Table) -> None:
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
            raise self.cannot_change_key(target, why)
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

    def is_collision(self, error: Exception) -> bool:
        """Return whether the words are those of a unique violation."""
        return isinstance(error, IntegrityError) and "UNIQUE" in str(cause_of(error))
