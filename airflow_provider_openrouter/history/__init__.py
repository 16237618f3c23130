"""
SQL over what was stored: views of the history, and questions to them.

The files beside this module run as they are, in ``psql``, ``mariadb``, ``sqlite3`` or ``duckdb``; :func:`sql`
returns them for a table, folder or number of days of your own.
"""

from __future__ import annotations

import re
from importlib.resources import files

from airflow_provider_openrouter.exceptions import OpenRouterRequestError

QUESTIONS = (
    "spend_per_day",
    "top_spenders",
    "spend_per_prefix",
    "dormant_keys",
    "expiring_keys",
    "days_until_dry",
)
"""What can be asked; each file says at its top what it answers."""
QUOTES = {"postgresql": '"', "sqlite": '"', "mysql": "`", "duckdb": '"'}
"""How each database quotes a name; for MariaDB the dialect is ``mysql``."""


def sql(
    name: str,
    *,
    dialect: str,
    table: str | None = None,
    folder: str | None = None,
    days: int = 30,
) -> str:
    """
    Return a question, or the views that the questions read, ready to run.

    :param name: ``"views"``, to be run once and again after each upgrade, or one of ``QUESTIONS``.
    :param dialect: ``"postgresql"``, ``"sqlite"``, ``"mysql"`` (also for MariaDB) or ``"duckdb"``.
    :param table: the table that the views read, with its schema where it has one; by default ``openrouter_keys``.
        Only for the views, and not for DuckDB.
    :param folder: the folder of parquet files that the views read, such as ``s3://my-lake/keys``; by default
        ``lake/keys``. Only for the views, and only for DuckDB.
    :param days: the days that a question is about, counted back from the newest of each source. The views
        have all.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """
    if dialect not in QUOTES:
        raise OpenRouterRequestError(f"dialect must be one of {', '.join(QUOTES)}, not {dialect!r}.")
    if name == "views":
        return _views(dialect, table, folder)
    if name not in QUESTIONS:
        raise OpenRouterRequestError(f"name must be views or one of {', '.join(QUESTIONS)}, not {name!r}.")
    if table is not None or folder is not None:
        raise OpenRouterRequestError("A question reads the views, so table and folder are for the views.")
    if isinstance(days, bool) or not isinstance(days, int) or days < 1:
        raise OpenRouterRequestError(f"days must be a whole number of 1 or more, not {days!r}.")
    return _read(name).replace("SELECT 30 AS days", f"SELECT {days} AS days")


def _views(dialect: str, table: str | None, folder: str | None) -> str:
    observations = _read(f"observations_{dialect}")
    if dialect == "duckdb":
        if table is not None:
            raise OpenRouterRequestError("On DuckDB the views read a folder: give folder in place of table.")
        if folder is not None:
            pattern = f"{folder.rstrip('/')}/**/*.parquet".replace("'", "''")
            observations = observations.replace("lake/keys/**/*.parquet", pattern)
    elif folder is not None:
        raise OpenRouterRequestError(f"On {dialect} the views read a table: give table in place of folder.")
    elif table is not None:
        quote = QUOTES[dialect]
        quoted = ".".join(f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in table.split(".", 1))
        observations = re.sub(r"(?m)^(    FROM )openrouter_keys\b", lambda match: match[1] + quoted, observations)
    return observations + _read("days") + _read("spend")


def _read(name: str) -> str:
    return (files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
