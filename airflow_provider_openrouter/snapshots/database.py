"""The database engine of an Airflow connection, or which package is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

PROVIDERS = {
    "databricks": "databricks",
    "gcpbigquery": "google",
    "mssql": "microsoft-mssql",
    "mysql": "mysql",
    "oracle": "oracle",
    "postgres": "postgres",
    "redshift": "amazon",
    "snowflake": "snowflake",
    "sqlite": "sqlite",
    "trino": "trino",
    "vertica": "vertica",
}
"""The providers of common types of connections: Airflow itself knows only those that are installed."""


def get_engine(sql_conn_id: str) -> Engine:
    """
    Return SQLAlchemy's engine for a connection of Airflow.

    :param sql_conn_id: the connection to the database.
    :raises AirflowFailException: if it is no connection to a SQL database, or if a package is not installed.
    """
    try:
        import airflow.providers.common.sql.hooks.sql  # noqa: F401
        from sqlalchemy.exc import NoSuchModuleError
    except ImportError as error:
        raise AirflowFailException(
            f"Cannot write to a table: {error}. Install airflow-provider-openrouter[sql]."
        ) from None
    connection = BaseHook.get_connection(sql_conn_id)
    kind = connection.conn_type
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
        if not hasattr(hook, "get_sqlalchemy_engine"):
            raise AirflowFailException(
                f"Connection {sql_conn_id!r} is of type {kind!r}, which is no SQL database. Set sql_conn_id to a "
                "connection to one."
            )
        return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})  # type: ignore[no-any-return]
    except (ImportError, NoSuchModuleError) as error:
        missing = f"is of type {kind!r}, whose driver cannot be imported: {error}"
    except AirflowException as error:
        if not str(error).startswith("Unknown hook type"):
            raise
        missing = f"is of type {kind!r}, whose provider is not installed"
    package = (
        f"apache-airflow-providers-{PROVIDERS[kind]}"
        if kind in PROVIDERS
        else "the Airflow provider of that type, or correct the type"
    )
    raise AirflowFailException(f"Connection {sql_conn_id!r} {missing}. Install {package}.")


def reason(error: Exception) -> str:
    """Return what the database says, except where it quotes values: class 22, and errors of the driver."""
    cause: Any = getattr(error, "orig", None) or error
    state = sql_state(cause)
    if state.startswith("22") or isinstance(error, ValueError):
        return f"{type(cause).__name__} {state}".strip()
    return plain((str(cause).strip().splitlines() or [type(cause).__name__])[0], longest=500)


def sql_state(cause: Any) -> str:
    """Return the five characters with which PostgreSQL tells errors apart, or nothing."""
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
