"""From a connection of Airflow to the engine of its database, or to why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_openrouter.exceptions import OpenRouterRequestError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

UNSUPPORTED = {
    "clickhouse",
    "databricks",
    "duckdb",
    "gcpbigquery",
    "jdbc",
    "mssql",
    "odbc",
    "oracle",
    "presto",
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
        from sqlalchemy.exc import NoSuchModuleError
    except ImportError as error:
        raise AirflowFailException(
            f"Cannot write to a table: {error}. Install airflow-provider-openrouter[sql]."
        ) from None
    from airflow_provider_openrouter.snapshots.dialects import DIALECTS
    from airflow_provider_openrouter.snapshots.dialects.base import unsupported

    connection = BaseHook.get_connection(sql_conn_id)
    kind = connection.conn_type
    said = f"is of type {kind!r}"
    if kind in UNSUPPORTED:
        raise unsupported(connection, said)
    by_type = {dialect.conn_type: dialect for dialect in DIALECTS.values()}
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
        if not hasattr(hook, "get_sqlalchemy_engine"):
            raise AirflowFailException(
                f"Connection {sql_conn_id!r} {said}, which is no SQL database. Set sql_conn_id to a connection "
                "to one."
            )
        # A hook may extend one of ours and have a type of its own.
        for base in type(hook).__mro__:
            if dialect := by_type.get(getattr(base, "conn_type", "")):
                return dialect.get_engine(connection, hook)
        raise unsupported(connection, said)
    except (ImportError, NoSuchModuleError) as error:
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
    raise AirflowFailException(f"Connection {sql_conn_id!r} {said}, {missing}. Install {package}.")


def split_name(table: str, schema: str | None = None) -> tuple[str, str | None]:
    """
    Return the names of a table and of its schema, which may stand before a dot in the former.

    :raises OpenRouterRequestError: if it has more dots than that, or quotation marks.
    """
    if schema or "." not in table:
        return table, schema or None
    before, _, after = table.partition(".")
    if not (before and after) or set(after + before) & set('."`'):
        raise OpenRouterRequestError(
            f"table must be a name or schema.name, not {table!r}. Give other names as table and schema, without "
            "quotation marks."
        )
    return after, before
