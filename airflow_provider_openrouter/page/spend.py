"""What an account spent on each day, from the warehouse or, where there is none, from the API's activity."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from threading import Event
from typing import Any

from airflow_provider_openrouter.activity import DAYS, NEGLIGIBLE, Row, may_have_spent, remembered_days, total
from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.keys import KeyListing, read_date, read_text, team
from airflow_provider_openrouter.page.spend_days import SpendQuery, Spent, stack
from airflow_provider_openrouter.page.warehouse import NotStoredError, read_warehouse

log = logging.getLogger(__name__)

MOST_KEYS = 300
"""How many keys are asked one by one: as many as ten seconds allow, at 0.25 s a response and eight at once."""


def show_spend(
    query: SpendQuery,
    *,
    openrouter_conn_id: str,
    connect: Callable[[], OpenRouterClient],
    list_keys: Callable[[], KeyListing],
    sql_conn_id: str | None = None,
    stopped: Event | None = None,
) -> dict[str, Any]:
    """
    Return the days of spend as the route ``api/spend`` shows them. Amounts are USD, days UTC.

    They come from the warehouse if it has what is asked. Otherwise they come from the API, which knows the last
    30 completed days, and a notice says why. The API knows neither keys nor teams: each key is asked for.

    :param query: what is asked.
    :param openrouter_conn_id: the connection to OpenRouter: the default ``source`` of what is stored.
    :param connect: returns the client; called only if the API is asked.
    :param list_keys: returns all keys of all workspaces; called only if they are needed.
    :param sql_conn_id: the connection to the warehouse, None if there is none.
    :param stopped: once it is set, reading ends.
    :raises OpenRouterRequestError: if too many keys would have to be asked.
    :raises OpenRouterError: if the API cannot be read.
    :raises concurrent.futures.CancelledError: if ``stopped`` was set before the end.
    """
    notice = None
    if sql_conn_id:
        try:
            stored = read_warehouse(sql_conn_id, query, source=openrouter_conn_id, stopped=stopped)
        except NotStoredError as reason:
            notice = str(reason)
        except Exception:  # whatever is wrong with the warehouse, the API knows the last days
            log.warning("Could not read the spend from connection %r", sql_conn_id, exc_info=True)
            notice = f"Could not read connection {sql_conn_id!r}: the API server's log says why."
        else:
            spent = _with_names(stored.spent, list_keys) if query.by == "workspace" else stored.spent
            return stack(spent, query, last=stored.last, source="warehouse", notices=[stored.notice])
    reader = _ActivityReader(query, connect(), list_keys, stopped)
    if query.days > DAYS:
        known = f"The API knows the last {DAYS} days." + ("" if notice else " Set page_sql_conn_id to see more.")
        query = SpendQuery(by=query.by, key=query.key, days=DAYS)
        notice = f"{notice} {known}" if notice else known
    _, last = remembered_days()
    return stack(reader.read(notice), query, last=last, source="activity", notices=[notice])


def _with_names(spent: Iterable[Spent], list_keys: Callable[[], KeyListing]) -> list[Spent]:
    """Return the spend of workspaces with their names, which snapshots of keys do not have."""
    spent = list(spent)
    if all(each.name or not each.group for each in spent):
        return spent
    try:
        names = list_keys().workspace_names
    except OpenRouterError:  # then their ids are shown
        return spent
    return [each._replace(name=each.name or names.get(each.group or "")) for each in spent]


class _ActivityReader:
    """Reads what the API remembers."""

    def __init__(
        self,
        query: SpendQuery,
        client: OpenRouterClient,
        list_keys: Callable[[], KeyListing],
        stopped: Event | None,
    ) -> None:
        self._query = query
        self._client = client
        self._list_keys = list_keys
        self._stopped = stopped

    def read(self, why_not_stored: str | None) -> list[Spent]:
        """Return what each group spent; ``why_not_stored`` says why the warehouse does not have it."""
        if self._query.by in ("team", "key"):
            return self._of_keys(why_not_stored)
        names = self._list_keys().workspace_names if self._query.by == "workspace" else {}
        field = {"workspace": "workspace_id"}.get(self._query.by, "model")
        spent = []
        for row in self._account(self._query.key, by_workspace=self._query.by == "workspace"):
            group = read_text(row.get(field)) or None
            spent.append(Spent(read_date(row.get("date")), group, names.get(group or "", group), _amount(row)))
        return spent

    def _account(self, key: str | None = None, *, by_workspace: bool = False) -> list[Row]:
        return self._client.list_activity(
            api_key_hash=key, group_by="workspace" if by_workspace else None, stopped=self._stopped
        )

    def _of_keys(self, why_not_stored: str | None) -> list[Spent]:
        """Return what each key spent, or its team, and what no key accounts for."""
        listing = self._list_keys()
        names = {key["hash"]: read_text(key.get("name")) for key in listing.keys}
        account: list[Row] = []
        if self._query.key:
            hashes = [self._query.key]
        else:
            first, last = remembered_days()
            hashes = [key["hash"] for key in listing.keys if may_have_spent(key, first, last)]
            if len(hashes) > MOST_KEYS:
                raise OpenRouterRequestError(
                    f"The API tells {self._query.by}s only key by key, and {len(hashes):,} keys are more than "
                    f"{MOST_KEYS}. {why_not_stored or 'Set page_sql_conn_id to a warehouse that has them.'}"
                )
            account = self._account()
        rows_of = self._client.list_activity_of_keys(hashes, stopped=self._stopped)
        spent = []
        for hash_, rows in rows_of.items():
            name = names.get(hash_)
            group = team(name) if self._query.by == "team" else hash_
            spent += [Spent(day, group, name if group == hash_ else group, usage) for day, usage in _days(rows)]
        if not self._query.key:
            left: dict[date | None, Decimal] = defaultdict(Decimal, _days(account))
            for each in spent:
                left[each.day] -= each.amount
            spent += [Spent(day, None, None, amount) for day, amount in left.items() if abs(amount) >= NEGLIGIBLE]
        return spent


def _amount(row: Row) -> Decimal:
    return total([row], "usage")


def _days(rows: Iterable[Row]) -> Iterable[tuple[date | None, Decimal]]:
    """Return what rows cost on each of their days."""
    days: dict[date | None, Decimal] = defaultdict(Decimal)
    for row in rows:
        days[read_date(row.get("date"))] += _amount(row)
    return days.items()
