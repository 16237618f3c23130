"""The transfer of OpenRouter's keys to a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_openrouter.operators.openrouter import OpenRouterInventoryOperator
from airflow_provider_openrouter.snapshots.lineage import table_target

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from sqlalchemy.engine import Engine


class OpenRouterKeysToSqlOperator(OpenRouterInventoryOperator):
    """
    Writes every API key of an OpenRouter account into a table, one row for each key and snapshot.

    A run replaces its slice, the rows of the same ``snapshot``, ``source`` and ``workspace_scope``, and no other:
    run again it leaves what running once does, and a failure leaves the table as it was. It returns the table,
    its slice and how many rows that has, and tells outlet assets the same. All other parameters are those of
    :class:`~airflow_provider_openrouter.operators.openrouter.OpenRouterInventoryOperator`. It needs the extra
    ``sql``. PostgreSQL and SQLite are tested.

    :param sql_conn_id: the connection to the database, of any provider whose hook is a ``DbApiHook``. (templated)
    :param table: the name of the table. (templated)
    :param schema: the database schema that the table is in, None for the connection's default. (templated)
    :param create_table: whether a missing table is created. Missing columns are added in any case.
    :raises OpenRouterError: of the kind that tells what helps; what cannot heal fails without task retries.
    :raises AirflowFailException: if an argument makes no sense, or if there is no table to write to.
    :raises AirflowException: if the database refuses.
    """

    template_fields: Sequence[str] = (
        *OpenRouterInventoryOperator.template_fields,
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql_conn_id = sql_conn_id
        self.table = table
        self.schema = schema
        self.create_table = create_table

    def execute(self, context: Context) -> dict[str, Any]:
        """List the keys, replace their slice of the table, and return what was written."""
        if not self.table or not isinstance(self.table, str):
            raise AirflowFailException(f"table must be the name of a table, not {self.table!r}.")
        observed_at = datetime.now(UTC)
        part = self._slice(observed_at)
        engine = self._engine()

        from airflow_provider_openrouter.snapshots.frame import keys_file_frame
        from airflow_provider_openrouter.snapshots.tables import replace_slice

        try:
            keys = self._list_keys()
            frame = keys_file_frame(keys, observed_at=observed_at, part=part)
            del keys  # which a large account's memory need not hold twice
            schema = replace_slice(
                engine,
                frame,
                part=part,
                table=self.table,
                schema=self.schema or None,
                create_table=self.create_table,
            )
        finally:
            engine.dispose()
        target = table_target(engine.url, schema=schema, table=self.table)
        written = {
            "table": f"{self.schema}.{self.table}" if self.schema else self.table,
            **part.columns,
            "snapshot": part.snapshot.isoformat(),
        }
        self._tell(context, frame, observed_at, target, **written)
        return {"rows": len(frame), **written}

    def _engine(self) -> Engine:
        hook: Any = BaseHook.get_connection(self.sql_conn_id).get_hook()  # type: ignore[no-untyped-call]
        if not hasattr(hook, "get_sqlalchemy_engine"):
            raise AirflowFailException(
                f"The connection {self.sql_conn_id!r} is not one to a database that speaks SQLAlchemy."
            )
        return hook.get_sqlalchemy_engine(engine_kwargs={"hide_parameters": True})  # type: ignore[no-any-return]
