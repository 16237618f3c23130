"""What psycopg 3 and psycopg2 do in different ways: to connect, and to copy."""

from __future__ import annotations

import io
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_openrouter.snapshots.dialects.base import unsupported

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

DRIVERS = ("psycopg", "psycopg2")


def named_driver(connection: Connection) -> str:
    """Return the driver that a connection's extra names, or nothing; refuse what cannot be honoured."""
    extra = connection.extra_dejson
    if extra.get("redshift") or extra.get("redshift-serverless"):
        raise unsupported(connection, "leads to Amazon Redshift")
    if extra.get("sqlalchemy_query"):
        raise AirflowFailException(
            f"Connection {connection.conn_id!r} has settings in sqlalchemy_query, which Airflow's hook does not "
            "connect with. Move them into the extra itself."
        )
    _, _, driver = str(extra.get("sqlalchemy_scheme") or "").partition("+")
    if driver not in ("", *DRIVERS):
        raise AirflowFailException(
            f"Connection {connection.conn_id!r} names the driver {driver!r} in sqlalchemy_scheme. Name one of "
            f"{' and '.join(DRIVERS)}, or none."
        )
    return driver


def driver_of(opened: Any) -> str:
    """Return the name of the driver that opened a connection."""
    return type(opened).__module__.partition(".")[0]


def connect_as(hook: Any, driver: Any) -> Any:
    """
    Connect as the hook does, for SQLAlchemy.

    :param hook: the hook of PostgreSQL, which chooses its driver by what is installed.
    :param driver: the module of the driver to connect with, or nothing for the hook's.
    """
    opened = hook.get_conn()
    if driver and driver.__name__ != driver_of(opened):
        with closing(opened):
            info = opened.info
            settings = info.dsn_parameters if hasattr(info, "dsn_parameters") else info.get_parameters()
            opened = driver.connect(**settings, password=info.password)
    if driver_of(opened) == "psycopg":
        opened.row_factory = import_module("psycopg.rows").tuple_row
        opened.prepare_threshold = None  # a pooler may give each transaction another session
    else:
        opened.cursor_factory = None
    return opened


def copy(opened: Any, statement: str, lines: bytes) -> None:
    """
    Run COPY … FROM STDIN.

    :param opened: a connection of one of the drivers.
    :param statement: the statement.
    :param lines: what is read, in the format that the statement names.
    """
    with opened.cursor() as cursor:
        if driver_of(opened) == "psycopg":
            with cursor.copy(statement) as stream:
                stream.write(lines)
        else:
            cursor.copy_expert(statement, io.BytesIO(lines))
