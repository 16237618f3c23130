"""The transfers of OpenRouter's keys and activity to a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.activity import BaseOpenRouterActivityOperator
from airflow_provider_openrouter.operators.keys import BaseOpenRouterKeysOperator
from airflow_provider_openrouter.transfers.table import ToSqlOperator

if TYPE_CHECKING:
    import datetime


class OpenRouterKeysToSqlOperator(ToSqlOperator, BaseOpenRouterKeysOperator):
    """
    Writes every API key of an OpenRouter account into a table, one row for each key and snapshot.

    A run replaces its partition, the rows of the same ``snapshot``, ``granularity``, ``source`` and
    ``workspace_scope``, and no other: running it again has the same result as running it once, and a failure
    leaves the table as it was. It returns the table, its partition and how many rows that has. It needs the extra
    ``sql``. It writes to PostgreSQL, MySQL, MariaDB and SQLite; other databases are refused before the first
    request.

    An older table gets the columns that it lacks. In a table from before the column ``granularity`` existed,
    rows at 00:00 UTC become ``day`` and all others ``hour``.

    It pushes two XComs: ``summary``, which has counts, spend (USD) in all and in the current UTC day, week and
    month, and the five active keys with the least left; and ``report``, a table in Markdown of the hundred active
    keys with the least left. Each outlet asset gets ``rows``, ``observed_at``, the table and the partition as its
    ``extra``.

    :param sql_conn_id: the connection to the database, all of whose settings hold that Airflow's hook honours.
        (templated)
    :param table: the name of the table, or ``schema.table``. (templated)
    :param schema: the database schema that the table is in, None for the connection's default. With a schema, a
        dot is part of the table's name. (templated)
    :param create_table: whether a missing table is created, and the primary key of one that this operator created
        earlier is changed if a newer version needs that. Missing columns are added in any case. With False the
        primary key must be (snapshot, granularity, source, workspace_scope, hash), or there must be none.
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param include_disabled: whether to list keys that are disabled. (templated)
    :param include_expired: whether to list keys past their ``expires_at``; None leaves the parameter out. If the
        server does not know it (400), the keys are listed without it, and a warning says so. (templated)
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them. (templated)
    :param granularity: ``"day"`` or ``"hour"``: whether the rows of that UTC day are replaced, or of that hour.
        (templated)
    :param source: a name for the account, which distinguishes it from others; by default the connection's id.
        (templated)
    :param snapshot: the moment, ISO 8601, that says which day or hour is replaced; by default when the keys are
        listed. The API shows only the present, so that another moment files today's keys under that day.
        (templated)
    :raises OpenRouterError: if the keys cannot be listed; ``transient`` says whether trying again may help.
    :raises OpenRouterRequestError: if an argument makes no sense.
    :raises AirflowFailException: if a setting of the connection makes no sense, if it leads to another
        database, if a package is not installed, if there is no table to write to, or if a column of it cannot
        hold its values.
    :raises AirflowException: if the database cannot be reached, or refuses.
    """

    template_fields: Sequence[str] = (
        *BaseOpenRouterKeysOperator.template_fields,
        "sql_conn_id",
        "table",
        "schema",
    )

    def __init__(
        self,
        *,
        sql_conn_id: str,
        table: str,
        schema: str | None = None,
        create_table: bool = True,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        include_disabled: bool | str = True,
        include_expired: bool | str | None = True,
        workspace_id: str | None = None,
        granularity: str = "day",
        source: str | None = None,
        snapshot: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sql_conn_id=sql_conn_id,
            table=table,
            schema=schema,
            create_table=create_table,
            openrouter_conn_id=openrouter_conn_id,
            include_disabled=include_disabled,
            include_expired=include_expired,
            workspace_id=workspace_id,
            granularity=granularity,
            source=source,
            snapshot=snapshot,
            **kwargs,
        )


class OpenRouterActivityToSqlOperator(ToSqlOperator, BaseOpenRouterActivityOperator):
    """
    Writes what an account spent on one day into a table, by model and endpoint, and by workspace or key.

    A run replaces its partition, the rows of the same ``date``, ``source`` and ``grouped_by``, and no other:
    running it again has the same result as running it once, and a failure leaves the table as it was. A day
    without activity is a success that leaves no rows. It returns the table, the partition and the number of its
    rows. It needs the extra ``sql``. It writes to PostgreSQL, MySQL, MariaDB and SQLite; other databases are
    refused before the first request. It covers the whole account, all its workspaces.

    It pushes the XCom ``summary``: the day, its cost (USD), the five most expensive models and keys, and the
    spend that no key accounts for. Each outlet asset gets ``rows``, ``observed_at``, the table and the partition
    as its ``extra``.

    :param sql_conn_id: the connection to the database, all of whose settings hold that Airflow's hook honours.
        (templated)
    :param table: the name of the table, or ``schema.table``. (templated)
    :param schema: the database schema that the table is in, None for the connection's default. With a schema, a
        dot is part of the table's name. (templated)
    :param create_table: whether a missing table is created, with an index of its partitions and without a primary
        key: any name in a row may be missing, and two rows may be equal. Missing columns are added in any case.
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param date: the UTC day, such as ``2026-11-03``, one of the last 30 completed ones; None for yesterday. A
        daily DAG passes ``{{ macros.ds_add(dag_run.run_after | ds, -1) }}``, so that it can be backfilled.
        (templated)
    :param by: what the rows are grouped by, besides model and endpoint. ``"workspace"``: by workspace. ``"key"``:
        by key and workspace, with one request for each key that may have been used on the day; spend that no key
        accounts for (deleted keys, and the chat) is kept in rows without a key. ``"account"``: neither.
        (templated)
    :param source: a name for the account, which distinguishes it from others; by default the connection's id.
        (templated)
    :raises OpenRouterError: if the activity cannot be listed; ``transient`` says whether trying again may help.
    :raises OpenRouterRequestError: if an argument makes no sense.
    :raises AirflowFailException: if a setting of the connection makes no sense, if it leads to another
        database, if a package is not installed, if there is no table to write to, or if a column of it cannot
        hold its values.
    :raises AirflowException: if the database cannot be reached, or refuses.
    """

    template_fields: Sequence[str] = (
        *BaseOpenRouterActivityOperator.template_fields,
        "sql_conn_id",
        "table",
        "schema",
    )

    def __init__(
        self,
        *,
        sql_conn_id: str,
        table: str,
        schema: str | None = None,
        create_table: bool = True,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        date: str | datetime.date | None = None,
        by: str = "workspace",
        source: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sql_conn_id=sql_conn_id,
            table=table,
            schema=schema,
            create_table=create_table,
            openrouter_conn_id=openrouter_conn_id,
            date=date,
            by=by,
            source=source,
            **kwargs,
        )
