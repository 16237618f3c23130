"""From a connection of Airflow to the engine of its database, or to why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

UNSUPPORTED = {
    "databricks",
    "duckdb",
    "gcpbigquery",
    "mssql",
    "mysql",
    "oracle",
    "redshift",
    "snowflake",
    "teradata",
    "trino",
    "vertica",
}
"""Common databases that cannot be written to: Airflow itself knows only those whose provider is installed."""


def get_engine(sql_conn_id: str) -> Engine:
    """
    Return SQLAlchemy's engine for a connection of Airflow, which connects as the connection's hook does.

    :param sql_conn_id: the connection to the database.
    :raises AirflowFailException: if it is no connection to a database that can be written to, or if a package is
        not installed.
    """
    try:
        import airflow.providers.common.sql.hooks.sql  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise AirflowFailException(
            f"Cannot write to a table: {error}. Install airflow-provider-openrouter[sql]."
        ) from None
    from airflow_provider_openrouter.snapshots.dialects import DIALECTS

    connection = BaseHook.get_connection(sql_conn_id)
    kind = connection.conn_type
    said = f"Connection {sql_conn_id!r} is of type {kind!r}"
    not_supported = AirflowFailException(
        f"{said}, which is not supported: write a file with OpenRouterListKeysOperator and load it, as "
        "docs/warehouses.md shows."
    )
    if kind in UNSUPPORTED:
        raise not_supported
    by_type = {dialect.conn_type: dialect for dialect in DIALECTS.values()}
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
        if not hasattr(hook, "get_sqlalchemy_engine"):
            raise AirflowFailException(
                f"{said}, which is no SQL database. Set sql_conn_id to a connection to one."
            )
        # A hook may extend one of ours and have a type of its own.
        for base in type(hook).__mro__:
            if dialect := by_type.get(getattr(base, "conn_type", "")):
                return dialect.get_engine(hook)
        raise not_supported
    except ImportError as error:
        missing = f"whose driver cannot be imported: {error}"
    except AirflowException as error:
        if not str(error).startswith("Unknown hook type"):
            raise
        missing = "whose provider is not installed"
    package = (
        f"apache-airflow-providers-{kind}"
        if kind in by_type
        else "the Airflow provider of that type, or correct the type"
    )
    raise AirflowFailException(f"{said}, {missing}. Install {package}.")
