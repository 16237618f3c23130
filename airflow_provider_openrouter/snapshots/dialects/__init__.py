"""The databases that can be written to."""

from __future__ import annotations

from sqlalchemy.engine import Connection, Engine

from airflow_provider_openrouter.snapshots.dialects.base import Dialect
from airflow_provider_openrouter.snapshots.dialects.postgresql import PostgreSQL
from airflow_provider_openrouter.snapshots.dialects.sqlite import SQLite

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (PostgreSQL(), SQLite())}
"""Each by SQLAlchemy's name of it."""


def dialect_of(database: Engine | Connection) -> Dialect:
    """Return the dialect of a database."""
    return DIALECTS[database.dialect.name]
