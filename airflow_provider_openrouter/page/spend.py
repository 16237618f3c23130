"""What an account spent on each day: from the warehouse or, where it is not stored, from the API's activity."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_openrouter.activity import DAYS, NEGLIGIBLE, Row, may_have_spent, remembered_days, total
from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterConnectionError, OpenRouterRequestError
from airflow_provider_openrouter.keys import read_date, read_text, team
from airflow_provider_openrouter.page.listing import list_every_key
from airflow_provider_openrouter.page.spend_days import SpendQuery, Spent, stack
from airflow_provider_openrouter.page.warehouse import NotStoredError, read_warehouse
from airflow_provider_openrouter.text import count
from airflow_provider_openrouter.watch.sources import Stop

log = logging.getLogger(__name__)

MOST_KEYS = 250
"""For how many keys the API is asked one by one: at 0.2 s a response and eight at once, that takes 8 of 10 s."""


def show_spend(
    query: SpendQuery,
    *,
    openrouter_conn_id: str,
    connect: Callable[[], OpenRouterClient],
    stop: Stop,
    sql_conn_id: str | None = None,
) -> dict[str, Any]:
    """
    Return the days of spend as the route ``api/spend`` shows them. Amounts are USD, days UTC.

    They come from the warehouse if it has what is asked. Otherwise they come from the API, which knows the last
    30 completed days, and a notice says why.

    :param query: what is asked.
    :param openrouter_conn_id: the connection to OpenRouter: the default ``source`` of what is stored.
    :param connect: returns its client; called where the warehouse is not enough.
    :param stop: ends the read.
    :param sql_conn_id: the connection to the warehouse, None or empty if there is none.
    :raises OpenRouterRequestError: if too many keys would have to be asked for.
    :raises OpenRouterError: if the API cannot be read.
    :raises concurrent.futures.CancelledError: if it was stopped before the end.
    """
    missing = None
    if sql_conn_id:
        try:
            stored = read_warehouse(sql_conn_id, query, source=openrouter_conn_id, stop=stop)
        except NotStoredError as reason:
            missing = str(reason)
        except Exception:  # whatever is wrong with the warehouse, the API knows the last days
            log.warning("Could not read what was spent from connection %r", sql_conn_id, exc_info=True)
            missing = f"Could not read connection {sql_conn_id!r}: the API server's log says why."
        else:
            spent = _with_names(stored.spent, connect, stop) if query.by == "workspace" else stored.spent
            return stack(spent, query, last=stored.last, source="warehouse", notices=[stored.notice])
    notices = [missing]
    if query.days > DAYS:
        query = replace(query, days=DAYS)
        notices.append(f"The API knows only the last {DAYS} days. A database in page_sql_conn_id can have more.")
    _, last = remembered_days()
    if query.by in ("team", "key"):
        spent = _read_keys(query, connect(), stop, missing or "Set page_sql_conn_id to a database that has it.")
    else:
        spent = _read_account(query, connect(), stop)
    return stack(spent, query, last=last, source="activity", notices=notices)


def _read_account(query: SpendQuery, client: OpenRouterClient, stop: Stop) -> list[Spent]:
    """Return what the API says of each model or workspace."""
    field, group_by = ("model", None) if query.by == "model" else ("workspace_id", "workspace")
    rows = client.list_activity(api_key_hash=query.key, group_by=group_by, stopped=stop.event())
    names = _workspace_names(client, stop) if group_by and rows else {}
    spent = []
    for row in rows:
        group = read_text(row.get(field)) or None
        spent.append(Spent(read_date(row.get("date")), group, names.get(group), total([row], "usage")))
    return spent


def _read_keys(query: SpendQuery, client: OpenRouterClient, stop: Stop, instead: str) -> list[Spent]:
    """
    Return what each key or team spent. The API has no such list, so each key takes a request.

    :param instead: what to do if there are too many keys for that, in a sentence.
    """
    listing = list_every_key(client, stop)
    names = {key["hash"]: read_text(key.get("name")) for key in listing.keys}
    first, last = remembered_days()
    hashes = [key["hash"] for key in listing.keys if may_have_spent(key, first, last)]
    if query.key:
        hashes = [query.key]
    keys = count(len(hashes), "key")
    if len(hashes) > MOST_KEYS:
        raise OpenRouterRequestError(
            f"Spend by {query.by} takes one request per key, and {keys} are too many. {instead}"
        )
    account = [] if query.key else client.list_activity(stopped=stop.event())
    try:
        rows_of = client.list_activity_of_keys(hashes, stopped=stop.event())
    except CancelledError:
        raise OpenRouterConnectionError(f"Reading the spend of {keys} took too long. {instead}") from None
    spent = []
    for hash_, rows in rows_of.items():
        group, name = hash_, names.get(hash_)
        if query.by == "team":
            group = name = team(name)
        spent += [Spent(day, group, name, amount) for day, amount in _days(rows).items()]
    if not query.key:
        left = _days(account)
        for each in spent:
            left[each.day] -= each.amount
        spent += [Spent(day, None, None, rest) for day, rest in left.items() if abs(rest) >= NEGLIGIBLE]
    return spent


def _days(rows: Iterable[Row]) -> defaultdict[date | None, Decimal]:
    """Return what rows cost on each of their days."""
    days: defaultdict[date | None, Decimal] = defaultdict(Decimal)
    for row in rows:
        days[read_date(row.get("date"))] += total([row], "usage")
    return days


def _with_names(spent: list[Spent], connect: Callable[[], OpenRouterClient], stop: Stop) -> list[Spent]:
    """Return the spend of workspaces with their names, which snapshots of keys do not have."""
    if all(each.name or not each.group for each in spent):
        return spent
    try:
        names = _workspace_names(connect(), stop)
    except AirflowException:  # then their ids are shown
        return spent
    return [each._replace(name=each.name or names.get(each.group)) for each in spent]


def _workspace_names(client: OpenRouterClient, stop: Stop) -> dict[str | None, str | None]:
    workspaces = client.list_workspaces(stopped=stop.event())
    return {workspace["id"]: read_text(workspace.get("name")) for workspace in workspaces}
