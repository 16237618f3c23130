"""
SQL over what was stored: views of the history, and questions to them.

The files beside this module run as they are, in ``psql``, ``mariadb``, ``sqlite3`` or ``duckdb``; :func:`sql`
returns them for a table, folder or number of days of your own.
"""

from __future__ import annotations

import re
from importlib.resources import files

from airflow_provider_openrouter.exceptions import OpenRouterRequestError

KEY_QUESTIONS = (
    "spend_per_day",
    "top_spenders",
    "spend_per_prefix",
    "dormant_keys",
    "expiring_keys",
    "days_until_dry",
)
"""What can be asked of the keys' snapshots."""
ACTIVITY_QUESTIONS = (
    "spend_per_model",
    "spend_per_prefix_and_model",
    "tokens_per_model",
    "spend_attribution",
    "unusual_days",
    "reconciliation",
)
"""What can be asked of the activity; the last of them compares it with the keys' snapshots, and needs both."""
QUESTIONS = KEY_QUESTIONS + ACTIVITY_QUESTIONS
"""What can be asked; each file says at its top what it answers."""
QUOTES = {"postgresql": '"', "sqlite": '"', "mysql": "`", "duckdb": '"'}
"""How each database quotes a name; for MariaDB the dialect is ``mysql``."""


def sql(
    name: str,
    *,
    dialect: str,
    table: str | None = None,
    folder: str | None = None,
    activity_table: str | None = None,
    activity_folder: str | None = None,
    days: int | None = None,
) -> str:
    """
    Return a question, or the views that the questions read, ready to run.

    :param name: ``"views"``, to be run once and again after each upgrade, or one of ``QUESTIONS``.
    :param dialect: ``"postgresql"``, ``"sqlite"``, ``"mysql"`` (also for MariaDB) or ``"duckdb"``.
    :param table: the table of keys that the views read, with its schema where it has one; by default
        ``openrouter_keys``, or none if ``activity_table`` is given. Only for the views, and not for DuckDB.
    :param folder: the folder of parquet files of keys that the views read, such as ``s3://my-lake/keys``; by
        default ``lake/keys``, or none if ``activity_folder`` is given. Only for the views, and only for DuckDB.
    :param activity_table: the table of activity that the views also read. With ``table``, names and teams are
        those of the day; without it, those of when the activity was read. Only for the views, and not for DuckDB.
    :param activity_folder: the same as a folder of parquet files. Only for the views, and only for DuckDB.
    :param days: the days that a question is about, by default 30, counted back from the newest of each source.
        Only for the questions: the views have all days.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """
    if dialect not in QUOTES:
        raise OpenRouterRequestError(f"dialect must be one of {', '.join(QUOTES)}, not {dialect!r}.")
    if name != "views" and name not in QUESTIONS:
        raise OpenRouterRequestError(f"name must be views or one of {', '.join(QUESTIONS)}, not {name!r}.")
    tables = {"table": table, "activity_table": activity_table}
    folders = {"folder": folder, "activity_folder": activity_folder}
    if name == "views":
        if days is not None:
            raise OpenRouterRequestError("The views have all days, so days is only for the questions.")
        return _views(dialect, tables, folders)
    for argument, value in {**tables, **folders}.items():
        if value is not None:
            raise OpenRouterRequestError(f"A question reads the views, so {argument} is only for the views.")
    if days is None:
        return _read(name)
    if isinstance(days, bool) or not isinstance(days, int) or days < 1:
        raise OpenRouterRequestError(f"days must be a whole number of 1 or more, not {days!r}.")
    return _read(name).replace("SELECT 30 AS days", f"SELECT {days} AS days")


def _views(dialect: str, tables: dict[str, str | None], folders: dict[str, str | None]) -> str:
    given, refused = (folders, tables) if dialect == "duckdb" else (tables, folders)
    for wrong, right in zip(refused, given, strict=True):
        if refused[wrong] is not None:
            raise OpenRouterRequestError(f"On {dialect} the views take no {wrong}: give {right} in its place.")
    keys, activity = given.values()
    scripts = []
    if keys is not None or activity is None:
        scripts += [_from(_read(f"observations_{dialect}"), keys, dialect), _read("days"), _read("spend")]
    if activity is not None:
        names = "names" if scripts else "no_names"
        scripts += [_from(_read(f"activity_{dialect}"), activity, dialect), _read(names), _read("activity")]
    return "".join(scripts)


def _from(script: str, place: str | None, dialect: str) -> str:
    """Return a script that reads another table, or on DuckDB another folder, than the one that it names."""
    if place is None:
        return script
    if dialect == "duckdb":
        pattern = f"{place.rstrip('/')}/**/*.parquet".replace("'", "''")
        return re.sub(r"(?<=read_parquet\(')[^']*", lambda _: pattern, script)
    quote = QUOTES[dialect]
    quoted = ".".join(f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in place.split(".", 1))
    return re.sub(r"(?m)^    FROM openrouter_(keys|activity)$", lambda _: f"    FROM {quoted}", script)


def _read(name: str) -> str:
    return (files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
