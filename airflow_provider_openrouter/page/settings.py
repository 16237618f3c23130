"""The options of the page, in the section ``[openrouter]`` of Airflow's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_openrouter.connection import DEFAULT_CONN_ID

SECTION = "openrouter"


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """
    What the page shows.

    :param conn_id: the connection to OpenRouter; without one there is no page.
    :param sql_conn_id: the connection to the database that keeps the history, or empty; its views have the spend.
    :param table: the table of keys in it, or empty.
    """

    conn_id: str = DEFAULT_CONN_ID
    sql_conn_id: str = ""
    table: str = ""

    @classmethod
    def read(cls) -> PageSettings:
        """Read the options as they are now."""
        from airflow.configuration import conf  # in a task process, it is never asked for

        defaults = cls()
        return cls(
            conn_id=conf.get(SECTION, "page_conn_id", fallback=defaults.conn_id).strip(),
            sql_conn_id=conf.get(SECTION, "page_sql_conn_id", fallback=defaults.sql_conn_id).strip(),
            table=conf.get(SECTION, "page_table", fallback=defaults.table).strip(),
        )

    @property
    def fault(self) -> str | None:
        """What is wrong with the options, in a sentence, and what to do; None if nothing is."""
        if not self.table or self.sql_conn_id:
            return None
        return (
            "The option page_table is set without page_sql_conn_id, so there are no snapshots to show. "
            f"Set both in the section [{SECTION}] of Airflow's configuration."
        )
