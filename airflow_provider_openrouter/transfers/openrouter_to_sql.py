"""The transfer of OpenRouter's keys to a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.base import BaseOpenRouterKeysOperator
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.lineage import table_target
from airflow_provider_openrouter.snapshots.summary import report_lowest, summarize

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OpenRouterKeysToSqlOperator(BaseOpenRouterKeysOperator):
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
    :param source: what distinguishes the account from others; by default the connection's id. (templated)
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
            openrouter_conn_id=openrouter_conn_id,
            include_disabled=include_disabled,
            include_expired=include_expired,
            workspace_id=workspace_id,
            granularity=granularity,
            source=source,
            snapshot=snapshot,
            **kwargs,
        )
        self.sql_conn_id = sql_conn_id
        self.table = table
        self.schema = schema
        self.create_table = create_table

    def execute(self, context: Context) -> dict[str, Any]:
        """List the keys, replace their partition of the table, and return what was written."""
        if not self.table or not isinstance(self.table, str):
            raise OpenRouterRequestError(f"table must be the name of a table, not {self.table!r}.")

        from airflow_provider_openrouter.snapshots.database import get_engine

        table, schema = _split(self.table, self.schema)
        partitioning = self._partitioning()
        engine = get_engine(self.sql_conn_id)

        # These need what get_engine has just found to be installed.
        from airflow_provider_openrouter.snapshots.dialects.base import quoted_name
        from airflow_provider_openrouter.snapshots.frame import keys_file_frame
        from airflow_provider_openrouter.snapshots.tables import replace_partition

        try:
            listing = self._list_keys()
            partition = partitioning.partition(listing)
            summary, report = summarize(listing), report_lowest(listing)
            frame = keys_file_frame(listing, partition)
            del listing  # so that a large listing is not in memory twice
            found_in = replace_partition(
                engine,
                frame,
                partition=partition,
                table=table,
                schema=schema,
                create_table=self.create_table,
            )
        finally:
            engine.dispose()
        written = {
            "table": quoted_name(engine, table, schema),
            **partition.columns,
            "snapshot": partition.snapshot.isoformat(),
        }
        self._report(context, summary, report, table_target(engine.url, schema=found_in, table=table), **written)
        return fit({"rows": summary["keys"], **written})


def _split(table: str, schema: str | None) -> tuple[str, str | None]:
    """Return the names of a table and of its schema, which may stand before a dot in the former."""
    if schema or "." not in table:
        return table, schema or None
    before, _, after = table.partition(".")
    if not (before and after) or set(after + before) & set('."`'):
        raise OpenRouterRequestError(
            f"table must be a name or schema.name, not {table!r}. Give other names as table and schema, without "
            "quotation marks."
        )
    return after, before
