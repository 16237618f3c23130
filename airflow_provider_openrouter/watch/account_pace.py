"""
How fast an account spends its credits. Pure: no clock, no network, no Airflow.

``GET /credits`` sends only totals, so the pace needs a history: the completed days of ``GET /activity``, and what
``total_usage`` has grown by since it was first read today. What is spent on one's own provider keys (BYOK) is not
paid from credits, and not counted. That activity covers only completed UTC days is from OpenRouter's API
reference (https://openrouter.ai/docs/api-reference) of 2026.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_openrouter.credits import Credits
from airflow_provider_openrouter.exceptions import OpenRouterResponseError
from airflow_provider_openrouter.keys import read_amount, read_time
from airflow_provider_openrouter.text import count
from airflow_provider_openrouter.watch.pace import LEAST_DAYS

DAYS = 7
"""Completed days that the mean is of."""

_DAY = timedelta(days=1)


def mean_of_days(rows: Collection[Mapping[str, Any]], today: date) -> Decimal | None:
    """
    Return what was spent in USD on a mean day of the last seven completed ones, or None if no day has a row.

    Days before the first one with a row do not count: the account was not in use yet. Days without a row after it
    count as 0. A row whose day or amount cannot be read is not counted.

    :param rows: all rows of ``GET /activity``.
    :param today: the UTC day on which they were read.
    :raises OpenRouterResponseError: if there are rows, and none of them can be read.
    """
    spent: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        at, amount = read_time(row.get("date")), read_amount(row.get("usage"))
        if at is not None and amount is not None:
            spent[at.date()] += Decimal(str(amount))
    if rows and not spent:
        raise OpenRouterResponseError(
            f"/activity answered {count(len(rows), 'row')} without a date and a usage that can be read. So the "
            "pace is not known: use a threshold in USD, which needs none, and report it to OpenRouter."
        )
    spent.pop(today, None)
    if not spent:
        return None
    first = max(min(spent), today - DAYS * _DAY)
    return sum((amount for day, amount in spent.items() if day >= first), Decimal(0)) / (today - first).days


class Growth:
    """What ``total_usage`` has grown by since the first reading of the UTC day."""

    def __init__(self) -> None:
        self._first: Credits | None = None

    def per_day(self, credits_: Credits) -> Decimal:
        """
        Return the growth in USD a day, over at least six hours: 0 at the first reading of a day.

        :param credits_: the reading, with a time in UTC; a later one than that of the last call.
        """
        first = self._first
        if first is None or first.observed_at.date() != credits_.observed_at.date():
            self._first = first = credits_
        grown = max(Decimal(0), credits_.total_usage - first.total_usage)
        days = max((credits_.observed_at - first.observed_at) / _DAY, LEAST_DAYS)
        return grown / Decimal(str(days))
