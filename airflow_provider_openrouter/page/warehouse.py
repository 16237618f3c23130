"""What the views of the history have stored of an account's spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import case, column, func, inspect, literal_column, null, select, table, text
from sqlalchemy.engine import Connection

from airflow_provider_openrouter.keys import read_amount
from airflow_provider_openrouter.page.spend_days import SpendQuery, Spent
from airflow_provider_openrouter.snapshots.database import get_engine
from airflow_provider_openrouter.text import plain
from airflow_provider_openrouter.watch.sources import Stop

SECONDS = 7
"""How long a query may take. It leaves some of the ten seconds to ask the API instead."""

_EPOCH = date(1970, 1, 1)
_ACTIVITY = "openrouter_activity_observations"
_KEYS = "openrouter_key_spend"
_GROUPS = {_ACTIVITY: ("model", "workspace", "team", "key"), _KEYS: ("workspace", "team", "key")}
"""What each view can be grouped by; the first that has what is asked is read."""
_IDENTITY = {"model": "model", "workspace": "workspace_id", "team": "prefix", "key": "hash"}
_NAMES = {_ACTIVITY: {"workspace": "workspace_name", "key": "name"}, _KEYS: {"key": "name"}}
_FINEST = {"key": 1, "workspace": 2, "account": 3}
"""Which rows count of a day that was read more than once: those of the least number."""


class NotStoredError(Exception):
    """The warehouse does not have what is asked for. The message says why, and what to do."""


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

    Activity comes first. A day counts once, however often it was read. Names and teams are those at the time it
    was read: the view ``openrouter_activity_spend`` has those of the day itself, but takes too long for a page.

    Where there is no activity, or none by key although that is asked for, the snapshots of the keys say what each
    key cost. What it cost over several days is put on the last of them, as in the history, and a snapshot counts
    at the midnight that is nearest to it.

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
        views = [view for view in _GROUPS if inspect(connection).has_table(view)]
        if not views:
            raise NotStoredError(
                f"Connection {sql_conn_id!r} has no views of the history. Create them with "
                f'airflow_provider_openrouter.history.sql("views", dialect={engine.dialect.name!r}, …), '
                "as docs/spend.md shows."
            )
        for view in views:
            if query.by in _GROUPS[view] and (known := _known(connection, view, query, source)):
                last = max(each.last for each in known)
                spent = _read(connection, view, query, [each.source for each in known], last)
                return Stored(spent=spent, last=last, notice=_notice(known, last))
    raise NotStoredError(
        f"The views of connection {sql_conn_id!r} have no rows by {query.by} yet. Store keys and activity, and "
        "create the views with both, as docs/spend.md shows."
    )


class _Known(NamedTuple):
    """The newest day of a source."""

    source: str
    last: date


def _known(connection: Connection, view: str, query: SpendQuery, source: str) -> list[_Known]:
    """Return the source that is asked for, or all if it has no rows, each with its newest day."""
    name, last, rows = _column("source"), _column("day_number"), view
    if view == _KEYS:  # as in the view, a snapshot ends the day before the midnight that is nearest to it
        rows, last = "openrouter_key_observations", func.round(last + _column("day_part")) - 1
    newest = select(name, func.max(last)).select_from(table(rows)).group_by(name)
    if view == _ACTIVITY and query.is_about_keys:
        newest = newest.where(_column("grouped_by") == "key")
    elif view == _ACTIVITY and query.by == "workspace":
        newest = newest.where(_column("grouped_by") != "account")
    known = [_Known(each, _day(last)) for each, last in connection.execute(newest)]
    return [each for each in known if each.source == source] or known


def _read(
    connection: Connection, view: str, query: SpendQuery, sources: Sequence[str], last: date
) -> list[Spent]:
    source, hash_ = _column("source"), _column("hash")
    group: Any = _column(_IDENTITY[query.by])
    name: Any = null()
    grouped_by: Any = null()
    if view == _KEYS:
        day_number: Any = literal_column("next_day_number - 1")
        by = [source, day_number, group]
    else:
        day_number, grouped_by = _column("day_number"), _column("grouped_by")
        if query.by == "team":  # what no key accounts for has none
            group = case((hash_.is_not(None), group))
        by = [source, day_number, group, grouped_by]
    if query.by in _NAMES[view]:
        name = func.max(_column(_NAMES[view][query.by]))
    end = (last - _EPOCH).days
    asked = (
        select(source, day_number, grouped_by, group, name, func.sum(_column("spend")))
        .select_from(table(view))
        .where(source.in_(sources), day_number > end - query.days, day_number <= end)
        .group_by(*by)
    )
    if query.key:
        asked = asked.where(hash_ == query.key)
    rows = connection.execute(asked).all()
    finest: dict[tuple[str, Any], int] = {}
    for of, number, grouped_by, *_ in rows:
        place = _FINEST.get(grouped_by, 0)
        finest[of, number] = min(place, finest.get((of, number), place))
    return [
        Spent(_day(number), group, name, Decimal(str(read_amount(amount) or 0)))
        for of, number, grouped_by, group, name, amount in rows
        if _FINEST.get(grouped_by, 0) == finest[of, number]
    ]


def _notice(known: Sequence[_Known], last: date) -> str | None:
    """Return what one should know of what is stored, in sentences."""
    said = []
    if len(known) > 1:
        names = ", ".join(sorted(plain(each.source) for each in known))
        said.append(f"These are the sums of all sources in the database: {names}.")
    if last < datetime.now(UTC).date() - timedelta(days=2):
        said.append(f"The history ends on {last}: nothing newer is stored.")
    return " ".join(said) or None


def _day(number: Any) -> date:
    return _EPOCH + timedelta(days=int(number))


def _column(name: str) -> Any:
    return column(name)


def _set_limit(connection: Connection, stop: Stop) -> None:
    """Limit how long a query may take."""
    dialect: Any = connection.dialect
    if dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = '{SECONDS}s'"))
    elif dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(stop.event().is_set, 10_000)
    elif dialect.is_mariadb:
        connection.execute(text(f"SET SESSION max_statement_time = {SECONDS}"))
    else:
        connection.execute(text(f"SET SESSION max_execution_time = {SECONDS}000"))
