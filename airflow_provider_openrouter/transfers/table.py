"""What the operators that write into a table have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.operators.base import BaseOpenRouterOperator
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.lineage import table_target

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ToSqlOperator(BaseOpenRouterOperator):
    """
    Base class of the operators that replace a partition of a table by what they read.

    A class of them has a second base class, which says what is read.
    """

    def __init__(
        self, *, sql_conn_id: str, table: str, schema: str | None, create_table: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sql_conn_id = sql_conn_id
        self.table = table
        self.schema = schema
        self.create_table = create_table

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the account, replace its partition of the table, and return what was written."""
        if not self.table or not isinstance(self.table, str):
            raise OpenRouterRequestError(f"table must be the name of a table, not {self.table!r}.")

        from airflow_provider_openrouter.snapshots.database import get_engine, split_name

        table, schema = split_name(self.table, self.schema)
        partition_of = self._partitioning()
        engine = get_engine(self.sql_conn_id)

        # These need what get_engine has just found to be installed.
        from airflow_provider_openrouter.snapshots.dialects.base import quoted_name
        from airflow_provider_openrouter.snapshots.tables import replace_partition

        try:
            read = self._read()
            partition = partition_of(read)
            xcoms = self._xcoms(read)
            frame = self._file_frame(read, partition)
            del read  # so that a large listing is not in memory twice
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
        written = {"table": quoted_name(engine, table, schema), **partition.described}
        target = table_target(engine.url, schema=found_in, table=table)
        self._report(context, xcoms, len(frame), target, **written)
        return fit({"rows": len(frame), **written})
