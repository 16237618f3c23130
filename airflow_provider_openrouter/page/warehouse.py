"""What the views of the history have stored of an account's spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import case, column, func, inspect, null, select, table, text
from sqlalchemy.engine import Connection
from sqlalchemy.sql import ColumnElement

from airflow_provider_openrouter.keys import read_amount
from airflow_provider_openrouter.page.spend_days import SpendQuery, Spent
from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.text import plain
from airflow_provider_openrouter.watch.sources import Stop

SECONDS = 7
"""How long a question may take: of ten seconds, it leaves some for asking the API instead."""

_EPOCH = date(1970, 1, 1)
_ACTIVITY = "openrouter_activity_spend"
_ACTIVITY_ROWS = "openrouter_activity_observations"
_KEYS = "openrouter_key_spend"
_KEYS_ROWS = "openrouter_key_observations"
_COLUMNS: dict[str, dict[str, tuple[str, str | None]]] = {
    _ACTIVITY: {
        "model": ("model", None),
        "workspace": ("workspace_id", "workspace_name"),
        "team": ("prefix", None),
        "key": ("hash", "name"),
    },
    _KEYS: {"workspace": ("workspace_id", None), "team": ("prefix", None), "key": ("hash", "name")},
}
"""For each view and what it can be grouped by: the columns of what identifies a group, and of its name."""


class NotStoredError(Exception):
    """The warehouse does not have what is asked; the message says in a sentence why, and what would help."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """
    What is stored.

    :param spent: what each group spent on each day.
    :param last: the newest day that is known.
    :param notice: what there is to say about it, in sentences.
    """

    spent: list[Spent]
    last: date
    notice: str | None


def read_warehouse(sql_conn_id: str, query: SpendQuery, *, source: str, stop: Stop) -> Stored:
    """
    Return what the views of the history say.

    Activity comes first. Where there is none, or none by key although it is asked for, the snapshots of the keys
    say what each key cost. What a key cost over several days is put on the last of them, as in the history, and a
    snapshot counts at the midnight that is nearest to it.

    :param sql_conn_id: the connection to the database.
    :param query: what is asked.
    :param source: the ``source`` of the rows that count; those of all sources do if it has none.
    :param stop: ends the read in SQLite; the other databases give up after :data:`SECONDS`.
    :raises NotStoredError: if that is not stored.
    :raises Exception: whatever the connection, the driver or the database raises.
    """
    engine = get_engine(sql_conn_id)
    with engine.connect() as connection:
        _set_limit(connection, stop)
        views = [view for view in _COLUMNS if inspect(connection).has_table(view)]
        if not views:
            raise NotStoredError(
                f"Connection {sql_conn_id!r} has no views of the history. Create them with "
                f'airflow_provider_openrouter.history.sql("views", dialect={engine.dialect.name!r}, …), '
                "as docs/spend.md shows."
            )
        for view in views:
            if query.by in _COLUMNS[view] and (known := _known(connection, view, query, source)):
                last = max(each.last for each in known)
                spent = _read(connection, view, query, [each.source for each in known], last)
                return Stored(spent=spent, last=last, notice=_notice(known, last))
    raise NotStoredError(
        f"Connection {sql_conn_id!r} has no rows by {query.by} yet: docs/spend.md shows how to store them."
    )


class _Known(NamedTuple):
    """The newest day of a source."""

    source: str
    last: date


def _known(connection: Connection, view: str, query: SpendQuery, source: str) -> list[_Known]:
    """Return the source that is asked for, or all if it has no rows, each with its newest day."""
    name: ColumnElement[Any] = column("source")
    day_number: ColumnElement[Any] = column("day_number")
    if view == _ACTIVITY:
        newest = select(name, func.max(day_number)).select_from(table(_ACTIVITY_ROWS))
        if query.is_about_keys:
            newest = newest.where(column("grouped_by") == "key")
        elif query.by == "workspace":
            newest = newest.where(column("grouped_by") != "account")
    else:  # a snapshot of the first half of a day ends the day before
        day_part: ColumnElement[Any] = column("day_part")
        last = day_number - case(((day_part >= 0.5) & (day_part < 1), 0), else_=1)
        newest = select(name, func.max(last)).select_from(table(_KEYS_ROWS))
    known = [_Known(each, _day(last)) for each, last in connection.execute(newest.group_by(name))]
    return [each for each in known if each.source == source] or known


def _read(
    connection: Connection, view: str, query: SpendQuery, sources: Sequence[str], last: date
) -> list[Spent]:
    day_number: ColumnElement[Any] = column("day_number") if view == _ACTIVITY else column("next_day_number") - 1
    identity, name = _COLUMNS[view][query.by]
    group: ColumnElement[Any] = column(identity)
    called: ColumnElement[Any] = func.max(column(name)) if name else null()
    end = (last - _EPOCH).days
    asked = (
        select(day_number, group, called, func.sum(column("spend")))
        .select_from(table(view))
        .where(column("source").in_(sources), day_number > end - query.days, day_number <= end)
        .group_by(day_number, group)
    )
    if query.key:
        asked = asked.where(column("hash") == query.key)
    return [
        Spent(_day(number), group, name, Decimal(str(read_amount(amount) or 0)))
        for number, group, name, amount in connection.execute(asked)
    ]


def _notice(known: Sequence[_Known], last: date) -> str | None:
    """Return what one should know of what is stored, in sentences."""
    said = []
    if len(known) > 1:
        names = ", ".join(sorted(plain(each.source) for each in known))
        said.append(f"These are the sums of all sources in the warehouse: {names}.")
    if last < datetime.now(UTC).date() - timedelta(days=2):
        said.append(f"The warehouse ends on {last}: nothing newer is stored.")
    return " ".join(said) or None


def _day(number: Any) -> date:
    return _EPOCH + timedelta(days=int(number))


def _set_limit(connection: Connection, stop: Stop) -> None:
    """Let no question take longer than may be waited for."""
    match connection.dialect.name:
        case "postgresql":
            connection.execute(text(f"SET LOCAL statement_timeout = '{SECONDS}s'"))
        case "mysql" if getattr(connection.dialect, "is_mariadb", False):
            connection.execute(text(f"SET SESSION max_statement_time = {SECONDS}"))
        case "mysql":
            connection.execute(text(f"SET SESSION max_execution_time = {SECONDS}000"))
        case "sqlite":
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(stop.event().is_set, 10_000)
